"""Transform labels to the images on disk, which may have been resized or rotated (EXIF)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.frame import exif_orientation, picture_size
from vitruvian.geometry.labelled import apply, apply_to_boxes, refit

Size = tuple[int, int]
OVER = 2.0  # pixels: labels farther outside are not of an image of this size


def fit_labels_to_pictures(truth: GroundTruth) -> GroundTruth:
    """The ground truth in pixels of the images on disk, with notes about changes.

    If the size in the file differs from the image's, its labels are scaled or rotated; unless they
    lie outside the size in the file and inside the image: then they match the image, and the size
    in the file is wrong. Images where neither fits are left out and reported.

    Raises:
        VitruvianError: no image is left.
    """
    kept: dict[int | str, LabelledPicture] = {}
    unlike: dict[str, list[tuple[LabelledPicture, Size, np.ndarray | None]]] = defaultdict(list)
    for picture in truth.pictures:
        try:
            size = picture_size(picture.path)
        except VitruvianError:
            size = picture.size  # reading it will report this
        if picture.size in (size, (0, 0)):
            kept[picture.number] = replace(picture, size=size)
            continue
        kind, by = _kind(picture, size)
        unlike[kind].append((picture, size, by))
    notes, faults = list(truth.notes), list(truth.faults)
    for kind, some in unlike.items():
        is_of = _of_the_picture([(picture, size) for picture, size, _ in some])
        first, size, by = some[0]
        what = (
            f"the size of {amount(len(some), 'image')} differs from the labels (first: "
            f"'{shown(first.path.name, 40)}', {_by(size)}, labelled {_by(first.size)})"
        )
        if is_of and not truth.solid:
            notes.append(f"{what}: the labels fit the images and are used unchanged")
            kept |= {p.number: replace(p, size=size) for p, size, _ in some}
        elif by is not None and not truth.solid:
            notes.append(f"{what}: the labels are {kind}")
            kept |= {p.number: _moved(p, size, by) for p, size, by in some if by is not None}
        else:
            faults += [
                VitruvianError(
                    f"'{shown(p.path, 100)}' is {_by(size)}, labelled as {_by(p.size)}: its crop "
                    "or rotation is unknown; use the labelled images"
                )
                for p, size, _ in some
            ]
    if not kept:
        raise faults[-1]
    pictures = [kept[p.number] for p in truth.pictures if p.number in kept]
    return replace(truth, pictures=pictures, notes=notes, faults=faults)


def _by(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _kind(picture: LabelledPicture, size: Size) -> tuple[str, np.ndarray | None]:
    """The change of an image since it was labelled, and the transform from then to now."""
    if (by := refit(picture.size, size)) is not None:
        return "scaled", by
    orientation = exif_orientation(picture.path)
    if orientation > 4 and (by := refit(picture.size, size, orientation)) is not None:
        return "rotated by EXIF orientation", by
    return "of something else", None


def _of_the_picture(some: Sequence[tuple[LabelledPicture, Size]]) -> bool:
    """Whether labels lie outside the size in the file, and inside the image."""

    def over(picture: LabelledPicture, size: Size) -> bool:
        points = picture.xy[picture.labelled]
        return bool((points > np.add(size, OVER)).any())

    said = any(over(picture, picture.size) for picture, _ in some)
    return said and not any(over(picture, size) for picture, size in some)


def _moved(picture: LabelledPicture, size: Size, by: np.ndarray) -> LabelledPicture:
    corners = np.concatenate([picture.box[:, :2], picture.box[:, :2] + picture.box[:, 2:]], axis=1)
    box = apply_to_boxes(by, corners)
    box[:, 2:] -= box[:, :2]
    grown = abs(float(np.linalg.det(by[:, :2])))
    return replace(
        picture,
        xy=apply(by, picture.xy),
        box=box,
        area=picture.area * grown,
        head=picture.head * np.sqrt(grown),
        size=size,
        refitted=by,
    )
