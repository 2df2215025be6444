"""Diagnose suspicious labels and low scores: likely mistakes in labels or predictions.

If average precision is nearly 0, each common mistake is undone experimentally. The one whose
correction makes people match is reported as the likely cause; scores are not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from vitruvian.errors import VitruvianError, amount
from vitruvian.evaluate.labels import (
    FILLED,
    GroundTruth,
    LabelledPicture,
    box_around_keypoints,
    count_outside,
)
from vitruvian.evaluate.scores import PredictedPeople, Scores, average_precision
from vitruvian.geometry.labelled import apply, refit

SHARE = 1.5  # normalized coordinates are below
LOW = 0.05  # average precision below which causes are searched
NOTHING = 0.01  # average precision below which low scores are noted without a known cause
TRIED = 100  # maximum number of images
LETTERBOX = 640  # pixels: input size of YOLO networks
Try = tuple[str, GroundTruth, Mapping[int | str, PredictedPeople]]


def suspicious_labels(truth: GroundTruth) -> list[str]:
    """Notes about suspicious labels.

    Raises:
        VitruvianError: coordinates are normalized where pixels are expected.
    """
    if truth.solid:
        return []
    points = np.concatenate([picture.xy[picture.labelled] for picture in truth.pictures])
    broad = max(max(picture.size) for picture in truth.pictures)
    if len(points) > 2 and (points >= 0).all() and 0 < points.max() <= SHARE and broad != 1:
        raise VitruvianError(
            f"the keypoints of '{truth.source}' are all between 0 and {points.max():.3g}: "
            "normalized coordinates, want pixels; multiply x by its width and y by its height"
        )
    notes = []
    far, total = count_outside(truth.pictures)
    if far > 0.02 * total:
        notes.append(
            f"{far} of {amount(total, 'labelled keypoint')} outside the image: truncated people, "
            "or labels for another image size"
        )
    boxes, near, areas = _boxes(truth)
    if boxes > 0.9:
        notes.append(
            "bounding boxes look like x0 y0 x1 y1, want x, y, width, height; person sizes are wrong"
        )
    elif near < 0.05:
        notes.append("most bounding boxes do not contain their keypoints; person sizes are wrong")
    elif not 0.02 < areas < 2:
        notes.append(f"the areas are {areas:.2g} of the box areas, typically; AP depends on them")
    return notes


def _boxes(truth: GroundTruth) -> tuple[float, float, float]:
    """Typical relation of boxes to the keypoints in them.

    Returns:
        Share of boxes that fit better as x0 y0 x1 y1; IoU with the bounding box of the keypoints;
        and area relative to the box.
    """
    rows = []
    for picture in truth.pictures:
        for i in np.flatnonzero(picture.counts):
            points, box = picture.xy[i][picture.labelled[i]], picture.box[i]
            if len(points) < 3:
                continue
            body = np.concatenate([points.min(axis=0), points.max(axis=0)])
            near = _overlap(body, np.concatenate([box[:2], box[:2] + box[2:]]))
            better = _overlap(body, box) > near + 0.1
            rows.append((better, near, picture.area[i] / max(box[2] * box[3], 1e-9)))
    if not rows:
        return 0.0, 1.0, FILLED
    better, near, ratio = np.array(rows, float).T
    return float(better.mean()), float(np.median(near)), float(np.median(ratio))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, x0 y0 x1 y1."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    whole = sum(float(np.prod(np.maximum(each[2:] - each[:2], 0))) for each in (a, b)) - both
    return both / whole if whole > 0 else 0.0


def explain_low_scores(truth: GroundTruth, each: Scores) -> list[str]:
    """Likely causes of an average precision of nearly 0."""
    ap = each.overall["AP"].value
    if not ap < LOW:
        return []
    has = np.isin(truth.skeleton.keypoints, each.keypoints)
    found = sum(len(some.score) for some in each.found.values())
    if not found:
        return [
            f"{each.name}: no person was detected in any of {amount(len(each.found), 'image')}, "
            "so AP is 0"
        ]
    wanted = [p for p in truth.pictures if p.number in each.found and p.counts.any()]
    some = wanted[:: max(1, len(wanted) // TRIED)][:TRIED]
    base = average_precision(replace(truth, pictures=some), each.found, has)
    best, why = max(0.1, 4 * base), ""
    for what, changed, other in _tries(truth, some, each.found):
        got = average_precision(changed, other, has)
        if got > best + 0.02:
            best, why = got, what
    if why:
        return [f"{each.name}: AP is {ap:.3f}, but would be about {best:.2f} if {why}"]
    if ap >= NOTHING and each.overall["found"].value:
        return []
    people = each.groups[0].people
    return [
        f"{each.name}: AP is {ap:.3f}: of {amount(people, 'person', 'people')}, "
        f"{each.overall['found'].value:.0%} are near one of the {amount(found, 'detection')}; no "
        "usual mistake explains it, see the worst images"
    ]


def _tries(
    truth: GroundTruth, pictures: list[LabelledPicture], found: Mapping[int | str, PredictedPeople]
) -> Iterator[Try]:
    """Each common mistake, undone: description, corrected ground truth and predictions."""
    some = replace(truth, pictures=pictures)

    def each(
        change: Callable[[LabelledPicture, np.ndarray], np.ndarray],
    ) -> dict[int | str, PredictedPeople]:
        numbers = {
            p.number: replace(found[p.number], xy=change(p, found[p.number].xy)) for p in pictures
        }
        return dict(numbers)

    # Simplest first: of equals, the first is reported.
    areas = [replace(picture, area=_areas(picture)) for picture in pictures]
    why = "person areas were half of the box around the keypoints"
    yield why, replace(truth, pictures=areas), found
    sides = _sides(truth.skeleton.keypoints)
    yield "left and right were swapped", some, each(lambda _, xy: xy[:, sides])
    yield "x and y were swapped in the results", some, each(lambda _, xy: xy[..., ::-1])
    sized = all(all(picture.size) for picture in pictures)
    if sized and max(float(np.nanmax(f.xy, initial=0)) for f in found.values()) <= SHARE:
        why = "the results were in pixels; they are in normalized coordinates, 0 to 1"
        yield why, some, each(lambda p, xy: xy * p.size)
    for step in (1, -1):
        numbers = [picture.number for picture in truth.pictures]
        moved = {
            n: found[o]
            for n, o in zip(
                numbers, numbers[step:] if step > 0 else [numbers[-1], *numbers[:-1]], strict=False
            )
            if o in found and n in found
        }
        shifted = [picture for picture in pictures if picture.number in moved]
        if shifted:
            way = "next" if step > 0 else "previous"
            why = f"what is found in the {way} image were this one's: image_id is off by one"
            yield why, replace(truth, pictures=shifted), moved
    if sized:
        for why, orientation in (
            ("were rotated by 180 degrees", 3),
            ("were rotated by 90 degrees", 6),
            ("were rotated by 90 degrees counterclockwise", 8),
            ("were mirrored", 2),
        ):
            about = refit((1, 1), (1, 1), orientation)
            assert about is not None
            what = f"the results {why}"
            what += ": were the labels made before applying the EXIF orientation?"
            # Labels in pixels refer to the image before rotation; normalized ones were converted to
            # pixels of the rotated image.
            for turned in (True, False) if orientation in (6, 8) else (False,):

                def turn(
                    p: LabelledPicture,
                    xy: np.ndarray,
                    by: np.ndarray = about,
                    across: bool = turned,
                ) -> np.ndarray:
                    return apply(by, xy / (p.size[::-1] if across else p.size)) * p.size

                yield what, some, each(turn)

        def boxed(p: LabelledPicture, xy: np.ndarray, bars: float = 0.5) -> np.ndarray:
            scale = max(p.size) / LETTERBOX
            return (xy - bars * (LETTERBOX - np.array(p.size) / scale)) * scale

        why = (
            "the results were in image coordinates; they are in those of a network input of "
            f"{LETTERBOX} x {LETTERBOX}"
        )
        yield why, some, each(boxed)
        yield why, some, each(lambda p, xy: boxed(p, xy, 0))
    larger = _larger(pictures, found)
    if not 0.8 < larger < 1.25:
        why = f"the results were {1 / larger:.2g} times as large; were they made on other images?"
        yield why, some, each(lambda _, xy: xy / larger)
    order = _order(pictures, found)
    if order is not None:
        names = truth.skeleton.keypoints
        first = next(i for i, j in enumerate(order) if i != j)
        why = (
            f"keypoints were in another order: {names[first]} is predicted where "
            f"{names[order[first]]} should be"
        )
        yield why, some, each(lambda _, xy: xy[:, order])


def _areas(picture: LabelledPicture) -> np.ndarray:
    """(G,) pixels squared, of the bounding boxes of labelled keypoints."""
    boxes = [
        box_around_keypoints(xy, labelled) if labelled.any() else np.zeros(4)
        for xy, labelled in zip(picture.xy, picture.labelled, strict=True)
    ]
    sides = np.array(boxes).reshape(len(picture), 4)[:, 2:]
    return FILLED * np.maximum(sides.prod(axis=1), 1)


def _sides(names: Sequence[str]) -> list[int]:
    """Index of each keypoint's mirror image; its own if there is none."""
    swap = {"left": "right", "right": "left"}
    others = ["_".join(swap.get(word, word) for word in name.split("_")) for name in names]
    return [names.index(o) if o in names else i for i, o in enumerate(others)]


