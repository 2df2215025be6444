"""Workers as Ray actors, on this machine or on a cluster."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vitruvian.errors import VitruvianError, note, pip_install, shown
from vitruvian.stopping import SIGNALS
from vitruvian.verbs.batch.work import BatchSettings, Done, Job, Worker, as_fault
from vitruvian.verbs.batch.workers import DIED, POLL

LOCAL = "local"  # the address of a Ray of our own
# What the cluster says about workers and machines that are lost: a batch counts, logs and repeats
# that itself. Ray prints it to standard output, also with
# log_to_driver=False (findings/ray_lost_worker_on_stdout.sh).
LOST = (
    "A worker died or was killed|has been marked dead because|Raylet is terminated|"
    "killed due to memory pressure"
)
# Read by Ray as it is imported: no telemetry, nor a notice about it.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", LOST)
WAIT = 60.0  # seconds without any worker after which the user is told
LOOK = 5.0  # seconds between two looks at what machines there are
TRIES = 5  # workers in a row that could not be started, after which nothing else is tried


class Actors:
    """Workers as Ray actors; Ray decides on which machine each one runs.

    An actor gets jobs once it has started. One that dies, alone or with its machine, takes only its
    own job with it, and is replaced when there is room.
    """

    def __init__(
        self,
        settings: BatchSettings,
        address: str,
        count: int | None,
        cpus: float,
        gpus: float,
        most: int,
    ) -> None:
        """Connect to a cluster, and ask for workers.

        Args:
            settings: of the work.
            address: of the cluster, "auto" for the one of this machine, or "local".
            count: of workers; None: as many as the cluster has room for.
            cpus: of each worker.
            gpus: of each worker, may be a part of one.
            most: workers, however much room there is.

        Raises:
            VitruvianError: Ray is missing, or the cluster does not answer.
        """
        try:
            import ray
        except ImportError:
            raise VitruvianError(
                f"--ray needs Ray; install it with: {pip_install('batch')}"
            ) from None
        self.ray, self._own = ray, not ray.is_initialized()
        if self._own:
            options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
            if address == LOCAL and count is not None:
                options["num_cpus"] = max(math.ceil(min(count, most) * cpus), 1)
            if address == LOCAL and gpus:
                options["num_gpus"] = math.ceil(min(count or 1, most) * gpus)
            try:
                with _own_signals():
                    ray.init(
                        address=address,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        namespace="vitruvian",
                        **options,
                    )
            except (OSError, ValueError, RuntimeError, TimeoutError) as error:
                raise VitruvianError(
                    f"cannot connect to Ray at '{shown(address)}': {shown(error, 100)}"
                ) from None
        self._wanted, self._most, self._cpus, self._gpus = count, most, cpus, gpus
        self._actor = ray.remote(num_cpus=cpus, num_gpus=gpus)(Worker)
        self._settings = ray.put(settings)
        self._number = 0
        self._actors: dict[str, Any] = {}  # by name
        self._starting: dict[Any, str] = {}  # reference -> name
        self._jobs: dict[Any, str] = {}  # reference -> name
        self._began = time.monotonic()
        self._looked, self._unstarted, self._told = -LOOK, 0, False
        self._grow()
        if not self._starting:
            self.close()
            raise VitruvianError(
                f"no machine of Ray has {cpus:g} CPUs and {gpus:g} GPUs for a worker; ask for less "
                "with --cpus-per-worker and --gpus-per-worker"
            )

    def _room(self) -> int:
        """How many workers the machines of the cluster can hold."""
        room = 0
        for node in self.ray.nodes():
            if node["Alive"]:
                cpus, gpus = (node["Resources"].get(kind, 0) for kind in ("CPU", "GPU"))
                # Those that take nothing are one to a CPU: something must limit them.
                each = [cpus / self._cpus] if self._cpus else [] if self._gpus else [cpus]
                each += [gpus / self._gpus] if self._gpus else []
                room += int(min(each))
        return room

    def _grow(self) -> None:
        """Ask for the workers that are missing."""
        self._looked = time.monotonic()
        count = self._room() if self._wanted is None else self._wanted
        while len(self._actors) < min(count, self._most):
            self._number += 1
            name = f"worker {self._number}"
            # As it is shown in Ray's dashboard; unique in the cluster.
            whole = f"vitruvian batch, {name} of {socket.gethostname()}:{os.getpid()}"
            actor: Any = self._actor.options(name=whole).remote(self._settings)
            self._actors[name] = actor
            self._starting[actor.__ray_ready__.remote()] = name

    def idle(self) -> list[str]:
        """See `Workers`."""
        busy = {*self._jobs.values(), *self._starting.values()}
        return [name for name in self._actors if name not in busy]

    def submit(self, worker: str, job: Job) -> None:
        """See `Workers`."""
        task = self._actors[worker].__call__.options(name=job.name)
        self._jobs[task.remote(job)] = worker

    def done(self) -> list[tuple[str, Done | VitruvianError]]:
        """See `Workers`.

        Raises:
            VitruvianError: no worker can be started, or the cluster is gone.
        """
        waited = [*self._jobs, *self._starting]
        if not waited:
            time.sleep(POLL)  # no machine is there for the moment
        ready = self.ray.wait(waited, timeout=POLL)[0] if waited else []
        ended: list[tuple[str, Done | VitruvianError]] = []
        before = len(self._actors)
        for reference in ready:
            started = reference in self._starting
            worker = (self._starting if started else self._jobs).pop(reference)
            fault = None
            try:
                done = self.ray.get(reference)
                if not started:
                    ended.append((worker, done))
                self._unstarted = 0
            except self.ray.exceptions.RayTaskError as error:
                fault = as_fault(error.cause or error)
            except self.ray.exceptions.RayError as error:  # it died, or its machine did
                fault = VitruvianError(f"{DIED}, or its machine is gone")
                del self._actors[worker]
                if started:
                    fault = VitruvianError(" ".join(str(error).split()))
            if fault is not None and started:
                self._actors.pop(worker, None)
                self._unstarted += 1
                if self._unstarted == TRIES:
                    raise VitruvianError(f"no worker can be started on Ray: {shown(fault, 200)}")
            elif fault is not None:
                ended.append((worker, fault))
        self._tell_if_waiting()
        if len(self._actors) < before or time.monotonic() - self._looked > LOOK:
            self._grow()
        return ended

    def _tell_if_waiting(self) -> None:
        """Say it if the cluster has had no room for a long time."""
        if len(self._starting) < len(self._actors):
            self._told = True
        elif not self._told and time.monotonic() - self._began > WAIT:
            self._told = True
            note(f"Ray has had no free machine for a worker for {WAIT:.0f} s; still waiting")

    def close(self) -> None:
        """See `Workers`."""
        for actor in self._actors.values():
            self.ray.kill(actor)
        self._actors.clear()
        if self._own:
            self.ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Signals are handled as before: Ray takes SIGTERM, and would end the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    taken = False
    try:
        yield
    except SystemExit:  # of Ray's handler
        taken = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if taken:
        signal.raise_signal(signal.SIGTERM)
