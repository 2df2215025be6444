"""Sink for one file per person: `walk.trc`, or `walk_1.trc`, `walk_2.trc` if several."""

from __future__ import annotations

from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import Protocol

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.formats.trc import IN_METRES, upward
from vitruvian.frame import Frame


class WriteTrack(Protocol):
    """Writes a track to a file, such as `write_trc`."""

    def __call__(self, track: Track, path: Path, up: str) -> None:
        """Write it."""


class OnePersonFiles:
    """3D tracks of all people, from first to last detection; written at the end.

    Metres are of the world, upright, where the camera is placed in one, or else of the camera.
    A person who returns stays in one file, with a gap. People without track ids are skipped,
    except in a single image, where they are numbered in order.
    """

    def __init__(
        self,
        path: Path,
        write_track: WriteTrack,
        up: str = "y",
        check: Callable[[Skeleton], object] = lambda skeleton: None,
    ) -> None:
        """Nothing is written before the end.

        Args:
            path: the file, if there is one person.
            write_track: writer of one track.
            up: the axis that points up in the file, y or z.
            check: raises `VitruvianError` for a skeleton the format cannot store.
        """
        self.path, self.write_track, self.up, self.check = path, write_track, up, check
        upward(up)
        self.frames: list[Frame] = []
        self.skeleton: Skeleton | None = None
        self.rows: dict[int, dict[int, np.ndarray]] = {}  # person -> frame number -> (K, 3)
        self.unnumbered: list[np.ndarray] = []  # of the first frame

    def __enter__(self) -> OnePersonFiles:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Buffer a frame."""
        self._check(frame, poses)
        at = len(self.frames)
        self.frames.append(Frame(None, frame.index, frame.seconds, frame.source, size=frame.size))
        places = () if poses.xyz is None else poses.xyz
        if poses.world is not None and frame.camera is not None:
            places = poses.world @ frame.camera.level.T
        for person, xyz in zip(poses.person.tolist(), places, strict=True):
            if person >= 0:
                self.rows.setdefault(person, {})[at] = xyz.copy()
            elif at == 0:
                self.unnumbered.append(xyz.copy())

    def _check(self, frame: Frame, poses: Poses) -> None:
        if self.skeleton is None:
            self.skeleton = poses.skeleton
            self.check(poses.skeleton)
        elif poses.skeleton != self.skeleton:
            raise VitruvianError(f"'{self.path}' holds one skeleton, got another")
        if len(poses) and poses.xyz is None:
            raise VitruvianError(
                f"'{self.path}' needs 3D coordinates in metres, got pixels only; {IN_METRES}"
            )
        last = self.frames[-1] if self.frames else frame
        if frame.source != last.source:
            raise VitruvianError(f"'{self.path}' holds one recording, got '{frame.source}' as well")
        if self.frames and not frame.seconds > last.seconds:
            raise VitruvianError(
                f"'{self.path}' needs increasing timestamps, but frame {frame.index} of "
                f"'{frame.source}' is at {frame.seconds:g} s, after {last.seconds:g} s"
            )

    def _people(self) -> dict[int, dict[int, np.ndarray]]:
        if len(self.frames) == 1 and not self.rows:
            return {i: {0: xyz} for i, xyz in enumerate(self.unnumbered, 1)}
        return self.rows

    def _paths(self) -> dict[int, Path]:
        people = sorted(self._people())
        several = {p: self.path.with_stem(f"{self.path.stem}_{p}") for p in people}
        return several if len(people) > 1 else dict.fromkeys(people, self.path)

    @property
    def paths(self) -> list[Path]:
        """Files written, now or at the end."""
        return list(self._paths().values())

    def __exit__(self, *_: object) -> None:
        faults = list[VitruvianError]()
        for person, path in self._paths().items():
            try:
                self.write_track(self._track(person), path, self.up)
            except VitruvianError as error:  # one person; the others are still written
                faults.append(error)
        if faults:
            raise faults[0]

    def _track(self, person: int) -> Track:
        assert self.skeleton is not None
        rows, k = self._people()[person], len(self.skeleton)
        first, last = min(rows), max(rows)
        frames = self.frames[first : last + 1]
        known = np.zeros((len(frames), k), np.float32)
        xyz = np.full((len(frames), k, 3), np.nan, np.float32)
        for at, points in rows.items():
            xyz[at - first], known[at - first] = points, np.isfinite(points).all(axis=-1)
        skeleton, kept = without_face(self.skeleton, known > 0)
        xyz, known, k = xyz[:, kept], known[:, kept], len(kept)
        return Track(
            skeleton,
            person,
            np.array([frame.seconds for frame in frames]),
            np.array([frame.index for frame in frames], np.int64),
            xy=np.full((len(frames), k, 2), np.nan, np.float32),
            score=known,
            box=np.full((len(frames), 4), np.nan, np.float32),
            xyz=xyz,
            origin="camera",
            source=frames[0].source,
            size=frames[0].size,
        )


def without_face(skeleton: Skeleton, known: np.ndarray) -> tuple[Skeleton, list[int]]:
    """The skeleton without a face that has no metres, as that of a mesh; and what it keeps.

    Args:
        skeleton: of K keypoints.
        known: (T, K) bool, whether there are metres of them.
    """
    face = skeleton.parts.get("face", ())
    if not face or known[:, list(face)].any():
        return skeleton, list(range(len(skeleton)))
    kept = [k for k in range(len(skeleton)) if k not in set(face)]
    return skeleton.only(kept, f"{skeleton.name}_without_face"), kept


def in_the_way(path: Path) -> list[Path]:
    """Existing files that writing to `path` may replace."""
    there = path.parent.glob(f"{escape(path.stem)}_*{path.suffix}") if path.parent.is_dir() else ()
    numbered = [each for each in there if each.stem.removeprefix(f"{path.stem}_").isdecimal()]
    return [*([path] if path.exists() else []), *sorted(numbered)]
