r"""vitruvian-3d: metres of unseen synthetic people, 2D of real ones, metres of Pose2Sim's.

    vitruvian synth --people 600 --seed 5 --out synth
    python benchmarks/vitruvian3d.py --synth synth --people ../shared/data/coco_people \
        --pose2sim ../shared/data/pose2sim

Side by side: the model, BlazePose placed in front of the same cameras, and the mean pose, which is
that of the folder's training people: put at their mean distance, and put by its fit to the true 2D.
All get the true boxes. Each part is left out where its folder is not given.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.skeletons import COCO17, HALPE26
from vitruvian.decode.absolute import place_body
from vitruvian.evaluate import metrics
from vitruvian.evaluate import truth as truths
from vitruvian.evaluate.scores import PredictedPeople, average_precision
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.regions import Regions
from vitruvian.models import metrabs
from vitruvian.models.load import load
from vitruvian.sources.open import open_source
from vitruvian.training.data import people, people3d

NAMES = COCO17.keypoints
HALPE = [HALPE26[name] for name in NAMES]
ROOT = ("left_hip", "right_hip")
LIMBS = [
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
]
Estimate = Callable[[Frame, Regions], tuple[np.ndarray, np.ndarray]]


def of(name: str, **options: Any) -> Estimate:
    """A model: where COCO's joints of everybody are, (N, 17, 2) pixels and (N, 17, 3) metres."""
    model = load(name, **options)
    which = [model.skeleton[joint] for joint in NAMES]

    def estimate(frame: Frame, look: Regions) -> tuple[np.ndarray, np.ndarray]:
        blaze = name.startswith("blazepose")
        (poses,) = model([frame], [look.squares() if blaze else look])
        if blaze and len(poses) and poses.look is not None:
            (poses,) = model([frame], [poses.look])  # once more where the landmarks were
        if not len(poses) or poses.xyz is None:
            gone = np.full((len(look), len(which), 3), np.nan, np.float32)
            return gone[..., :2], gone
        camera = frame.camera or Camera.view(frame.size)
        xyz = poses.xyz
        if poses.origin == "hips":
            xyz = place_body(camera, poses.xy, poses.xyz, poses.score).xyz
        return poses.xy[:, which], xyz[:, which]

    return estimate


def frame_of(person: people3d.Person3D) -> Frame:
    return Frame(person.rgb, camera=person.camera)


def synthetic(folder: Path, models: Sequence[tuple[str, Estimate]]) -> None:
    """MPJPE, PA-MPJPE, absolute MPJPE and depth of unseen people."""
    unseen = people3d.read_synthetic(folder, "val")
    truth = np.stack([person.xyz[HALPE] for person in unseen])
    xy = np.stack([person.xy[HALPE] for person in unseen])
    known = np.stack([person.xyz[HALPE] for person in people3d.read_synthetic(folder, "train")])
    hips = [NAMES.index(name) for name in ROOT]
    roots = known[:, hips].mean(axis=1, keepdims=True)
    mean = np.tile((known - roots).mean(axis=0), (len(unseen), 1, 1)).astype(np.float32)
    rows = [("mean pose, mean distance", mean + roots.mean(axis=0))]
    fitted = [
        place_body(
            person.camera, at[None], body[None], np.ones((1, len(NAMES))), along_ray=False
        ).xyz[0]
        for person, at, body in zip(unseen, xy, mean, strict=True)
        if person.camera is not None
    ]
    rows.append(("mean pose, by the true 2D", np.stack(fitted)))
    for name, estimate in models:
        found = []
        for person in unseen:
            look = Regions.boxes(person.box[None], np.ones(1, np.float32))
            found.append(estimate(frame_of(person), look)[1][0])
        rows.append((name, np.stack(found)))
    far = np.median(truth[..., 2])
    print(f"{len(unseen)} unseen synthetic people, {far:.2f} m away in the median; millimetres")
    print(f"{'':28} found  MPJPE  PA-MPJPE  absolute  depth, mean  depth, median")
    for name, found in rows:
        there = np.isfinite(found).all(axis=(1, 2))
        off = np.abs(metrics.depth_error(found, truth)[:, hips].mean(axis=1))
        numbers = (
            metrics.nan_mean(metrics.mpjpe(found, truth, COCO17, ROOT)),
            metrics.nan_mean(metrics.pa_mpjpe(found, truth)),
            metrics.nan_mean(metrics.mpjpe_absolute(found, truth)),
            float(np.nanmean(off)),
            float(np.nanmedian(off)),
        )
        a, b, c, d, e = (1000 * number for number in numbers)
        print(f"{name:28} {there.mean():5.0%} {a:6.0f} {b:9.0f} {c:9.0f} {d:12.0f} {e:14.0f}")


