"""Where cameras with known, or guessed, focal lengths stand: from the people whom they all see.

1. Of each pair of views, the essential matrix of the same keypoints at the same times (RANSAC).
2. From the best pair on, keypoints are triangulated, and cameras added one by one
   (perspective-n-point).
3. People are matched across views, left and right mended, and all is fitted together
   (`multiview/bundle.py`), a few times.
4. A known length gives the scale, the bodies, or an axis of the first camera, give up.

Source: Hartley & Zisserman 2004, "Multiple View Geometry in Computer Vision", 9.6 and 18.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import cv2
import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, amount
from vitruvian.geometry.camera import Camera
from vitruvian.multiview.bundle import Adjusted, Bundle, adjusted
from vitruvian.multiview.people import ViewTrack, gathered, match_views
from vitruvian.multiview.recording import NEAR, SHARE, CameraView, at_times, tracks_of
from vitruvian.multiview.sides import exchanged
from vitruvian.multiview.sync import Offset, find_offset, speed_offset
from vitruvian.multiview.triangulation import Rig, triangulate_points

FRAMES = 200  # that cameras are fitted with
FIRST_FRAMES = 60  # the same, at first
SEVERAL = 4  # tracks of a view that are tried for the first pair
LEAST = 60  # keypoints that two views must share
TRIALS = 6  # RANSAC runs, the best of which is taken
INLIER = 0.004  # of the longer side: distance from an epipolar line that agrees
ROUNDS = 3
BEGUN = 5  # pairs of tracks that the rig is begun with, one after the other
ROUGH = 8  # steps of a first fit
FINE = 0.3  # seconds around the offset that speeds gave, in which the rig finds a better one
# Segments over body height: shank, thigh, trunk (hips to shoulders), and the height of the ankles.
# Source: Winter 2009, "Biomechanics and motor control of human movement", figure 4.1.
CHAIN, ANKLE = 0.246 + 0.245 + 0.288, 0.039
CHAIN_OFF = 0.04  # standard deviation of what it gives, of a person: between people, and of models
SCORE = 0.3  # keypoints with a lower score do not count


@dataclass(frozen=True, eq=False)
class Placing:
    """Placed cameras, and how well they are known."""

    cameras: Sequence[Camera]
    errors: Sequence[np.ndarray]  # of each camera: (M,) pixels, reprojection errors
    seen: Sequence[np.ndarray]  # of each camera: (M, 2) pixels, where
    turn: np.ndarray  # (V,) radians, standard deviation of the rotation; the first is 0
    place: np.ndarray  # (V,) metres, the same of the position
    zoom: np.ndarray  # (V,) the same of the focal length, relative; 0 if it was given
    world: np.ndarray  # (M, 3) metres, the points, to be drawn
    offsets: Sequence[Offset | None]
    told: Sequence[str] = field(default_factory=list)  # assumptions


@dataclass(frozen=True)
class Known:
    """What gives the scale: a body height, or a length between two keypoints or two cameras."""

    metres: float
    between: tuple[str, str] | None = None  # None: body height


def place_cameras(
    views: Sequence[CameraView],
    known: Known,
    up: str = "people",
    *,
    zooms: bool = False,
    offsets: Sequence[float] | None = None,
    find_offsets: float | None = None,
) -> Placing:
    """Place cameras in a world with z up, the origin on the floor below the people.

    x is to the right of the first camera, y away from it.

    Args:
        views: two at least, of one skeleton; the extrinsics of their cameras are not used.
        known: what gives the scale.
        up: "people", or an axis of the first camera, such as "-y" of one that is level.
        zooms: the focal lengths are guesses, to be estimated, too.
        offsets: seconds that are added to the times of each view.
        find_offsets: find the offsets from movement, up to so many seconds.

    Raises:
        VitruvianError: the views share too few keypoints, or do not agree on anything.
    """
    table = views[0].pairs[0][1].skeleton
    cameras = [replace(view.camera, extrinsics=None) for view in views]
    seen = [
        tracks_of(replace(view, camera=c), SCORE) for view, c in zip(views, cameras, strict=True)
    ]
    for view, tracks in zip(views, seen, strict=True):
        if not tracks:
            raise VitruvianError(f"nobody is seen in '{view.name}'")
    max_error = np.array([SHARE * max(camera.size) for camera in cameras])
    found: list[Offset | None] = [Offset(s, 0.0) for s in offsets or [0.0] * len(views)]
    if find_offsets is not None:
        people = [list(tracks.values()) for tracks in seen]
        found = [Offset(0.0, 0.0)]
        found += [speed_offset(people[0], each, find_offsets) for each in people[1:]]
        for view, offset in zip(views, found, strict=True):
            if offset is None:
                raise VitruvianError(
                    f"when '{view.name}' starts cannot be found from movement; give seconds: "
                    "--sync 0,0.12"
                )
    seconds = np.array([frame.seconds for frame, _ in views[0].pairs])
    common = at_times(views, seen, seconds, found)
    names = [view.name for view in views]
    rig = _first_rig(cameras, common, table, seconds, max_error, names)
    rig = _fitted(cameras, rig, table, common, seconds, max_error, 1, zooms).bundle
    if find_offsets is not None:
        shifted = [
            [replace(s, seconds=s.seconds + (o.seconds if o else 0)) for s in tracks.values()]
            for tracks, o in zip(seen, found, strict=True)
        ]
        fine = find_offset(_rig(rig), shifted, table.mirror, NEAR * max_error, FINE)
        found = [
            a if a is None or b is None else Offset(a.seconds + b.seconds, b.sharpness)
            for a, b in zip(found, fine, strict=True)
        ]
        common = at_times(views, seen, seconds, found)
    fit = _fitted(cameras, rig, table, common, seconds, max_error, ROUNDS, zooms)
    return _in_metres(views, cameras, fit, table, known, up, found)


Tracks = Sequence[dict[int, ViewTrack]]  # of each view, at common times


def _zoomed(tracks: Tracks, zoom: np.ndarray) -> list[dict[int, ViewTrack]]:
    """With focal lengths that are `zoom` times the assumed ones."""
    return [
        {number: replace(each, at=each.at / z) for number, each in own.items()}
        for own, z in zip(tracks, zoom, strict=True)
    ]


def _rig(bundle: Bundle) -> Rig:
    return Rig(bundle.rotation, bundle.shift, bundle.focal * bundle.zoom[:, None])


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two tracks of two views, and the essential matrix."""

    views: tuple[int, int]
    tracks: tuple[int, int]
    rotation: np.ndarray
    shift: np.ndarray
    score: float  # keypoints that agree, less where the rays are almost parallel


