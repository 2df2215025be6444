"""Cameras from files: OpenCV's YAML and JSON, Pose2Sim's TOML, and what photographs say.

OpenCV counts the centre of the top left pixel as (0, 0); here it is (0.5, 0.5). So half a pixel is
added to the principal point of every calibration file, here and nowhere else. The lens's
coefficients are of the plane one metre away and stay as they are.
"""

from __future__ import annotations

import json
import re
import struct
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian import picture_files
from vitruvian.errors import VitruvianError, unknown
from vitruvian.geometry.camera import (
    COEFFICIENTS,
    FILM_DIAGONAL_MM,
    SHAPES_DIFFER,
    Camera,
    rotation_matrix,
)

if TYPE_CHECKING:
    from PIL.Image import Image

HALF_PIXEL = 0.5
PHOTO_FOCALS = (0.05, 100.0)  # widths of the picture: 169 to 0.6 degrees; others are mistakes
Z_UP = (0.0, 0.0, 1.0)  # of Pose2Sim's and Qualisys' worlds; nobody knows OpenCV's
# What a value is called in files: OpenCV's samples, its tutorial's variables, ROS, Pose2Sim.
_NAMES = {
    "matrix": ("camera_matrix", "cameraMatrix", "matrix", "K", "mtx", "intrinsics", "M1"),
    "distortion": (
        "distortion_coefficients",
        "distortions",
        "distortion",
        "distCoeffs",
        "dist_coeffs",
        "dist_coeff",
        "dist",
        "D",
        "D1",
    ),
    "size": ("image_size", "imageSize", "size", "resolution"),
    "width": ("image_width", "width"),
    "height": ("image_height", "height"),
    "rotation": ("rotation", "rvec", "R"),
    "translation": ("translation", "tvec", "T", "t"),
    "extrinsics": ("extrinsics", "world_to_camera"),
}


