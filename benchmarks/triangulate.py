"""Triangulation: against Pose2Sim's own result, against made-up people, and its speed.

    python benchmarks/triangulate.py ../shared/data/pose2sim [--model yolov8n-pose] [--cache DIR]
    python benchmarks/triangulate.py --synthetic
    python benchmarks/triangulate.py --speed [--frames 10000]

The first compares with the triangulated OpenPose markers of Pose2Sim's demo (four cameras, 100
frames; they are no motion capture): from the very OpenPose files, and from the videos with a model,
four cameras and each pair. Neck and head are left out for models that have none.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import SKELETONS
from vitruvian.frame import Frame
from vitruvian.geometry import calibration_files
from vitruvian.multiview.recording import CameraView, Options, triangulated
from vitruvian.multiview.triangulation import Rig, undistorted

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import rigs  # pyright: ignore[reportMissingImports]

RATE = 60.0
MARKERS = {
    "Hip": "hip", "Knee": "knee", "Ankle": "ankle", "Shoulder": "shoulder", "Elbow": "elbow",
    "Wrist": "wrist", "BigToe": "big_toe", "SmallToe": "small_toe", "Heel": "heel",
}  # fmt: skip


def markers(folder: Path) -> dict[str, np.ndarray]:
    """(T, 3) metres of each marker of Pose2Sim's TRC, in the world of the rig (z up)."""
    (path,) = folder.glob("*/trc/*_0-100.trc")
    lines = path.read_text().splitlines()
    names = [name for name in lines[3].split("\t")[2:] if name]
    rows = [line.split("\t")[2:] for line in lines[5:] if line.strip()]
    values = np.array([[float(x or "nan") for x in row[: 3 * len(names)]] for row in rows])
    xyz = values.reshape(len(rows), -1, 3)[..., [2, 0, 1]]  # y up: y z x of the world
    found = {}
    for i, name in enumerate(names):
        part = name[1:]
        if name[0] in "LR" and part in MARKERS:
            found[f"{'left' if name[0] == 'L' else 'right'}_{MARKERS[part]}"] = xyz[:, i]
        else:
            found[name.lower()] = xyz[:, i]
    return found


def openpose(folder: Path) -> list[list[tuple[Frame, Poses]]]:
    """The people of the OpenPose files: the surest one of each frame."""
    views = []
    for v in (1, 2, 3, 4):
        pairs = []
        for i, frame in enumerate(json.loads((folder / f"cam0{v}.json").read_text())):
            people = [np.array(p["pose_keypoints_2d"]).reshape(-1, 3) for p in frame["people"]]
            best = max(people, key=lambda each: each[:, 2].sum())
            there = best[:, 2] > 0
            xy = np.where(there[:, None], best[:, :2] + 0.5, np.nan).astype(np.float32)[None]
            score = best[None, :, 2].astype(np.float32)
            box = np.concatenate([np.nanmin(xy, 1), np.nanmax(xy, 1)], 1)
            poses = Poses(
                SKELETONS["body_25b"], xy, score, box, score.mean(1), np.zeros(1, np.int64)
            )
            pairs.append((Frame(None, i, i / RATE, f"cam0{v}", size=(1088, 1920)), poses))
        views.append(pairs)
    return views


def compared(views: Sequence[CameraView], truth: dict[str, np.ndarray], what: str) -> None:
    """Print how far the people are from Pose2Sim's markers."""
    began = time.process_time()
    found = triangulated(views, Options())
    spent = 1000 * (time.process_time() - began) / len(found.frames)
    if not found.people:
        print(f"{what}: nobody")
        return
    names = found.skeleton.keypoints
    shared = [name for name in truth if name in names]
    offs = [
        np.stack([
            np.linalg.norm(each.world[:, names.index(n)] - truth[n][: len(each.world)], axis=-1)
            for n in shared
        ])
        for each in found.people
    ]  # fmt: skip
    best = int(np.argmin([np.nanmedian(off) for off in offs]))
    person, off = found.people[best], offs[best]
    text = (
        f"{what}: {len(found.people)} people, {1000 * np.nanmedian(off):.1f} mm (median), "
        f"{1000 * np.nanmean(off):.1f} mm (mean) from Pose2Sim's {len(shared)} markers, "
        f"{100 * np.isfinite(off).mean():.0f} % there; reprojection error "
        f"{np.nanmedian(person.error):.1f} px, uncertainty "
        f"{1000 * np.nanmedian(person.uncertainty):.0f} mm (medians); sides exchanged in "
        f"{person.swapped.sum(0).tolist()} frames; {spent:.2f} ms of CPU a frame"
    )
    print(text)
    if not what.startswith("OpenPose"):
        return
    # The errors of both in the same views and pixels.
    rig, errors = Rig.of([view.camera for view in views]), []
    at = undistorted([view.camera for view in views], _pixels(views, len(off[0])))
    for ours in (True, False):
        each = []
        for name in shared:
            k = names.index(name)
            world = person.world[:, k] if ours else truth[name]
            seen = np.einsum("vij,tj->tvi", rig.rotation, world) + rig.shift
            residual = (seen[..., :2] / seen[..., 2:] - at[:, :, k]) * rig.focal
            each.append(np.where(person.used[:, :, k], np.linalg.norm(residual, axis=-1), np.nan))
        errors.append(np.nanmean(each))
    print(f"  mean reprojection error {errors[0]:.2f} px, of Pose2Sim's markers {errors[1]:.2f} px")


