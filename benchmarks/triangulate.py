"""Triangulation: against Pose2Sim's own result, against made-up people, and its speed.

    python benchmarks/triangulate.py ../shared/data/pose2sim [--model yolov8n-pose] [--cache DIR]
        [--single vitruvian-3d]
    python benchmarks/triangulate.py --synthetic
    python benchmarks/triangulate.py --speed [--frames 10000]

The first compares with the triangulated OpenPose markers of Pose2Sim's demo (four cameras, 100
frames; they are no motion capture): from the very OpenPose files, and from the videos with a model,
four cameras and each pair. Neck and head are left out for models that have none. Then it says where
the distance of four cameras comes from, marker by marker:

- as they are, and one frame later: `late` finds that the videos are a frame ahead of the files;
- from the views that each marker is from, as Pose2Sim leaves more views out;
- from the OpenPose files triangulated here, all views that agree, also one frame later: what of it
  is constant in the axes of the body (another definition of the keypoint), and what is not.

`--single` is one camera with a model that gives metres, against the same markers and frames.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17, SKELETONS
from vitruvian.frame import Frame
from vitruvian.geometry import calibration_files
from vitruvian.geometry.camera import Camera
from vitruvian.multiview.recording import (
    CameraView,
    Options,
    Recording3D,
    TriangulatedPerson,
    triangulated,
)
from vitruvian.multiview.triangulation import Rig, undistorted
from vitruvian.streams import butterworth
from vitruvian.verbs.triangulate import report

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import rigs  # pyright: ignore[reportMissingImports]

RATE = 60.0
LATE = 1  # frames by which the videos are ahead of the OpenPose files and the markers, see `late`
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


def distances(world: np.ndarray, names: Sequence[str], truth: dict[str, np.ndarray]) -> np.ndarray:
    """(J, T) metres from the J markers that there are, in their order."""
    shared = [name for name in truth if name in names]
    return np.stack([
        np.linalg.norm(world[:, names.index(n)] - truth[n][: len(world)], axis=-1) for n in shared
    ])  # fmt: skip


def nearest(found: Recording3D, truth: dict[str, np.ndarray]) -> TriangulatedPerson:
    """Who is nearest to the markers."""
    names = found.skeleton.keypoints
    offs = [np.nanmedian(distances(each.world, names, truth)) for each in found.people]
    return found.people[int(np.argmin(offs))]


def compared(
    views: Sequence[CameraView],
    truth: dict[str, np.ndarray],
    what: str,
    bones: bool = False,
    cutoff_hz: float | None = None,
) -> None:
    """Print how far the people are from Pose2Sim's markers."""
    began = time.process_time()
    found = triangulated(views, Options(bones=bones))
    if cutoff_hz is not None:
        seconds, lowpass = np.arange(len(found.frames)) / RATE, butterworth.Options(cutoff_hz)
        found = replace(found, people=[
            replace(each, world=butterworth.filtered(seconds, each.world, lowpass))
            for each in found.people
        ])  # fmt: skip
    spent = 1000 * (time.process_time() - began) / len(found.frames)
    if not found.people:
        print(f"{what}: nobody")
        return
    names = found.skeleton.keypoints
    shared = [name for name in truth if name in names]
    person = nearest(found, truth)
    off = distances(person.world, names, truth)
    text = (
        f"{what}: {len(found.people)} people, {1000 * np.nanmedian(off):.1f} mm (median), "
        f"{1000 * np.nanmean(off):.1f} mm (mean) from Pose2Sim's {len(shared)} markers, "
        f"{100 * np.isfinite(off).mean():.0f} % there; reprojection error "
        f"{np.nanmedian(person.error):.1f} px, uncertainty "
        f"{1000 * np.nanmedian(person.uncertainty):.0f} mm (medians); sides exchanged in "
        f"{person.swapped.sum(0).tolist()} frames; {spent:.2f} ms of CPU a frame"
    )
    print(text)
    if len(views) > 2:
        fit = [line for line in report(found, [view.name for view in views]) if " fit " in line]
        print("  " + "\n  ".join(fit or ["all cameras fit each other"]))
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


