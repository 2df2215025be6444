"""Top-down pose estimation: detect people, crop each, run the network on a batch, decode."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.frame import Frame, checked
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import Find
from vitruvian.models.options import StreamDefaults
from vitruvian.network.open import Network
from vitruvian.network.threads import imap

MOVES = 0.04  # of its side, how far a crop moves from one frame to the next, at most times


class Head(Protocol):
    """What a family does with a region; see `models/blazepose.py`.

    One that knows where to look next before it decodes everything also has `next_look(outputs,
    crops, look)`: bit for bit the `look` of the poses that `decode` will give, or None if somebody
    is lost.
    """

    skeleton: Skeleton
    network: Network

    def crops(self, frame: Frame, regions: Regions) -> list[Crop]:
        """The network's view of each region, or several views of each."""
        ...

    def prepare(self, frame: Frame, crops: Sequence[Crop]) -> np.ndarray:
        """(M, ...) the network's input, a row or several for each crop."""
        ...

    def decode(
        self, frame: Frame, outputs: Sequence[np.ndarray], crops: Sequence[Crop], look: Regions
    ) -> Poses:
        """The network's M rows about one frame -> those of the N people who are really there."""
        ...


@dataclass(frozen=True)
class Started:
    """One frame in the network; see `TopDown.start`."""

    frame: Frame
    look: Regions
    # Waits for the network; regions for the next frame, before the poses are decoded; None: unknown
    next_look: Callable[[], Regions | None]
    poses: Callable[[], Poses]  # waits for the network; those who are really there
    # Converts to RGB what a later frame will need if people move little.
    prepare: Callable[[Frame], None] = lambda frame: None


class TopDown:
    """Top-down model: `find` detects the people, `head` estimates their joints. Stateless."""

    def __init__(
        self,
        find: Find,
        head: Head,
        most: int,
        *,
        batch: int = 64,
        name: str = "",
        weights: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Put the two together.

        Args:
            find: the person finder.
            head: the family.
            most: maximum number of people per frame, by score.
            batch: maximum batch size of the network, which bounds its memory.
            name: of the model in the catalogue, for records.
            weights: name and SHA-256 of its files, for records.
            options: all options it was loaded with, for records and for `pipeline`.
        """
        self.find, self.head, self.most, self.batch = find, head, most, batch
        self.name, self.weights, self.options = name, dict(weights or {}), dict(options or {})
        self.wanted = StreamDefaults()

    @property
    def runs_on(self) -> str:
        """What computes the head's network; nothing for one that does not know."""
        return getattr(self.head.network, "runs_on", "")

    @property
    def skeleton(self) -> Skeleton:
        """Of the poses it gives."""
        return self.head.skeleton

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None
    ) -> list[Poses]:
        """Everyone in each frame.

        Args:
            frames: any number of frames, of any sizes.
            look: regions of each frame; by default the detector runs.
        """
        frames = checked(frames)
        if not frames:
            return []
        if look is None:
            look = [found.take(slice(self.most)) for found in self.find(frames)]
        several = sum(map(len, look)) > 1
        if several and getattr(self.head.network, "side_by_side", False):
            pairs = zip(frames, look, strict=True)
            runs = [self.start(*pair, beside=True) for pair in pairs]
            return [run.poses() for run in runs]
        crops = [self.head.crops(*pair) for pair in zip(frames, look, strict=True)]
        inputs = [self.head.prepare(*pair) for pair in zip(frames, crops, strict=True)]
        outputs = self.run(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
        ends = np.cumsum([len(rows) for rows in inputs])[:-1]
        rows = zip(*(np.split(output, ends) for output in outputs), strict=True)
        return [self.head.decode(*parts) for parts in zip(frames, rows, crops, look, strict=True)]

    def stream(self, frames: Iterable[Frame]) -> Iterator[Poses]:
        """Everyone in each of unrelated frames, in order; `streams` of them in parallel."""
        streams = int(self.options.get("streams") or 1)
        one = lambda frame: self([frame])[0]  # noqa: E731
        return map(one, frames) if streams == 1 else imap(one, frames, streams)

    def start(self, frame: Frame, look: Regions, *, beside: bool = False) -> Started:
        """Begin to look at those regions; the network runs in the background.

        Args:
            frame: where to look.
            look: the regions.
            beside: whether other frames are looked at meanwhile.
        """
        head = self.head
        crops = head.crops(frame, look)
        early: Any = getattr(head.network, "start", None)
        beside = (beside or len(look) > 1) and getattr(head.network, "side_by_side", False)
        parts = [crops]
        if beside and crops:  # the network runs for one person while the crop of the next is made
            views = len(crops) // len(look)
            parts = [crops[i : i + views] for i in range(0, len(crops), views)]
        waits: list[Callable[[], Sequence[np.ndarray]]] = []
        for part in parts:
            rows = head.prepare(frame, part)
            if early and (beside or len(rows) <= self.batch):
                waits.append(early(rows, beside=beside))
            else:
                waits.append(functools.partial(self.run, rows))

        @functools.cache
        def outputs() -> Sequence[np.ndarray]:
            done = [wait() for wait in waits]
            return (
                done[0] if len(done) == 1 else [np.concatenate(o) for o in zip(*done, strict=True)]
            )

        quick: Any = getattr(head, "next_look", None)

        def prepare(later: Frame) -> None:
            for crop in crops:
                low, high = np.split(crop.bounds(), 2)
                margin = MOVES * (high - low)
                later.part(np.concatenate([low - margin, high + margin]))

        return Started(
            frame,
            look,
            lambda: quick and quick(outputs(), crops, look),
            lambda: head.decode(frame, outputs(), crops, look),
            prepare,
        )

    def run(self, rows: np.ndarray) -> Sequence[np.ndarray]:
        """All people of all frames at once, or in as few batches as may be."""
        starts = range(0, max(len(rows), 1), self.batch)
        parts = [self.head.network(rows[start : start + self.batch]) for start in starts]
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]
