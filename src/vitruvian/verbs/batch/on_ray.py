"""Workers as Ray actors, on this machine or on a cluster."""

from __future__ import annotations

import os
import sys
from typing import Any

from vitruvian.errors import VitruvianError, note, shown
from vitruvian.verbs.batch.work import BatchSettings, Done, Job, Worker
from vitruvian.verbs.batch.workers import DIED, POLL, as_fault

LOCAL = "local"  # the address of a Ray of our own
# No telemetry, and no warning about it.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
START = 60.0  # seconds without any worker after which the user is told


class Actors:
    """Workers as Ray actors; Ray decides on which machine each one runs.

    An actor gets jobs once it has started. One that dies, alone or with its machine, takes only its
    own job with it, and is replaced when there is room.
    """

    def __init__(
        self, settings: BatchSettings, address: str, count: int | None, cpus: float, gpus: float
    ) -> None:
        """Connect to a cluster, and ask for workers.

        Args:
            settings: of the work.
            address: of the cluster, "auto" for the one of this machine, or "local".
            count: of workers; None: as many as the cluster has room for.
            cpus: of each worker.
            gpus: of each worker, may be a part of one.

        Raises:
            VitruvianError: Ray is missing, or the cluster does not answer.
        """
        try:
            import ray
        except ImportError:
            raise VitruvianError(
                "--ray needs Ray; install it with: pip install 'vitruvian[batch]'"
            ) from None
        self.ray, self._own = ray, not ray.is_initialized()
        if self._own:
            options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
            if address == LOCAL and count is not None:
                options["num_cpus"] = max(count * cpus, 1)
            try:
                ray.init(
                    address=None if address == LOCAL else address,
                    log_to_driver=False,
                    logging_level="ERROR",
                    namespace="vitruvian",
                    **options,
                )
            except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
                raise VitruvianError(
                    f"cannot connect to Ray at '{shown(address)}': {shown(error, 100)}"
                ) from None
        self._wanted, self._cpus, self._gpus = count, cpus, gpus
        self._actor = ray.remote(num_cpus=cpus, num_gpus=gpus)(Worker)
        self._settings = ray.put(settings)
        self._number = 0
        self._actors: dict[str, Any] = {}  # by name
        self._starting: dict[Any, str] = {}  # reference -> name
        self._jobs: dict[Any, str] = {}  # reference -> name
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
                has = node["Resources"]
                each = [has.get("CPU", 0) / self._cpus if self._cpus else sys.maxsize]
                each += [has.get("GPU", 0) / self._gpus] if self._gpus else []
                room += int(min(each))
        return room

    def _grow(self) -> None:
        """Ask for the workers that are missing."""
        count = self._room() if self._wanted is None else self._wanted
        while len(self._actors) < count:
            self._number += 1
            name = f"vitruvian {self._number}"
            actor = self._actor.options(name=f"{name} of {os.getpid()}").remote(self._settings)
            self._actors[name] = actor
            self._starting[actor.__ray_ready__.remote()] = name

    def idle(self) -> list[str]:
        """See `Workers`."""
        busy = {*self._jobs.values(), *self._starting.values()}
        return [name for name in self._actors if name not in busy]

    def submit(self, worker: str, job: Job) -> None:
        """See `Workers`."""
        self._jobs[self._actors[worker].__call__.remote(job)] = worker

    def done(self) -> list[tuple[str, Done | VitruvianError]]:
        """See `Workers`."""
        waited = [*self._jobs, *self._starting]
        ready = self.ray.wait(waited, timeout=POLL)[0] if waited else []
        ended: list[tuple[str, Done | VitruvianError]] = []
        for reference in ready:
            started = reference in self._starting
            worker = (self._starting if started else self._jobs).pop(reference)
            try:
                done = self.ray.get(reference)
            except self.ray.exceptions.RayActorError as error:
                del self._actors[worker]
                if started:
                    note(f"a worker could not be started: {shown(error, 200)}")
                else:
                    ended.append((worker, VitruvianError(DIED)))
            except self.ray.exceptions.RayTaskError as error:
                ended.append((worker, as_fault(error.cause)))
            else:
                if not started:
                    ended.append((worker, done))
        self._grow()
        return ended

    def close(self) -> None:
        """See `Workers`."""
        for actor in self._actors.values():
            self.ray.kill(actor)
        self._actors.clear()
        if self._own:
            self.ray.shutdown()
