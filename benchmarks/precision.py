"""Networks partly in bf16: how accurate they stay on labelled people, and how fast they are.

    python benchmarks/precision.py ../shared/data [--model blazepose-full] [--cuts 0 10 40 100]

For each cut, that share of the convolutions, the first ones, computes in bf16 and the rest in f32,
all in one network that OpenVINO compiles. Accuracy is that on the labelled people of COCO, each in
its true box: object keypoint similarity (OKS, mean), PCK (keypoints within a twentieth of the
box's longer side) and angles of elbows, knees, shoulders and hips in the image; and how far they
all move from f32. Differences have their 95 % interval over people, resampled in pairs.

A processor without bf16 emulates it: what it finds is as accurate, and takes several times as long.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

import vitruvian as vit
from vitruvian.analysis.angles import angles_deg
from vitruvian.body.skeletons import COCO17
from vitruvian.evaluate.oks import object_keypoint_similarity, oks_sigmas
from vitruvian.formats.coco import results
from vitruvian.geometry.regions import Regions
from vitruvian.models.blazepose import Landmarks, Options, open_detector
from vitruvian.models.ready import pull
from vitruvian.network.openvino import import_openvino, openvino_core

CUTS = (0, 10, 20, 30, 40, 60, 100)
DETECTOR = "blazepose-detector"
CONVOLUTIONS = ("Convolution", "GroupConvolution")
STAYS = ("Parameter", "Result", "Const", "Convert")  # layers of an .xml file that hold no work
# Left shoulder 5 ... right ankle 16 of COCO: the points of each angle, its vertex in the middle.
ANGLES = np.array([(5, 7, 9), (6, 8, 10), (7, 5, 11), (8, 6, 12)])
ANGLES = np.concatenate([ANGLES, [(5, 11, 13), (6, 12, 14), (11, 13, 15), (12, 14, 16)]])
NEAR = 0.05  # of the box's longer side: a keypoint within that is right, for PCK
ROUNDS = 40
LABELS = 5  # keypoints that a person must have


class Partly:
    """A network whose first convolutions compute in bf16; one row at a time, on one thread."""

    def __init__(self, file: Path, outputs: Sequence[int] | None, cut: float, folder: Path) -> None:
        """cut: 0..1, share of the convolutions."""
        openvino, core = import_openvino(), openvino_core()
        model = core.read_model(file)
        kept = range(len(model.outputs)) if outputs is None else outputs
        model = openvino.Model([model.outputs[i] for i in kept], model.get_parameters())
        sizes = [[1, *(n.get_length() for n in p.partial_shape[1:])] for p in model.inputs]
        model.reshape(dict(zip(model.inputs, sizes, strict=True)))
        work = [_products(op) for op in model.get_ordered_ops()]
        work = [products for products in work if products]
        first = round(cut * len(work))
        self.share = sum(work[:first]) / sum(work)  # of the multiplications
        whole = folder / "whole.xml"
        openvino.save_model(model, whole, compress_to_fp16=False)
        if first < len(work):
            whole.write_text(_exact_after(whole.read_text(), first))
        made = core.compile_model(
            core.read_model(whole),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": 1,
                "INFERENCE_PRECISION_HINT": "bf16" if first else "f32",
            },
        )
        self._request = made.create_infer_request()
        self._shapes = sizes

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Infer N rows."""
        rows = []
        for i in range(len(inputs[0])):
            self._request.infer([part[i : i + 1] for part in inputs], share_inputs=True)
            rows.append([np.array(part.data) for part in self._request.output_tensors])
        return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))

    def seconds(self) -> float:
        """Of one row of nothing in particular."""
        rows = [np.full(shape, 0.5, np.float32) for shape in self._shapes]
        began = time.perf_counter()
        self._request.infer(rows, share_inputs=True)
        return time.perf_counter() - began