def _extents(xy: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(N,) pixels, diagonal of the bounding box of the valid points; 0 with fewer than two."""
    low = np.min(xy, axis=1, initial=np.inf, where=there[..., None])
    high = np.max(xy, axis=1, initial=-np.inf, where=there[..., None])
    enough = there.sum(axis=1) > 1
    return np.where(enough, np.linalg.norm(np.where(enough[:, None], high - low, 0), axis=-1), 0)


def _larger(pictures: list[LabelledPicture], found: Mapping[int | str, PredictedPeople]) -> float:
    """Size of predicted people relative to labelled ones, the median."""
    ratios = []
    for picture in pictures:
        some = found[picture.number]
        best = np.argsort(-some.score, kind="stable")[: int(picture.counts.sum())]
        seen = _extents(some.xy[best], np.asarray(np.isfinite(some.xy[best]).all(axis=-1)))
        true = _extents(picture.xy[picture.counts], np.asarray(picture.labelled[picture.counts]))
        if seen.any() and true.any():
            ratios.append(np.median(seen[seen > 0]) / np.median(true[true > 0]))
    return float(np.median(ratios)) if ratios else 1.0


def _order(
    pictures: list[LabelledPicture], found: Mapping[int | str, PredictedPeople]
) -> list[int] | None:
    """Index of the predicted keypoint nearest to each one, if not its own."""
    sums, counts = 0.0, 0.0
    for picture in pictures:
        some = found[picture.number]
        for i in np.flatnonzero(picture.counts):
            true, labelled = picture.xy[i], picture.labelled[i]
            middle = true[labelled].mean(axis=0)
            off = (
                np.linalg.norm(np.nanmean(some.xy, axis=1) - middle, axis=-1)
                if len(some.xy)
                else np.zeros(0)
            )
            if not np.isfinite(off).any():
                continue
            one = some.xy[np.nanargmin(off)]
            apart = np.linalg.norm(true[:, None] - one[None], axis=-1)
            size = max(float(np.ptp(true[labelled], axis=0).max()), 1.0)
            known = labelled[:, None] & np.isfinite(apart)
            sums = sums + np.where(known, np.minimum(apart / size, 1), 0)
            counts = counts + known
    if not np.any(counts):
        return None
    mean = np.where(np.asarray(counts) > 0, sums / np.maximum(counts, 1), np.inf)
    order = [
        int(j) if np.isfinite(row[j]) else i
        for i, (row, j) in enumerate(zip(mean, mean.argmin(axis=1), strict=True))
    ]
    return order if order != list(range(len(order))) else None
