"""Transform labels to the pictures on disk, which may have been resized or rotated (EXIF)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.frame import exif_orientation, picture_size
from vitruvian.geometry.labelled import apply, apply_to_boxes, refit

Size = tuple[int, int]
OVER = 2.0  # pixels: labels so far outside were not made on a picture of this size


def fit_labels_to_pictures(truth: GroundTruth) -> GroundTruth:
    """The ground truth in pixels of the pictures on disk, with notes about changes.

    Where a file says another width and height than the picture has, its labels are scaled or
    turned; unless they lie outside of what it says, and inside of the picture: then they are of the
    picture, and what the file says is wrong. What fits neither is left out, as a fault.

    Raises:
        VitruvianError: no picture is left.
    """
    kept: dict[int | str, LabelledPicture] = {}
    unlike: dict[str, list[tuple[LabelledPicture, Size, np.ndarray | None]]] = defaultdict(list)
    for picture in truth.pictures:
        try:
            size = picture_size(picture.path)
        except VitruvianError:
            size = picture.size  # reading it will tell
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
            f"{len(some)} pictures differ in size from what the labels say (first: "
            f"'{shown(first.path.name, 40)}', {_by(size)}, said {_by(first.size)})"
        )
        if is_of and not truth.solid:
            notes.append(f"{what}: the labels fit the pictures, and are taken as they are")
            kept |= {p.number: replace(p, size=size) for p, size, _ in some}
        elif by is not None and not truth.solid:
            notes.append(f"{what}: the labels are {kind}")
            kept |= {p.number: _moved(p, size, by) for p, size, by in some if by is not None}
        else:
            faults += [
                VitruvianError(
                    f"'{shown(p.path, 100)}' is {_by(size)}, it was labelled as {_by(p.size)}: "
                    "its crop or rotation is unknown; give the pictures that were labelled"
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
    """What happened to a picture since it was labelled, and the map from then to now."""
    if (by := refit(picture.size, size)) is not None:
        return "scaled", by
    orientation = exif_orientation(picture.path)
    if orientation > 4 and (by := refit(picture.size, size, orientation)) is not None:
        return "turned as EXIF says", by
    return "of something else", None


def _of_the_picture(some: Sequence[tuple[LabelledPicture, Size]]) -> bool:
    """Whether labels lie outside of the size that is said, and inside of that of the picture."""

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
