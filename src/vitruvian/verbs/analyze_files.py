"""Output files of an analysis: tables, and annotated images, videos and plots of each source."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.analysis import motion
from vitruvian.analysis.angles import Space, angle_names, has_parts, match_angles
from vitruvian.analysis.cycles import Repetitions
from vitruvian.analysis.degrees import StateKey
from vitruvian.analysis.events import Event
from vitruvian.analysis.found import (
    AnalysisSettings,
    Analyst,
    FrameAnalysis,
    angle_arms,
    head_top_y,
    state_label,
    state_phrase,
)
from vitruvian.body.track import Tracks
from vitruvian.rendering.annotate import FEW, Annotator, Arc, Line, Note
from vitruvian.rendering.draw import draw
from vitruvian.rendering.figures import write_figure
from vitruvian.rendering.film import AnnotatedVideo, write_picture
from vitruvian.rendering.lettering import Steady
from vitruvian.rendering.plot import Cyclic, Plot
from vitruvian.rendering.timeline import Timeline
from vitruvian.sources.open import VideoFile
from vitruvian.sources.record import with_pixels
from vitruvian.verbs.analyze_report import AnalysisReport, RuleTally
from vitruvian.verbs.analyze_sheet import ClearestFrames
from vitruvian.verbs.output_files import OutputFiles

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses
    from vitruvian.body.track import Track
    from vitruvian.frame import Frame
    from vitruvian.sources.open import Source


@dataclass(frozen=True)
class AnalysisPlan:
    """The output files of one source."""

    files: OutputFiles
    timeline: tuple[Path, ...] = ()  # a figure, as .png, .pdf or .svg
    angles: tuple[Path, ...] = ()
    pictured: bool = True  # whether there are pixels for the contact sheet

    def paths(self) -> list[Path]:
        """All paths."""
        return [*self.files.paths(), *self.timeline, *self.angles]


class Analysis:
    """A sink for the frames of one source: its rows of the tables, its images and its plot."""

    def __init__(
        self,
        report: AnalysisReport,
        asked: AnalysisSettings,
        plan: AnalysisPlan,
    ) -> None:
        """Nothing is written yet.

        Args:
            report: the tables of the whole analysis.
            asked: settings of the report, or those that need no pixels.
            plan: the output files of the source.
        """
        each = plan.files
        self.report, self.asked, self.plan, self.figures = report, asked, each, plan
        self.tracks, self.annotator, self.widths = Tracks(), Annotator(), Steady()
        self.found: FrameAnalysis | None = None
        self.extents: dict[
            tuple[int, Space, str], motion.MotionExtent
        ] = {}  # third key: skeleton name
        self.up: tuple[float, ...] | None = None
        self.plot = Plot(()) if plan.angles else None
        name = each.source.name
        self.timeline = (
            Timeline(name, partial(state_phrase, state="yes")) if plan.timeline else None
        )
        self.repetitions: dict[int, Repetitions] = {}
        path = each.video()
        self.film = None if path is None else AnnotatedVideo(path, report.save.visible, self.paint)
        self.drawn = True
        self.clearest = None
        if report.sheet is not None and plan.pictured:
            self.clearest = ClearestFrames(report.save.visible)
        drawn = path is not None or self.clearest is not None
        source, self.live = each.source, is_live(each.source, drawn=drawn and each.source.moving)
        self.analyst = Analyst(asked, moving=source.moving, live=self.live)
        # Frames of a recording are final later than they are read, and are read again then.
        self.waiting: deque[tuple[Frame, Poses]] = deque()
        again = drawn and source.moving
        self.again = with_pixels(source, iter(self.waiting.popleft, None)) if again else None
        self.made: list[Path] = []

    def __enter__(self) -> Analysis:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Analyze a frame, and write it and the frames that become final with it."""
        for settled, found in self.analyst(frame, poses):
            self.settle(settled, found)
        if self.asked.angles and self.plan.source.moving:
            self.up = None if frame.camera is None else tuple(frame.camera.up.tolist())
            self.moved(self.tracks.add(frame, poses))

    def settle(self, frame: Frame, found: FrameAnalysis) -> None:
        """Write the analysis of a frame."""
        moving, first, self.found = self.plan.source.moving, self.found is None, found
        if first and found.angles is not None:
            self.shown(found.space)  # raises if the angles need metres and there are none
        self.report.seen(frame, found, moving=moving)
        if self.timeline is not None:
            self.timeline.add(frame.seconds, found.states)
        over = [event for event in found.events if moving and event.end < frame.seconds]
        self.happened(over)
        if found.angles is not None and not moving and len(found.poses):
            among, parts = self.report.space, self.report.parts
            values = motion.widen_columns(found.angles, found.space, among, parts)
            self.report.angles(motion.picture_angle_rows(frame, found.poses, values, found.spaces))
        if self.drawn and moving:
            self.drawn = False  # until it succeeds: after one read or write error, drawing stops
            if frame.pixels is None and self.again is not None:
                self.waiting.append((frame, found.poses))
                frame, _ = next(self.again)
            if self.film is not None:
                self.film.write(frame, found.poses)
            self.drawn = True
        elif frame.pixels is not None and (path := self.plan.video(frame.source)) is not None:
            write_picture(path, self.paint(frame, found.poses, self.report.save.visible))
            self.made.append(path)
        if self.clearest is not None and frame.pixels is not None:
            self.clearest.see(frame, found, self.going(found))
        self.happened([event for event in found.events if event not in over])
        if not moving:
            self.report.end()

    def going(self, found: FrameAnalysis) -> Iterator[StateKey]:
        """The events that a frame belongs to."""
        if not self.live:
            yield from (key for key, state in found.states.items() if state == "yes")
            return
        for key, going in self.analyst.watch.going.items():
            if going.held == self.analyst.watch.seconds:
                yield key

    def happened(self, events: Sequence[Event]) -> None:
        """Write events to the tables and the plot."""
        self.report.happened(events)
        for event in events:
            if self.plot is not None:
                what = state_phrase(event.rule, event.side, "yes")
                self.plot.band(event.person, what, event.side, event.start, event.end)
            if self.timeline is not None:
                key = (event.person, event.rule, event.side)
                self.timeline.event(key, event.start, event.end)
            if self.clearest is not None and self.report.sheet is not None:
                picture = self.clearest.take(event)
                if picture is not None and event.state == "yes":
                    self.report.sheet.add(event, picture)

    def moved(self, tracks: Iterable[Track]) -> None:
        """Write angles and movement of finished tracks."""
        for track in tracks:
            space = self.space(track)
            parts = has_parts(track.skeleton)
            values = motion.angles_over_time_deg(
                track, space, up=self.up if space == "3d" else None, parts=parts
            )
            among, of_parts = self.report.space, self.report.parts
            self.report.angles(motion.angle_rows(track, values, space, among, of_parts))
            kind = (track.person, space, track.skeleton.name)
            if kind not in self.extents:
                metres = track.xyz is not None and self.asked.space != "2d"
                extent = motion.MotionExtent(space, track.skeleton, metres, parts=parts)
                self.extents[kind] = extent
            self.extents[kind].add(track, values)
            names = self.shown(among)
            columns = [angle_names(among, parts=True).index(name) for name in names]
            degrees = motion.widen_columns(values, space, among, parts=True)[:, columns]
            self.repeated(track, names, degrees)
            if self.plot is not None:
                self.plot.names = names
                self.plot.add(track.person, track.seconds, degrees, f"angles in {space.upper()}")

    def repeated(self, track: Track, names: tuple[str, ...], degrees: np.ndarray) -> None:
        """Find the cycles of a finished track, (T, A) degrees of the angles that are shown."""
        known = self.repetitions.get(track.person) or Repetitions(names)
        if cycles := known.add(track.seconds, degrees):
            self.repetitions[track.person] = known
            self.report.repeated(track.source, track.person, cycles)
            if self.plot is not None:
                cyclic = Cyclic(known.reference, known.count, *known.spread())
                self.plot.cycles(track.person, cyclic)

    def space(self, track: Track) -> Space:
        """Whether the angles of a track are 2D or 3D, as drawn."""
        if self.asked.space is not None:
            return self.asked.space
        seen = self.analyst.views.people.get(track.person)
        return "2d" if track.xyz is None else "3d" if seen is None else seen.space

    def remarks(self) -> Iterator[str]:
        """Lines about choices made for a video."""
        name = self.plan.source.name
        if self.live and self.asked.rules:
            yield (
                f"{name} cannot be read twice; the drawing lags up to {self.asked.options.gap:g} "
                "s behind the detection"
            )
        if not self.extents or self.found is None or self.asked.space is not None:
            return
        people = self.analyst.views.people
        if not people:
            why = (
                "xyz is not relative to the hips" if self.found.space == "3d" else "there is no xyz"
            )
            yield f"{name}: angles in {self.found.space.upper()}: {why}"
        for space in ("2d", "3d"):
            here = [who for who, seen in people.items() if seen.space == space and who >= 0]
            side, known = (
                sum(getattr(people[person], part) for person in here) for part in ("side", "known")
            )
            if here:
                listed = ", ".join(map(str, here[:6])) + (", ..." if here[6:] else "")
                yield (
                    f"{name}: angles of person {listed} in {space.upper()}, seen from the side in "
                    f"{side / max(known, 1):.0%} of the frames; --space sets one for all"
                )

    def shown(self, space: Space) -> tuple[str, ...]:
        """The angles that are drawn and plotted."""
        return match_angles(self.report.shown, space)

    def paint(self, frame: Frame, poses: Poses, visible: float) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the frame with all people, their postures and their angles."""
        assert self.found is not None
        # The tag shows the track id. Images, unlike frames of a video, share no people.
        widths = self.widths if self.plan.source.moving else None
        image = draw(frame, poses, visible, hidden=True, numbers=False, widths=widths)
        self.annotator(image, list(self.notes(self.found)))
        return image

    def notes(self, found: FrameAnalysis) -> Iterator[Note]:
        """Text notes for each person."""
        poses, few = found.poses, len(found.degrees) <= FEW
        shown = self.shown(found.space) if found.angles is not None else ()
        drawn = {name: angle_arms(name, poses) for name in shown}
        beside = {name: angle_arms(_mirrored(name), poses)[0] for name in shown}
        top = head_top_y(poses)
        for row, person in enumerate(poses.person.tolist()):
            lines = tuple(Line(*pair) for pair in state_label(found, person, everything=few))
            arcs = []
            box = poses.box[row].copy()
            box[1] = np.fmin(box[1], top[row])
            for name, (at, zero, to) in drawn.items():
                value = found.angle_deg(name)[row]
                if np.isfinite(value):
                    sided = _mirrored(name) != name
                    aside = _away(at[row], beside[name][row], box) if sided else 0.0
                    arcs.append(Arc(at[row], zero[row], to[row], f"{value:.0f}°", aside))
            yield Note(person, box, lines, tuple(arcs))

    def __exit__(self, *error: object) -> None:
        try:
            rest, events = self.analyst.close()
            for frame, found in rest:
                self.settle(frame, found)
            self.happened(events)
        finally:
            if self.again is not None:
                self.again.close()
            if self.film is not None:
                self.film.__exit__(*error)
        for rule, times in self.analyst.watch.short.items():
            self.report.tallies.setdefault(rule, RuleTally()).short += times
        if self.timeline is not None:
            self.made += write_figure(self.timeline.figure(), self.figures.timeline)
        if self.found is None or self.found.angles is None:
            return
        self.moved(self.tracks.close())
        source = self.tracks.last.source if self.tracks.last is not None else ""
        for (person, *_), extent in sorted(self.extents.items(), key=lambda each: each[0]):
            self.report.went(source, person, extent)
        if self.plot is not None:
            self.made += write_figure(self.plot.figure(), self.figures.angles)

    @property
    def own(self) -> list[Path]:
        """The files of this source written so far."""
        return [*(self.film.paths if self.film is not None else []), *self.made]

    @property
    def paths(self) -> list[Path]:
        """The same, and the tables shared by all sources."""
        return [*self.report.paths, *self.own]


def is_live(source: Source, *, drawn: bool) -> bool:
    """Whether frames must be drawn as they arrive, because they cannot be read again."""
    if source.live or not drawn:
        return source.live
    here = isinstance(source, VideoFile) and os.path.isfile(source.address)  # noqa: PTH113  # no error for odd names
    return not here


def _away(at: np.ndarray, other: np.ndarray, box: np.ndarray) -> float:
    """-1 or 1: the side of a joint with free space, away from the opposite joint or the body."""
    middle = other[0] if np.isfinite(other).all() else box[[0, 2]].mean()
    return 1.0 if at[0] >= middle else -1.0


def _mirrored(name: str) -> str:
    """The same angle on the other side of the body."""
    swap = {"left": "right", "right": "left"}
    side, _, rest = name.partition("_")
    return f"{swap[side]}_{rest}" if side in swap else name
