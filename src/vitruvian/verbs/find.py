"""The loop of every command: frames of a source with their poses, written to files.

Sources are processed in turn, with progress. Read errors are reported and the rest is done;
Ctrl-C stops between two frames. Resuming an interrupted run: `vitruvian.verbs.resume`.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats.atomic_file import WriteError, writing
from vitruvian.formats.format import Sink
from vitruvian.formats.repairs import Changes
from vitruvian.formats.wire import Provenance
from vitruvian.frame import Frame
from vitruvian.sources.open import Pictures, Source
from vitruvian.sources.threads import BackgroundWriter, count_of
from vitruvian.stopping import Interrupted, interruptible
from vitruvian.verbs.folder import Ledger, Taken, as_json, ledger_of, made_by
from vitruvian.verbs.outputs import Names, Several
from vitruvian.verbs.progress import progress
from vitruvian.verbs.resume import Resumable, check_resumable
from vitruvian.verbs.who import People

if TYPE_CHECKING:
    from vitruvian.streams.repaired import Repaired

T = TypeVar("T")
Pairs = Iterator[tuple[Frame, Poses]]


# The loop


def each_frame(
    name: str,
    total: int | None,
    pairs: Iterable[tuple[Frame, T]],
    write: Callable[[Frame, T], None],
    *,
    behind: bool = True,
    endless: bool = False,
) -> None:
    """Write every pair, with progress; Ctrl-C takes effect between two of them.

    Args:
        name: label of the progress bar.
        total: number of pairs; None: unknown.
        pairs: frames and their results.
        write: called with each pair.
        behind: write in a separate thread while the next pair is computed.
        endless: whether Ctrl-C is how it ends, after the first pair.
    """
    pairs = until_stopped(pairs) if endless else interruptible(pairs)
    with progress(name, total) as tick:
        if behind:
            with BackgroundWriter(write) as later:
                for done, pair in enumerate(pairs, 1):
                    later(*pair)
                    tick(done)
            return
        for done, pair in enumerate(pairs, 1):
            write(*pair)
            tick(done)


def until_stopped(items: Iterable[T]) -> Iterator[T]:
    """The same items until Ctrl-C, which before the first one is raised as elsewhere."""
    some = False
    try:
        for item in interruptible(items):
            some = True
            yield item
    except KeyboardInterrupt as stop:
        asked = not isinstance(stop, Interrupted) or stop.number == signal.SIGINT
        if not (some and asked):
            raise


@dataclass
class Counted:
    """Counts of one source."""

    source: Source
    frames: int = 0
    people: int = 0
    began: float = field(default_factory=time.perf_counter)

    def add(self, poses: Poses) -> None:
        """Count the poses of a frame."""
        self.frames += 1
        if not self.source.moving:
            self.people += len(poses)
            return
        # The highest track id; without ids, the most people in a frame.
        numbers = poses.person.tolist()
        most = max(numbers, default=-1)
        self.people = max(self.people, most if most > 0 else len(numbers))

    def __str__(self) -> str:
        what, rate = "frame" if self.source.moving else "image", self.frames / self._seconds()
        return (
            f"{self.source.name}: {amount(self.frames, what)}, "
            f"{amount(self.people, 'person', 'people')}, {rate:.3g} {what}s/s"
        )

    def _seconds(self) -> float:
        return max(time.perf_counter() - self.began, 1e-9)


def write_source(
    source: Source,
    pairs: Pairs,
    sink: Any,
    closed: Any,
    on_write: Callable[[Frame], None] = lambda frame: None,
    on_end: Callable[[bool], None] = lambda ok: None,
    *,
    behind: bool = True,
    alone: bool = False,
) -> str:
    """Write one source; returns a one-line summary, or "" if nothing was written.

    Args:
        source: the source of the frames.
        pairs: each frame with its poses.
        sink: receives the pairs.
        closed: the part of the sink that is closed at the end.
        on_write: called with each written frame, in the writer thread.
        on_end: called before the files are closed, with False if the user stopped the run.
        behind: as for `each_frame`.
        alone: whether it is the only source: if it is live, Ctrl-C is how it ends.
    """
    found = Counted(source)

    def counted() -> Pairs:
        for frame, poses in pairs:
            yield frame, poses
            found.add(poses)

    def write(frame: Frame, poses: Poses) -> None:
        sink.write(frame, poses)
        on_write(frame)

    try:
        with closed:
            ok = False
            try:
                how = {"behind": behind, "endless": alone and source.live}
                each_frame(source.name, count_of(source), counted(), write, **how)
                ok = True
            finally:
                on_end(ok)
    except KeyboardInterrupt:
        if found.frames:
            done = where(sink.paths)
            print(
                f"stopped; {source.name}: {amount(found.frames, 'frame')} -> {done}",
                file=sys.stderr,
            )
        raise
    return str(found) if found.frames else ""


# All sources


class Files(Protocol):
    """The output files of one source."""

    source: Source
    repairs: Path | None  # the table of repairs

    def paths(self) -> list[Path]:
        """All file paths."""
        ...

    def open(self, about: Provenance, save: Any, /) -> Sink:
        """A sink for all files."""
        ...


@dataclass(frozen=True)
class FindOutputs:
    """Outputs of all sources, and the settings to resume them."""

    out: Path  # a folder or a file
    save: Any  # formats written into a folder
    about: Provenance  # the model and options behind the poses
    of: Mapping[str, Any] = field(default_factory=dict)  # other inputs that the files depend on
    resume: bool = False
    who: bool = False  # whether to print a line about each person of a video
    say: Callable[[str], None] = print  # called with one line about each finished source
    written: list[Path] = field(default_factory=list)  # receives the written files


# Poses of a source; arguments: the source, the callback for repairs, and whether frames need
# pixels.
Finder = Callable[[Source, Callable[["Repaired"], None], bool], Pairs]


def find_into_files(
    plans: Sequence[Files],
    finder: Finder,
    outputs: FindOutputs,
    whole: Sequence[Callable[[], Sink]],
    pixels: Callable[[Any], bool],
    fault: Faults | None = None,
) -> None:
    """Write the poses of each source to its files.

    Args:
        plans: files of each source, opened unless `whole` has one for all of them.
        finder: yields frames and poses.
        outputs: where they are written.
        whole: openers of the files that all sources share.
        pixels: whether the frames of a source are drawn.
        fault: called with each read or write error; without it, the first is raised. A source
            that does not fit into its own files does not stop the rest.
    """
    sources, alone = [each.source for each in plans], len(plans) == 1
    check_resumable(sources, outputs.resume)
    of = {**made_by(outputs.about), **as_json(outputs.of)}
    with ExitStack() as stack:
        tell = stack.enter_context(afterwards(outputs.say, wait=bool(whole)))
        stack.enter_context(writing(outputs.out))
        if whole:
            unit = Resumable(Ledger(ledger_of(outputs.out), outputs.out, of), sources)
            stack.enter_context(unit.opened(resume=outputs.resume, there=[outputs.out]))
            if unit.ledger.finished:
                tell(f"'{outputs.out}' is already complete")
                outputs.written.extend(unit.ledger.files())
                return
            with Several([open_file() for open_file in whole]) as sink:
                unit.begin(sink)
                for place, each in enumerate(plans):
                    drawn = pixels(each)
                    _find_one(unit, place, each, finder, outputs, sink, drawn, tell, fault, alone)
                repairs = [each.repairs for each in plans if each.repairs is not None]
            made = [path for path in (*sink.paths, *repairs) if path.is_file()]
            unit.finish(made)
            outputs.written.extend(made)
            return
        name = Names()
        for each in plans:
            several = isinstance(each.source, Pictures) and len(each.source.paths) > 1
            path = ledger_of(outputs.out, name("poses" if several else each.source.name))
            unit = Resumable(Ledger(path, outputs.out / path.stem, of), [each.source])
            try:
                there = each.paths() if outputs.resume else []
                with unit.opened(resume=outputs.resume, there=there):
                    if unit.ledger.finished:
                        tell(f"{each.source.name}: already complete")
                        outputs.written.extend(unit.ledger.files())
                        continue
                    closed = _find_one(
                        unit, 0, each, finder, outputs, None, pixels(each), tell, fault, alone
                    )
                    made = list(dict.fromkeys(closed.paths))
                    unit.finish(made)
                    outputs.written.extend(made)
            except Taken as error:
                if fault is None or len(plans) == 1 or not outputs.resume:
                    raise
                fault(error)
            except WriteError:
                raise
            except VitruvianError as error:
                if fault is None or len(plans) == 1:
                    raise
                fault(error)


def _find_one(
    unit: Resumable,
    place: int,
    each: Files,
    finder: Finder,
    outputs: FindOutputs,
    whole: Sink | None,
    pixels: bool,
    tell: Callable[[str], None],
    fault: Faults | None,
    alone: bool,
) -> Sink:
    """Write one source to its own files, or to the shared `whole`; returns the closed sink."""
    people = People() if outputs.who and each.source.moving else None
    changes = None if each.repairs is None else Changes(each.repairs)
    own = [each.open(outputs.about, outputs.save)] if whole is None else []
    beside = [sink for sink in (people, changes) if sink is not None]
    closed = Several([*own, *beside])
    marked = Several(own) if whole is None else whole
    if whole is None:
        unit.begin(marked)
    if place in unit.finished:
        tell(f"{each.source.name}: already complete")
        with closed:  # it may have been killed before it closed them
            return closed
    source, before = unit.rest(place), 0 if fault is None else fault.count

    def on_end(ok: bool) -> None:
        state = "open" if not ok else "done" if fault is None or fault.count == before else "failed"
        if ok or not source.moving:
            with suppress(
                WriteError, OSError, ValueError
            ):  # of several errors, this one is reported
                unit.mark(place, state, marked)

    sink = closed if whole is None else Several([closed, whole])
    on_repair = (lambda change: None) if changes is None else changes.tell
    pairs = finder(source, on_repair, pixels)

    def on_write(frame: Frame) -> None:
        unit.written(place, frame, marked)

    done = write_source(source, pairs, sink, closed, on_write, on_end, alone=alone)
    if done:
        tell(f"{done} -> {where(sink.paths)}")
        for line in people.lines() if people else []:
            tell(line)
        if changes is not None:
            tell(str(changes))
    return closed


# Messages


@contextmanager
def afterwards(say: Callable[[str], None], wait: bool = True) -> Iterator[Callable[[str], None]]:
    """Collect lines about files; print them once the files are complete, not after an error."""
    lines: list[str] = []
    try:
        yield lines.append if wait else say
    except KeyboardInterrupt:
        for line in lines:
            say(line)
        raise
    for line in lines:
        say(line)


class Faults:
    """Reports and counts read errors."""

    def __init__(self, on_error: Callable[[VitruvianError], None]) -> None:
        """Start with no errors."""
        self.on_error, self.count = on_error, 0

    def __call__(self, error: VitruvianError) -> None:
        """Report an error."""
        self.count += 1
        self.on_error(error)

    def sum_up(self, sources: int) -> None:
        """After several sources, print the number of errors, which may have scrolled away."""
        if self.count and sources > 1:
            what = amount(self.count, "input")
            self.on_error(VitruvianError(f"{what} could not be read, see above; the rest is done"))


def until_error(source: Source, pairs: Pairs, fault: Callable[[VitruvianError], None]) -> Pairs:
    """The same pairs; an error that ends them goes to `fault`, so that the next source is done."""
    try:
        yield from pairs
    except VitruvianError as error:
        fault(error)
    except (OSError, MemoryError) as error:
        why = str(error) or "out of memory"
        fault(VitruvianError(f"cannot read '{shown(source.name, 80)}': {shown(why, 150)}"))


def where(paths: Sequence[Path]) -> str:
    """A few file names, or their folder and count."""
    if len(paths) <= 4:
        return ", ".join(str(path) for path in paths) or "nothing"
    return f"{paths[0].parent} ({amount(len(paths), 'file')})"