def _products(op: Any) -> int:
    """Multiplications of a convolution; 0: it is none."""
    if op.get_type_name() not in CONVOLUTIONS:
        return 0
    kernel = list(op.input_value(1).shape)
    each = kernel[2:] if op.get_type_name() == "GroupConvolution" else kernel[1:]
    return int(np.prod(op.output(0).shape) * np.prod(each))


def _exact_after(text: str, first: int) -> str:
    """An .xml file in which all after the first convolutions is marked to keep its precision.

    The mark is what OpenVINO's own transformations leave for the operations that they want exact;
    it has no documentation, and no function in Python sets it.
    """
    mark, seen = '<attribute name="precise" version="0" />', 0

    def marked(layer: re.Match[str]) -> str:
        nonlocal seen
        one = layer.group()
        kind = re.search(r'type="(\w+)"', one)
        assert kind is not None
        seen += kind.group(1) in CONVOLUTIONS
        if seen <= first or kind.group(1) in STAYS:
            return one
        if "<rt_info>" in one:
            return one.replace("<rt_info>", "<rt_info>" + mark, 1)
        return re.sub(r"(<input>|<output>)", f"<rt_info>{mark}</rt_info>\\1", one, count=1)

    return re.sub(r"<layer .*?</layer>", marked, text, flags=re.DOTALL)


@dataclass(frozen=True)
class People:
    """The labelled people of one image."""

    frame: vit.Frame
    box: np.ndarray  # (G, 4) x y width height
    area: np.ndarray  # (G,)
    xy: np.ndarray  # (G, 17, 2)
    labelled: np.ndarray  # (G, 17) bool

    def look(self, *, square: bool) -> Regions:
        """Their true boxes."""
        box = np.concatenate([self.box[:, :2], self.box[:, :2] + self.box[:, 2:]], axis=1)
        found = Regions.boxes(box.astype(np.float32), np.ones(len(box), np.float32))
        found = replace(found, person=np.arange(len(box)))
        return found.squares() if square else found

    def take(self, which: np.ndarray) -> People:
        """Some of them."""
        rows = (self.box, self.area, self.xy, self.labelled)
        return People(self.frame, *(row[which] for row in rows))


def labelled_people(data: Path) -> Iterator[People]:
    """Those of COCO's images with at least `LABELS` keypoints."""
    read = json.loads((data / "coco" / "person_keypoints.json").read_text())
    for image in read["images"]:
        rows = [row for row in read["annotations"] if row["image_id"] == image["id"]]
        rows = [row for row in rows if not row.get("iscrowd") and row["num_keypoints"] >= LABELS]
        if rows:
            picture = data / "coco" / "images" / image["file_name"]
            yield _people(picture, [{**row, "box": row["bbox"]} for row in rows])


