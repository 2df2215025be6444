"""The command line in tests: `command` in this process, `process` as one of its own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from vitruvian import stopping
from vitruvian.cli import app

Done = subprocess.CompletedProcess[str]
PREDICT = ("predict", "--offline")
# What is said beside an error: hints, what libpng says, and how far it is (on a slow machine).
HINT = re.compile(
    "libpng|vitruvian: (nobody was found in|found 1 person, the maximum)|.*: .* [0-9.]+/s$"
)


def line(*words: object) -> list[str]:
    """What starts `vitruvian` as a process of its own."""
    return [sys.executable, "-m", "vitruvian.cli", *map(str, words)]


def process(*words: object, **more) -> Done:
    """Run `vitruvian` as a process: dear, for what only processes have, such as signals."""
    return subprocess.run(line(*words), capture_output=True, text=True, check=False, **more)


def wait_for(happens: Callable[[], bool], seconds: float = 200) -> None:
    """Wait until something has happened, elsewhere."""
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def attended() -> Iterator[None]:
    """Processes that are started inside hear every signal, also where this one ignores some.

    Shells have what runs in the background ignore SIGINT, and nohup SIGHUP; who ignores a signal
    has its processes ignore it, too.
    """
    numbers = [getattr(signal, name) for name in stopping.SIGNALS if hasattr(signal, name)]
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def started(*words: object, **more: Any) -> subprocess.Popen[str]:
    """`vitruvian` as a process that signals can be sent to."""
    pipe = subprocess.PIPE
    with attended():
        return subprocess.Popen(line(*words), stdout=pipe, stderr=pipe, text=True, **more)


def command(
    *words: object,
    input: str = "",
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Done:
    """Run `vitruvian` in this process: the same words, both outputs and the exit code.

    Standard input and both outputs are files while it runs, as descriptors, so that what native
    libraries print is seen, too. `env` is added to the environment. Afterwards everything around it
    is as it was; what would be a traceback is raised, and so is a thread that keeps running.
    """
    argv = ["vitruvian", *map(str, words)]
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        _restored(),
    ):
        given.write(input.encode())
        given.seek(0)
        with _descriptors(given.fileno(), out.fileno(), err.fileno()):
            os.environ.update(env or {})
            if cwd is not None:
                os.chdir(cwd)
            sys.argv = argv
            try:
                app.main()
            except SystemExit as end:
                code = end.code
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
        assert isinstance(code, int)
        said = [_read(out), _read(err)]
    return subprocess.CompletedProcess(argv, code, *said)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def one_line(done: Done, *parts: str) -> None:
    """Assert that it ended with one clear line, these parts in it, and exit code 1."""
    lines = [line for line in done.stderr.splitlines() if not HINT.match(line)]
    assert done.returncode == 1, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("vitruvian: ")
    for part in parts:
        assert part in lines[0]


@contextmanager
def _descriptors(*files: int) -> Iterator[None]:
    """Inside, 0, 1 and 2 are these files, and `sys.stdin` reads the first."""
    kept = [os.dup(number) for number in range(3)]
    stdin = sys.stdin
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        sys.stdin = os.fdopen(os.dup(0), encoding="utf-8")
        with sys.stdin:
            yield
    finally:
        sys.stdin = stdin
        for number, file in enumerate(kept):
            os.dup2(file, number)
            os.close(file)


@contextmanager
def _restored() -> Iterator[None]:
    """Afterwards the process is as it was: environment, folder, handlers, outputs, threads."""
    environment, folder, words = dict(os.environ), Path.cwd(), sys.argv
    outputs = sys.stdout, sys.stderr
    threads = set(threading.enumerate())
    handlers = {
        number: signal.getsignal(number)
        for name in stopping.SIGNALS
        if (number := getattr(signal, name, None)) is not None
    }
    try:
        yield
    finally:
        sys.argv = words
        sys.stdout, sys.stderr = outputs
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        stopping._State.kept = stopping._State.received = None
        for thread in set(threading.enumerate()) - threads:
            # Python ends the threads of a pool by itself.
            if not thread.daemon and not thread.name.startswith("ThreadPoolExecutor"):
                thread.join(10)
                if thread.is_alive():
                    pytest.fail(f"the process would not have ended: {thread.name} is running")
