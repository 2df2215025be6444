r"""The study, docs/study.md: how good and how fast the models are, beside each other and the peers.

    python docs/study.py --data ../shared/data/coco/person_keypoints.json --synth synth/ \
        --yolo ../shared/weights/yolov8n-pose.pt --work study/

Every part keeps its numbers in --work and is not done again while they are there, so that a run
that was stopped goes on, and the page, docs/study_template.txt with numbers, can be written anew.
Needs the extra train; peers run in environments of their own, see benchmarks/peers/run.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.models.load import load
from vitruvian.models.spec import ModelSpec
from vitruvian.rendering.report import plot
from vitruvian.verbs.benchmark import machine
from vitruvian.verbs.benchmark.benchmark import Plan, benchmark
from vitruvian.verbs.val import show
from vitruvian.verbs.val.val import val

DOCS = Path(__file__).parent
PEERS = DOCS.parent / "benchmarks" / "peers" / "run.py"
YOLO = "yolov8n-pose"
BLAZEPOSE = ("blazepose-lite", "blazepose-full", "blazepose-heavy")
PEOPLE = (1, 5, 20)  # in the images that are timed
MOST = 20  # people BlazePose looks for where there are several
SCALES = "smlx"  # of YOLOv8 without weights here
# Label -> the model and its options, as `--model` takes them.
FLAT: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {"num_poses": MOST}) for name in BLAZEPOSE},
    YOLO: (YOLO, {}),  # with everybody, however unlikely, as AP wants it
    f"{YOLO}, as predict asks it": (YOLO, {"conf": 0.25}),
    "vitruvian-2d": ("vitruvian-2d", {}),
    f"vitruvian-2d, {YOLO} finds": ("vitruvian-2d", {"find": YOLO}),
    f"vitruvian-3d, {YOLO} finds": ("vitruvian-3d", {"find": YOLO}),
}


def once(file: Path, make: Callable[[], Any]) -> Any:
    """What a file of numbers holds; made if it is not there."""
    if not file.exists():
        made = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def tell(words: object) -> None:
    """On standard error."""
    print(words, file=sys.stderr, flush=True)


def untrained(folder: Path) -> dict[str, Path]:
    """Networks whose weights cannot be had here, with seeded ones: good for time alone.

    YOLOv8's scores begin where it finds nobody, so that hardly more than the network is timed.
    """
    import torch

    from vitruvian.body.skeletons import COCO17
    from vitruvian.decode.volume import Volume
    from vitruvian.exports.export import export_checkpoint
    from vitruvian.exports.networks import fastpose, metrabs, yolo

    folder.mkdir(parents=True, exist_ok=True)
    made = {f"yolov8{scale}-pose": folder / f"yolov8{scale}-pose.onnx" for scale in SCALES}
    made |= {name: folder / f"{name}.onnx" for name in ("fastpose-r50", "metrabs-s")}
    for name, file in made.items():
        if file.exists():
            continue
        torch.manual_seed(0)
        checkpoint = folder / f"{name}.pt"
        if name == "metrabs-s":
            network = metrabs.Metrabs(metrabs.MetrabsShape.of("efficientnetv2-s", len(COCO17)))
            metrabs.save(network.eval(), checkpoint, Volume(), COCO17)
        elif name == "fastpose-r50":
            torch.save(fastpose.build(fastpose.FastShape()).state_dict(), checkpoint)
        else:
            shape = yolo.YoloShape.of(name.removeprefix("yolov8").removesuffix("-pose"))
            torch.save(yolo.Yolo(shape).state_dict(), checkpoint)
        export_checkpoint(checkpoint, file)
        checkpoint.unlink()
    return made


def accuracy(data: Path, work: Path, results: Sequence[Path]) -> dict[str, Any]:
    """Average precision and the like on COCO's images."""
    found = val(data, [*FLAT.values()], results=results, out=work / "coco", say=tell)
    said = show.validation_to_dict(found)
    names = [*FLAT, *(file.stem for file in results)]
    for model, name in zip(said["models"], names, strict=True):
        model["label"] = name
        del model["curves"]
    return said


def solid(data: Path, work: Path) -> dict[str, Any]:
    """Metres of synthetic people, whom no training has seen."""
    models = [(name, {}) for name in (*BLAZEPOSE, "vitruvian-3d")]
    said = show.validation_to_dict(val(data, models, out=work / "synthetic", say=tell))
    for model, (name, _) in zip(said["models"], models, strict=True):
        model["label"] = name
        del model["curves"]
    return said


