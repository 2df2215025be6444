"""The work on one source: the same in a process of this machine and in a Ray actor."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from vitruvian.errors import VitruvianError, amount, note, shown
from vitruvian.formats.atomic_file import WriteError, why
from vitruvian.formats.records import Record
from vitruvian.formats.wire import from_header
from vitruvian.sources.open import is_picture, open_source
from vitruvian.sources.video import Span, VideoFile
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs import api
from vitruvian.verbs.asked import asked_model
from vitruvian.verbs.batch.join import Joined
from vitruvian.verbs.batch.pieces import Piece, cut_pieces
from vitruvian.verbs.batch.store import Upload, file_system
from vitruvian.verbs.batch.temporary import temporary_folder
from vitruvian.verbs.folder import LEDGERS
from vitruvian.verbs.groups import (
    VISIBLE,
    AnalysisWords,
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
)
from vitruvian.verbs.output_files import plan_outputs
from vitruvian.verbs.outputs import Save
from vitruvian.verbs.predict import write_joined

RECORD = "poses.jsonl"
TABLE = "keypoints.parquet"
NOTE = "vitruvian: "  # how a note begins, see `errors.note`; other lines are of progress
ABOUT = "about.json"  # what is to be said about a piece
NOTES = 1000  # characters of the notes about a source that are kept


@dataclass(frozen=True)
class BatchSettings:
    """What is made of every source, as for `predict` and `analyze`."""

    model: str
    words: ModelWords = ModelWords()
    span: Span = Span()
    save: tuple[str, ...] = ("json",)
    visible: float = VISIBLE
    analysis: AnalysisWords | None = None  # None: no events and no angles
    wanted: Wanted = Wanted()
    camera: CameraWords = CameraWords()
    machine: MachineWords = MachineWords(threads=1)


@dataclass(frozen=True)
class Job:
    """A source to be worked on."""

    name: str
    paths: tuple[str, ...]
    options: dict[str, Any]  # of the source: start, end, camera, fov_deg
    folder: Path  # to be made, for the results; relative: in a temporary one of the worker
    sha256: str = ""  # nothing is to be done if the content is still this; that of `records`
    cut: float = 0.0  # seconds: only say in which pieces it can be done; 0: do all of it
    piece: Piece | None = None  # make the record of this one only
    # Join those of all pieces, in folders, or with `upload` in folders of the store.
    records: tuple[tuple[str | Path, Piece], ...] = ()
    upload: Upload | None = None  # of the results


@dataclass(frozen=True)
class Done:
    """What became of a source."""

    sha256: str
    unchanged: bool = False  # `Job.sha256`
    frames: int = 0
    people: int = 0
    events: tuple[dict[str, Any], ...] = ()
    faults: tuple[str, ...] = ()  # what could not be read; everything else was
    notes: str = ""
    seconds: float = 0.0
    pieces: tuple[Piece, ...] = ()  # nothing was done but to look where it can be cut


class ModelError(VitruvianError):
    """The model cannot be loaded, so nothing can be done for any source."""


class Worker:
    """Works on one source after the other; models stay loaded."""

    def __init__(self, settings: BatchSettings) -> None:
        self.settings = settings
        self._models: dict[bool, Any] = {}  # by whether for videos

    def __call__(self, job: Job) -> Done | VitruvianError:
        """What became of a source, whose folder is made.

        Errors are returned, since not all exceptions survive the way to another process: a
        `WriteError` or `ModelError` concerns all sources, any other this one alone.
        """
        try:
            return self._do(job) if job.upload is None else self._do_and_upload(job, job.upload)
        except (WriteError, ModelError) as error:
            return type(error)(error)
        except OSError as error:
            where = job.folder if job.upload is None else tempfile.gettempdir()
            return WriteError(f"cannot write to '{shown(where, 100)}': {why(error)}")
        except Exception as error:
            return as_fault(error)

    def _do_and_upload(self, job: Job, upload: Upload) -> Done:
        from vitruvian import __version__

        store = upload.open()
        with temporary_folder() as folder:
            records = [(str(folder / str(i)), piece) for i, (_, piece) in enumerate(job.records)]
            for (name, _), (local, _) in zip(job.records, records, strict=True):
                store.get_folder(str(name), Path(local))
            made = folder / job.folder
            done = self._do(replace(job, folder=made, records=tuple(records)))
            if not (done.unchanged or done.pieces):
                about = {"sources": job.paths, "sha256": done.sha256 or job.sha256}
                about |= {"frames": done.frames, "people": done.people}
                about |= {"events": len(done.events), "errors": done.faults}
                upload.send(store, made, {**about, "version": __version__})
            return done

    def _do(self, job: Job) -> Done:
        began, notes = time.monotonic(), io.StringIO()
        shutil.rmtree(job.folder, ignore_errors=True)
        job.folder.mkdir(parents=True)
        fetched = job.folder / LEDGERS / "source"
        with redirect_stderr(notes):
            paths, sha256 = [_local(path, fetched) for path in job.paths], ""
            if job.records:
                faults = self._join(job, paths)
            elif job.piece is not None:
                faults = self._poses(job, paths)
            else:
                sha256 = digest(paths)
                pieces = () if sha256 == job.sha256 else self._pieces(job, paths)
                if pieces or sha256 == job.sha256:
                    shutil.rmtree(job.folder)
                    return Done(sha256, unchanged=not pieces, pieces=pieces)
                faults = self._poses(job, paths)
            frames, people = _count(job.folder / RECORD)
            if faults and not frames:
                raise faults[0]
            events = () if job.piece is not None else self._analysis(job)
        shutil.rmtree(job.folder / LEDGERS, ignore_errors=True)
        lines = (line.partition(NOTE) for line in notes.getvalue().splitlines())
        said = "\n".join(dict.fromkeys(text for before, _, text in lines if text and not before))
        faulty = tuple(map(str, faults))
        if job.piece is not None:
            about = json.dumps({"faults": faulty, "notes": said})
            (job.folder / ABOUT).write_text(about, encoding="utf-8")
        seconds = time.monotonic() - began
        return Done(sha256, False, frames, people, events, faulty, shown(said, NOTES), seconds)

    def _span(self, job: Job, paths: list[str]) -> Span:
        own = {key: job.options[key] for key in ("start", "end") if key in job.options}
        if job.piece is not None:
            own = {"start": job.piece.start, "end": job.piece.end}
        span = replace(self.settings.span, **own)
        # Images are a source each, and together only to save time: all of them are wanted.
        return replace(span, stride=1, max_frames=None) if is_picture(paths[0]) else span

    def _model(self, paths: list[str], span: Span) -> Any:
        """The model for these sources; the defaults depend on whether it is for videos."""
        from vitruvian.models.load import open_model

        settings, sources = self.settings, open_source(paths, span)
        moving = any(source.moving for source in sources)
        if moving not in self._models:
            try:
                asked = asked_model(settings.model, settings.words, settings.machine)
                self._models[moving] = open_model(asked, sources)
            except VitruvianError as error:
                raise ModelError(error) from None
        return self._models[moving]

    def _pieces(self, job: Job, paths: list[str]) -> tuple[Piece, ...]:
        """In which pieces a source can be done; none: it is done as a whole."""
        span = self._span(job, paths)
        sources = open_source(paths, span)
        film = sources[0]
        # Those of a video with a maximum of frames, and what no record holds, are made as a whole.
        whole = not job.cut or span.max_frames is not None or self.settings.wanted.repair
        if whole or len(sources) > 1 or type(film) is not VideoFile:
            return ()
        if "heatmaps" in self.settings.save or self._model(paths, span).options.get("masks"):
            return ()
        keys = film.key_frames()
        return () if keys is None else cut_pieces(keys, span, job.cut)

    def _poses(self, job: Job, paths: list[str]) -> list[VitruvianError]:
        settings, own, span = self.settings, job.options, self._span(job, paths)
        its = {k: own[k] for k in ("camera", "fov_deg") if k in own}
        camera = CameraWords(**its) if its else settings.camera
        faults: list[VitruvianError] = []
        save = settings.save if job.piece is None else ("json",)
        done = api.predict(
            paths,
            self._model(paths, span),
            span=span,
            output=OutputWords(job.folder, ",".join(save), settings.visible),
            wanted=settings.wanted,
            camera=camera,
            on_error=faults.append,
        )
        _rename(job.folder, done.files)
        return faults

    def _join(self, job: Job, paths: list[str]) -> list[VitruvianError]:
        """Write what `_poses` does, from the records of pieces."""
        settings, span = self.settings, self._span(job, paths)
        folders = [Path(folder) for folder, _ in job.records]
        said = [json.loads((folder / ABOUT).read_text("utf-8")) for folder in folders]
        for each in said:
            for line in each["notes"].splitlines():
                note(line)
        faults = [*dict.fromkeys(fault for each in said for fault in each["faults"])]
        every = list(map(VitruvianError, faults))
        save = Save.parse(",".join(settings.save), visible=settings.visible)
        sources = open_source(paths, span)
        plans = plan_outputs(sources, job.folder, save, overwrite=True)
        records = [folder / RECORD for folder in folders]
        joined = Joined(sources[0], records, [piece for _, piece in job.records], span.stride)
        about, files = from_header(joined.records[0].header), list[Path]()
        how: dict[str, Any] = {"on_error": every.append, "written": files}
        write_joined(plans, joined.__iter__, about, job.folder, save, **how)
        _rename(job.folder, files)
        if joined.lost and not every:
            what = amount(joined.lost, "frame")
            text = f"'{sources[0].name}' is damaged: {what} could not be decoded"
            every.append(VitruvianError(text))
        return every

    def _analysis(self, job: Job) -> tuple[dict[str, Any], ...]:
        if self.settings.analysis is None:
            return ()
        save = "parquet" if "parquet" in self.settings.save else "tables"
        api.analyze(
            job.folder / RECORD,
            output=OutputWords(job.folder, save),
            analysis=self.settings.analysis,
        )
        events = job.folder / "events.jsonl"
        lines = events.read_text(encoding="utf-8").splitlines() if events.is_file() else []
        # Of images there are also states that are not so, or unknown.
        return tuple(event for event in map(json.loads, lines) if event["state"] == "yes")


def _rename(folder: Path, files: Sequence[Path]) -> None:
    """Give the record and the table one name for all sources, so that patterns find them."""
    for file in files:
        name = {".jsonl": RECORD, ".parquet": TABLE}.get(file.suffix)
        if name is not None and file.parent == folder:
            file.rename(folder / name)


def digest(paths: Sequence[str]) -> str:
    """SHA-256 of the content of a file, or of those of several.

    Raises:
        VitruvianError: one cannot be read.
    """
    each: list[bytes] = []
    for path in paths:
        try:
            with open(path, "rb") as file:  # noqa: PTH123  # names may be any bytes
                each.append(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise VitruvianError(f"cannot read '{shown(path, 150)}': {error.strerror}") from None
    return each[0].hex() if len(each) == 1 else hashlib.sha256(b"".join(each)).hexdigest()


def _local(path: str, folder: Path) -> str:
    """A path on this machine; files of URLs are copied."""
    if "://" not in path:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    system, where = file_system(path)
    copy = folder / PurePosixPath(where).name
    try:
        system.get_file(where, str(copy))
    except Exception as error:  # each file system has its own kinds
        raise VitruvianError(f"cannot read '{shown(path, 150)}': {shown(error, 100)}") from None
    return str(copy)


def _count(record: Path) -> tuple[int, int]:
    """Frames of a record, and people: track ids of a video, or the people of all images."""
    frames, people, ids = 0, 0, set[int]()
    if record.is_file():
        for line, _, _ in Record(record).index():
            numbers = [each["person"] for each in line["people"]]
            frames, people = frames + 1, people + numbers.count(-1)
            ids.update(number for number in numbers if number >= 0)
    return frames, len(ids) or people


def as_fault(error: BaseException) -> VitruvianError:
    """One line about an exception of a worker."""
    if isinstance(error, VitruvianError):
        return VitruvianError(error)
    text = (str(error).splitlines() or [""])[0]
    return VitruvianError(": ".join(filter(None, (type(error).__name__, text))))
