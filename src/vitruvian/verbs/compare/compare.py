"""Compare: several models on the same images or video, side by side.

First each model processes everything and writes a record; then all records are read together,
frame by frame: panels are drawn, people matched, and differences summed up. So only one model is
in memory at a time, and only a few frames of a video.

The folder receives: `records/`, a record of each source and model; panels of each video as
`.mp4` and of each image as `.jpg`; `disagreement.jsonl`, one line per frame; `comparison.json`,
all numbers; `report.html`, the report. Existing records are kept, so that an interrupted
comparison can be resumed, and a model added to it; what it is of, and which records are complete,
is in its ledger, see `verbs.folder`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, amount, note
from vitruvian.formats.atomic_file import AtomicFile, WriteError, alone_in, write_whole, writing
from vitruvian.formats.records import Record
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.models.load import check_options, for_pictures, load
from vitruvian.models.ready import is_network_file
from vitruvian.models.spec import ModelSpec, model_specs
from vitruvian.rendering.draw import VISIBLE
from vitruvian.rendering.film import VideoWriter, write_picture
from vitruvian.rendering.lettering import Steady
from vitruvian.sources.open import Pictures, Source, Span, VideoFile, open_source
from vitruvian.sources.threads import Prefetch, count_of, readable
from vitruvian.stopping import hold_signals, interruptible
from vitruvian.streams.stream import Given, seen_by
from vitruvian.verbs.benchmark import machine
from vitruvian.verbs.compare.lines import FrameRecord, FrameResult, finished, write_lines
from vitruvian.verbs.compare.panels import StageView, panels, view
from vitruvian.verbs.compare.result import Comparison
from vitruvian.verbs.compare.summary import Chapter, write_comparison
from vitruvian.verbs.compare.tally import SourceTally
from vitruvian.verbs.folder import Ledger, identity, ledger_of, stamped
from vitruvian.verbs.groups import CameraWords, verb
from vitruvian.verbs.outputs import Names, check_visible, need_folder
from vitruvian.verbs.progress import progress

NUMBERS = "comparison.json"


@dataclass(frozen=True, eq=False)
class Contestant:
    """One side of a comparison: a model, or existing records."""

    label: str
    contender: ModelSpec | None = None
    saved: Path | None = None

    def of(self) -> dict[str, Any]:
        """What its poses depend on, besides the source."""
        one = self.contender
        if one is None:
            return {"model": stamped(self.saved or "")}
        weights = stamped(one.name) if is_network_file(one.name) else one.name
        return {"model": weights, "options": dict(one.options)}


@verb
def compare(
    source: str | Path | Sequence[str | Path],
    model: Sequence[str | ModelSpec] | None = None,
    out: str | Path = Path("comparison"),
    *,
    results: Sequence[str | Path] | None = None,
    span: Span = Span(),
    camera: CameraWords = CameraWords(),
    visible: float = VISIBLE,
    overwrite: bool = False,
    resume: bool = False,
    on_error: Callable[[VitruvianError], None] | None = None,
) -> Comparison:
    """Compare models on the same source.

    Args:
        source: image, folder, glob pattern or video, or several.
        model: catalogue names, files, or specs.
        out: output folder.
        results: records (.jsonl) of the same source, from other programs.
        span: which frames; by default all.
        camera: `camera`, `fov_deg`, `focal` or `focal_mm`; by default from the images.
        visible: 0..1; keypoints with this score or more are drawn.
        overwrite: replace a comparison in the folder.
        resume: continue a comparison of the same source: finished records are kept, and models may
            be added.
        on_error: called with each error. Without it, the rest is done first, and then the first
            error is raised.

    Raises:
        VitruvianError: unknown source, model, option or record, fewer than two sides, or a folder
            with other content.
    """
    check_visible(visible)
    need_folder(out := Path(out), "a comparison")
    everyone = _sides(model or (), results or ())
    sources = open_source(source, span)
    given = camera.given()
    file = camera.camera
    known = file.matrix.tolist() if isinstance(file, Camera) else file and stamped(file)
    seen = [known, camera.fov_deg, camera.focal, camera.focal_mm]
    about = _about(sources, span, seen)
    everything = (sources, about, everyone, seen, given, visible)
    with alone_in(out), writing(out, hold=False):
        ledger = _open_ledger(out, sources, about, overwrite=overwrite, resume=resume)
        try:
            made = [[side.label, side.of()] for side in everyone] + [visible]
            if ledger.finished and ledger.marks[-1]["made"] == json.loads(json.dumps(made)):
                note(f"'{out}' is already complete")
                return Comparison.read(out / NUMBERS)
            return _compare(out, *everything, span, ledger, made, on_error)
        finally:
            ledger.close(remove=not any((out / "records").glob("*")))


def _compare(
    out: Path,
    sources: Sequence[Source],
    about: dict[str, Any],
    everyone: Sequence[Contestant],
    seen: list[Any],
    given: Given | None,
    visible: float,
    span: Span,
    ledger: Ledger,
    made: list[Any],
    on_error: Callable[[VitruvianError], None] | None,
) -> Comparison:
    """Compare, with the ledger open; `seen`: the camera settings, `made`: what is drawn."""
    faults: list[VitruvianError] = []

    def fault(error: VitruvianError) -> None:
        if str(error) not in map(str, faults):  # no model can read a bad frame: report it once
            faults.append(error)
            if on_error is not None:
                on_error(error)

    name, chapters, files = Names(), list[Chapter](), list[Path]()
    for each in sources:
        several = isinstance(each, Pictures) and len(each.paths) > 1
        stem = name("pictures" if several else each.name)
        own, whole = _about([each], span, seen), span == Span()
        job = _Job(each, stem, out, own, given, visible, whole, fault, ledger, files)
        free = Names()
        labels = [side.label.replace("/", "_") for side in everyone]  # options may be paths
        stems = [free(f"{stem} - {label}.x") for label in labels]
        found = [job.record(side, own_stem) for side, own_stem in zip(everyone, stems, strict=True)]
        sides = [(s.label, path) for s, path in zip(everyone, found, strict=True) if path]
        if sides:
            chapters.append(job.draw(sides, name))
    if not chapters:
        raise faults[0]
    result = Comparison(
        about,
        machine.describe(),
        [str(error) for error in faults],
        [one.tally.summary(one.name) for one in chapters],
    )
    write_whole(out / NUMBERS, json.dumps(asdict(result), indent=1, allow_nan=False) + "\n")
    write_comparison(chapters, result, out / "report.html")
    if not faults:  # else the failed ones are retried
        ledger.finish([out / NUMBERS, out / "report.html", *files], made=made)
    if faults and on_error is None:
        more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
        raise VitruvianError(f"{faults[0]}{more}")
    return result


def _sides(models: Sequence[str | ModelSpec], results: Sequence[str | Path]) -> list[Contestant]:
    """The sides of the comparison; at least two."""
    everyone = [Contestant(one.label, one) for one in model_specs(models)] if models else []
    for spec in filter(None, [side.contender for side in everyone]):
        check_options(spec.name, **spec.options)
    for path in map(Path, results):
        Record(path)  # fail now, rather than after hours
        label = path.stem
        if label in (side.label for side in everyone):
            raise VitruvianError(f"two sides are named '{label}'; rename '{path}'")
        everyone.append(Contestant(label, saved=path))
    if len(everyone) < 2:
        raise VitruvianError(
            "a comparison needs two sides; give --model twice, or --model and --results"
        )
    return everyone


def _about(sources: Sequence[Source], span: Span, camera: Any) -> dict[str, Any]:
    """The inputs of the comparison, as JSON returns them, for equality checks."""
    for source in sources:
        if source.live:
            raise VitruvianError(f"{source.name} is live, so it cannot be compared; give a file")
    about = {"sources": identity(sources), "span": asdict(span), "camera": camera}
    return json.loads(json.dumps(about))


def _open_ledger(
    out: Path, sources: Sequence[Source], about: dict[str, Any], *, overwrite: bool, resume: bool
) -> Ledger:
    """Start in a folder, or continue with its content; returns its ledger, open.

    Raises:
        VitruvianError: it has other content, or contains the source.
    """
    pictures = [path for each in sources if isinstance(each, Pictures) for path in each.paths]
    videos = [Path(each.address) for each in sources if isinstance(each, VideoFile)]
    for path in (*pictures, *videos):
        if path.resolve().parent == out.resolve():
            raise VitruvianError(
                f"'{path}' is in '{out}' and would be replaced; give another --out"
            )
    ledger = Ledger(ledger_of(out, "comparison"), out, about)
    there = [out / NUMBERS, *(out / "records").glob("*.jsonl*")]
    ours = ledger.path.exists() or any(path.exists() for path in there)
    if any(out.iterdir()) and not ours and not overwrite:
        raise VitruvianError(
            f"'{out}' is not empty and not a comparison; pass --overwrite, or another --out"
        )
    ledger.open(resume=resume, overwrite=overwrite, there=there, again=True)
    if ledger.changed:
        ledger.say_again(ledger.changed)
        ledger.restart(mark for mark in ledger.marks if "record" in mark)
    if overwrite:
        for record in (out / "records").glob("*.jsonl*"):
            record.unlink()
    return ledger


@dataclass(frozen=True, eq=False)
class _Job:
    """One source of a comparison."""

    source: Source
    stem: str  # of file names
    out: Path  # folder of the comparison
    about: dict[str, Any]  # description of the source
    camera: Given | None
    visible: float
    whole: bool  # whether all frames are requested
    fault: Callable[[VitruvianError], None]  # called with each error
    ledger: Ledger
    files: list[Path]  # receives the written files

    @property
    def several(self) -> bool:
        """Whether it consists of independent images."""
        return isinstance(self.source, Pictures) and len(self.source.paths) > 1

    def frames(self) -> Iterator[Frame]:
        """The frames with their cameras; read errors go to `fault`."""
        for frame in readable(self.source):
            try:
                if isinstance(frame, VitruvianError):
                    raise frame
                yield frame if self.camera is None else seen_by(self.camera, frame)
            except VitruvianError as error:
                self.fault(error)

    def record(self, side: Contestant, name: str) -> Path | None:
        """The record of a side, made if missing; None if the model cannot be loaded."""
        from vitruvian import __version__

        one = side.contender
        if one is None:
            return side.saved
        path = self.out / "records" / f"{name}.jsonl"
        about = {"vitruvian": __version__, **side.of(), **self.about}
        about = json.loads(json.dumps(about))
        told = f"{side.label}, {self.source.name}"
        complete = {mark["record"]: mark["size"] for mark in self.ledger.marks if "record" in mark}
        if finished(path, about) and complete.get(path.name) == path.stat().st_size:
            self.files.append(path)
            return path
        moving = self.source.moving
        options = one.options if moving else for_pictures(one.name, one.options)
        opened = lambda: load(one.name, **options)  # noqa: E731
        try:
            write_lines(path, self.frames(), moving, opened, about, (told, count_of(self.source)))
        except WriteError:
            raise
        except VitruvianError as error:
            self.fault(VitruvianError(f"{told}: {error}"))
            return None
        self.ledger.mark(record=path.name, size=path.stat().st_size)
        self.files.append(path)
        return path

    def draw(self, sides: Sequence[tuple[str, Path]], name: Names) -> Chapter:
        """Draw the panels of every frame, and sum up the results.

        Args:
            sides: labels and records.
            name: gives unique image names.
        """
        labels, moving = [label for label, _ in sides], self.source.moving
        part = AtomicFile(self.out / f"{self.stem} - disagreement.jsonl")
        with ExitStack() as stack:
            stack.enter_context(hold_signals())
            pictures = self.source.paths if isinstance(self.source, Pictures) else ()
            ours = [str(path) for path in pictures] or [str(getattr(self.source, "address", ""))]
            lines = [stack.enter_context(FrameRecord(path, moving, ours)) for _, path in sides]
            # Our records have exactly the requested frames; others may have more, or fewer.
            whole = [each for each in lines if each.record.path.parent == self.out / "records"]
            longest = max(whole or lines, key=len)
            ends = [frame.seconds for frame, _ in longest.sample(2)]
            tally = SourceTally(labels, len(longest), moving, max(ends, default=0.0))
            finders = [each.finder for each in lines]
            chapter = Chapter(self.source.name, tally, finders=finders)
            views = [view(each, self.visible) if moving else None for each in lines]
            widths = [Steady() if moving else None for _ in lines]
            film = (
                stack.enter_context(VideoWriter(self.out / f"{self.stem}.mp4")) if moving else None
            )
            table = stack.enter_context(part.begin().open("w", encoding="utf-8"))
            total, last = count_of(self.source), None
            tick = stack.enter_context(progress(f"drawing {self.stem}", total))
            for frame in interruptible(Prefetch(self.frames())):
                last = replace(frame, pixels=None)
                results = [each[frame] for each in lines]
                if not moving:
                    views = [self._still(frame, result) for result in results]
                how = views, self.visible, widths, finders
                picture = panels(frame, labels, results, *how)
                if film is not None:
                    film.add(picture, frame.seconds)
                else:
                    own = name(Path(frame.source).name) if self.several else self.stem
                    write_picture(self.out / f"{own}.jpg", picture)
                    self.files.append(self.out / f"{own}.jpg")
                said = tally.add(frame, results, lambda picture=picture: picture)
                table.write(json.dumps(said, allow_nan=False) + "\n")
                chapter.add(frame, results, picture)
                tick(tally.done)
            if moving and self.whole and last is not None:
                self._told_longer(labels, lines, last)
        part.finish()
        self.files.extend([part.path, *([self.out / f"{self.stem}.mp4"] if moving else [])])
        for label, (count, why) in chapter.missing.items():
            of = f"{count} of {amount(tally.done, 'frame')} of {self.source.name}"
            told = f"{label} has no result for {of}"
            self.fault(VitruvianError(f"{told}; the first: {why}"))
        return chapter

    def _told_longer(
        self, labels: Sequence[str], lines: Sequence[FrameRecord], last: Frame
    ) -> None:
        """Report records that are longer than the video, and so of another source."""
        for label, each in zip(labels, lines, strict=True):
            end = each.beyond(last.source, last.seconds)
            if end is not None:
                self.fault(
                    VitruvianError(
                        f"{label} ends at {end:.2f} s, {self.source.name} at {last.seconds:.2f} "
                        "s; it may be from another recording"
                    )
                )

    def _still(self, frame: Frame, result: FrameResult) -> StageView | None:
        """The 3D view of one image; None if nobody has metres."""
        poses = result.poses
        if poses is None or not len(poses) or poses.xyz is None:
            return None
        return StageView([(frame, poses)], self.visible)