def _pixels(views: Sequence[CameraView], count: int) -> np.ndarray:
    """(T, V, K, 2) of the surest person."""
    rows = []
    for view in views:
        k = len(view.pairs[0][1].skeleton)
        rows.append([
            poses.xy[int(poses.box_score.argmax())] if len(poses) else np.full((k, 2), np.nan)
            for _, poses in view.pairs[:count]
        ])  # fmt: skip
    return np.array(rows).swapaxes(0, 1)


def pose2sim(folder: Path, models: Sequence[str], cache: Path) -> None:
    """Pose2Sim's demo."""
    truth = markers(folder)
    placed = list(calibration_files.read(folder / "calibration" / "Calib_qualisys.toml").values())
    files = openpose(folder / "single_balancing" / "openpose_body25b")
    views = [CameraView(f"cam0{v + 1}", placed[v], files[v]) for v in range(4)]
    compared(views, truth, "OpenPose files, four cameras")
    for model in models:
        seen = []
        for v in range(4):
            kept = cache / f"{Path(model).stem}-cam0{v + 1}.jsonl"
            if not kept.exists():
                video = folder / "single_balancing" / "videos" / f"cam0{v + 1}.mp4"
                vit.predict(video, model=model, out=kept, smooth="no")
            pairs = list(vit.read(kept))
            seen.append(CameraView(f"cam0{v + 1}", placed[v].scaled(pairs[0][0].size), pairs))
        compared(seen, truth, f"{Path(model).stem}, four cameras")
        for pair in itertools.combinations(range(4), 2):
            compared([seen[v] for v in pair], truth, f"{Path(model).stem}, cameras {pair}")


def synthetic() -> None:
    """Made-up people: the error, and the bound of least squares for the same noise."""
    rng, seconds = np.random.default_rng(0), np.arange(300) / 30
    truth = rigs.walker(seconds)[None]
    for count in (2, 3, 4, 6, 8):
        cameras = rigs.cameras(count)
        rig = Rig.of(cameras)
        for noise in (1.0, 2.0, 4.0):
            views = [
                rigs.seen(camera, f"cam{i}", truth, seconds, rng, noise=noise)
                for i, camera in enumerate(cameras)
            ]
            (person,) = triangulated(views).people
            off = np.sqrt(np.nanmean(((person.world - truth[0]) ** 2).sum(-1)))
            bound = np.sqrt(_bound(rig, truth[0].reshape(-1, 3), noise).mean())
            print(
                f"{count} cameras, noise {noise:g} px: {1000 * off:.1f} mm (RMS), bound "
                f"{1000 * bound:.1f} mm, ratio {off / bound:.3f}; said "
                f"{1000 * np.sqrt(np.nanmean(person.uncertainty**2)):.1f} mm"
            )
    for late in (0.1, -0.37, 2.2):
        cameras, views = rigs.cameras(4), []
        for i, camera in enumerate(cameras):
            clock = seconds + (late if i == 1 else 0)
            body = rigs.walker(clock)[None]
            views.append(rigs.seen(camera, f"cam{i}", body, seconds, rng))
        offset = triangulated(views, find_offsets=5.0).offsets[1]
        print(f"one camera {late} s off: found {offset}")


def _bound(rig: Rig, points: np.ndarray, noise: float) -> np.ndarray:
    """(M,) square metres: the trace of the smallest covariance (Cramer and Rao)."""
    seen = np.einsum("vij,mj->mvi", rig.rotation, points) + rig.shift
    flat = seen[..., :2] / seen[..., 2:]
    slope = rig.rotation[:, :2] - flat[..., None] * rig.rotation[:, None, 2]
    slope = slope * (rig.focal / seen[..., 2:])[..., None]
    normal = np.einsum("mvij,mvik->mjk", slope, slope)
    return noise**2 * np.trace(np.linalg.inv(normal), axis1=1, axis2=2)


def speed(frames: int) -> None:
    """Four cameras, two people."""
    rng, seconds = np.random.default_rng(0), np.arange(frames) / 30
    truth = np.stack([rigs.walker(seconds), rigs.walker(seconds, 1.0, 2.5)])
    views = [
        rigs.seen(camera, f"cam{i}", truth, seconds, rng)
        for i, camera in enumerate(rigs.cameras(4))
    ]
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        found = triangulated(views)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"{frames} frames, 4 cameras, {len(found.people)} people: {1000 * wall / frames:.3f} "
            f"ms a frame, {1000 * cpu / frames:.3f} ms of CPU"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pose2sim", type=Path, nargs="?")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--cache", type=Path, help="folder of poses that are kept")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--frames", type=int, default=10000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if asked.pose2sim:
            pose2sim(asked.pose2sim, asked.model, asked.cache or Path(name))
    if asked.synthetic:
        synthetic()
    if asked.speed:
        speed(asked.frames)


if __name__ == "__main__":
    main()