def _first_rig(
    cameras: Sequence[Camera],
    common: Tracks,
    table: Skeleton,
    seconds: np.ndarray,
    max_error: np.ndarray,
    names: Sequence[str],
) -> Bundle:
    """All cameras, roughly: begun with several pairs of tracks, the rig with which most agrees."""
    focal = np.stack([np.diag(camera.matrix)[:2] for camera in cameras])
    limit = np.array([INLIER * max(camera.size) for camera in cameras]) / focal.mean(axis=1)
    pairs = list[_Pair]()
    for u, v in combinations(range(len(cameras)), 2):
        tried = [
            _pair(common, u, v, a, b, float(limit[[u, v]].mean()))
            for a in _longest(common[u])
            for b in _longest(common[v])
        ]
        pairs += [each for each in tried if each is not None]
    if not pairs:
        raise VitruvianError(
            f"no two of {', '.join(names)} share {LEAST} keypoints whose rays cross; calibrate "
            "with people who walk about in the middle, seen whole, or with a board (--board)"
        )
    pairs = sorted(pairs, key=lambda each: -each.score)[:BEGUN]
    best: tuple[float, Bundle] | None = None
    fault: VitruvianError | None = None
    for pair in pairs:
        try:
            rig = _grown(pair, common, focal, limit, max_error, names)
            people = _people(rig, table, common, seconds, max_error)
        except VitruvianError as error:
            fault = fault or error
            continue
        found, _ = _bundle(
            rig.rotation, rig.shift, rig.zoom, focal, people, max_error, np.zeros((0, 2), int)
        )
        off = np.linalg.norm(found.residuals(), axis=1) / max_error[found.camera]
        gain = found.weight * (1 - off.clip(0, 1) ** 2)
        each = np.bincount(found.camera, gain, minlength=len(cameras))
        agree = float(np.sqrt(each).sum())  # of all cameras
        if best is None or agree > best[0]:
            best = agree, rig
    if best is None:
        assert fault is not None
        raise fault
    return best[1]