def read(path: Path, size: tuple[int, int] | None = None) -> dict[str, Camera]:
    """The cameras of a calibration file, by name; a file of one camera calls it "".

    Args:
        path: .yaml, .yml or .json as OpenCV's FileStorage writes them (or a plain JSON object),
            .toml as Pose2Sim writes it, a table a camera. Rotations are vectors or matrices,
            world -> camera, translations metres. Up is z in the world of a .toml; in others
            the camera itself is taken to be upright.
        size: width and height of the pictures, pixels, for files that do not say.

    Raises:
        VitruvianError: it is missing, no calibration, or of a fisheye lens.
    """
    readers = {".toml": tomllib.loads, ".json": json.loads, ".yaml": _yaml, ".yml": _yaml}
    if path.suffix.lower() not in readers:
        kinds = ", ".join(readers)
        raise VitruvianError(f"cannot read cameras from '{path}'; want one of {kinds}")
    try:
        values = readers[path.suffix.lower()](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
    except ValueError as error:
        why = str(error).splitlines()[0]
        raise VitruvianError(
            f"cannot read '{path}': {why}; want a calibration as OpenCV or Pose2Sim write it"
        ) from None
    tables = values if isinstance(values, dict) else {}
    if _find(tables, "matrix") is not None:
        tables = {"": tables}
    z_up = path.suffix.lower() == ".toml"
    cameras = {
        name: _camera(table, f"'{path}'" + (f", camera '{name}'" if name else ""), size, z_up)
        for name, table in tables.items()
        if isinstance(table, dict) and _find(table, "matrix") is not None
    }
    if not cameras:
        raise VitruvianError(
            f"cannot read '{path}': there is no camera in it; "
            f"want a 3 x 3 matrix called {' or '.join(_NAMES['matrix'][:3])}"
        )
    return cameras


def split(words: str) -> tuple[str, str | None]:
    """A calibration file and, after a colon, which camera of it; None if it is not said."""
    path, sign, name = words.rpartition(":")
    if not sign or Path(words).exists() or not Path(path).exists():
        return words, None
    return path, name


def choose(cameras: dict[str, Camera], name: str | None, source: str) -> Camera:
    """One of the cameras of a file; its only one if no name is given."""
    if name is None and len(cameras) == 1:
        return next(iter(cameras.values()))
    if name is None:
        known = ", ".join(cameras)
        first = f"{source}:{next(iter(cameras))}"
        raise VitruvianError(
            f"'{source}' has {len(cameras)} cameras; say which, such as '{first}': {known}"
        )
    if name not in cameras:
        raise unknown(f"camera in '{source}'", name, cameras)
    return cameras[name]


def given(
    camera: Camera | str | Path | None = None,
    *,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
) -> Callable[[tuple[int, int]], Camera] | None:
    """What says, of pictures of any size, which camera they are of; None if nobody said.

    Args:
        camera: of pictures of one shape; or its calibration file, see `Camera.read`.
        fov_deg: degrees, across the longer side.
        focal: focal length, pixels.
        focal_mm: the same on 35 mm film.

    Raises:
        VitruvianError: more than one of them, a number that can not be, or no calibration. What
            comes back raises it too, for pictures of another shape.
    """
    words = {"camera": camera, "fov_deg": fov_deg, "focal": focal, "focal_mm": focal_mm}
    words = {name: value for name, value in words.items() if value is not None}
    if len(words) > 1:
        raise VitruvianError(
            f"{' and '.join(words)} say twice what the camera is; give one of them"
        )
    for name in ("focal", "focal_mm"):
        if name in words and not 0 < words[name] < np.inf:
            raise VitruvianError(f"{name} is {words[name]:g}, want a number above 0")
    if camera is not None:
        known = camera if isinstance(camera, Camera) else Camera.read(camera)
        return cache(known.scaled)
    if fov_deg is not None:
        Camera.view((1, 1), fov_deg)  # a wrong one is refused before anything is done
        return cache(lambda size: Camera.view(size, fov_deg))
    if focal is not None:
        return cache(lambda size: Camera.with_focal(size, focal))
    if focal_mm is not None:
        return cache(lambda size: Camera.with_film_focal(size, focal_mm))
    return None


def exif(path: Path) -> Camera | None:
    """The camera a picture was taken with, as its EXIF data say; None if they do not.

    The picture is turned as its orientation says, as `Frame.read` turns it. Lens and principal
    point are not in EXIF data.

    Raises:
        VitruvianError: the file is missing or no picture.
    """
    with picture_files.opened(path) as picture:
        focal = photo_focal(picture)
        size = picture_files.upright(picture)
    return None if focal is None else Camera.with_focal(size, focal, "exif")


def photo_focal(picture: Image) -> float | None:
    """The focal length a photograph was taken with, pixels; None if its EXIF data do not say.

    The focal length on 35 mm film where it is given (it counts digital zoom in), otherwise the
    focal length and how many pixels the sensor has in a length. None as well if the picture has
    another shape than its EXIF data know of: then it has been cut, and nobody knows where.
    """
    # Pillow unpacks a whole PNG to look for EXIF data at its end, where nobody writes them.
    if picture.format == "PNG" and not {"exif", "Raw profile type exif"} & picture.info.keys():
        return None
    try:
        photo = picture.getexif().get_ifd(0x8769)
    except (OSError, ValueError, SyntaxError, LookupError, TypeError, struct.error):
        return None  # damaged; the picture may be whole

    def number(tag: int) -> float:
        """A tag's value; 0, which EXIF writes for unknown, where there is none."""
        try:
            value = float(photo.get(tag, 0))
        except (TypeError, ValueError, ZeroDivisionError):
            return 0.0
        return value if np.isfinite(value) and value > 0 else 0.0

    width, height = picture.size
    whole = number(0xA002), number(0xA003)  # PixelXDimension, PixelYDimension
    if all(whole):
        # A program that turned the pixels may have left the numbers as they were.
        wide = width / height
        off, off_turned = (abs(np.log(wide / (x / y))) for x, y in (whole, whole[::-1]))
        if min(off, off_turned) > SHAPES_DIFFER:
            return None
        if off_turned < off:
            whole = whole[::-1]
    film_mm = number(0xA405)  # FocalLengthIn35mmFilm
    focal = film_mm * float(np.hypot(width, height) / FILM_DIAGONAL_MM)
    if not film_mm:
        focal_mm, density = number(0x920A), number(0xA20E)  # FocalLength, FocalPlaneXResolution
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}.get(int(number(0xA210)) or 2, 25.4)
        # Pixels of the sensor become pixels of the picture where it was made smaller since.
        focal = focal_mm * density / unit_mm * (width / (whole[0] or width))
    low, high = PHOTO_FOCALS
    return focal if low < focal / max(width, height) < high else None


