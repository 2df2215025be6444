"""The worst images on one sheet: ground truth on the left, predictions on the right."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.evaluate.scores import PredictedPeople, Scores
from vitruvian.frame import Frame
from vitruvian.geometry.labelled import apply, apply_to_boxes, refit
from vitruvian.picture_files.encode import encode_picture
from vitruvian.rendering.draw import draw

WORST = 8  # images on a sheet
COLUMNS = 2  # images side by side
SIZE = (330, 250)  # pixels, maximum size of an image
STRIP = 22  # pixels, height of the caption


def sheet(truth: GroundTruth, model: Scores) -> np.ndarray | None:
    """(H, W, 3) uint8: the worst images, ground truth on the left, predictions on the right.

    None if no image file is available.
    """
    by_number = {picture.number: picture for picture in truth.pictures}
    rows = []
    for row in worst(model):
        picture = by_number[row["number"]]
        there = _frame(picture)
        if there is None:
            continue
        frame, by = there
        true = people_of(picture, truth.skeleton)
        found = likeliest(model.found[picture.number], truth.skeleton, len(true))
        words = f"{truth.names[picture.number][-24:]}  OKS {row['OKS']:.2f}"
        if row.get("MPJPE", math.nan) == row.get("MPJPE", math.nan):
            words += f"  MPJPE {1000 * row['MPJPE']:.0f} mm"
        true, found = _moved(true, by), _moved(found, by)
        panels = [_panel(frame, true, f"{words}: truth"), _panel(frame, found, f"{model.name}")]
        rows.append(np.concatenate(panels, axis=1))
    if not rows:
        return None
    empty = [np.full_like(rows[0], 255)] * (-len(rows) % COLUMNS)
    both = [*rows, *empty]
    lines = [np.concatenate(both[i : i + COLUMNS], axis=1) for i in range(0, len(both), COLUMNS)]
    return np.concatenate(lines)


def jpeg(rgb: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 as JPEG."""
    return encode_picture(rgb, ".jpg")


def _frame(picture: LabelledPicture) -> tuple[Frame, np.ndarray | None] | None:
    """The image, and the map from the annotated to the actual image, if sizes differ.

    None if the file is missing, damaged, or a different image.
    """
    if not os.path.isfile(picture.path):  # noqa: PTH113  # no error for odd names
        return None
    try:
        frame = Frame.read(picture.path)
    except VitruvianError:
        return None
    if picture.size in (frame.size, (0, 0)):
        return frame, None
    by = refit(picture.size, frame.size)
    return None if by is None else (frame, by)


def _moved(poses: Poses, by: np.ndarray | None) -> Poses:
    if by is None:
        return poses
    xy, box = apply(by, poses.xy), apply_to_boxes(by, poses.box)
    return replace(poses, xy=xy.astype(np.float32), box=box.astype(np.float32))


def worst(model: Scores) -> list[dict[str, Any]]:
    """The rows of the worst images: by MPJPE if available, else by OKS."""
    rows: list[Any] = [row for row in model.pictures if row["people"]]
    if any("MPJPE" in row for row in rows):
        far = {id(row): row["MPJPE"] if row["MPJPE"] == row["MPJPE"] else math.inf for row in rows}
        return sorted(rows, key=lambda row: -far[id(row)])[:WORST]
    return sorted(rows, key=lambda row: row["OKS"])[:WORST]


def people_of(picture: LabelledPicture, table: Skeleton) -> Poses:
    """Ground truth of an image: people with keypoints."""
    who = picture.labelled.any(axis=1) & ~picture.crowd
    labelled = picture.labelled[who]
    xy = np.where(labelled[..., None], picture.xy[who], np.nan)
    return _poses(table, xy, picture.box[who], np.ones(who.sum()))


def likeliest(found: PredictedPeople, table: Skeleton, most: int) -> Poses:
    """The best-scored predictions, as many as true people; low scores would hide the others."""
    best = np.argsort(-found.score, kind="stable")[:most]
    xy = found.xy[best]
    low = np.min(xy, axis=1, initial=np.inf, where=~np.isnan(xy))
    high = np.max(xy, axis=1, initial=-np.inf, where=~np.isnan(xy))
    return _poses(table, xy, np.concatenate([low, high - low], axis=1), found.score[best])


def _poses(table: Skeleton, xy: np.ndarray, box: np.ndarray, score: np.ndarray) -> Poses:
    there = np.asarray(np.isfinite(xy).all(axis=-1), np.float32)
    corners = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)
    nobody = np.full(len(xy), -1, np.int64)
    return Poses(table, xy, there, corners, score, nobody)


def _panel(frame: Frame, poses: Poses, words: str) -> np.ndarray:
    """The image with people drawn, scaled down, with a caption above."""
    drawn = draw(frame, poses)
    scale = min(SIZE[0] / drawn.shape[1], SIZE[1] / drawn.shape[0])
    size = (max(1, round(drawn.shape[1] * scale)), max(1, round(drawn.shape[0] * scale)))
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
    panel = np.full((SIZE[1] + STRIP, SIZE[0] + 6, 3), 255, np.uint8)
    panel[STRIP : STRIP + size[1], : size[0]] = small
    font, at = cv2.FONT_HERSHEY_SIMPLEX, (2, STRIP - 7)
    cv2.putText(panel, words, at, font, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
    return panel