def _grown(
    pair: _Pair,
    common: Tracks,
    focal: np.ndarray,
    limit: np.ndarray,
    max_error: np.ndarray,
    names: Sequence[str],
) -> Bundle:
    """All cameras, from two tracks of two of them on."""
    count, k = len(focal), next(iter(common[0].values())).weight.shape[1]
    u, v = pair.views
    known = {u: (np.eye(3), np.zeros(3)), v: (pair.rotation, pair.shift)}
    person = {u: pair.tracks[0], v: pair.tracks[1]}

    def fitted_so_far() -> tuple[Bundle, np.ndarray]:
        order = sorted(known)
        at, weight = _of_tracks(common, person, order)
        start = [_from(known[n], known[order[0]]) for n in order]
        size = np.linalg.norm(start[1][1])
        bundle, rows = _bundle(
            np.stack([each[0] for each in start]),
            np.stack([each[1] for each in start]) / size,
            np.ones(len(order)),
            focal[order],
            [(at, weight)],
            max_error[order],
            np.zeros((0, 2), int),
        )
        if len(rows) < LEAST // 2:
            raise VitruvianError("the views do not agree on anybody; are they of the same time?")
        fit = adjusted(bundle, steps=ROUGH).bundle
        for i, n in enumerate(order):
            known[n] = fit.rotation[i], fit.shift[i]
        points = np.full((len(at) * k, 3), np.nan)
        points[rows] = fit.points
        return fit, points.reshape(len(at), k, 3)

    fit, points = fitted_so_far()
    while len(known) < count:
        added = None
        for n in set(range(count)) - set(known):
            for number in _longest(common[n]):
                tried = _resected(points, common[n][number], float(limit[n]), n)
                if tried is not None and (added is None or tried[0] > added[0]):
                    added = (*tried, n, number)
        if added is None:
            left = [names[n] for n in range(count) if n not in known]
            raise VitruvianError(
                f"'{left[0]}' shares too few keypoints with the other views to be placed; is it "
                "of the same time (--sync movement)?"
            )
        _, pose, n, number = added
        known[n], person[n] = pose, number
        fit, points = fitted_so_far()
    return fit


def _from(
    pose: tuple[np.ndarray, np.ndarray], origin: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """A pose from the axes of another camera instead of the world's."""
    turned = pose[0] @ origin[0].T
    return turned, pose[1] - turned @ origin[1]


def _longest(tracks: dict[int, ViewTrack]) -> list[int]:
    order = sorted(tracks, key=lambda number: -float(tracks[number].weight.sum()))
    return order[:SEVERAL]


def _some(there: Any, most: int = FRAMES) -> np.ndarray:
    """Indices of frames, spread over those that are there."""
    rows = np.flatnonzero(there)
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))]


