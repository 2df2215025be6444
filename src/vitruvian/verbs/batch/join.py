"""Join the records of the pieces of a video: each frame once, and everyone with one track id.

Pieces overlap, see `vitruvian.verbs.batch.pieces`. The people of two pieces are matched by the
frames that both have seen.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.similar import DOUBLE, oks
from vitruvian.errors import note, shown
from vitruvian.formats.records import Record
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import iou
from vitruvian.sources.open import Source
from vitruvian.verbs.batch.pieces import Piece

Pair = tuple[Frame, Poses]
AGREE = 0.5  # of the frames in which both are seen: how many must show the same person


class Joined:
    """The frames of a video by the records of its pieces: pairs of frame and poses."""

    def __init__(
        self, source: Source, records: Sequence[Path], pieces: Sequence[Piece], stride: int
    ) -> None:
        """Nothing is read yet but the headers.

        Args:
            source: the video; its frames get its address.
            records: of its pieces.
            pieces: in order.
            stride: of the frames.
        """
        self.source, self.stride = source, stride
        # Where timestamps jump, there may be a piece without frames.
        some = [pair for pair in zip(records, pieces, strict=True) if _has_frames(pair[0])]
        self.records = [Record(path) for path, _ in some]
        self.pieces = [piece for _, piece in some]
        options = self.records[0].header.get("options", {})
        self._by_number = bool(options.get("track")) and options.get("detect_every") is not None
        self.lost = 0  # frames that are in no record, because they could not be decoded

    def __iter__(self) -> Iterator[Pair]:
        numbers = dict[Hashable, int]()  # of a person -> track id
        before: list[Pair] = []  # frames of the piece before, from the start of this one on
        who = dict[int, Hashable]()  # track id in that piece -> person
        last: Frame | None = None
        for i, (record, piece) in enumerate(zip(self.records, self.pieces, strict=True)):
            following = self.pieces[i + 1] if i + 1 < len(self.pieces) else None
            pairs = iter(record)
            shared = _until(pairs, before[-1][0].index) if before else []
            same = match(before, shared)
            _tell(self.source, before, shared, same, piece)
            known = {right: who.get(left, (i - 1, left)) for left, right in same.items()}
            before, who = [], known
            for frame, poses in chain(shared, pairs):
                if following is not None and frame.seconds >= following.start:
                    before.append((frame, poses))
                if frame.seconds < piece.first:
                    continue
                if following is not None and frame.seconds >= following.first:
                    continue
                if last is not None:
                    self.lost += (frame.index - last.index) // self.stride - 1
                last = frame
                yield self._named(i, frame, poses, who, numbers)

    def _named(
        self,
        piece: int,
        frame: Frame,
        poses: Poses,
        who: dict[int, Hashable],
        numbers: dict[Hashable, int],
    ) -> Pair:
        """The frame with track ids of the whole video, by first appearance."""
        known = {-1: -1}  # track id in the piece -> in the video
        for own in sorted({*poses.person.tolist()} - {-1}):
            person = who.setdefault(own, (piece, own))
            known[own] = numbers.setdefault(person, len(numbers) + 1)
        ids = np.array([known[own] for own in poses.person.tolist()], np.int64)
        if (ids != poses.person).any():
            raw = None if poses.raw is None else replace(poses.raw, person=ids)
            poses = replace(poses, person=ids, raw=raw)
        if self._by_number:
            order = np.argsort(np.where(ids > 0, ids, np.inf), kind="stable")
            if (np.diff(order) < 0).any():
                poses = poses.take(order)
        address = getattr(self.source, "address", frame.source)
        return frame if frame.source == address else replace(frame, source=address), poses


def _tell(
    source: Source,
    before: Sequence[Pair],
    shared: Sequence[Pair],
    same: dict[int, int],
    piece: Piece,
) -> None:
    """Say where two pieces show different people."""
    at = {frame.index: poses for frame, poses in before}
    for frame, poses in shared:
        if frame.seconds < piece.first or frame.index not in at:
            continue
        gone = set(at[frame.index].person.tolist()) - {-1, *same}
        come = set(poses.person.tolist()) - {-1, *same.values()}
        if gone and come:
            note(
                f"'{shown(source.name, 80)}': its pieces follow different people at "
                f"{frame.seconds:g} s, who get new track ids; if there are more people than "
                "the model may find, raise --num-poses, or use --cut 0"
            )
        return


def _has_frames(record: Path) -> bool:
    return record.is_file() and record.stat().st_size > 0


def _until(pairs: Iterator[Pair], index: int) -> list[Pair]:
    """The first pairs, up to this frame."""
    some: list[Pair] = []
    for pair in pairs:
        some.append(pair)
        if pair[0].index >= index:
            break
    return some


def match(before: Sequence[Pair], after: Sequence[Pair]) -> dict[int, int]:
    """Track ids of one record -> those of the same people in another, by frames of both.

    People are the same in a frame if their poses are (OKS from `DOUBLE`; IoU without shared
    keypoints). Ids are assigned so that as many frames as possible agree.
    """
    others = {frame.index: poses for frame, poses in after}
    pairs = [(poses, others[frame.index]) for frame, poses in before if frame.index in others]
    left, right = (
        sorted({n for pair in pairs for n in pair[side].person.tolist() if n >= 0})
        for side in (0, 1)
    )
    same, seen = np.zeros((2, len(left), len(right)))
    for one, other in pairs:
        rows, columns = np.flatnonzero(one.person >= 0), np.flatnonzero(other.person >= 0)
        if not len(rows) or not len(columns):
            continue
        one, other = one.take(rows), other.take(columns)
        alike = oks(one.xy, one.score, one.box, other.xy, other.score, one.skeleton)
        alike = np.where(np.isnan(alike), iou(one.box, other.box), alike)
        at = np.ix_(np.searchsorted(left, one.person), np.searchsorted(right, other.person))
        same[at] += alike >= DOUBLE
        seen[at] += 1
    if not same.any():
        return {}
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-same)
    return {
        left[i]: right[j]
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        if same[i, j] > AGREE * seen[i, j]
    }
