"""The camera of an image: from a calibration file, the user's options, or EXIF data.

Calibration files themselves are read by `geometry/calibration_files.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.errors import VitruvianError, note, shown, unknown
from vitruvian.geometry.calibration_files import Cameras, SizeUnsaid
from vitruvian.geometry.camera import FILM_DIAGONAL_MM, SHAPES_DIFFER, Camera
from vitruvian.picture_files import opened

if TYPE_CHECKING:
    from PIL.Image import Image

PHOTO_FOCALS = (0.05, 100.0)  # widths of the image: 169 to 0.6 degrees; others are mistakes


def split(words: str) -> tuple[str, str | None]:
    """A calibration file and, after a colon, which camera of it; None if it is not said."""
    path, sign, name = words.rpartition(":")
    if not sign or Path(words).exists() or not Path(path).exists():
        return words, None
    return path, name


def choose(cameras: Cameras, name: str | None, source: str) -> Camera:
    """One of the cameras of a file; its only one if no name is given."""
    if name is None and len(cameras) == 1:
        return next(iter(cameras.values()))
    if name is None:
        known = ", ".join(cameras)
        first = f"{source}:{next(iter(cameras))}"
        raise VitruvianError(
            f"'{source}' has {len(cameras)} cameras; choose one, such as '{first}': {known}"
        )
    try:
        return cameras[name]
    except KeyError:
        raise unknown(f"camera in '{source}'", name, cameras) from None


def given(
    camera: Camera | str | Path | None = None,
    *,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
) -> Callable[[tuple[int, int]], Camera] | None:
    """A function from image size to camera, from the user's options; None without any.

    Args:
        camera: for images of one aspect ratio; or its calibration file, see `Camera.read`.
        fov_deg: degrees, across the longer side.
        focal: focal length, pixels.
        focal_mm: the same on 35 mm film.

    Raises:
        VitruvianError: more than one is given, a number is out of range, or the file is not a
            calibration. The function raises it too, for images of another aspect ratio.
    """
    words = {"camera": camera, "fov_deg": fov_deg, "focal": focal, "focal_mm": focal_mm}
    words = {name: value for name, value in words.items() if value is not None}
    if len(words) > 1:
        raise VitruvianError(f"{' and '.join(words)} both define the camera; give one of them")
    for name in ("focal", "focal_mm"):
        if name in words and not 0 < words[name] < np.inf:
            raise VitruvianError(f"{name} is {words[name]:g}, want a number above 0")
    if camera is not None:
        try:
            known = camera if isinstance(camera, Camera) else Camera.read(camera)
        except SizeUnsaid:
            return _of_first_size(str(camera))
        return cache(known.scaled)
    if fov_deg is not None:
        Camera.view((1, 1), fov_deg)  # a wrong one is refused before anything is done
        return cache(lambda size: Camera.view(size, fov_deg))
    if focal is not None:
        return cache(lambda size: Camera.with_focal(size, focal))
    if focal_mm is not None:
        return cache(lambda size: Camera.with_film_focal(size, focal_mm))
    return None


def _of_first_size(words: str) -> Callable[[tuple[int, int]], Camera]:
    """A calibration that does not say the size of its images: that of the first, as is said."""
    known: list[Camera] = []

    def scaled(size: tuple[int, int]) -> Camera:
        if not known:
            known.append(Camera.read(words, size=size))
            note(
                f"'{shown(words, 100)}' has no image size; {size[0]} x {size[1]} of the first "
                "image is assumed; add image_width and image_height"
            )
        return known[0].scaled(size)

    return cache(scaled)


def exif(path: Path) -> Camera | None:
    """The camera of an image from its EXIF data; None if they are missing.

    For the upright image, as read by `Frame.read`. EXIF data have neither distortion nor
    principal point.

    Raises:
        VitruvianError: the file is missing or no image.
    """
    with opened.opened(path) as picture:
        focal = photo_focal(picture)
        size = opened.upright(picture)
    return None if focal is None else Camera.with_focal(size, focal, "exif")


def photo_focal(picture: Image) -> float | None:
    """The focal length of a photo in pixels, from its EXIF data; None if missing.

    From the 35 mm equivalent focal length, which includes digital zoom, or else from the focal
    length and the sensor's pixel density. Also None if the aspect ratio differs from the EXIF data:
    then the image was cropped in an unknown way.
    """
    # Pillow decodes a whole PNG to look for EXIF data at its end, where no software writes them.
    if picture.format == "PNG" and not {"exif", "Raw profile type exif"} & picture.info.keys():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tags that are damaged
            photo = picture.getexif().get_ifd(0x8769)
    except opened.DAMAGED:
        return None  # damaged; the image may be whole

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
        off, off_turned = (abs(np.log(wide * y / x)) for x, y in (whole, whole[::-1]))
        if min(off, off_turned) > SHAPES_DIFFER:
            return None
        if off_turned < off:
            whole = whole[::-1]
    film_mm = number(0xA405)  # FocalLengthIn35mmFilm
    focal = film_mm * float(np.hypot(width, height) / FILM_DIAGONAL_MM)
    if not film_mm:
        focal_mm, density = number(0x920A), number(0xA20E)  # FocalLength, FocalPlaneXResolution
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}.get(int(number(0xA210)) or 2, 25.4)
        # Pixels of the sensor become pixels of the image where it was made smaller since.
        focal = focal_mm * density / unit_mm * (width / (whole[0] or width))
    low, high = PHOTO_FOCALS
    return focal if low < focal / max(width, height) < high else None
