"""Evaluate records and predicted poses against the ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.evaluate.scores import PredictedPeople
from vitruvian.formats import records
from vitruvian.geometry.labelled import apply, refit


def people_of_record(
    file: Path, truth: GroundTruth, notes: list[str]
) -> tuple[dict[int | str, PredictedPeople], list[bool]]:
    """Read the predicted people of a record, and which ground truth keypoints it has.

    Args:
        file: .jsonl, see `vitruvian.formats.records`; images are matched by file name.
        truth: the dataset that it refers to.
        notes: receives a line about what is left out.

    Raises:
        VitruvianError: it cannot be read, refers to other images or keypoints, does not say which
            of several images it is about, or metres are requested and its own are not absolute.
    """
    pairs = [(frame, poses) for frame, poses in records.read(file)]
    sources = list(dict.fromkeys(frame.source for frame, _ in pairs))
    places = dict(zip(sources, truth.index.assign(sources), strict=True))
    found: dict[int | str, PredictedPeople] = {}
    has, strange, again, unlike = [False] * len(truth.skeleton), 0, 0, 0
    for frame, poses in pairs:
        place = places[frame.source]
        if place is None:
            strange += 1
            continue
        if truth.solid and poses.origin != "camera":
            raise VitruvianError(
                f"'{file}' has no camera-space coordinates; create it with --absolute, or with a "
                "model that gives them"
            )
        has = shared_keypoints(f"'{file}'", poses.skeleton, truth)
        picture = truth.pictures[place]
        again += picture.number in found
        by, alike = _between(frame.size, picture)
        unlike += not alike
        some = poses_on_truth(poses, truth)
        found[picture.number] = some if by is None else replace(some, xy=apply(by, some.xy))
    if not found:
        raise VitruvianError(f"'{file}' refers to other images than those of '{truth.source}'")
    for count, what in (
        (strange, "other images are left out"),
        (again, "images occur twice; the last result of each is used"),
        (unlike, "images had another aspect ratio in that run"),
    ):
        if count:
            notes.append(f"'{shown(file, 100)}': {count} {what}")
    return found, has


def _between(size: tuple[int, int], picture: LabelledPicture) -> tuple[np.ndarray | None, bool]:
    """Transform from an image in the record to the labelled one, and whether there is one.

    The transform is None if both are the same, or unknown.
    """
    if not all(size) or not all(picture.size) or size == picture.size:
        return None, True
    by = refit(size, picture.size)
    return by, by is not None


def shared_keypoints(name: str, table: Skeleton, truth: GroundTruth) -> list[bool]:
    """Which ground truth keypoints a skeleton has, by name."""
    has = [keypoint in table.keypoints for keypoint in truth.skeleton.keypoints]
    if not any(has):
        raise VitruvianError(
            f"{name} ({table.name}) and '{truth.source}' ({truth.skeleton.name}) have no keypoint "
            "in common"
        )
    return has


def poses_on_truth(poses: Poses, truth: GroundTruth) -> PredictedPeople:
    """Map poses to the ground truth's keypoints, by name; NaN for missing ones."""
    names = poses.skeleton.keypoints
    pairs = [(i, names.index(n)) for i, n in enumerate(truth.skeleton.keypoints) if n in names]
    to, of = (list(part) for part in zip(*pairs, strict=True))
    shape = (len(poses), len(truth.skeleton))
    xy = np.full((*shape, 2), np.nan)
    xy[:, to] = poses.xy[:, of]
    xyz = None
    if poses.xyz is not None:
        xyz = np.full((*shape, 3), np.nan)
        xyz[:, to] = poses.xyz[:, of]
    return PredictedPeople(xy, poses.box_score.astype(np.float64), xyz)