def _find(table: dict[str, Any], value: str) -> Any:
    return next((table[name] for name in _NAMES[value] if name in table), None)


def _camera(table: dict[str, Any], where: str, size: tuple[int, int] | None, z_up: bool) -> Camera:
    """A camera from the values of one, whatever they are called."""
    model = str(table.get("distortion_model", table.get("model", ""))).lower()
    if table.get("fisheye") in (True, 1) or model in ("fisheye", "equidistant"):
        raise VitruvianError(
            f"{where} is of a fisheye lens, which is not supported; "
            "undistort the pictures first (cv2.fisheye.undistortImage)"
        )
    matrix = _array(_find(table, "matrix"), where, "camera matrix", 9).reshape(3, 3)
    matrix = matrix + HALF_PIXEL * np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
    given = _find(table, "distortion")
    lens = np.zeros(COEFFICIENTS) if given is None else _array(given, where, "distortion")
    sides = _find(table, "size")
    if sides is None and _find(table, "width") is not None:
        sides = [_find(table, "width"), _find(table, "height")]
    if sides is None and size is None:
        raise VitruvianError(
            f"{where} does not say how large its pictures are; "
            "add image_width and image_height, in pixels"
        )
    if sides is not None:
        width, height = _array(sides, where, "image size", 2)
        size = int(width), int(height)
    assert size is not None
    try:
        camera = Camera(matrix, size, lens, _extrinsics(table, where), known_by="file")
        if z_up and camera.extrinsics is not None:
            return camera.placed(camera.extrinsics, Z_UP)
        return camera
    except VitruvianError as error:
        raise VitruvianError(f"cannot use {where}: {error}") from None


def _extrinsics(table: dict[str, Any], where: str) -> np.ndarray | None:
    """(4, 4) world -> camera, metres; None if the file does not say."""
    whole = _find(table, "extrinsics")
    if whole is not None:
        return _array(whole, where, "extrinsics", 16).reshape(4, 4)
    turned, shift = _find(table, "rotation"), _find(table, "translation")
    if turned is None or shift is None:
        return None
    values = _array(turned, where, "rotation")
    if len(values) not in (3, 9):
        raise VitruvianError(f"{where}: rotation has {len(values)} numbers, want 3 or 9")
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = rotation_matrix(values) if len(values) == 3 else values.reshape(3, 3)
    extrinsics[:3, 3] = _array(shift, where, "translation", 3)
    return extrinsics


def _array(value: Any, where: str, what: str, length: int | None = None) -> np.ndarray:
    """(length,) float64 of nested lists, or of OpenCV's matrix with its `data`."""
    if isinstance(value, dict) and "data" in value:
        value = value["data"]
    try:
        array = np.asarray(value, np.float64).ravel()
    except (TypeError, ValueError):
        array = np.zeros(0)
    if length is not None and len(array) != length:
        shown = str(value)
        shown = shown if len(shown) < 60 else shown[:57] + "..."
        raise VitruvianError(f"cannot use {where}: {what} is {shown}, want {length} numbers")
    return array


def _yaml(text: str) -> dict[str, Any]:
    """The part of YAML that OpenCV and ROS write: numbers, words, lists of numbers, two levels.

    Raises:
        ValueError: it is something else.
    """
    found: dict[str, Any] = {}
    inner: dict[str, Any] | None = None
    # A list may go on over several lines; afterwards every line is `name: value`.
    joined = re.sub(r"\[[^\]]*\]", lambda part: " ".join(part.group().split()), text)
    for number, line in enumerate(joined.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", "%", "---", "...")):
            continue
        match = re.fullmatch(r"(\s*)[\"']?([\w./-]+)[\"']?\s*:(?:\s+(.*?))?\s*", line)
        if match is None:
            raise ValueError(f"line {number} is not `name: value`")
        indent, name, value = match.groups()
        value = re.sub(r"^!!?\S+\s*|(^|\s+)#.*$", "", value or "")
        table = inner if indent and inner is not None else found
        if not value:
            inner = found[name] = {}
            continue
        table[name] = _scalar(value)
        if not indent:
            inner = None
    return found


def _scalar(value: str) -> Any:
    """A number, true or false, a list of numbers, or the word as it is."""
    try:
        return json.loads(re.sub(r"(?<=\d)\.(?=[,\s\]eE]|$)", ".0", value))
    except ValueError:
        return value.strip("\"'")