def timed() -> list[tuple[str, str, dict[str, Any]]]:
    """Label, model, options of those whose time is measured: as `predict` asks them."""
    some = {label: each for label, each in FLAT.items() if "predict" not in label}
    return [(label, *each) for label, each in some.items()]


def times(networks: dict[str, Path], plan: Plan) -> dict[str, Any]:
    """Milliseconds, memory and start: trained models, and networks that are good for that alone."""
    some = [ModelSpec(*each) for each in timed()]
    for name in ("fastpose-r50", "metrabs-s"):
        some.append(ModelSpec(f"{name}, {YOLO} finds", str(networks[name]), {"find": YOLO}))
    return asdict(benchmark(some, people=PEOPLE, plan=plan, say=tell))


def sizes(networks: dict[str, Path], plan: Plan) -> dict[str, Any]:
    """Milliseconds of YOLOv8's sizes."""
    some = [ModelSpec(YOLO, YOLO, {})]
    some += [ModelSpec(name, str(networks[name]), {}) for name in networks if "yolo" in name]
    return asdict(benchmark(some, people=[1], plan=plan, say=tell))


def peers(pictures: Path, yolo: Path, work: Path) -> list[Path]:
    """Records of the peers, of the same images."""
    asked: dict[str, list[str]] = {
        "mediapipe-solutions": [],
        "mediapipe-tasks": ["--most", str(MOST)],
        "ultralytics": ["--weights", str(yolo), "--conf", "0.001"],
    }
    found = []
    for name, words in asked.items():
        out = work / f"{name}.jsonl"
        if not out.exists():
            line = [sys.executable, str(PEERS), name, str(pictures), "--out", str(out), *words]
            subprocess.run(line, check=True)
        found.append(out)
    return found


# The page


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interval(number: dict[str, float | None], digits: int = 3, scale: float = 1.0) -> str:
    """A number and its interval."""
    value, low, high = (number[k] for k in ("value", "low", "high"))
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{scale * value:.{digits}f}"
    return f"{scale * value:.{digits}f} ({scale * low:.{digits}f} to {scale * high:.{digits}f})"


def group(model: dict[str, Any], of: str, name: str | None = None) -> dict[str, Any]:
    """One group of the people of a model's numbers."""
    found = (g for g in model["groups"] if g["of"] == of and name in (None, g["name"]))
    return next(found, {"numbers": {}, "people": 0})


def plain(model: dict[str, Any], of: str, name: str, what: str) -> str:
    """One number of a group, without its interval."""
    value = group(model, of, name)["numbers"].get(what, {}).get("value")
    return "-" if value is None else f"{value:.3f}"


def flat_table(said: dict[str, Any]) -> str:
    """Accuracy in 2D."""
    head = ["", "AP", "AR", "AP medium", "AP large", "PCK", "found"]
    body = []
    for model in said["models"]:
        everybody = group(model, "all")["numbers"]
        body.append(
            [
                model["label"],
                interval(everybody["AP"]),
                f"{everybody['AR']['value']:.3f}",
                *(plain(model, "size", size, "AP") for size in ("medium", "large")),
                plain(model, "all", "all", "PCK"),
                f"{everybody['found']['value']:.0%}",
            ]
        )
    return rows(head, body)


def crowd_table(said: dict[str, Any]) -> str:
    """Share of people found, by how many there are."""
    first = said["models"][0]
    names = [g["name"] for g in first["groups"] if g["of"] == "people in the picture"]
    head = ["", *names]
    body = [
        [
            model["label"],
            *(
                f"{float(value):.0%}" if value != "-" else value
                for value in (plain(model, "people in the picture", n, "found") for n in names)
            ),
        ]
        for model in said["models"]
    ]
    counts = [group(first, "people in the picture", n)["people"] for n in names]
    return rows(head, [["people there", *map(str, counts)], *body])


def solid_table(said: dict[str, Any]) -> str:
    """Accuracy in 3D."""
    names = ("MPJPE", "PA-MPJPE", "N-MPJPE", "absolute MPJPE")
    body = []
    for model in said["models"]:
        numbers = group(model, "all")["numbers"]
        millimetres = [interval(numbers[name], 0, 1000) for name in names]
        rest = [f"{numbers[name]['value']:.2f}" for name in ("PCK3D", "AUC")]
        found = f"{numbers['found']['value']:.0%}" if "found" in numbers else "-"
        body.append([model["label"], *millimetres, *rest, found])
    return rows(["", *names, "PCK3D", "AUC", "found"], body)


