"""Calibration from people: against Pose2Sim's calibration, and against made-up rigs.

    python benchmarks/calibrate.py ../shared/data/pose2sim [--model vitruvian-2d] [--cache DIR]
    python benchmarks/calibrate.py --synthetic

The first places the four cameras of Pose2Sim's demo (one person who balances, 100 frames) by its
keypoints alone, with the focal lengths of the calibration and with guessed ones; from its OpenPose
files, and from the videos with a model. The scale is the distance of the first two cameras.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.geometry import calibration_files
from vitruvian.geometry.camera import Camera
from vitruvian.multiview.people_rig import Known, Placing, place_cameras
from vitruvian.multiview.recording import CameraView

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
import rigs  # pyright: ignore[reportMissingImports]
import triangulate  # pyright: ignore[reportMissingImports]


def poses(cameras: Sequence[Camera]) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3, 3) rotations and (V, 3) centres, metres."""
    matrices = np.stack([c.extrinsics for c in cameras if c.extrinsics is not None])
    turned = matrices[:, :3, :3]
    return turned, -np.einsum("vij,vi->vj", turned, matrices[:, :3, 3])


def compared(what: str, placing: Placing, truth: Sequence[Camera]) -> None:
    """Print how far the cameras are from the true ones, after the best rigid motion."""
    (turned, centres), (true_turned, true_centres) = poses(placing.cameras), poses(truth)
    # The motion that fits all: rotations by their mean, then the centres.
    u, _, v = np.linalg.svd(np.einsum("vji,vjk->ik", true_turned, turned))
    motion = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    moved = centres @ motion.T
    moved += (true_centres - moved).mean(axis=0)
    off = 1000 * np.linalg.norm(moved - true_centres, axis=1)
    rest = np.einsum("vij,vkj->vik", turned @ motion.T, true_turned)
    cosine = (np.trace(rest, axis1=1, axis2=2) - 1) / 2
    angle = np.degrees(np.arccos(cosine.clip(-1, 1)))
    far = np.linalg.norm(centres[:, None] - centres, axis=-1)
    true_far = np.linalg.norm(true_centres[:, None] - true_centres, axis=-1)
    pairs = np.triu_indices(len(far), 1)
    ratio = 100 * (far / np.maximum(true_far, 1e-9) - 1)[pairs]
    tilt = np.degrees(np.arccos(np.clip((motion @ [0, 0, 1])[2], -1, 1)))
    focal = [
        100 * (c.matrix[0, 0] / t.matrix[0, 0] - 1)
        for c, t in zip(placing.cameras, truth, strict=True)
    ]
    said = (1000 * placing.place).round().astype(int).tolist()
    print(
        f"{what}: rotations {np.round(angle, 2).tolist()} degrees off, positions "
        f"{off.round().astype(int).tolist()} mm off (said {said}), distances of "
        f"cameras {ratio.min():+.1f} to {ratio.max():+.1f} %, up {tilt:.1f} degrees off, "
        f"focal lengths {np.round(focal, 1).tolist()} % off; median errors "
        f"{[round(float(np.median(e)), 1) for e in placing.errors]} px"
    )


def pose2sim(folder: Path, models: Sequence[str], cache: Path) -> None:
    """Pose2Sim's demo."""
    truth = list(calibration_files.read(folder / "calibration" / "Calib_qualisys.toml").values())
    _, centres = poses(truth)
    known = Known(float(np.linalg.norm(centres[0] - centres[1])), ("cam01", "cam02"))
    files = triangulate.openpose(folder / "single_balancing" / "openpose_body25b")
    sources = {"OpenPose files": files}
    for model in models:
        sources[Path(model).stem] = []
        for v in range(4):
            kept = cache / f"{Path(model).stem}-cam0{v + 1}.jsonl"
            if not kept.exists():
                video = folder / "single_balancing" / "videos" / f"cam0{v + 1}.mp4"
                vit.predict(video, model=model, out=kept, smooth="no")
            sources[Path(model).stem].append(list(vit.read(kept)))
    for name, pairs in sources.items():
        sized = [c.scaled(each[0][0].size) for c, each in zip(truth, pairs, strict=True)]
        views = [CameraView(f"cam0{v + 1}", sized[v], pairs[v]) for v in range(4)]
        compared(f"{name}, known focal lengths", place_cameras(views, known), sized)
        guessed = [replace(v, camera=Camera.view(v.camera.size, 60.0)) for v in views]
        compared(f"{name}, estimated", place_cameras(guessed, known, zooms=True), sized)


def synthetic() -> None:
    """Made-up rigs and a walker."""
    seconds = np.arange(300) / 30
    body = rigs.walker(seconds)[None]
    width = Known(0.38, ("left_shoulder", "right_shoulder"))
    for count in (2, 3, 4, 8):
        cameras = rigs.cameras(count)
        for noise in (1.0, 2.0, 4.0):
            rng = np.random.default_rng(count)
            views = [
                rigs.seen(camera, f"cam{i}", body, seconds, rng, noise=noise)
                for i, camera in enumerate(cameras)
            ]
            compared(f"{count} cameras, noise {noise:g} px", place_cameras(views, width), cameras)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pose2sim", type=Path, nargs="?")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--cache", type=Path, help="folder of poses that are kept")
    parser.add_argument("--synthetic", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if asked.pose2sim:
            pose2sim(asked.pose2sim, asked.model, asked.cache or Path(name))
    if asked.synthetic:
        synthetic()


if __name__ == "__main__":
    main()