def _pair(common: Tracks, u: int, v: int, a: int, b: int, limit: float) -> _Pair | None:
    first, second = common[u][a], common[v][b]
    shared = (first.weight > 0) & (second.weight > 0)
    if shared.sum() < LEAST:
        return None
    rows = _some(shared.any(axis=1))
    there = shared[rows]
    one, two = first.at[rows][there], second.at[rows][there]
    best: _Pair | None = None
    for trial in range(TRIALS):
        cv2.setRNGSeed(trial)
        some = np.random.default_rng(trial).permutation(len(one))
        matrix, _ = cv2.findEssentialMat(
            one[some], two[some], np.eye(3), cv2.USAC_MAGSAC, 0.9999, limit
        )
        if matrix is None or matrix.shape != (3, 3):
            continue
        inside = _near_lines(matrix, one, two) < limit
        if inside.sum() < LEAST // 2:
            continue
        agree, rotation, shift, _ = cv2.recoverPose(matrix, one[inside], two[inside], np.eye(3))
        rays = np.concatenate([one, np.ones((len(one), 1))], axis=1) @ rotation.T
        other = np.concatenate([two, np.ones((len(two), 1))], axis=1)
        cosine = (rays * other).sum(axis=1)
        cosine /= np.linalg.norm(rays, axis=1) * np.linalg.norm(other, axis=1)
        angle = float(np.median(np.degrees(np.arccos(cosine.clip(-1, 1)))))
        wide = min(1.0, angle / 20, max(180 - angle, 0) / 20)
        score = float(agree) * wide * int(shared.any(axis=1).sum()) / len(rows)
        if best is None or score > best.score:
            best = _Pair((u, v), (a, b), rotation, shift.ravel(), score)
    return best


