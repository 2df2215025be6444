"""From the poses of several views to people in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import box_around
from vitruvian.geometry.camera import Camera
from vitruvian.multiview.people import ViewTrack, gathered, match_views, steady
from vitruvian.multiview.rig_fit import Beside, beside_lines
from vitruvian.multiview.sides import exchanged
from vitruvian.multiview.sync import Offset, Seen, find_offset
from vitruvian.multiview.triangulation import Points, Rig, triangulate_points, undistorted

SHARE = 0.02  # of the longer side of the image: the largest reprojection error that agrees
NEAR = 0.5  # of it: the distance in which people, sides and offsets are weighed
LONGEST_GAP = 1.6  # frames of a view between which keypoints are interpolated
# A bone is too long by more than: of its usual length, standard deviations, metres.
STRETCH, CHANCE, SLIP = 0.5, 4.0, 0.1
STRANGER = 0.3  # a view shows another person if it agrees with less of the keypoints of a frame


@dataclass(frozen=True, eq=False)
class CameraView:
    """The poses of one camera, tracked, in order of time."""

    name: str
    camera: Camera
    pairs: Sequence[tuple[Frame, Poses]]


@dataclass(frozen=True)
class Options:
    """How views become people in metres."""

    max_error: float | None = None  # pixels; None: 2 % of the longer side of the image
    min_score: float = 0.1  # keypoints with a lower score do not count
    mend_sides: bool = True  # exchange left and right where a view contradicts the others
    bones: bool = False  # bones of one length over the recording


@dataclass(frozen=True, eq=False)
class TriangulatedPerson:
    """A person over the T common times, K keypoints; NaN where fewer than two views agree."""

    world: np.ndarray  # (T, K, 3) metres, world coordinates of the rig
    error: np.ndarray  # (T, K) pixels, root mean square of the reprojection errors
    uncertainty: np.ndarray  # (T, K) metres, standard deviation
    used: np.ndarray  # (T, V, K) bool, views that agree
    score: np.ndarray  # (T, K) mean score of these views, 0 where missing
    swapped: np.ndarray  # (T, V) bool, where left and right of a view were exchanged
    beside: Beside  # how far the views are from fitting each other, (V, V)


@dataclass(frozen=True, eq=False)
class Recording3D:
    """People of several views, in metres, at the times of the first view."""

    frames: Sequence[Frame]  # of the first view, with its camera
    skeleton: Skeleton
    people: Sequence[TriangulatedPerson]
    views: Sequence[str]
    offsets: Sequence[Offset | None]  # added to the times of each view; None: not found, 0 used
    alone: dict[tuple[str, int], int] = field(default_factory=dict)  # frames seen by one view only

    def poses(self, i: int) -> Poses:
        """The people of frame i: `world`, and `xyz`, `xy` as the first camera would see them."""
        first, rows = self._rows
        i = range(len(self.frames))[i]
        here = slice(first[i], first[i + 1])
        if here.start == here.stop:
            return Poses.nobody(self.skeleton, "camera")
        parts: dict[str, Any] = {name: values[here] for name, values in rows.items()}
        return Poses(self.skeleton, **parts, origin="camera")

    @cached_property
    def _rows(self) -> tuple[list[int], dict[str, np.ndarray]]:
        """Where each frame begins in the arrays of `Poses` of all people of all frames; these."""
        camera = self.frames[0].camera
        assert camera is not None
        if not self.people:
            return [0] * (len(self.frames) + 1), {}
        there = np.stack([np.isfinite(each.world).any(axis=(1, 2)) for each in self.people], axis=1)

        def of(name: str) -> np.ndarray:
            return np.stack([getattr(each, name) for each in self.people], axis=1)[there]

        world, score, error = of("world"), of("score"), of("error").astype(np.float32)
        xyz, score = camera.from_world(world), score.astype(np.float32)
        xy = camera.project(xyz).astype(np.float32)
        seen = np.isfinite(xy).all(axis=-1, keepdims=True)  # behind the first camera nothing is
        known = np.isfinite(error).sum(axis=1)
        rows = {
            "xy": xy,
            "score": score,
            "box": box_around(np.where(seen, xy, np.float32(np.nan))),
            "box_score": (score.sum(axis=1) / np.maximum(known, 1)).astype(np.float32),
            "person": np.nonzero(there)[1] + 1,
            "xyz": xyz.astype(np.float32),
            "world": world.astype(np.float32),
            "error": np.nanmean(error, axis=1),
            "reprojection": error,
            "uncertainty": of("uncertainty").astype(np.float32),
            "views": of("used").sum(axis=1, dtype=np.float32),
        }
        return [0, *np.cumsum(there.sum(axis=1)).tolist()], rows


def triangulated(
    views: Sequence[CameraView],
    options: Options = Options(),
    *,
    offsets: Sequence[float] | None = None,
    find_offsets: float | None = None,
) -> Recording3D:
    """Match the people of several views and triangulate their keypoints.

    Args:
        views: two at least, each with a placed camera; all of one skeleton.
        options: how.
        offsets: seconds that are added to the times of each view.
        find_offsets: find the offsets from movement, up to so many seconds.

    Raises:
        VitruvianError: fewer than two views, or skeletons that differ.
    """
    if len(views) < 2:
        raise VitruvianError(f"{len(views)} view given, want two or more")
    tables = {view.name: view.pairs[0][1].skeleton for view in views if view.pairs}
    if empty := [view.name for view in views if not view.pairs]:
        raise VitruvianError(f"'{empty[0]}' has no frames")
    table = tables[views[0].name]
    for name, other in tables.items():
        if other != table:
            raise VitruvianError(
                f"'{name}' has the skeleton {other.name}, '{views[0].name}' has {table.name}; "
                "give views of one model"
            )
    for one, two in combinations(views, 2):
        if _is_copy(one, two):
            raise VitruvianError(f"'{one.name}' and '{two.name}' have the very same poses")
    rig = Rig.of([view.camera for view in views])
    max_error = np.array([options.max_error or SHARE * max(view.camera.size) for view in views])
    seen = [tracks_of(view, options.min_score) for view in views]
    found: list[Offset | None] = [Offset(s, 0.0) for s in offsets or [0.0] * len(views)]
    if find_offsets is not None:
        people = [list(tracks.values()) for tracks in seen]
        found = find_offset(rig, people, table.mirror, NEAR * max_error, find_offsets)
    frames = [frame for frame, _ in views[0].pairs]
    seconds = np.array([frame.seconds for frame in frames])
    seconds = seconds + (0.0 if found[0] is None else found[0].seconds)
    common = at_times(views, seen, seconds, found)
    people, alone = match_views(rig, table, common, seconds, NEAR * max_error)
    tracks = np.stack([person.tracks for person in people]) if people else np.zeros((0, 0, 0))

    def three_of(own: np.ndarray) -> TriangulatedPerson:
        return _three(rig, table, *gathered(own, common, len(table)), max_error, options)

    three = [three_of(own) for own in tracks]
    if len(three) > 1:
        order = steady(np.stack([person.world for person in three]), seconds, table.mirror)
        moved = np.flatnonzero((order != np.arange(len(three))).any(axis=0))
        tracks = np.take_along_axis(tracks, order.T[..., None], axis=0)
        for n in moved:
            three[n] = three_of(tracks[n])
    three = [person for person in three if np.isfinite(person.world).any()]
    placed = [Frame(None, f.index, f.seconds, f.source, views[0].camera, f.size) for f in frames]
    names = [view.name for view in views]
    ones = {(names[v], number): count for (v, number), count in alone.items()}
    return Recording3D(placed, table, three, names, found, ones)


def _is_copy(one: CameraView, two: CameraView) -> bool:
    """Whether two views are one: all keypoints the same to the last digit."""
    if len(one.pairs) != len(two.pairs) or not any(len(poses) for _, poses in one.pairs):
        return False
    return all(
        np.array_equal(a.xy, b.xy, equal_nan=True)
        for (_, a), (_, b) in zip(one.pairs, two.pairs, strict=True)
    )


def at_times(
    views: Sequence[CameraView],
    seen: Sequence[dict[int, Seen]],
    seconds: np.ndarray,
    offsets: Sequence[Offset | None],
) -> list[dict[int, ViewTrack]]:
    """The tracks of each view at common times, (T,) seconds, with its offset added to its own."""
    common = list[dict[int, ViewTrack]]()
    for view, tracks, offset in zip(views, seen, offsets, strict=True):
        times = np.array([frame.seconds for frame, _ in view.pairs])
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        late = 0.0 if offset is None else offset.seconds
        common.append({
            number: ViewTrack(*each.resampled(seconds - late, LONGEST_GAP * step))
            for number, each in tracks.items()
        })  # fmt: skip
    return common


def tracks_of(view: CameraView, min_score: float) -> dict[int, Seen]:
    """The tracks of a view; people without a track id are one each while they are alone."""
    rows: dict[int, list[tuple[float, np.ndarray, np.ndarray]]] = {}
    for frame, poses in view.pairs:
        numbers = poses.person.tolist()
        if len(numbers) == 1 and numbers[0] < 0:
            numbers = [0]
        for row, number in enumerate(numbers):
            if number >= 0:
                entry = (frame.seconds, poses.xy[row], poses.score[row])
                rows.setdefault(number, []).append(entry)
    found = {}
    for number, entries in rows.items():
        seconds, xy, score = (np.array(each) for each in zip(*entries, strict=True))
        score = np.where(np.isfinite(score), score, 0).astype(np.float64)
        score = np.where(score >= min_score, score, 0)
        at = undistorted([view.camera], xy[:, None])[:, 0]
        there = (score > 0) & np.isfinite(at).all(axis=-1)
        found[number] = Seen(seconds, np.where(there[..., None], at, np.nan), score * there)
    return found


def _three(
    rig: Rig,
    table: Skeleton,
    at: np.ndarray,
    weight: np.ndarray,
    max_error: np.ndarray,
    options: Options,
) -> TriangulatedPerson:
    t, views, k = weight.shape
    swapped = np.zeros((t, views), bool)
    if options.mend_sides:
        order, swapped = exchanged(rig, table, at, weight, NEAR * max_error)
        at = np.take_along_axis(at, order[..., None], axis=2)
        weight = np.take_along_axis(weight, order, axis=2)

    def placed(rows: np.ndarray, weight: np.ndarray, noise: float | None) -> Points:
        flat_at = at[rows].transpose(0, 2, 1, 3).reshape(-1, views, 2)
        flat_weight = weight[rows].transpose(0, 2, 1).reshape(-1, views)
        return triangulate_points(rig, flat_at, flat_weight, max_error, noise)

    points = placed(np.arange(t), weight, None)
    used = points.used.reshape(t, k, views).transpose(0, 2, 1).copy()
    there = (weight > 0) & np.isfinite(at).all(axis=-1)
    strange = used.sum(axis=2) < STRANGER * there.sum(axis=2)
    rows = np.flatnonzero((strange & used.any(axis=2)).any(axis=1))
    if len(rows):
        again = placed(rows, np.where(strange[..., None], 0.0, weight), points.noise)
        flat = (rows[:, None] * k + np.arange(k)).ravel()
        for whole, some in zip(points[:3], again[:3], strict=True):
            whole[flat] = some
        used[rows] = again.used.reshape(-1, k, views).transpose(0, 2, 1)
    score = np.where(used, weight, 0).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    world = points.world.reshape(t, k, 3)
    error, spread = points.error.reshape(t, k), points.uncertainty.reshape(t, k)
    wrong = _too_far(table, world, spread)
    world[wrong], error[wrong], spread[wrong], score[wrong] = np.nan, np.nan, np.nan, 0.0
    used = used & ~wrong[:, None]
    if options.bones:
        world = _of_one_length(table, world, spread)
    beside = beside_lines(rig, at, weight)
    return TriangulatedPerson(world, error, spread, used, score, swapped, beside)


def _too_far(table: Skeleton, world: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(T, K) keypoints on which two views agree by chance: a bone to them is much too long.

    Of its two ends, that of which more bones are too long, or else the less certain one.
    """
    wrong, bones = np.zeros(world.shape[:2], bool), list[tuple[int, int, np.ndarray]]()
    for a, b in table.bones:
        far = np.linalg.norm(world[:, a] - world[:, b], axis=-1)
        if not np.isfinite(far).any():
            continue
        usual = np.nanmedian(far)
        noise = np.hypot(spread[:, a], spread[:, b])
        bones.append((a, b, far - usual > np.maximum(max(STRETCH * usual, SLIP), CHANCE * noise)))
    blame, of = np.zeros(world.shape[:2]), np.zeros(world.shape[1])
    for a, b, long in bones:
        for end in (a, b):
            blame[:, end] += long
            of[end] += 1
    blame /= np.maximum(of, 1)
    for a, b, long in bones:
        first = (blame[:, a] > blame[:, b]) | (
            (blame[:, a] == blame[:, b]) & (spread[:, a] > spread[:, b])
        )
        wrong[:, a] |= long & first
        wrong[:, b] |= long & ~first
    return wrong


def _of_one_length(table: Skeleton, world: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(T, K, 3) with bones of one length: both ends move, the less certain one farther.

    The length is the median over the recording. Source: Jakobsen 2001, "Advanced character
    physics" (constraints satisfied by relaxation).
    """
    world = world.copy()
    with np.errstate(invalid="ignore"):
        bones = [(a, b, np.linalg.norm(world[:, a] - world[:, b], axis=-1)) for a, b in table.bones]
    lengths = [(a, b, np.nanmedian(far)) for a, b, far in bones if np.isfinite(far).sum() > 2]
    square = spread**2
    for _ in range(10):
        for a, b, length in lengths:
            line = world[:, b] - world[:, a]
            far = np.linalg.norm(line, axis=-1, keepdims=True)
            part = (square[:, a] / (square[:, a] + square[:, b]))[:, None]
            move = line * (1 - length / np.maximum(far, 1e-6))
            there = np.isfinite(move).all(axis=-1)
            world[there, a] += (part * move)[there]
            world[there, b] -= ((1 - part) * move)[there]
    return world