def looked_at(case: dict[str, Any]) -> float:
    """People that cost time: those found, or with seeded weights all, whose scores say nothing."""
    return case["people"] if "finds" in case["contender"]["label"] else case["found"]


def slope(people: Sequence[float], spent: Sequence[float]) -> float:
    """Milliseconds for each person more, by least squares."""
    return float(np.polyfit(people, spent, 1)[0])


def time_table(said: dict[str, Any]) -> str:
    """Time, memory and start."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for case in said["cases"]:
        cases.setdefault(case["contender"]["label"], []).append(case)
    head = ["", *(f"{n} {'person' if n == 1 else 'people'}, ms" for n in PEOPLE)]
    head += [f"found of {', '.join(map(str, PEOPLE))}"]
    head += ["each person more, ms", "frames/s, 1 person", "CPU ms, 1 person", "MB", "start, s"]
    body = []
    for label, some in cases.items():
        spent = [case["stages_ms"]["whole"]["median"] for case in some]
        one = some[0]
        body.append(
            [
                label,
                *(f"{ms:.0f}" for ms in spent),
                ", ".join(f"{case['found']:g}" for case in some),
                f"{slope([looked_at(case) for case in some], spent):.1f}",
                f"{one['frames_per_second']:.0f}",
                f"{1000 * one['cpu_seconds_per_frame']:.0f}",
                f"{max(case['peak_mb'] for case in some):.0f}",
                f"{one['start_seconds']:.1f}",
            ]
        )
    return rows(head, body)


def size_table(said: dict[str, Any]) -> str:
    """Time of YOLOv8's sizes."""
    body = []
    for case in said["cases"]:
        stages = case["stages_ms"]
        numbers = (stages["network"]["median"], stages["whole"]["median"])
        memory = f"{case['peak_mb']:.0f}"
        body.append([case["contender"]["label"], *(f"{ms:.0f}" for ms in numbers), memory])
    return rows(["", "network, ms", "whole, ms", "MB"], body)


def crowd_plot(said: dict[str, Any], out: Path) -> None:
    """Milliseconds of an image by the people in it, where all of them are found."""
    figure = plot(7, 4)
    axes = figure.subplots()
    lines: dict[str, list[tuple[float, float]]] = {}
    for case in said["cases"]:
        if looked_at(case) < case["people"]:
            continue
        point = (case["people"], case["stages_ms"]["whole"]["median"])
        lines.setdefault(case["contender"]["label"], []).append(point)
    for number, (label, points) in enumerate(lines.items()):
        style = ("-", "--", ":")[number // 4]
        axes.plot(*zip(*points, strict=True), style, marker="o", markersize=4, label=label)
    axes.set(
        xlabel="people in the picture", ylabel="ms an image, median", yscale="log", xticks=PEOPLE
    )
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(out, dpi=110)


def main() -> None:
    """Measure what is not measured yet, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="COCO's annotations")
    parser.add_argument("--synth", type=Path, required=True, help="a folder of `vitruvian synth`")
    parser.add_argument("--yolo", type=Path, required=True, help="yolov8n-pose.pt, for Ultralytics")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    work = asked.work
    for name, _ in FLAT.values():
        load(name)  # fetched, and converted, before anything is timed
    networks = untrained(work / "networks")
    plan = Plan(rounds=asked.rounds, frames=20, seconds=2.5)
    results = peers(asked.data.parent / "images", asked.yolo, work)
    flat = once(work / "coco.json", lambda: accuracy(asked.data, work, results))
    deep = once(work / "synthetic.json", lambda: solid(asked.synth / "people.jsonl", work))
    clock = once(work / "times.json", lambda: times(networks, plan))
    sized = once(work / "sizes.json", lambda: sizes(networks, plan))
    crowd_plot(clock, DOCS / "study.png")
    everybody = group(flat["models"][0], "all")
    page = (
        (DOCS / "study_template.txt")
        .read_text(encoding="utf-8")
        .format(
            pictures=flat["pictures"],
            people=everybody["people"],
            most=MOST,
            mediapipe="0.10.21 and 1.2.2",
            flat=flat_table(flat),
            crowd=crowd_table(flat),
            solid_pictures=deep["pictures"],
            solid=solid_table(deep),
            rounds=clock["plan"]["rounds"],
            time=time_table(clock),
            size=size_table(sized),
            machine="\n".join(machine.machine_lines(machine.LoadedMachine(**clock["machine"]))),
        )
    )
    (DOCS / "study.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