def looks_alone(name: str, folder: Path) -> None:
    """Each kind of look that `augment=5` takes, by itself, and the means of some of them."""
    some = people3d.read_synthetic(folder, "val") + people3d.read_synthetic(folder, "train")
    truth = np.stack([person.xyz[HALPE] for person in some])
    model = load(name, skeleton="halpe26")
    which = [model.skeleton[joint] for joint in NAMES]
    head: Any = getattr(model, "head", None)
    turned = {f"rolled by {deg:+g} degrees": metrabs.TestTimeView(np.radians(deg), 1, False, 0.8)
              for deg in (-25, -12.5, 12.5, 25)}  # fmt: skip
    kinds = {"one, as it is": metrabs.TestTimeView(0, 1, False, 0.8)} | turned
    kinds |= {
        f"{scale} times as large": metrabs.TestTimeView(0, scale, False, 0.8)
        for scale in (0.8, 1.1)
    }
    kinds |= {"mirrored": metrabs.TestTimeView(0, 1, True, 0.8)}
    sets = {kind: [look] for kind, look in kinds.items()}
    sets["as it is and mirrored"] = [kinds["one, as it is"], kinds["mirrored"]]
    sets["five, --augment 5"] = metrabs.views_at_test_time(5)
    print(f"{len(some)} synthetic people; millimetres\n{'looks':28}  MPJPE  PA-MPJPE  absolute")
    for kind, looks in sets.items():
        head.looks, found = looks, []
        for person in some:
            look = Regions.boxes(person.box[None], np.ones(1, np.float32))
            (poses,) = model([frame_of(person)], [look])
            assert poses.xyz is not None
            found.append(poses.xyz[0, which])
        xyz = np.stack(found)
        rows = metrics.mpjpe(xyz, truth, COCO17, ROOT), metrics.pa_mpjpe(xyz, truth)
        a, b, c = (
            1000 * metrics.nan_mean(row) for row in (*rows, metrics.mpjpe_absolute(xyz, truth))
        )
        print(f"{kind:28} {a:6.0f} {b:9.0f} {c:9.0f}", flush=True)


def real(folder: Path, models: Sequence[tuple[str, Estimate]]) -> None:
    """COCO's AP with the true boxes."""
    known = truths.read(folder, split="val")
    some = people.read(folder, "val")
    for name, estimate in models:
        found = {}
        for picture, person in zip(known.pictures, some, strict=True):
            look = Regions.boxes(person.box[None], np.ones(1, np.float32))
            xy, _ = estimate(Frame(person.rgb), look)
            found[picture.number] = PredictedPeople(xy[:1], np.ones(1))
        ap = average_precision(known, found, np.ones(len(NAMES), bool))
        print(f"{name:28} AP {ap:.3f} on {len(some)} people of COCO, true boxes")


def pose2sim(folder: Path, models: Sequence[tuple[str, Estimate]], every: int = 4) -> None:
    """Median distance of joints from the triangulated ones, for each camera."""
    trial = folder / "single_balancing"
    lines = (trial / "trc/S00_P00_T01_BalancingTrial_0-100.trc").read_text().splitlines()
    marks = [name for name in lines[3].split("\t")[2:] if name]
    numbers = [[float(v) for v in line.split("\t")[2:]] for line in lines[5:] if line.strip()]
    # The world is (z, x, y) of the file.
    body = np.array([row[: 3 * len(marks)] for row in numbers]).reshape(-1, len(marks), 3)
    body = body[..., [2, 0, 1]]
    short = [f"{name[0].upper()}{name.split('_')[1].capitalize()}" for name in LIMBS]
    which, ours = [marks.index(name) for name in short], [NAMES.index(name) for name in LIMBS]
    for name, estimate in models:
        medians = []
        for number in (1, 2, 3, 4):
            calibration = folder / "calibration/Calib_qualisys.toml"
            camera = Camera.read(calibration, f"cam_0{number}")
            off = []
            for frame in open_source(trial / f"videos/cam0{number}.mp4")[0]:
                if not isinstance(frame, Frame) or frame.index % every:
                    continue
                lens = camera.scaled(frame.size)
                truth = lens.from_world(body[frame.index][which])
                at = lens.project(truth)
                low, high = at.min(axis=0), at.max(axis=0)
                grown = 0.15 * (high - low)
                box = np.concatenate([low - grown, high + grown]).astype(np.float32)
                look = Regions.boxes(box[None], np.ones(1, np.float32))
                seen = Frame(frame.rgb, camera=lens)
                _, xyz = estimate(seen, look)
                off.append(np.linalg.norm(xyz[0, ours] - truth, axis=-1))
            medians.append(float(np.nanmedian(np.stack(off))))
        told = "  ".join(f"{median:.3f}" for median in medians)
        print(f"{name:28} Pose2Sim, median distance by camera: {told} m")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vitruvian-3d", help="a name, or a file")
    parser.add_argument("--synth", type=Path, help="folder of `vitruvian synth`")
    parser.add_argument("--looks", action="store_true", help="only: each kind of look by itself")
    parser.add_argument("--people", type=Path, help="coco_people of the shared data")
    parser.add_argument("--pose2sim", type=Path, help="pose2sim of the shared data")
    asked = parser.parse_args()
    if asked.looks:
        looks_alone(asked.model, asked.synth)
        return
    skeleton: dict[str, Any] = {"skeleton": "halpe26"}
    models = [
        (Path(asked.model).stem, of(asked.model, **skeleton)),
        ("  and five looks", of(asked.model, num_aug=5, **skeleton)),
        ("blazepose-full, absolute", of("blazepose-full", output_segmentation_masks=False)),
    ]
    if asked.synth:
        synthetic(asked.synth, models)
    if asked.people:
        real(asked.people, models)
    if asked.pose2sim:
        pose2sim(asked.pose2sim, models)


if __name__ == "__main__":
    main()