def _near_lines(matrix: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(M,) distances from epipolar lines (Sampson), of normalized coordinates."""
    a = np.concatenate([one, np.ones((len(one), 1))], axis=1)
    b = np.concatenate([two, np.ones((len(two), 1))], axis=1)
    line_b, line_a = a @ matrix.T, b @ matrix
    steep = (line_a[:, :2] ** 2).sum(axis=1) + (line_b[:, :2] ** 2).sum(axis=1)
    return np.abs((b * line_b).sum(axis=1)) / np.sqrt(np.maximum(steep, 1e-24))


def _resected(
    points: np.ndarray, track: ViewTrack, limit: float, seed: int
) -> tuple[float, tuple[np.ndarray, np.ndarray]] | None:
    """How many keypoints agree, and the pose of a camera that sees known points."""
    there = np.isfinite(points).all(axis=-1) & (track.weight > 0)
    if there.sum() < LEAST // 2:
        return None
    cv2.setRNGSeed(seed)
    done, turn, shift, inside = cv2.solvePnPRansac(
        points[there], track.at[there], np.eye(3), None,
        reprojectionError=3 * limit, iterationsCount=1000, confidence=0.9999,
        flags=cv2.SOLVEPNP_SQPNP,
    )  # fmt: skip
    if not done or inside is None or len(inside) < LEAST // 2:
        return None
    return float(len(inside)), (cv2.Rodrigues(turn)[0], np.asarray(shift).ravel())


def _of_tracks(
    common: Tracks, person: dict[int, int], order: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(T, V, K, 2) and (T, V, K) of one track of each view; only `FIRST_FRAMES` of them count."""
    at = np.stack([common[n][person[n]].at for n in order], axis=1)
    weight = np.stack([common[n][person[n]].weight for n in order], axis=1)
    chosen = np.zeros(len(at), bool)
    chosen[_some((weight > 0).any(axis=2).sum(axis=1) >= 2, FIRST_FRAMES)] = True
    return at, np.where(chosen[:, None, None], weight, 0.0)


def _bundle(
    rotation: np.ndarray,
    shift: np.ndarray,
    zoom: np.ndarray,
    focal: np.ndarray,
    people: Sequence[tuple[np.ndarray, np.ndarray]],
    max_error: np.ndarray,
    bones: np.ndarray,
) -> tuple[Bundle, np.ndarray]:
    """Triangulate what (T, V, K, 2) and (T, V, K) of each person show.

    Returns:
        bundle: with the observations that agree.
        rows: of its points, in all (people, T, K) of them.
    """
    views, k = people[0][1].shape[1:]
    rig = Rig(rotation, shift, focal * zoom[:, None])
    at = np.concatenate([a.transpose(0, 2, 1, 3).reshape(-1, views, 2) for a, _ in people])
    weight = np.concatenate([w.transpose(0, 2, 1).reshape(-1, views) for _, w in people])
    found = triangulate_points(rig, at / zoom[:, None], weight, max_error)
    rows = np.flatnonzero(np.isfinite(found.world).all(axis=1))
    used = found.used[rows]
    point, camera = np.nonzero(used)
    where = np.full(len(at), -1)
    where[rows] = np.arange(len(rows))
    ends = list[np.ndarray]()
    first = 0
    for number, (each, _) in enumerate(people):
        frames = first + k * np.arange(len(each))
        for n, (a, b) in enumerate(bones):
            pair = np.stack([where[frames + a], where[frames + b]], axis=1)
            pair = pair[(pair >= 0).all(axis=1)]
            length = np.full((len(pair), 1), number * len(bones) + n)
            ends.append(np.concatenate([pair, length], axis=1))
        first += k * len(each)
    lines = np.concatenate(ends) if ends else np.zeros((0, 3), int)
    _, lines[:, 2] = np.unique(lines[:, 2], return_inverse=True)
    error = found.error[rows]
    noise = float(np.median(error)) if len(rows) else 1.0
    bundle = Bundle(
        rotation, shift, zoom, focal, found.world[rows], camera, point,
        at[rows][point, camera], weight[rows][point, camera], lines, max(noise, 0.1),
    )  # fmt: skip
    return bundle, rows


def _fitted(
    cameras: Sequence[Camera],
    start: Bundle,
    table: Skeleton,
    common: Tracks,
    seconds: np.ndarray,
    max_error: np.ndarray,
    rounds: int,
    zooms: bool,
) -> _Fit:
    """All people together: matched, mended and fitted, a few times."""
    bundle = start
    fit, people, rows = None, list[tuple[np.ndarray, np.ndarray]](), np.zeros(0, int)
    for _ in range(rounds):
        people = _people(bundle, table, common, seconds, max_error)
        # Frames that count: spread over all that two views see.
        there = sum(((w > 0).any(axis=2).sum(axis=1) >= 2).astype(int) for _, w in people)
        some = _some(np.asarray(there) > 0)
        people = [(at[some], weight[some]) for at, weight in people]
        bones = np.array(table.bones)
        begun, rows = _bundle(
            bundle.rotation, bundle.shift, bundle.zoom, bundle.focal, people, max_error, bones
        )
        counts = np.bincount(begun.camera, minlength=len(cameras))
        if (counts < LEAST).any():
            raise VitruvianError(
                f"camera {int(counts.argmin()) + 1} agrees with the others about "
                f"{amount(int(counts.min()), 'keypoint')}, want {LEAST} or more"
            )
        fit = adjusted(begun, zooms=zooms)
        bundle = fit.bundle
    assert fit is not None
    fit = _less_sure(fit, rows, len(table))
    k = len(table)
    world = np.full((sum(len(at) for at, _ in people) * k, 3), np.nan)
    world[rows] = bundle.points
    world = world.reshape(len(people), -1, k, 3)
    # Seen most, by most cameras.
    owner = rows[bundle.point] // (k * world.shape[1])
    best = int(np.bincount(owner, minlength=len(people)).argmax())
    return _Fit(fit, bundle, world.reshape(-1, k, 3), world[best])


def _people(
    bundle: Bundle, table: Skeleton, common: Tracks, seconds: np.ndarray, max_error: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(T, V, K, 2) and (T, V, K) of each person: matched across views, left and right mended."""
    # One unit is the distance of two cameras, which is metres as far as `match_views` needs them.
    rig, near = _rig(bundle), NEAR * max_error
    tracks = _zoomed(common, bundle.zoom)
    who, _ = match_views(rig, table, tracks, seconds, near)
    people = list[tuple[np.ndarray, np.ndarray]]()
    for person in who:
        at, weight = gathered(person.tracks, tracks, len(table))
        order, _ = exchanged(rig, table, at, weight, near)
        at = np.take_along_axis(at, order[..., None], axis=2) * bundle.zoom[:, None, None]
        people.append((at, np.take_along_axis(weight, order, axis=2)))
    if not people:
        raise VitruvianError("the views do not agree on anybody; are they of the same time?")
    return people


def _less_sure(fit: Adjusted, rows: np.ndarray, k: int) -> Adjusted:
    """With standard deviations for errors that are alike from frame to frame.

    A model is wrong in the same way as long as the pose is the same: correlated with r, so many
    frames count as (1 - r) / (1 + r) of them.
    """
    bundle, residual = fit.bundle, fit.bundle.residuals()
    views = len(bundle.shift)
    key = rows[bundle.point] * views + bundle.camera
    order = np.argsort(key)
    at = np.searchsorted(key[order], key + k * views).clip(0, len(key) - 1)
    after = order[at]
    both = key[after] == key + k * views
    a, b = residual[both], residual[after[both]]
    size = np.sqrt((a**2).sum() * (b**2).sum())
    r = float(np.clip((a * b).sum() / size, 0, 0.99)) if size > 0 else 0.0
    more = np.sqrt((1 + r) / (1 - r))
    return replace(fit, turn=fit.turn * more, place=fit.place * more, zoom=fit.zoom * more)


@dataclass(frozen=True, eq=False)
class _Fit:
    adjusted: Adjusted
    bundle: Bundle
    world: np.ndarray  # (people x T, K, 3) from the first camera, in distances of two cameras
    best: np.ndarray  # (T, K, 3) the person seen most


def _in_metres(
    views: Sequence[CameraView],
    cameras: Sequence[Camera],
    fit: _Fit,
    table: Skeleton,
    known: Known,
    up: str,
    offsets: Sequence[Offset | None],
) -> Placing:
    bundle, told = fit.bundle, list[str]()
    centres = _rig(bundle).centres
    names = [view.name for view in views]
    scale, off, how = _scale(fit, table, known, names, centres)
    told.append(how)
    world = fit.world * scale
    axis, how = _up(world, table, up)
    told.append(how)
    # World: z up, x to the right of the first camera, origin on the floor below the people.
    z = axis
    y = np.array([0.0, 0.0, 1.0]) - z[2] * z
    if np.linalg.norm(y) < 0.1:
        y = np.array([0.0, -1.0, 0.0]) - -z[1] * z
    y /= np.linalg.norm(y)
    turn = np.stack([np.cross(y, z), y, z])  # first camera -> world
    placed = world @ turn.T
    ankles = [n for n, name in enumerate(table.keypoints) if name.endswith("ankle")]
    low = placed[:, ankles, 2] if ankles else placed[..., 2]
    floor = np.nanpercentile(low, 5)
    height = _chain(placed, table)
    if ankles and np.isfinite(height):
        floor -= ANKLE * height
    origin = np.array([*np.nanmedian(placed[..., :2].reshape(-1, 2), axis=0), floor])
    told.append("the floor is where the ankles are lowest")
    residual = np.linalg.norm(bundle.residuals(), axis=1)
    finished, errors, seen = list[Camera](), list[np.ndarray](), list[np.ndarray]()
    for v, camera in enumerate(cameras):
        matrix = camera.matrix.copy()
        matrix[[0, 1], [0, 1]] *= bundle.zoom[v]
        own = replace(camera, matrix=matrix)
        extrinsics = np.eye(4)
        extrinsics[:3, :3] = bundle.rotation[v] @ turn.T
        extrinsics[:3, 3] = bundle.shift[v] * scale + extrinsics[:3, :3] @ origin
        finished.append(own.placed(extrinsics, (0, 0, 1)))
        mine = bundle.camera == v
        errors.append(residual[mine])
        flat = bundle.at[mine] / bundle.zoom[v]
        rays = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
        seen.append(own.project(rays))
    place = np.hypot(fit.adjusted.place * scale, off * np.linalg.norm(centres * scale, axis=1))
    points = (placed - origin).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    return Placing(
        finished, errors, seen, fit.adjusted.turn, place, fit.adjusted.zoom, points, offsets, told
    )


def _middle(world: np.ndarray, table: Skeleton, part: str) -> np.ndarray:
    """(F, 3) the middle of the left and right of a part."""
    both = [table.keypoints.index(f"{side}_{part}") for side in ("left", "right")]
    return world[:, both].mean(axis=1)


def _chain(world: np.ndarray, table: Skeleton) -> float:
    """The body height that shank, thigh and trunk give, median over all; NaN without them."""
    names = table.keypoints
    parts = ("ankle", "knee", "hip", "shoulder")
    if any(f"{side}_{part}" not in names for side in ("left", "right") for part in parts):
        return float("nan")
    ankle, knee, hip, _ = (
        world[:, [names.index(f"{side}_{part}") for side in ("left", "right")]] for part in parts
    )
    trunk = np.linalg.norm(_middle(world, table, "hip") - _middle(world, table, "shoulder"), axis=1)
    lengths = (np.linalg.norm(ankle - knee, axis=-1), np.linalg.norm(knee - hip, axis=-1), trunk)
    if not all(np.isfinite(each).any() for each in lengths):
        return float("nan")
    return float(sum(np.nanmedian(each) for each in lengths)) / CHAIN


def _scale(
    fit: _Fit, table: Skeleton, known: Known, names: Sequence[str], centres: np.ndarray
) -> tuple[float, float, str]:
    """Metres of one unit, its relative standard deviation, and how it is known."""
    first = fit.best
    if known.between is None:
        height = _chain(first, table)
        if not np.isfinite(height):
            raise VitruvianError(
                "no shanks, thighs and trunk are seen, to find the scale from a body height; "
                "give a length between two keypoints or cameras"
            )
        how = (
            f"scale: from a body height of {known.metres:g} m, by shank, thigh and trunk of the "
            f"person seen most (Winter's proportions): to about {100 * CHAIN_OFF:.0f} %"
        )
        return known.metres / height, CHAIN_OFF, how
    a, b = known.between
    if a in names and b in names:
        far = np.linalg.norm(centres[names.index(a)] - centres[names.index(b)])
        return known.metres / float(far), 0.0, f"scale: {a} to {b} is {known.metres:g} m"
    if a in table.keypoints and b in table.keypoints:
        line = first[:, table.keypoints.index(a)] - first[:, table.keypoints.index(b)]
        far = np.linalg.norm(line, axis=1)
        if not np.isfinite(far).any():
            raise VitruvianError(f"{a} and {b} are never seen together; give another length")
        how = f"scale: {a} to {b} of the person seen most is {known.metres:g} m (median)"
        return known.metres / float(np.nanmedian(far)), 0.0, how
    raise VitruvianError(
        f"no length between '{a}' and '{b}'; want two of {', '.join(names)}, or two keypoints, "
        "such as left_hip,left_knee"
    )


def _up(world: np.ndarray, table: Skeleton, up: str) -> tuple[np.ndarray, str]:
    """(3,) up in the axes of the first camera, and how it is known."""
    if up != "people":
        sign = -1.0 if up[0] == "-" else 1.0
        axis = np.array([sign * (name == up[-1]) for name in "xyz"])
        level = " (it is level)" if up == "-y" else ""
        return axis, f"up: {up} of the first camera{level}"
    try:
        line = _middle(world, table, "shoulder") - _middle(world, table, "ankle")
    except ValueError:
        raise VitruvianError(
            f"{table.name} has no shoulders and ankles that tell up; give it: --up=-y"
        ) from None
    line = line[np.isfinite(line).all(axis=1)]
    if not len(line):
        raise VitruvianError("nobody is seen from the ankles to the shoulders; give --up=-y")
    line /= np.linalg.norm(line, axis=1, keepdims=True)
    axis = np.median(line, axis=0)
    axis /= np.linalg.norm(axis)
    spread = np.degrees(np.arccos((line @ axis).clip(-1, 1)))
    how = (
        "up: from ankles to shoulders of the people, who lean by "
        f"{np.median(spread):.0f} degrees (median)"
    )
    return axis, how
