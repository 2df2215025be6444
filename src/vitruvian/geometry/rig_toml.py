"""Write a rig as a calibration file: Pose2Sim's form, with its unit and up axis stated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vitruvian.geometry.calibration_files import HALF_PIXEL
from vitruvian.geometry.camera import Camera, rotation_vector


def rig_toml(cameras: Mapping[str, Camera], about: Mapping[str, Any]) -> str:
    """The text of a `rig.toml`, which `calibration_files.read` and Pose2Sim read.

    Args:
        cameras: by name; those without extrinsics have a lens only.
        about: further values of the table `metadata`: text, numbers or lists of them.
    """
    lines = list[str]()
    for name, camera in cameras.items():
        matrix = camera.matrix.copy()
        matrix[:2, 2] -= HALF_PIXEL
        values: dict[str, Any] = {
            "name": name,
            "size": [float(side) for side in camera.size],
            "matrix": matrix.tolist(),
            "distortions": _short(camera.distortion),
        }
        if camera.extrinsics is not None:
            values["rotation"] = rotation_vector(camera.extrinsics[:3, :3]).tolist()
            values["translation"] = camera.extrinsics[:3, 3].tolist()
        values["fisheye"] = False
        lines += [
            f"[{_key(name)}]",
            *(f"{key} = {_value(each)}" for key, each in values.items()),
            "",
        ]
    placed = any(camera.extrinsics is not None for camera in cameras.values())
    told = {"units": "m", "up": "z", **about} if placed else dict(about)
    lines += ["[metadata]", *(f"{key} = {_value(each)}" for key, each in told.items())]
    return "\n".join(lines) + "\n"


def _short(distortion: np.ndarray) -> list[float]:
    """Four coefficients, or five, eight or twelve if the others are not 0."""
    last = int(np.flatnonzero(distortion)[-1]) + 1 if distortion.any() else 0
    return distortion[: next(n for n in (4, 5, 8, 12) if n >= last)].tolist()


def _key(name: str) -> str:
    plain = name.replace("_", "a").replace("-", "a")
    return name if plain.isascii() and plain.isalnum() else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        safe = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in safe) + '"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return repr(float(value)) if isinstance(value, float) else str(value)
