"""How far away people come out: against four calibrated cameras, and how steadily.

    python benchmarks/in_front.py ../shared/data [--model blazepose-full] [--device CPU]

Pose2Sim's demo, where somebody balances about 3.5 m from four cameras whose places are known and
was triangulated: how far the distance of the hips is off on average, how it spreads around that,
and how much it changes from frame to frame, in truth, as the network alone has it, and smoothed.
Then the same changes, without a truth, for everyone who is seen in 20 frames or more of two videos,
and how late the smoothed distance is. All of it in millimetres and milliseconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.geometry.camera import Camera

VIDEOS = ("sports2d_demo.mp4", "intel_one_by_one_person.mp4")
Walk = list[tuple[float, float, float]]  # seconds, distance as smoothed and as not


def distances(video: Path, model: str, **options) -> dict[int, Walk]:
    """Of everyone in a video, how far away the hips are."""
    people: dict[int, Walk] = {}
    for frame, poses in vit.run(video, model, absolute=True, **options):
        if poses.raw is None or poses.xyz is None or poses.raw.xyz is None:
            continue
        hips = [poses.skeleton[name] for name in ("left_hip", "right_hip")]
        both = poses.xyz, poses.raw.xyz
        far = [np.linalg.norm(xyz[:, hips].mean(axis=1), axis=1) for xyz in both]
        for who, smooth, raw in zip(poses.person.tolist(), *far, strict=True):
            people.setdefault(who, []).append((frame.seconds, smooth, raw))
    return people


def step(values: np.ndarray) -> float:
    """Millimetres, the median change from a frame to the next."""
    return 1000 * float(np.median(np.abs(np.diff(values))))


def late(seconds: np.ndarray, smooth: np.ndarray, raw: np.ndarray) -> float:
    """Milliseconds by which the one has to be shifted to be most like the other."""
    lags = np.arange(-0.1, 0.5, 0.01)
    even = np.convolve(raw, np.ones(5) / 5, "same")
    inside = slice(10, -5)
    apart = [
        ((np.interp(seconds - lag, seconds, even) - smooth)[inside] ** 2).mean() for lag in lags
    ]
    return 1000 * float(lags[np.argmin(apart)])


def truth(folder: Path, camera: Camera) -> np.ndarray:
    """(100,) metres from a camera to the hips that Pose2Sim triangulated; its y is up, ours z."""
    trial = folder / "single_balancing" / "trc" / "S00_P00_T01_BalancingTrial_0-100.trc"
    lines = trial.read_text().splitlines()
    names = [name for name in lines[3].split("\t")[2:] if name]
    rows = [[float(x) for x in line.split("\t")[2:65]] for line in lines[5:] if line.strip()]
    body = np.array(rows).reshape(len(rows), len(names), 3)[..., [2, 0, 1]]
    hips = body[:, [names.index("LHip"), names.index("RHip")]].mean(axis=1)
    return np.linalg.norm(camera.from_world(hips), axis=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="blazepose-full")
    parser.add_argument("--device", default="CPU")
    given = parser.parse_args()
    folder = given.data / "pose2sim"
    print("camera: off, spread raw -> smoothed, change true, raw -> smoothed, mm")
    for number in (1, 2, 3, 4):
        camera = Camera.read(f"{folder}/calibration/Calib_qualisys.toml:cam_0{number}")
        video = folder / "single_balancing" / "videos" / f"cam0{number}.mp4"
        # Without confirmation, which leaves him out of cam_02: his bones change too much there.
        people = distances(video, given.model, camera=camera, device=given.device, confirm=False)
        _, smooth, raw = np.array(max(people.values(), key=len)).T
        there = truth(folder, camera)
        off = smooth - there, raw - there
        print(
            f"cam_0{number}: {1000 * off[1].mean():.0f}, {1000 * off[1].std():.0f} -> "
            f"{1000 * off[0].std():.0f}, {step(there):.1f}, {step(raw):.1f} -> {step(smooth):.1f}"
        )
    print("video: frames, distance in m, change raw -> smoothed in mm, late by ms")
    for name in VIDEOS:
        people = distances(given.data / "videos" / name, given.model, num_poses=2)
        changes = [[], []]
        for who, rows in people.items():
            if len(rows) < 20:
                continue
            seconds, smooth, raw = np.array(rows).T
            for all_of, values in zip(changes, (raw, smooth), strict=True):
                all_of.extend(np.abs(np.diff(values)))
            print(
                f"{name}, person {who}: {len(rows)}, {np.median(raw):.1f}, {step(raw):.1f} -> "
                f"{step(smooth):.1f}, {late(seconds, smooth, raw):.0f}"
            )
        before, after = (1000 * float(np.median(values)) for values in changes)
        print(f"{name}, everyone: {before:.1f} -> {after:.1f}")


if __name__ == "__main__":
    main()
