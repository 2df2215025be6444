"""Who is who in several views: tracks of the views become people.

The recording is cut into windows. In each, tracks of different views belong together if their
keypoints lie near each other's epipolar lines in most frames; clusters are joined from the nearest
on, never with two tracks of one view. A cluster continues the person whose tracks it has and who
was where it is, so that an id that changes or is exchanged in one view is outvoted. Within windows,
tracks of two people are exchanged in frames where that fits the other views better (`_untangle`);
and when all is triangulated nobody may jump to where another was (`steady`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, pairwise, product
from math import isnan
from typing import NamedTuple

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.geometry.assignment import assignment
from vitruvian.multiview.sides import line_distance
from vitruvian.multiview.triangulation import Rig, triangulate_points

WINDOW = 1.0  # seconds
COMPARED = 6  # frames of a window, spread over it, in which tracks are compared
CLEAR = 0.6  # of the scores of the best of them: a frame that says where a person is
LEAST = 2  # of them that two tracks share, to be compared
CAP = 3.0  # largest distance of a keypoint that counts, in `near`
LIMIT = 1.7  # mean distance of keypoints up to which tracks belong together, in `near`
KNOWN = 0.7  # of the distance counts, for tracks that were together in the window before
NEAR = 1.0  # metres from where a person was, within which a cluster may be that person
DOUBTED = 1.0  # mean distance of keypoints from which a track is compared with another person
BETTER = 1.0  # by so much two tracks must fit better, to be exchanged
JUMP = 0.25  # metres that nobody moves from one frame to the next
AGO = 0.2  # seconds over which a speed is taken
TURN = 1.0  # metres in a second that a person may move besides, in `steady`
UNKNOWN = 0.4  # metres, the cost of not being seen
FORGET = 1.0  # seconds
PER_SECOND = 3.0  # metres that a person may move besides


@dataclass(frozen=True, eq=False)
class ViewTrack:
    """A tracked person of one view, at the T common times; NaN and 0 where not seen."""

    at: np.ndarray  # (T, K, 2) normalized coordinates
    weight: np.ndarray  # (T, K) scores


Node = tuple[int, int]  # view, track id


@dataclass
class Person:
    """A person of the recording."""

    tracks: np.ndarray  # (T, V) int64 track id in each view; -1 where not seen
    votes: Counter[Node] = field(default_factory=Counter)  # frames of each track
    pose: np.ndarray = field(default_factory=lambda: np.full((1, 3), np.nan))  # metres, last seen
    last: float = 0.0  # seconds, the same


def match_views(
    rig: Rig,
    skeleton: Skeleton,
    views: Sequence[Mapping[int, ViewTrack]],
    seconds: np.ndarray,
    near: np.ndarray,
) -> tuple[list[Person], Counter[Node]]:
    """People of several views.

    Args:
        rig: the V cameras.
        skeleton: of the tracks.
        views: of each view, its tracks by id.
        seconds: (T,) the common times.
        near: (V,) pixels, how far off a keypoint usually is at most.

    Returns:
        people: who was seen by two views at least, in the order of appearance.
        alone: frames of tracks that no other view has.
    """
    t, people, alone = len(seconds), list[Person](), Counter[Node]()
    known: dict[Node, int] = {}
    seen: dict[Node, np.ndarray] = {  # (T,) bool of each track
        (v, number): track.weight.max(axis=1) > 0
        for v, tracks in enumerate(views)
        for number, track in tracks.items()
    }
    starts = np.searchsorted(seconds, np.arange(seconds[0], seconds[-1] + WINDOW, WINDOW))
    borders = sorted({0, *starts.tolist(), t})
    compared = [
        np.unique(np.linspace(first, end - 1, COMPARED).round().astype(int))
        for first, end in pairwise(borders)
    ]
    far = _Distances(rig, skeleton, views, near, compared)
    for i, (first, end) in enumerate(pairwise(borders)):
        some = compared[i]
        here = slice(first, end)
        nodes = [node for node, there in seen.items() if there[here].any()]
        cut = {(v, n): ViewTrack(views[v][n].at[some], views[v][n].weight[some]) for v, n in nodes}
        clusters = _clusters(nodes, known, partial(far, window=i))
        several = [cluster for cluster in clusters if len(cluster) > 1]
        for cluster in clusters:
            if len(cluster) == 1:
                alone[cluster[0]] += int(seen[cluster[0]][here].sum())
        ends = _ends(rig, several, cut, near, seconds[some])
        who = _continued(several, ends, people, skeleton.mirror)
        known = {}
        for cluster, end_poses, number in zip(several, ends, who, strict=True):
            if number == len(people):
                people.append(Person(np.full((t, len(rig)), -1)))
            person = people[number]
            for node in cluster:
                frames = np.flatnonzero(seen[node][here]) + first
                person.tracks[frames, node[0]] = node[1]
                person.votes[node] += len(frames)
                known[node] = number
            last = end_poses[1]
            if np.isfinite(last.at).any():
                person.pose, person.last = last.at, last.seconds
        for cluster in clusters:  # a track that is alone for a moment stays whose it is
            if len(cluster) == 1:
                owner = [i for i, person in enumerate(people) if cluster[0] in person.votes]
                if len(owner) == 1:
                    known[cluster[0]] = owner[0]
    _untangle(rig, skeleton, views, people, near)
    return people, alone


class _Distances:
    """How far tracks are from being one person, see `distances`, in each window."""

    def __init__(
        self,
        rig: Rig,
        skeleton: Skeleton,
        views: Sequence[Mapping[int, ViewTrack]],
        near: np.ndarray,
        windows: Sequence[np.ndarray],
    ) -> None:
        """Windows are the frames of each that are compared, `COMPARED` at most."""
        self.rig, self.skeleton, self.near, self.count = rig, skeleton, near, len(windows)
        rows = np.concatenate(windows)
        # Where each of them is in an array of (windows, COMPARED).
        self.places = np.concatenate(
            [i * COMPARED + np.arange(len(w)) for i, w in enumerate(windows)]
        )
        self.tracks = {
            (v, number): ViewTrack(track.at[rows], track.weight[rows])
            for v, tracks in enumerate(views)
            for number, track in tracks.items()
        }
        self.known: dict[tuple[Node, Node], list[float]] = {}

    def __call__(self, a: Node, b: Node, window: int) -> float:
        """The median over frames; NaN if it cannot be said."""
        if (a, b) not in self.known:
            one, other = self.tracks[a], self.tracks[b]
            both = np.flatnonzero((one.weight.max(axis=1) > 0) & (other.weight.max(axis=1) > 0))
            pair = (ViewTrack(each.at[both], each.weight[both]) for each in (one, other))
            far = np.full(self.count * COMPARED, np.nan)
            far[self.places[both]] = distances(
                self.rig, self.skeleton, a[0], b[0], *pair, near=self.near
            )
            far = far.reshape(self.count, COMPARED)
            few = np.isfinite(far).sum(axis=1) < LEAST
            far[few] = np.nan
            middle = np.full(self.count, np.nan)
            middle[~few] = np.nanmedian(far[~few], axis=1)
            self.known[a, b] = middle.tolist()
        return self.known[a, b][window]


def _clusters(
    nodes: Sequence[Node],
    known: Mapping[Node, int],
    distance: Callable[[Node, Node], float],
) -> list[list[Node]]:
    """Tracks that belong together in one window."""
    cost: dict[frozenset[Node], float] = {}
    for a, b in combinations(nodes, 2):
        if a[0] == b[0]:
            continue
        far = distance(a, b)
        if not isnan(far):
            same = a in known and known.get(a) == known.get(b)
            cost[frozenset((a, b))] = far * (KNOWN if same else 1.0)
    clusters = [[node] for node in nodes]
    while True:
        best, found = LIMIT, None
        for i, j in combinations(range(len(clusters)), 2):
            if {v for v, _ in clusters[i]} & {v for v, _ in clusters[j]}:
                continue
            keys = [frozenset((a, b)) for a in clusters[i] for b in clusters[j]]
            costs = [cost[key] for key in keys if key in cost]
            if costs and (mean := sum(costs) / len(costs)) < best:
                best, found = mean, (i, j)
        if found is None:
            return clusters
        i, j = found
        clusters[i] += clusters.pop(j)


def distances(
    rig: Rig,
    skeleton: Skeleton,
    u: int,
    v: int,
    a: ViewTrack,
    b: ViewTrack,
    near: np.ndarray,
) -> np.ndarray:
    """(T,) mean distances from epipolar lines, in `near`, where left and right may be exchanged.

    NaN with fewer than three keypoints that both have.
    """
    scale, mirror, found = (near[u] + near[v]) / 2, skeleton.mirror, np.full(len(a.at), np.nan)
    trust = np.minimum(a.weight, b.weight)
    trust = np.where(np.isfinite(a.at).all(axis=-1) & np.isfinite(b.at).all(axis=-1), trust, 0)
    trust = np.minimum(trust, trust[:, mirror])  # both sides of a pair, or neither
    shared = (trust > 0).sum(axis=1) >= 3
    if not shared.any():
        return found
    trust, at_a, at_b = trust[shared], a.at[shared], b.at[shared]
    at_b = np.stack([at_b, at_b[:, mirror]])  # as they are, and with left and right exchanged
    off = line_distance(rig, u, v, at_a, at_b) / scale
    off = np.where(trust > 0, np.minimum(off, CAP), 0)
    off = (off + off[:, :, mirror]).min(axis=0) / 2
    found[shared] = (off * trust).sum(axis=1) / trust.sum(axis=1)
    return found


def gathered(
    tracks: np.ndarray, views: Sequence[Mapping[int, ViewTrack]], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """(T, V, K, 2) and (T, V, K) of one person."""
    t, count = tracks.shape
    at, weight = np.full((t, count, k, 2), np.nan), np.zeros((t, count, k))
    for v, known in enumerate(views):
        for number, track in known.items():
            rows = tracks[:, v] == number
            at[rows, v], weight[rows, v] = track.at[rows], track.weight[rows]
    return at, weight


def _untangle(
    rig: Rig,
    skeleton: Skeleton,
    views: Sequence[Mapping[int, ViewTrack]],
    people: Sequence[Person],
    near: np.ndarray,
) -> None:
    """Exchange the tracks of two people in frames of a view, where that fits other views better.

    A window has one track of a view; in the middle of it an id may have gone to somebody else.
    """
    if len(people) < 2:
        return
    seen = [gathered(person.tracks, views, len(skeleton)) for person in people]

    def off(of: int, to: int, v: int, rows: np.ndarray) -> np.ndarray:
        """(R,) how far a view of somebody is from the other views of somebody."""
        (at_of, weight_of), (at_to, weight_to) = seen[of], seen[to]
        a = ViewTrack(at_of[rows, v], weight_of[rows, v])
        each = np.stack([
            distances(rig, skeleton, u, v, ViewTrack(at_to[rows, u], weight_to[rows, u]), a, near)
            for u in range(len(rig)) if u != v
        ])  # fmt: skip
        return _lower_median(each)

    doubted = [_beside(rig, skeleton, *each, near) > DOUBTED for each in seen]  # (V, T)
    for v in range(len(rig)):
        for p, person in enumerate(people):
            rows = np.flatnonzero(doubted[p][v])
            if not len(rows):
                continue
            mine = off(p, p, v, rows)
            still = mine > DOUBTED
            rows, mine = rows[still], mine[still]
            for q, other in enumerate(people):
                if p == q or not len(rows):
                    continue
                theirs = np.nan_to_num(off(q, q, v, rows))
                with_theirs = np.nan_to_num(off(p, q, v, rows), nan=CAP)
                back = np.nan_to_num(off(q, p, v, rows))  # 0 where they have no track here
                better = mine + theirs - with_theirs - back > BETTER
                better &= (with_theirs < DOUBTED) & (back < DOUBTED)
                if not better.any():
                    continue
                these = rows[better]
                a, b = person.tracks[these, v].copy(), other.tracks[these, v].copy()
                person.tracks[these, v], other.tracks[these, v] = b, a
                for one, two in zip(seen[p], seen[q], strict=True):
                    kept = one[these, v].copy()
                    one[these, v], two[these, v] = two[these, v], kept
                rows, mine = rows[~better], mine[~better]


def _beside(
    rig: Rig, skeleton: Skeleton, at: np.ndarray, weight: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """(V, T) how far each view of a person is from the others, see `distances`."""
    t, views, _ = weight.shape
    each = np.full((views, views, t), np.nan)
    for u, v in combinations(range(views), 2):
        a, b = (ViewTrack(at[:, i], weight[:, i]) for i in (u, v))
        each[u, v] = each[v, u] = distances(rig, skeleton, u, v, a, b, near)
    return np.stack([_lower_median(each[v]) for v in range(views)])


def _lower_median(each: np.ndarray) -> np.ndarray:
    """(R,) of (N, R), without NaN; the lower one: one of the other views may be wrong, too."""
    known = np.isfinite(each).sum(axis=0)
    return np.sort(each, axis=0)[np.maximum(known - 1, 0) // 2, np.arange(each.shape[1])]


def steady(worlds: np.ndarray, seconds: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Which of P people somebody is in each frame, so that nobody jumps to where another was.

    Args:
        worlds: (P, T, K, 3) metres.
        seconds: (T,) of the frames.
        mirror: (K,) the keypoint of the other side.

    Returns:
        order: (T, P) indices into `worlds`.
    """
    count, t = worlds.shape[:2]
    order = np.broadcast_to(np.arange(count), (t, count)).copy()
    known = np.isfinite(worlds[..., 0]).sum(axis=2) >= 3
    jumped, speed = np.zeros(t, bool), np.zeros((count, t, 3))
    for n, (world, there) in enumerate(zip(worlds, known, strict=True)):
        rows = np.flatnonzero(there)
        far = np.linalg.norm(_step(world, rows[:-1], rows[1:]), axis=1)
        jumped[rows[1:][far > JUMP]] = True
        before = rows[np.searchsorted(seconds[rows], seconds[rows] - AGO)]
        gone = np.maximum(seconds[rows] - seconds[before], 1e-6)[:, None]
        speed[n, rows] = np.where(gone < 2 * AGO, _step(world, before, rows) / gone, 0)
    now = np.arange(count)
    last = np.full((count, 2), -1)  # of each, who it was, and the frame
    for first, end in pairwise([0, *np.flatnonzero(jumped), t]):
        if first:
            cost = np.full((count, count), UNKNOWN)
            for a, n in product(range(count), range(count)):
                who, frame = last[a]
                gone = seconds[first] - seconds[frame]
                if who >= 0 and known[n, first] and gone < FORGET:
                    ahead = worlds[who, frame] + gone * speed[who, frame]
                    far = _moved(ahead, worlds[n, first], mirror)
                    cost[a, n] = min(1.0, max(0.0, far - TURN * gone))
            columns = assignment(cost, np.arange(count), np.inf)
            if cost[np.arange(count), now].sum() - cost[np.arange(count), columns].sum() > JUMP:
                now = columns
        order[first:end] = now
        for a in range(count):
            rows = np.flatnonzero(known[now[a], first:end])
            if len(rows):
                last[a] = now[a], first + rows[-1]
    return order


