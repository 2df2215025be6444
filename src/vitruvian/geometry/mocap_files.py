"""Calibrations of marker systems, Qualisys (.qca.txt) and Vicon (.xcp), both XML.

They are read into tables with the keys of `vitruvian.geometry.calibration_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.documents import unreadable, xml_tree
from vitruvian.errors import note, shown
from vitruvian.geometry.camera import COEFFICIENTS
from vitruvian.geometry.lens import bend

QUALISYS = 64.0  # units of Qualisys' image coordinates in a pixel
LENS_OFF = 0.1  # pixels: maximum error of OpenCV's lens in place of Vicon's


def read_qualisys(path: Path) -> dict[str, Any]:
    """The cameras of a Qualisys calibration (.qca.txt), as tables with this module's keys.

    Millimetres, and z up, as QTM has it by default: `up="y"` in the element `calibration` says
    otherwise. Image coordinates are 64ths of a pixel; its cameras look along -z, with y up.

    Raises:
        VitruvianError: it is no such file.
    """
    root, tables = xml_tree(path), dict[str, Any]()
    cameras = root.find("cameras")
    if root.tag != "calibration" or cameras is None:
        raise unreadable(path, "it is no Qualisys calibration; want <calibration> with <cameras>")
    for number, camera in enumerate(cameras):
        parts = (camera.find(name) for name in ("transform", "intrinsic", "fov_video"))
        transform, lens, view = ({} if part is None else part.attrib for part in parts)

        def number_of(values: Any, *names: str) -> list[float]:
            try:
                return [float(values[name]) for name in names]
            except (KeyError, ValueError):
                missing = shown(", ".join(names))
                raise unreadable(path, f"a camera has not all of {missing}") from None

        turned = np.array(number_of(transform, *(f"r{i}{j}" for i in "123" for j in "123")))
        turned = np.diag([1.0, -1.0, -1.0]) @ turned.reshape(3, 3)
        centre = np.array(number_of(transform, "x", "y", "z"))
        fx, fy, cx, cy = number_of(
            lens, "focalLengthU", "focalLengthV", "centerPointU", "centerPointV"
        )
        left, top, right, bottom = number_of(view, "left", "top", "right", "bottom")
        k1, k2, p1, p2 = number_of(
            lens, "radialDistortion1", "radialDistortion2", "tangentalDistortion1",
            "tangentalDistortion2",
        )  # fmt: skip
        (k3,) = number_of({"radialDistortion3": "0", **lens}, "radialDistortion3")
        cx, cy = cx / QUALISYS - left, cy / QUALISYS - top
        tables[camera.get("serial", str(number))] = {
            "matrix": [fx / QUALISYS, 0.0, cx, 0.0, fy / QUALISYS, cy, 0.0, 0.0, 1.0],
            "distortions": [k1, k2, p1, p2, k3],
            "size": [right - left + 1, bottom - top + 1],
            "rotation": turned.tolist(),
            "translation": (-turned @ centre).tolist(),
        }
    return {"units": "mm", "up": root.get("up", "z"), "cameras": tables}


def read_vicon(path: Path) -> dict[str, Any]:
    """The calibrated cameras of a Vicon calibration (.xcp), by their DEVICEID.

    Videos of Nexus have it in their names: `Walk.51433950.20250703161100.avi`. Millimetres and,
    unless `up="y"` is added to the element `Cameras`, z up, as Nexus has them.

    Raises:
        VitruvianError: it is no such file; a camera moves, has pixels that are not square, or a
            lens of another kind.
    """
    root = xml_tree(path)
    if root.tag != "Cameras":
        raise unreadable(path, "it is no Vicon calibration; want <Cameras>")
    nodes = [node for node in root if node.find("KeyFrames/KeyFrame") is not None]
    titles = [node.get("NAME") for node in nodes]
    tables = {}
    for node in nodes:
        title, name = node.get("NAME"), node.get("DEVICEID", "")
        tables[title if title and titles.count(title) == 1 else name] = _vicon(path, node)
    up = root.get("up", "z")
    note(
        f"'{shown(path, 100)}': millimetres and {shown(up)} up, as Vicon has them; the centre of "
        "the first pixel is taken to be (0, 0)"
    )
    return {"units": "mm", "up": up, "cameras": tables}


def _vicon(path: Path, node: Any) -> dict[str, Any]:
    """The table of a camera.

    Its quaternion (x y z w) turns the world to the camera, which looks along z with y down, and
    POSITION is its place. Source: "About calibration data (XCP) files" in Vicon's CaraPost
    Reference; what it leaves open is as three independent programs read it.
    """
    name, frames = node.get("DEVICEID", ""), node.findall("KeyFrames/KeyFrame")
    values = {**node.attrib, **frames[0].attrib}

    def numbers(key: str, count: int | None = None, words: Sequence[str] = ()) -> np.ndarray:
        try:
            found = np.array([float(word) for word in words or values.get(key, "").split()])
        except ValueError:
            found = np.array([np.nan])
        if count not in (None, len(found)) or not np.isfinite(found).all():
            want = "numbers" if count is None else f"{count} numbers"
            raise unreadable(
                path, f"{key} of camera {name} is '{values.get(key, '')}', want {want}"
            )
        return found

    if len(frames) > 1:
        raise unreadable(path, f"camera {name} moves: it has {len(frames)} key frames, want one")
    for key, want in {
        "PIXEL_ASPECT_RATIO": 1,
        "PIXEL_ASPECT_RATIO_CORRECTION": 1,
        "SKEW": 0,
    }.items():
        if key in values and numbers(key, 1) != want:
            raise unreadable(path, f"{key} of camera {name} is {values[key]}, want {want}")
    (focal,), centre = numbers("FOCAL_LENGTH", 1), numbers("PRINCIPAL_POINT", 2)
    size, quaternion = numbers("SENSOR_SIZE", 2), numbers("ORIENTATION", 4)
    if not (focal > 0 and (size > 0).all() and quaternion.any()):
        raise unreadable(path, f"camera {name} is not calibrated: {frames[0].attrib}")
    kind, *words = values.get("VICON_RADIAL2", "").split() or [""]
    if kind not in ("", "Vicon3Parameter"):
        raise unreadable(path, f"the lens of camera {name} is {kind}, want Vicon3Parameter")
    middle, radial = centre, numbers("VICON_RADIAL")
    if kind:
        middle, radial = np.split(numbers("VICON_RADIAL2", 5, words), [2])
    lens, off = _corrected(focal, centre, size, middle, radial)
    if not off <= LENS_OFF:
        raise unreadable(
            path, f"the lens of camera {name} is {off:.2g} pixels from OpenCV's models"
        )
    from scipy.spatial.transform import Rotation

    turned = Rotation.from_quat(quaternion).as_matrix()
    return {
        "name": name,
        "matrix": [focal, 0.0, centre[0], 0.0, focal, centre[1], 0.0, 0.0, 1.0],
        "distortions": lens.tolist(),
        "size": size.tolist(),
        "rotation": turned.tolist(),
        "translation": (-turned @ numbers("POSITION", 3)).tolist(),
    }


def _corrected(
    focal: float, centre: np.ndarray, size: np.ndarray, middle: np.ndarray, radial: np.ndarray
) -> tuple[np.ndarray, float]:
    """(12,) OpenCV's coefficients of Vicon's lens, and their maximum error, pixels.

    Vicon corrects a pixel at the distance r from `middle` by 1 + k1 r^2 + k2 r^4 + k3 r^6, in
    pixels; the inverse of OpenCV's. Infinite if that folds the image.
    """
    from scipy.optimize import least_squares

    if not radial.any():
        return np.zeros(COEFFICIENTS), 0.0
    grid = np.meshgrid(*(np.linspace(0, side, 25) for side in size))
    seen = np.stack(grid, axis=-1).reshape(-1, 2)
    powers = 2 * np.arange(1, len(radial) + 1)
    terms = np.linalg.norm(seen - middle, axis=-1, keepdims=True) ** powers * radial
    if (1 + (terms * (powers + 1)).sum(axis=-1)).min() <= 0:
        return np.zeros(COEFFICIENTS), np.inf
    straight = middle + (seen - middle) * (1 + terms.sum(axis=-1, keepdims=True))
    straight, seen = (straight - centre) / focal, (seen - centre) / focal
    fitted = least_squares(
        lambda lens: (bend(lens, straight) - seen).ravel(), np.zeros(COEFFICIENTS), method="lm"
    )
    return fitted.x, float(np.abs(fitted.fun).max() * focal)
