"""A batch: every source of many, on all cores or machines; again, only what is missing.

The results of a source are made in a folder of their own and put into place by one renaming. Only
the process that holds the manifest does that. Those for a store are uploaded by the workers.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats.atomic_file import WriteError
from vitruvian.sources.open import is_picture
from vitruvian.sources.video import Span
from vitruvian.stopping import hold_signals
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.batch.manifest import DONE, FAILED, TODO, Manifest, ManifestError, Row
from vitruvian.verbs.batch.pieces import AUTO, BatchTask, CutVideo, CutVideos
from vitruvian.verbs.batch.reports import BatchReports, duration
from vitruvian.verbs.batch.results import FolderResults, Results, StoreResults
from vitruvian.verbs.batch.settings import batch_settings, fingerprint, shard_of
from vitruvian.verbs.batch.sources import Item, in_shard, items
from vitruvian.verbs.batch.work import BatchSettings, Done, Job, ModelError
from vitruvian.verbs.batch.workers import WorkerProcesses, Workers
from vitruvian.verbs.groups import (
    AnalysisWords,
    BatchWords,
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
    quiet,
    verb,
)

EVERY = 5.0  # seconds between two lines of progress
FAST = 0.2  # seconds between two on a terminal


@dataclass(frozen=True)
class Batch:
    """What a batch did."""

    folder: Path | str  # or its URL
    manifest: Path  # SQLite
    sources: int  # in all
    done: int  # in this run
    before: int  # done before, and unchanged
    failed: Mapping[str, str]  # name -> why; at most `SHOWN`
    failures: int
    faulty: int  # done, but parts could not be read
    frames: int
    seconds: float

    def __str__(self) -> str:
        part = f" ({self.faulty} only in part)" if self.faulty else ""
        parts = [
            f"{self.done} done{part} in {duration(self.seconds)}",
            f"{self.before} done before",
        ]
        parts += [f"{self.failures} failed"] if self.failures else []
        return f"{self.folder}: {amount(self.sources, 'source')}, {', '.join(parts)}"


SHOWN = 100  # failures that are kept in memory
FEW = 10_000  # sources; with more, every worker has something to do


@verb
def batch(
    source: str | Path | Sequence[str | Path],
    model: str = "blazepose-full",
    words: ModelWords = ModelWords(),
    span: Span = Span(),
    output: OutputWords = OutputWords(out=Path("batch")),
    how: BatchWords = BatchWords(),
    analysis: AnalysisWords = AnalysisWords(),
    wanted: Wanted = Wanted(),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
    *,
    say: Callable[[str], None] = quiet,
) -> Batch:
    """Detect people in thousands of images and videos, on all cores or a Ray cluster.

    Each source gets a folder in `out` with what `predict` and `analyze` write. A second run does
    only what is missing, has changed, or was made with other settings.

    Args:
        source: files, folders, patterns, lists (.txt), tables (.csv, .parquet), URLs that fsspec
            reads, `-`; or a list of these.
        model: model name or file, with options after commas.
        words: as for `predict`, and so are `span`, `wanted`, `camera`.
        span: the same.
        output: `out` (a folder, or a URL as text: `s3://bucket/results`), `save`, `visible`, and
            `overwrite`: do everything again.
        how: `recursive`, `workers`, `ray`, `cpus_per_worker`, `gpus_per_worker`, `shard`, `cut`,
            `attempts`, `state`, `summary`, `on_event`, `log`.
        analysis: as for `analyze`; without any of it, there is no analysis.
        wanted: as for `predict`.
        camera: the same.
        machine: `device`, `precision`; `threads` are those of each worker.
        say: called with lines about the run.

    Raises:
        VitruvianError: nothing to do, an option is wrong, or another batch writes to `out`.
    """
    settings = batch_settings(model, words, span, output, how, analysis, wanted, camera, machine)
    if how.state is not None and not isinstance(output.out, str):
        raise VitruvianError(
            "--state is for an --out that is a URL; the manifest of a folder is in its .vitruvian/"
        )
    shard = shard_of(how.shard)
    given = [source] if isinstance(source, (str, Path)) else list(source)
    found = items(given, recursive=how.recursive)
    every = (item for item in found if in_shard(item, shard))
    run = _Run(output.out, settings, how, shard, say)
    try:
        run.plan(every, again=output.overwrite)
        return run.do()
    except ManifestError as error:
        raise WriteError(f"cannot write '{shown(run.manifest.path, 100)}': {error}") from None
    finally:
        run.close()


class _Run:
    """A batch that runs."""

    def __init__(
        self,
        out: Path | str,
        settings: BatchSettings,
        how: BatchWords,
        shard: tuple[int, int],
        say: Callable[[str], None],
    ) -> None:
        from vitruvian import __version__

        self.settings, self.how, self.say = settings, how, say
        name = "batch" if shard == (1, 1) else f"batch-{shard[0]}-of-{shard[1]}"
        self.results: Results
        if isinstance(out, str):
            self.results = StoreResults(out, name, how.state, say)
        else:
            self.results = FolderResults(out, name)
        self.reports = BatchReports(how.log, how.on_event)
        try:
            self.manifest = Manifest(
                self.results.state / f"{name}.sqlite",
                fingerprint(settings),
                __version__,
                out=str(self.results.out),
                prepare=self.results.prepare,
            )
        except BaseException:
            self.results.close()
            raise
        self.results.begin(self.manifest)
        pieces = self.results.state / f"{name}-pieces"
        self.videos = CutVideos(pieces, self.results.remove_pieces)
        self.workers: Workers | None = None
        self.done, self.frames, self.failures, self.faulty, self.before = 0, 0, 0, 0, 0
        self.total, self.failed = 0, dict[str, str]()
        self.began = self._told = time.monotonic()
        self._todo: Iterator[Row] = iter(())
        self._tasks = deque[BatchTask]()  # of videos in pieces
        self._cut = dict[int, CutVideo]()  # those with pieces that were done in this run
        self._waiting, self._count = 0, 1  # sources that no worker has got; workers

    def plan(self, every: Iterator[Item], *, again: bool) -> None:
        """Register the sources, and say what is to do."""
        counts = self.manifest.add(every, self.results.has, again=again)
        self.videos.sweep(lambda row: "" if again else self.manifest.key(row))
        self.total = sum(counts.values())
        if not self.total:
            raise VitruvianError("no sources in this shard" if self.how.shard else "no sources")
        words = {
            "new": "new",
            "changed": "changed",
            "settings": "made with other settings or an older version",
            "again": "to be done again",
            "lost": "without their folder",
            "failed": "failed before",
            "unfinished": "unfinished",
            "done": "done before",
        }
        said = [f"{counts[key]} {text}" for key, text in words.items() if counts[key]]
        self.before = counts["done"]
        self.say(f"{amount(self.total, 'source')}: {', '.join(said)}")

    def do(self) -> Batch:
        """Work until nothing is left."""
        self._waiting = self.manifest.left()
        if self._waiting:
            self.workers = self._hire(self._waiting)
            with hold_signals():
                self._work()
            self._tell(last=True)
        for row, name in self.manifest.replaced():
            self.results.remove(name)
            self.manifest.forget(row)
        self.results.end(summary=self.how.summary)
        return Batch(
            self.results.out,
            self.manifest.path,
            self.total,
            self.done,
            self.before,
            self.failed,
            self.failures,
            self.faulty,
            self.frames,
            time.monotonic() - self.began,
        )

    def _work(self) -> None:
        """Give every worker a source or piece, until none is left; signals wait for an answer."""
        assert self.workers is not None
        busy, task = dict[str, tuple[BatchTask, str]](), None
        while True:
            self.results.check()
            idle = self.workers.idle()
            self._count = len(idle) + len(busy)
            for worker in idle:
                task = task or self._next()
                if task is None:
                    break
                busy[worker] = task, self._give(worker, task)
                task = None
            task = task or self._next()
            if task is None and not busy:
                return
            with hold_signals(False):
                ended = self.workers.done()
            for worker, result in ended:
                self._take(*busy.pop(worker), result)
            self._tell()

    def _next(self) -> BatchTask | None:
        """The next piece or source; at the end, those to be tried again."""
        while self._tasks:
            task = self._tasks.popleft()
            if task.video is None or not task.video.failed:
                return task
        row = next(self._todo, None)
        if row is None:
            self._todo = self.manifest.todo()
            row = next(self._todo, None)
        if row is None:
            return None
        self._waiting -= 1
        left = self.videos.left(row)
        if not left:
            return BatchTask(row)
        self.manifest.start(row, "")
        self._tasks.extend(left[1:])
        return left[0]

    def _hire(self, left: int) -> Workers:
        count = self.how.workers
        few = left < FEW and self.how.cut != 0
        if few and any(not is_picture(row.paths[0]) for row in self.manifest.todo()):
            left = sys.maxsize  # videos may be cut
        if self.how.ray is not None:
            from vitruvian.verbs.batch.on_ray import Actors

            cpus, gpus = self.how.cpus_per_worker, self.how.gpus_per_worker
            return Actors(self.settings, self.how.ray, count, cpus, gpus, left)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        count = count or max(1, int((cores or 1) / max(self.how.cpus_per_worker, 1)))
        return WorkerProcesses(self.settings, min(count, left))

    def _give(self, worker: str, task: BatchTask) -> str:
        """Give a worker its task; where it puts what it makes."""
        assert self.workers is not None
        row, video = task.row, task.video
        if video is None:
            self.manifest.start(row, worker)
        # Of this attempt: the worker of one before may be alive, on a machine that is out of reach.
        made, options = self.results.target(task)
        if video is None:
            # Without --cut, only where workers would have nothing to do meanwhile.
            auto = AUTO if self._waiting < self._count - 1 else 0.0
            options["cut"] = auto if self.how.cut is None else self.how.cut
            options["sha256"] = row.sha256
        elif task.piece is None:
            options["sha256"] = video.sha256
            options["records"] = tuple(map(tuple, zip(video.records(), video.pieces, strict=True)))
        else:
            options["piece"] = video.pieces[task.piece]
        self.workers.submit(worker, Job(row.name, row.paths, row.options, **options))
        return made

    def _take(self, task: BatchTask, made: str, result: Done | VitruvianError) -> None:
        """What a worker made, or why it did not."""
        row, video = task.row, task.video
        if isinstance(result, (WriteError, ModelError)):
            raise result
        if video is not None and video.failed:
            self.results.drop(made)
            return
        if isinstance(result, VitruvianError):
            self.results.drop(made)
            self._fault(task, result)
            return
        if result.pieces:
            key = self.manifest.key(row.id)
            self._tasks.extend(self.videos.begin(row, key, result.sha256, result.pieces))
            self.say(f"{row.name}: is done in {len(result.pieces)} pieces, and joined")
            return
        if video is not None and task.piece is not None:
            self.results.keep(made, video.record(task.piece))
            self._tasks.extend(self.videos.next(video))
            self._cut[row.id] = video
            video.made += 1
            video.frames += result.frames
            self.frames += result.frames
            self.reports.write(task, state=DONE, frames=result.frames, seconds=result.seconds)
            return
        if video is not None:
            result = replace(result, sha256=video.sha256)
        if not result.unchanged:
            self.results.put(made, task)
        self.done += not result.unchanged
        self.before += result.unchanged
        self.frames += result.frames
        what: dict[str, Any] = {"state": DONE, "sha256": result.sha256, "finished": time.time()}
        if not result.unchanged:
            self.faulty += bool(result.faults)
            what |= {"error": "; ".join(result.faults[:3]), "notes": result.notes}
            what |= {"frames": result.frames, "people": result.people, "seconds": result.seconds}
            what["events"] = len(result.events)
        self.manifest.finish(row, **what)
        if video is not None:
            self.videos.forget(video)
            self._cut.pop(row.id, None)
            self.frames -= video.frames  # `result.frames` has them, each once
        self.reports.write(task, **{key: value for key, value in what.items() if key != "finished"})
        for event in result.events:
            self.reports.send({"source": row.paths[0], **event})

    def _fault(self, task: BatchTask, error: VitruvianError) -> None:
        """Try it again, or set the source aside; pieces that are done are kept for a later run."""
        row, video, why = task.row, task.video, str(error)
        if video is None:
            again = row.attempts + 1 < self.how.attempts
        else:
            video.attempts[task.piece] += 1
            again = video.attempts[task.piece] < self.how.attempts
            why = f"{task.part}: {why}"
        self.reports.write(task, state="retry" if again else FAILED, error=str(error))
        if again and video is not None:
            self._tasks.append(task)
            return
        state = TODO if again else FAILED
        self.manifest.finish(row, state=state, error=why, finished=time.time())
        if again:
            self._waiting += 1
            return
        if video is not None:
            video.failed = True
            self._cut.pop(row.id, None)
        self.failures += 1
        if len(self.failed) < SHOWN:
            self.failed[row.name] = why

    # What is said

    def _tell(self, *, last: bool = False) -> None:
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if not last and now - self._told < (FAST if terminal else EVERY):
            return
        self._told = now
        gone = now - self.began
        ended = self.done + self.before + self.failures
        line = f"{ended} of {amount(self.total, 'source')}, {self.frames / gone:.3g} frames/s"
        parts = sum(video.share for video in self._cut.values())
        new = self.done + self.failures + parts
        if new and not last:
            line += f", {duration(gone * (self.total - ended - parts) / new)} left"
        if self.failures:
            line += f", {self.failures} failed"
        if self._tasks:
            line += f", {amount(len(self._tasks), 'piece')} waiting"
        self.say(line)

    def close(self) -> None:
        """End the workers, and close all files."""
        if self.workers is not None:
            self.workers.close()
        self.reports.close()
        self.results.close()
        self.manifest.close()  # last: its lock is for the folders, too