def _step(world: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(R, 3) metres, the median movement of keypoints between frames; 0 with none in both."""
    moved = world[after] - world[before]
    some = np.isfinite(moved[..., 0]).any(axis=1)
    found = np.zeros((len(before), 3))
    found[some] = np.nanmedian(moved[some], axis=1)
    return found


class TimedPose(NamedTuple):
    """Where a person was."""

    seconds: float
    at: np.ndarray  # (K, 3) metres, NaN where missing


def _ends(
    rig: Rig,
    clusters: Sequence[Sequence[Node]],
    cut: Mapping[Node, ViewTrack],
    near: np.ndarray,
    seconds: np.ndarray,
) -> list[tuple[TimedPose, TimedPose]]:
    """The first and the last clear pose of each cluster in a window."""
    if not clusters:
        return []
    k = cut[clusters[0][0]].weight.shape[1]
    at = np.full((len(clusters), 2, k, len(rig), 2), np.nan)
    weight = np.zeros((len(clusters), 2, k, len(rig)))
    when = list[list[float]]()
    for i, cluster in enumerate(clusters):
        scores = np.stack([cut[node].weight for node in cluster])
        # Keypoints that two views see.
        total = np.where((scores > 0).sum(axis=0) >= 2, scores.sum(axis=0), 0).sum(axis=1)
        clear = np.flatnonzero(total >= CLEAR * total.max())[[0, -1]]
        for node in cluster:
            at[i, :, :, node[0]] = cut[node].at[clear]
            weight[i, :, :, node[0]] = cut[node].weight[clear]
        when.append(seconds[clear].tolist())
    flat = at.reshape(-1, len(rig), 2), weight.reshape(-1, len(rig))
    world = triangulate_points(rig, *flat, 4 * near).world.reshape(-1, 2, k, 3)
    return [
        (TimedPose(begin, first), TimedPose(end, last))
        for (begin, end), (first, last) in zip(when, world, strict=True)
    ]


def _moved(before: np.ndarray, after: np.ndarray, mirror: np.ndarray) -> float:
    """Metres between two (K, 3) poses: the median over keypoints; NaN where it is not known."""
    if len(before) == len(after):
        far = np.linalg.norm([before - after, before - after[mirror]], axis=-1)
        known = np.isfinite(far)
        if known[0].sum() >= 3:
            ways = [
                np.median(each[there])
                for each, there in zip(far, known, strict=True)
                if there.any()
            ]
            return float(min(ways))
    middles = [each[np.isfinite(each[:, 0])] for each in (before, after)]
    if not all(len(each) for each in middles):
        return float("nan")
    return float(np.linalg.norm(np.subtract(*(np.median(each, axis=0) for each in middles))))


def _continued(
    clusters: Sequence[Sequence[Node]],
    ends: Sequence[tuple[TimedPose, TimedPose]],
    people: Sequence[Person],
    mirror: np.ndarray,
) -> list[int]:
    """Whose each cluster is; from `len(people)` on, new ones."""
    gain = np.full((len(clusters), len(people)), -1.0)
    for i, (cluster, (begin, _)) in enumerate(zip(clusters, ends, strict=True)):
        for j, person in enumerate(people):
            votes = sum(
                person.votes[node] / max(1, sum(each.votes[node] for each in people))
                for node in cluster
            )
            moved = _moved(person.pose, begin.at, mirror)
            far = max(0.0, moved - PER_SECOND * (begin.seconds - person.last))
            near = 0.0 if np.isnan(moved) else float(np.clip(1 - far / NEAR, -1, 1))
            less = 0.0 if np.isnan(moved) else 0.1 * moved
            gain[i, j] = votes / len(cluster) + near - less if votes or near > 0 else -1
    numbers = assignment(-gain, np.arange(len(people)), 0.0)
    fresh = numbers < 0
    numbers[fresh] = len(people) + np.arange(fresh.sum())
    return numbers.tolist()
