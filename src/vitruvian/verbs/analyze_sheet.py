"""The contact sheet of an analysis: each event's clearest frame, so that a person can check it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.analysis.degrees import StateKey
from vitruvian.analysis.events import Event
from vitruvian.analysis.found import FrameAnalysis, state_phrase
from vitruvian.analysis.posture import SIDES
from vitruvian.errors import amount
from vitruvian.formats.atomic_file import write_whole
from vitruvian.formats.growing import GrowingText
from vitruvian.rendering.contact_sheet import SheetCell, person_cell, sheet_pages
from vitruvian.rendering.report import jpeg_of
from vitruvian.verbs.folder import LEDGERS

if TYPE_CHECKING:
    from vitruvian.frame import Frame

TALL = 300.0  # pixels; larger people are not clearer
LEAST_SCORE = 0.05  # of keypoints: an event of a doubtful pose has a picture, too


@dataclass(frozen=True, eq=False)
class _Picture:
    clear: float
    seconds: float
    rgb: np.ndarray


class ClearestFrames:
    """The clearest picture of each event of one source that has not ended; others are let go.

    Clear is where the rule holds most surely, the person is large and sharp, and the keypoints are
    sure.
    """

    def __init__(self, visible: float) -> None:
        """`visible`: 0..1, minimum score of the keypoints that are drawn."""
        self.visible = visible
        self.best: dict[StateKey, _Picture] = {}

    def see(self, frame: Frame, found: FrameAnalysis, going: Iterable[StateKey]) -> None:
        """Look at the next frame, with pixels; `going`: events that it belongs to."""
        poses = found.poses
        rows = {person: row for row, person in enumerate(poses.person.tolist())}
        drawn: dict[int, tuple[np.ndarray, float]] = {}
        for key in going:
            row = rows.get(key.person)
            if row is None:
                continue
            degree = found.degrees[key.rule][row]
            degree = float(degree[SIDES.index(key.side)] if key.side else degree)
            if degree != degree:
                continue
            tall = float(np.nan_to_num(poses.box[row, 3] - poses.box[row, 1]))
            score = max(float(np.nan_to_num(poses.score[row]).mean()), LEAST_SCORE)
            clear = degree**2 * score * float(np.clip(tall, 1, TALL)) / TALL
            before = self.best.get(key)
            if before is not None and clear <= before.clear:
                continue  # not even if it is perfectly sharp
            if row not in drawn:
                drawn[row] = person_cell(frame, poses, row, self.visible)
            rgb, sharp = drawn[row]
            if before is None or clear * sharp > before.clear:
                self.best[key] = _Picture(clear * sharp, frame.seconds, rgb)

    def take(self, event: Event) -> np.ndarray | None:
        """The picture of an event that has ended; None if its frames had no pixels."""
        found = self.best.pop(StateKey(event.person, event.rule, event.side), None)
        if found is None or not event.start <= found.seconds <= event.end:
            return None
        return found.rgb


class EventSheet:
    """Pictures of events, kept in a file until the pages are made of them."""

    def __init__(self, out: Path) -> None:
        """Nothing is written yet."""
        self.out, self.paths = out, list[Path]()
        self.kept = GrowingText(out / LEDGERS / "sheet.jsonl", "")

    def add(self, event: Event, rgb: np.ndarray) -> None:
        """Keep the picture of an event."""
        line: dict[str, Any] = {name: getattr(event, name) for name in (
            *("rule", "source", "person", "side", "start", "end", "confidence"),
        )}  # fmt: skip
        line["jpeg"] = base64.b64encode(jpeg_of(rgb)).decode()
        self.kept.add(json.dumps(line) + "\n")

    def cells(self, most: int | None = None) -> Iterator[SheetCell]:
        """The pictures by rule, source and time, at most so many."""
        path = self.kept.part.path
        if not path.is_file():
            return
        places = list[tuple[tuple[Any, ...], int]]()
        with path.open("rb") as file:
            while line := file.readline():
                event = json.loads(line)
                order = tuple(event[k] for k in ("rule", "source", "start", "person", "side"))
                places.append((order, file.tell() - len(line)))
            counts: dict[str, int] = {}
            for (rule, *_), _ in places:
                counts[rule] = counts.get(rule, 0) + 1
            several = len({source for (_, source, *_), _ in places}) > 1
            for _, place in sorted(places)[:most]:
                file.seek(place)
                event = json.loads(file.readline())
                rule = event["rule"]
                heading = f"{rule}: {amount(counts[rule], 'event')}"
                yield SheetCell(heading, _caption(event, several), base64.b64decode(event["jpeg"]))

    def write(self) -> None:
        """Write the pages, `sheet_1.jpg` and so on; those of an earlier run that had more go."""
        self.paths = []
        for number, page in enumerate(sheet_pages(self.cells()), 1):
            path = self.out / f"sheet_{number}.jpg"
            write_whole(path, jpeg_of(page))
            self.paths.append(path)
        for path in self.out.glob("sheet_*.jpg"):
            if re.fullmatch(r"sheet_[0-9]+\.jpg", path.name) and path not in self.paths:
                path.unlink()


def _caption(event: dict[str, Any], several: bool) -> tuple[str, ...]:
    """What an event is, in a few lines."""
    who = f"person {event['person']}"
    what = state_phrase(event["rule"], event["side"], "yes")
    sure = f"{event['confidence']:.2f}"
    moving = event["end"] > event["start"]
    when = f"{event['start']:.1f} to {event['end']:.1f} s" if moving else ""
    lines = (who, what, "   ".join(filter(None, (when, sure))))
    return (*lines, Path(event["source"]).name) if several or not moving else lines