def crops_of_people(data: Path, most: int) -> Iterator[People]:
    """People of other images, cut out."""
    lines = (data / "coco_people" / "people.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "train"]
    rows = [row for row in rows if sum(point[2] > 0 for point in row["keypoints"]) >= LABELS]
    for row in rows[:: max(len(rows) // most, 1)][:most]:
        (file,) = (data / "coco_people").rglob(row["file"])
        yield _people(file, [row])


def _people(picture: Path, rows: Sequence[dict[str, Any]]) -> People:
    points = np.array([row["keypoints"] for row in rows], float).reshape(-1, 17, 3)
    box, area = (np.array([row[key] for row in rows], float) for key in ("box", "area"))
    return People(vit.Frame.read(picture), box, area, points[..., :2], points[..., 2] > 0)


@dataclass(frozen=True)
class Found:
    """What a network finds: rows are people."""

    who: np.ndarray  # (N,) numbers of the labelled people; BlazePose is sure that some are nobody
    oks: np.ndarray  # (N,)
    near: np.ndarray  # (N,) share of the labelled keypoints
    wrong: np.ndarray  # (N, 8) degrees off the labels
    xy: np.ndarray  # (N, 17, 2), in sides of the region
    angles: np.ndarray  # (N, A) degrees, in 3D where the model has it
    xyz: np.ndarray  # (N, K, 3) metres; K is 0 for a model without

    def of(self, who: np.ndarray) -> Found:
        """Those of some people."""
        rows = np.searchsorted(self.who, who)
        return Found(*(getattr(self, field.name)[rows] for field in fields(self)))


def found(model: Any, people: Sequence[People]) -> Found:
    """Everybody in their true boxes."""
    sigmas = oks_sigmas(COCO17)
    rows: list[tuple[np.ndarray, ...]] = []
    square = isinstance(model.head, Landmarks)
    before = 0
    for everybody in people:
        (poses,) = model([everybody.frame], [everybody.look(square=square)])
        if not len(poses):
            before += len(everybody.box)
            continue
        some, who = everybody.take(poses.person), before + poses.person
        before += len(everybody.box)
        xy = np.array([row["keypoints"] for row in results(some.frame, poses)]).reshape(-1, 17, 3)
        xy = xy[..., :2]
        oks = object_keypoint_similarity(
            xy, some.xy, some.labelled, some.box, some.area, sigmas
        ).diagonal()
        side = some.box[:, 2:].max(axis=1)[:, None]
        off = np.linalg.norm(xy - some.xy, axis=-1) / side
        near = (some.labelled & (off < NEAR)).sum(axis=1) / some.labelled.sum(axis=1)
        known = some.labelled[:, ANGLES].all(axis=-1)
        wrong = np.where(known, np.abs(_degrees(xy) - _degrees(some.xy)), np.nan)
        space = "2d" if poses.xyz is None else "3d"
        angles = angles_deg(poses, space, seen=0)
        metres = np.zeros((len(poses), 0, 3)) if poses.xyz is None else poses.xyz
        scale = side[:, None] * (1.25 if square else 1)
        rows.append((who, oks, near, wrong, xy / scale, angles, metres))
    return Found(*(np.concatenate(part) for part in zip(*rows, strict=True)))


def _degrees(xy: np.ndarray) -> np.ndarray:
    """(N, 17, 2) -> (N, 8) angles in the image, 0..180."""
    a, b, c = np.moveaxis(xy[:, ANGLES], 2, 0)
    u, v = a - b, c - b
    cross, dot = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0], (u * v).sum(axis=-1)
    return np.degrees(np.abs(np.arctan2(cross, dot)))


def interval(values: np.ndarray) -> str:
    """The mean of people's differences, and its 95 % interval."""
    values = values[np.isfinite(values)]
    random = np.random.default_rng(0)
    means = values[random.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():+.4f} ({low:+.4f} {high:+.4f})"


def quantiles(values: np.ndarray, digits: int = 2) -> str:
    """Median, and in brackets the 95 % quantile."""
    values = np.abs(values[np.isfinite(values)])
    return f"{np.median(values):.{digits}f} ({np.quantile(values, 0.95):.{digits}f})"


def turns(networks: Sequence[Partly]) -> list[float]:
    """Milliseconds of each: medians of rounds in which they take turns."""
    times = [[network.seconds() for network in networks] for _ in range(ROUNDS)]
    return [statistics.median(each) * 1e3 for each in zip(*times, strict=True)]


def made(file: Path, outputs: Sequence[int] | None, cuts: Sequence[int]) -> list[Partly]:
    """A network for each cut."""
    with tempfile.TemporaryDirectory() as folder:
        return [Partly(file, outputs, cut / 100, Path(folder)) for cut in cuts]


def accuracy(data: Path, name: str, cuts: Sequence[int], crops: int) -> None:
    """The table of a top-down model."""
    blazepose = name.startswith("blazepose")
    model: Any = vit.load(name, presence=0.0) if blazepose else vit.load(name)
    outputs = Landmarks.outputs(Options()) if blazepose else None
    file = next(path for path in pull(name) if path.name != "pose_detection.tflite")
    networks = made(file, outputs, cuts)
    people = [*labelled_people(data), *crops_of_people(data, crops)]
    side = max(size or 0 for size in model.head.network.input_shape[1:])
    everybody = found(model, people)
    print(f"{name}, {len(everybody.who)} people of COCO in their true boxes")
    print("moved: median (95 %), in pixels of the network's input; OKS and so on less that of f32:")
    print("mean (95 % interval)\n")
    head = ["cut, %", "work, %", "ms", "moved px", "mm", "angles, deg", "OKS", "OKS - f32"]
    head += [f"PCK@{NEAR}", "PCK - f32", "angle error", "error - f32, deg"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for cut, network, took in zip(cuts, networks, turns(networks), strict=True):
        model.head.network = network
        got = found(model, people)
        both = np.intersect1d(everybody.who, got.who)
        got, exact = got.of(both), everybody.of(both)
        moved = np.linalg.norm(got.xy - exact.xy, axis=-1) * side
        metres = np.linalg.norm(got.xyz - exact.xyz, axis=-1) * 1e3
        millimetres = quantiles(metres, 0) if metres.size else ""
        turn = np.abs((got.angles - exact.angles + 180) % 360 - 180)
        known = np.isfinite(got.wrong).any(axis=1)
        error = np.nanmean((got.wrong - exact.wrong)[known], axis=1)
        cells = [f"{cut}", f"{network.share:.0%}", f"{took:.1f}", quantiles(moved), millimetres]
        cells += [quantiles(turn, 1), f"{got.oks.mean():.4f}", interval(got.oks - exact.oks)]
        cells += [f"{got.near.mean():.4f}", interval(got.near - exact.near)]
        cells += [f"{np.nanmean(got.wrong):.2f}", interval(error)]
        print("| " + " | ".join(cells) + " |", flush=True)


def detector(data: Path, cuts: Sequence[int]) -> None:
    """The table of BlazePose's detector: who is found, and where."""
    (file, _) = pull("blazepose-full")
    find: Any = open_detector(file, Options())
    networks = made(file, None, cuts)
    frames = [some.frame for some in labelled_people(data)]
    exact = find(frames)
    print(f"{DETECTOR}, {len(frames)} images of COCO: people found, and how far their regions'")
    print("middle, side and angle are from f32's; median (95 %)\n")
    print("| cut, % | work, % | ms | found | of f32's | middle, % of side | side, % | deg |")
    print("|---|---|---|---|---|---|---|---|")
    for cut, network, took in zip(cuts, networks, turns(networks), strict=True):
        find.network = network
        moved = []
        count = 0
        for a, b in zip(exact, find(frames), strict=True):
            count += len(b)
            apart = np.linalg.norm(a.centre[:, None] - b.centre[None], axis=-1) / a.size[:, :1]
            for i, j in enumerate(apart.argmin(axis=1) if len(b) else []):
                if apart[i, j] < 0.25:
                    turn = np.degrees(a.angle[i] - b.angle[j])
                    size = b.size[j, 0] / a.size[i, 0] - 1
                    moved.append((100 * apart[i, j], 100 * size, (turn + 180) % 360 - 180))
        cells = [f"{cut}", f"{network.share:.0%}", f"{took:.1f}", f"{count}"]
        cells += [f"{len(moved)} of {sum(map(len, exact))}"]
        cells += [quantiles(values) for values in np.array(moved).T]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Read the words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data of the shared folder")
    parser.add_argument("--model", default="blazepose-full", help=f"a top-down one, or {DETECTOR}")
    parser.add_argument("--cuts", type=int, nargs="+", default=list(CUTS), help="percent")
    parser.add_argument("--crops", type=int, default=1000, help="people of coco_people")
    words = parser.parse_args()
    able = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    print(f"{openvino_core().get_property('CPU', 'FULL_DEVICE_NAME')}, OpenVINO: {' '.join(able)}")
    if "BF16" not in able:
        print("This processor has no bf16: times of all cuts but 0 are those of an emulation.")
    if words.model == DETECTOR:
        detector(words.data, words.cuts)
    else:
        accuracy(words.data, words.model, words.cuts, words.crops)


if __name__ == "__main__":
    main()