def at_frame(values: np.ndarray, later: float) -> np.ndarray:
    """The same some frames later, linear between frames; NaN beyond the last."""
    at = np.arange(len(values)) + later
    low = np.floor(at).astype(int)
    inside = (low >= 0) & (at <= len(values) - 1)
    low = low.clip(0, len(values) - 2)
    part = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    mixed = values[low] * (1 - part) + values[low + 1] * part
    mixed[~inside] = np.nan
    return mixed


def pixels_of(view: CameraView, near: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(T, J, 2) pixels of the person of each frame who is nearest to (T, J, 2) others."""
    found = np.full(near.shape, np.nan)
    for i, (_, poses) in enumerate(view.pairs[: len(near)]):
        if len(poses):
            xy = poses.xy[:, [poses.skeleton[name] for name in names]]
            off = np.nanmedian(np.linalg.norm(xy - near[i], axis=-1), axis=1)
            found[i] = xy[int(np.nanargmin(off))]
    return found


def late(views: Sequence[CameraView], files: Sequence[CameraView]) -> list[float]:
    """Frames by which each view is ahead of its OpenPose file: where limbs move alike.

    The least distance of the keypoints in pixels, less its median for each keypoint.
    """
    lags, best = np.arange(-2, 3.01, 0.25), list[float]()
    limbs = [f"{side}_{part}" for side in ("left", "right") for part in MARKERS.values()]
    names = [name for name in limbs if name in views[0].pairs[0][1].skeleton.keypoints]
    inner = slice(8, -8)
    theirs = _pixels(files, len(files[0].pairs))
    theirs = theirs[:, :, [SKELETONS["body_25b"][name] for name in names]]
    for v, view in enumerate(views):
        ours, apart = pixels_of(view, theirs[:, v], names), list[float]()
        for lag in lags:
            off = (at_frame(ours, float(lag)) - theirs[:, v])[inner]
            apart.append(np.nanmedian(np.linalg.norm(off - np.nanmedian(off, 0), axis=-1)))
        best.append(float(lags[np.argmin(apart)]))
    return best


def split(
    views: Sequence[CameraView], files: Sequence[CameraView], truth: dict[str, np.ndarray]
) -> None:
    """Print where the distance from Pose2Sim's markers comes from."""
    frames = ", ".join(f"{lag:+g}" for lag in late(views, files))
    print(f"  ahead of the OpenPose files by {frames} frames (each camera)")
    some = [list(s) for n in (4, 3, 2) for s in itertools.combinations(range(len(views)), n)]

    def of_subsets(every: Sequence[CameraView]) -> tuple[np.ndarray, list[str]]:
        """(S, T, K, 3) metres from each set of views, and the names of the K keypoints."""
        found = [triangulated([every[v] for v in which]) for which in some]
        people = [nearest(each, truth).world for each in found]
        return np.stack(people), list(found[0].skeleton.keypoints)

    ours, names = of_subsets(views)
    theirs, other = of_subsets(files)
    shared = [name for name in truth if name in names]
    markers_ = {name: truth[name] for name in shared}
    same = {name: theirs[0, :, other.index(name)] for name in shared}
    match = np.stack([distances(each, other, markers_) for each in theirs])  # (S, J, T)
    which = np.where(np.isfinite(match), match, np.inf).argmin(axis=0)
    later = np.stack([at_frame(each, LATE) for each in ours])
    from_same = np.stack([distances(each, names, markers_) for each in later])
    # In axes of the body, across the hips and up: what is constant there is another definition.
    across = same["left_hip"] - same["right_hip"]
    across[:, 2] = 0
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up = np.broadcast_to([0.0, 0, 1], across.shape)
    axes = np.stack([across, np.cross(up, across), up], axis=1)
    apart = np.stack([later[0][:, names.index(n)] - xyz for n, xyz in same.items()])
    apart = np.einsum("tij,ktj->kti", axes, apart)
    steady = np.nanmedian(apart, axis=1, keepdims=True)
    columns = {
        "as they are": distances(ours[0], names, markers_),
        "a frame later": distances(later[0], names, markers_),
        "and its views": np.take_along_axis(from_same, which[None], axis=0)[0],
        "OpenPose here": match[0],
        "ours from that": distances(later[0], names, same),
        "constant part": np.linalg.norm(steady, axis=-1),
        "without it": np.linalg.norm(apart - steady, axis=-1),
    }
    print("  median mm   " + "  ".join(f"{name:>14}" for name in columns))
    for j, name in enumerate([*shared, "all"]):
        rows = [each if name == "all" else each[j] for each in columns.values()]
        print(f"  {name:14}" + "  ".join(f"{1000 * np.nanmedian(row):14.1f}" for row in rows))
    least = 1000 * np.nanmedian(np.take_along_axis(match, which[None], axis=0))
    left = np.bincount([4 - len(some[s]) for s in which.ravel()], minlength=3) / which.size
    print(
        f"  markers are {least:.1f} mm (median) from the OpenPose files of some views; views left "
        f"out: none of {100 * left[0]:.0f} %, one of {100 * left[1]:.0f} %, two of "
        f"{100 * left[2]:.0f} %"
    )


def single(
    model: str,
    cache: Path,
    folder: Path,
    cameras: Sequence[Camera],
    references: dict[str, dict[str, np.ndarray]],
) -> None:
    """Print how far one camera with a model that gives metres is from the same markers."""
    rows = {what: list[str]() for what in references}
    for v, camera in enumerate(cameras):
        kept = cache / f"{Path(model).stem}-single-cam0{v + 1}.jsonl"
        if not kept.exists():
            video = folder / "single_balancing" / "videos" / f"cam0{v + 1}.mp4"
            vit.predict(
                video, model, out=kept, smooth="no", absolute=True, camera=camera, confirm=False,
                num_poses=5,
            )  # fmt: skip
        pairs = list(vit.read(kept))
        table, lens = pairs[0][1].skeleton, camera.scaled(pairs[0][0].size)
        for what, truth in references.items():
            shared = [n for n in truth if n in table.keypoints and n in COCO17.keypoints]
            some = {name: truth[name] for name in shared}
            at = np.stack([lens.project(lens.from_world(each)) for each in some.values()], axis=1)
            world = np.full((*at.shape[:2], 3), np.nan)
            for i, (_, poses) in enumerate(pairs[: len(at)]):
                if not len(poses) or poses.world is None:
                    continue
                which = [table[name] for name in shared]
                off = np.nanmedian(np.linalg.norm(poses.xy[:, which] - at[i], axis=-1), axis=1)
                world[i] = poses.world[int(np.nanargmin(off)), which]
            far = distances(at_frame(world, LATE), shared, some)
            rows[what].append(f"{1000 * np.nanmedian(far):.0f}")
    told = "; ".join(f"from {what} {', '.join(medians)} mm" for what, medians in rows.items())
    print(f"{Path(model).stem}, one camera, each of four, a frame later (medians): {told}")


def pose2sim(folder: Path, models: Sequence[str], singles: Sequence[str], cache: Path) -> None:
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
                # As `triangulate` does.
                vit.predict(video, model, out=kept, smooth="no", confirm=False, num_poses=5)
            pairs = list(vit.read(kept))
            seen.append(CameraView(f"cam0{v + 1}", placed[v].scaled(pairs[0][0].size), pairs))
        compared(seen, truth, f"{Path(model).stem}, four cameras")
        smooth = f"{Path(model).stem}, four cameras, bones of one length, 6 Hz"
        compared(seen, truth, smooth, bones=True, cutoff_hz=6.0)
        split(seen, views, truth)
        for pair in itertools.combinations(range(4), 2):
            compared([seen[v] for v in pair], truth, f"{Path(model).stem}, cameras {pair}")
    here = triangulated(views)
    names, world = here.skeleton.keypoints, nearest(here, truth).world
    marked = [name for name in truth if name in COCO17.keypoints]
    references = {
        "Pose2Sim's markers": {name: truth[name] for name in marked},
        "OpenPose here": {name: world[:, names.index(name)] for name in marked},
    }
    for model in singles:
        single(model, cache, folder, placed, references)


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
    parser.add_argument("--single", action="append", default=[], help="a model that gives metres")
    parser.add_argument("--cache", type=Path, help="folder of poses that are kept")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--frames", type=int, default=10000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if asked.pose2sim:
            pose2sim(asked.pose2sim, asked.model, asked.single, asked.cache or Path(name))
    if asked.synthetic:
        synthetic()
    if asked.speed:
        speed(asked.frames)


if __name__ == "__main__":
    main()
