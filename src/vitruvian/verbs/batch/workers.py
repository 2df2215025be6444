"""Workers as processes of this machine, each with a queue of its own.

A process that dies takes only its own job with it, and is replaced.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Protocol

from vitruvian.errors import VitruvianError
from vitruvian.verbs.batch.work import BatchSettings, Done, Job, Worker, as_fault

DIED = "the worker process died (killed, or out of memory)"
POLL = 1.0  # seconds


class Workers(Protocol):
    """Who does the jobs, one at a time each."""

    def idle(self) -> list[str]:
        """The workers that wait for a job."""
        ...

    def submit(self, worker: str, job: Job) -> None:
        """Give an idle worker a job."""
        ...

    def done(self) -> list[tuple[str, Done | VitruvianError]]:
        """What has ended, by worker: waits up to `POLL` seconds for one."""
        ...

    def close(self) -> None:
        """End all workers at once, and wait for that; jobs that are not done are lost."""
        ...


_worker: Worker | None = None  # of this process


def _begin(settings: BatchSettings, alive: Connection) -> None:
    """Called first in a process: it ends with the one that started it, however that ends."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other process

    def watch() -> None:
        try:
            alive.recv()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    _worker = Worker(settings)


def _work(job: Job) -> Done | VitruvianError:
    assert _worker is not None
    return _worker(job)


@contextmanager
def _empty_main() -> Iterator[None]:
    """Processes that are started inside do not run the program of this one again.

    So a script that calls `vit.batch` needs no `if __name__ == "__main__"`.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class WorkerProcesses:
    """Workers as processes."""

    def __init__(self, settings: BatchSettings, count: int) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._pools: dict[str, tuple[ProcessPoolExecutor, Connection]] = {}
        self._jobs: dict[str, Future[Done | VitruvianError]] = {}
        for i in range(count):
            self._start(f"process {i + 1}")

    def _start(self, worker: str) -> None:
        theirs, ours = self._context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(1, self._context, _begin, (self._settings, theirs))
        self._pools[worker] = pool, ours

    def idle(self) -> list[str]:
        """See `Workers`."""
        return [worker for worker in self._pools if worker not in self._jobs]

    def submit(self, worker: str, job: Job) -> None:
        """See `Workers`."""
        with _empty_main():  # the process is started with its first job
            try:
                self._jobs[worker] = self._pools[worker][0].submit(_work, job)
            except BrokenProcessPool:  # it died between two jobs
                self._stop(worker)
                self._start(worker)
                self._jobs[worker] = self._pools[worker][0].submit(_work, job)

    def done(self) -> list[tuple[str, Done | VitruvianError]]:
        """See `Workers`."""
        wait(self._jobs.values(), POLL, FIRST_COMPLETED)
        ended: list[tuple[str, Done | VitruvianError]] = []
        for worker, job in list(self._jobs.items()):
            if not job.done():
                continue
            del self._jobs[worker]
            try:
                ended.append((worker, job.result()))
            except BrokenProcessPool:
                self._stop(worker)
                self._start(worker)
                ended.append((worker, VitruvianError(DIED)))
            except Exception as error:  # what it made could not be sent
                ended.append((worker, as_fault(error)))
        return ended

    def _stop(self, worker: str) -> None:
        pool, ours = self._pools.pop(worker)
        ours.close()  # which ends the process, see `_begin`
        pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """See `Workers`."""
        for _, ours in self._pools.values():
            ours.close()  # all at once
        for worker in list(self._pools):
            self._stop(worker)
