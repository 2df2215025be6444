"""Who is who in several views: tracks of the views become people.

The recording is cut into windows. In each, tracks of different views belong together if their
keypoints lie near each other's epipolar lines in most frames; clusters are joined from the nearest
on, never with two tracks of one view. A cluster continues the person whose tracks it has and who
was where it is, so that an id that changes or is exchanged in one view is outvoted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from vitruvian.body.skeleton import Skeleton
from vitruvian.multiview.sides import line_distance
from vitruvian.multiview.triangulation import Rig, triangulate_points

WINDOW = 1.0  # seconds
COMPARED = 6  # frames of a window, spread over it, in which tracks are compared
PLACED = 2  # of them, the best seen, that say where a person is
LEAST = 2  # of them that two tracks share, to be compared
CAP = 3.0  # largest distance of a keypoint that counts, in `near`
LIMIT = 1.7  # mean distance of keypoints up to which tracks belong together, in `near`
KNOWN = 0.7  # of the distance counts, for tracks that were together in the window before
NEAR = 1.0  # metres from where a person was, within which a cluster may be that person
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
    place: np.ndarray = field(default_factory=lambda: np.full(3, np.nan))  # metres, last seen
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
    for first, end in pairwise(borders):
        here = slice(first, end)
        nodes = [node for node, there in seen.items() if there[here].any()]
        some = np.unique(np.linspace(first, end - 1, COMPARED).round().astype(int))
        cut = {(v, n): ViewTrack(views[v][n].at[some], views[v][n].weight[some]) for v, n in nodes}
        clusters = _clusters(rig, skeleton, nodes, cut, known, near)
        several = [cluster for cluster in clusters if len(cluster) > 1]
        for cluster in clusters:
            if len(cluster) == 1:
                alone[cluster[0]] += int(seen[cluster[0]][here].sum())
        places = [_place(rig, cluster, cut, near) for cluster in several]
        now = float(seconds[first])
        who = _continued(several, places, people, now)
        known = {}
        for cluster, place, number in zip(several, places, who, strict=True):
            if number == len(people):
                people.append(Person(np.full((t, len(rig)), -1)))
            person = people[number]
            for node in cluster:
                frames = np.flatnonzero(seen[node][here]) + first
                person.tracks[frames, node[0]] = node[1]
                person.votes[node] += len(frames)
                known[node] = number
            if np.isfinite(place).all():
                person.place, person.last = place, float(seconds[end - 1])
        for cluster in clusters:  # a track that is alone for a moment stays whose it is
            if len(cluster) == 1:
                owner = [i for i, person in enumerate(people) if cluster[0] in person.votes]
                if len(owner) == 1:
                    known[cluster[0]] = owner[0]
    return people, alone


def _clusters(
    rig: Rig,
    skeleton: Skeleton,
    nodes: Sequence[Node],
    cut: Mapping[Node, ViewTrack],
    known: Mapping[Node, int],
    near: np.ndarray,
) -> list[list[Node]]:
    """Tracks that belong together in one window."""
    cost: dict[frozenset[Node], float] = {}
    for a, b in combinations(nodes, 2):
        if a[0] == b[0]:
            continue
        far = distance(rig, skeleton, a[0], b[0], cut[a], cut[b], near)
        if far is not None:
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
            if costs and (mean := float(np.mean(costs))) < best:
                best, found = mean, (i, j)
        if found is None:
            return clusters
        i, j = found
        clusters[i] += clusters.pop(j)


def distance(
    rig: Rig,
    skeleton: Skeleton,
    u: int,
    v: int,
    a: ViewTrack,
    b: ViewTrack,
    near: np.ndarray,
) -> float | None:
    """How far two tracks are from being one person, in `near`; None if it cannot be said.

    The median over frames of the mean distance from epipolar lines, where left and right may be
    exchanged.
    """
    scale = (near[u] + near[v]) / 2
    mirror = skeleton.mirror
    trust = np.minimum(a.weight, b.weight)
    trust = np.where(np.isfinite(a.at).all(axis=-1) & np.isfinite(b.at).all(axis=-1), trust, 0)
    trust = np.minimum(trust, trust[:, mirror])  # both sides of a pair, or neither
    shared = (trust > 0).sum(axis=1) >= 3
    if shared.sum() < LEAST:
        return None
    trust, at_a, at_b = trust[shared], a.at[shared], b.at[shared]
    at_b = np.stack([at_b, at_b[:, mirror]])  # as they are, and with left and right exchanged
    off = line_distance(rig, u, v, at_a, at_b) / scale
    off = np.where(trust > 0, np.minimum(off, CAP), 0)
    off = (off + off[:, :, mirror]).min(axis=0) / 2
    mean = (off * trust).sum(axis=1) / trust.sum(axis=1)
    return float(np.median(mean))


def _place(
    rig: Rig, cluster: Sequence[Node], cut: Mapping[Node, ViewTrack], near: np.ndarray
) -> np.ndarray:
    """(3,) metres, the middle of a cluster's keypoints in a window."""
    first = cut[cluster[0]]
    t, k = first.weight.shape
    at, weight = np.full((t, k, len(rig), 2), np.nan), np.zeros((t, k, len(rig)))
    for v, number in cluster:
        at[:, :, v], weight[:, :, v] = cut[v, number].at, cut[v, number].weight
    best = np.argsort(weight.sum(axis=(1, 2)))[-PLACED:]
    flat = at[best].reshape(-1, len(rig), 2)
    found = triangulate_points(rig, flat, weight[best].reshape(-1, len(rig)), 4 * near)
    known = np.isfinite(found.world[:, 0])
    return np.median(found.world[known], axis=0) if known.any() else np.full(3, np.nan)


def _continued(
    clusters: Sequence[Sequence[Node]],
    places: Sequence[np.ndarray],
    people: Sequence[Person],
    now: float,
) -> list[int]:
    """Whose each cluster is; from `len(people)` on, new ones."""
    if not clusters:
        return []
    gain = np.full((len(clusters), len(people)), -1.0)
    for i, (cluster, place) in enumerate(zip(clusters, places, strict=True)):
        for j, person in enumerate(people):
            votes = sum(
                person.votes[node] / max(1, sum(each.votes[node] for each in people))
                for node in cluster
            )
            far = np.linalg.norm(place - person.place) - PER_SECOND * (now - person.last)
            near = 0.0 if np.isnan(far) else float(np.clip(1 - max(far, 0) / NEAR, -1, 1))
            moved = 0.0 if np.isnan(far) else float(np.linalg.norm(place - person.place))
            gain[i, j] = votes / len(cluster) + near - 0.1 * moved if votes or near > 0 else -1
    rows, columns = linear_sum_assignment(-gain) if len(people) else ([], [])
    taken = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0}
    numbers, fresh = [], len(people)
    for i in range(len(clusters)):
        if i not in taken:
            taken[i], fresh = fresh, fresh + 1
        numbers.append(taken[i])
    return numbers
