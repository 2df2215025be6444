"""The training loop of all models.

`fit` trains a `Task`, see `vitruvian.training.task` for what a family of models has to give, and
writes a `RunFolder`. The loop is plain PyTorch: order, batches and random numbers depend on the
seed, the epoch and the step only, so a run resumed from a checkpoint ends with the same weights, on
a CPU to the bit. With torchrun, each process computes its share of every batch.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import swa_utils

from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats.atomic_file import alone_in, write_whole
from vitruvian.stopping import Interrupted, hold_signals
from vitruvian.training.batches import batches_of_epoch
from vitruvian.training.folder import RunFolder
from vitruvian.training.parallel import Processes, joined_processes
from vitruvian.training.schedule import (
    channels_last,
    depthwise_in_float32,
    ema,
    learning_rate,
    restore_weights,
    warmth,
)
from vitruvian.training.task import Batch, Figure, LossTerm, Task
from vitruvian.training.tensorboard_log import TensorBoardLog

# What a resumed run may change: none of it changes the weights on a CPU, but for the rounding of
# another number of threads.
CHANGEABLE = {"checkpoint_every", "device", "patience", "tensorboard", "threads", "workers"}
SHEET = 24  # samples on the contact sheet
REPORT = 10.0  # seconds between two lines of progress
FINITE_EVERY = 20  # steps between two checks for NaN on a GPU, each of which waits for it


@dataclass
class Progress:
    """How far a run is; part of the checkpoint."""

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)  # losses since the epoch began
    lines: list[dict[str, Any]] = field(default_factory=list)  # of the log, one per epoch
    best: float = math.nan
    best_epoch: int = 0
    hours: float = 0.0

    def kept_line(self, keep: str) -> dict[str, Any]:
        """The line of the log for the weights that are exported; `keep` as in `Recipe`."""
        lines = [line for line in self.lines if line["figures"]] or self.lines
        best = [line for line in lines if line["epoch"] == self.best_epoch]
        return best[0] if keep == "best" and best else lines[-1]


def fit(
    task: Task, out: Path, *, resume: bool = False, say: Callable[[str], None] = print
) -> Progress:
    """Train a task, or resume its run.

    Args:
        task: what is learned.
        out: folder of the run, see `vitruvian.training.folder`.
        resume: whether to continue an interrupted run; a finished one is exported again.
        say: called with lines about progress.

    Raises:
        VitruvianError: `out` has a run already, or another one; too few samples for a batch; the
            loss is not a number; memory or disk are full.
    """
    recipe = task.recipe
    check_device(recipe.device)
    with (
        joined_processes(recipe.device) as processes,
        alone_in(out) if processes.first else nullcontext(),
        exact_threads(recipe.threads, recipe.device),
    ):
        say = say if processes.first else lambda _: None
        run = _Run(task, RunFolder(out), processes, say)
        run.open(resume)
        with hold_signals(), run.events():
            run.train()
        if processes.first:
            run.finish()
        processes.wait()
        return run.progress


def check_device(device: str) -> None:
    """Raise `VitruvianError` if this machine does not have the device."""
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device in there and not there[device]():
        raise VitruvianError(f"device is {device}, which PyTorch does not find here; use cpu")


@contextmanager
def exact_threads(number: int, device: str) -> Iterator[None]:
    """Inside, PyTorch uses this many threads (0: as before), and on a CPU exact sums only."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    deterministic: Any = torch.utils.deterministic
    filled = deterministic.fill_uninitialized_memory
    torch.set_num_threads(number or before[0])
    torch.use_deterministic_algorithms(device == "cpu" or before[1], warn_only=True)
    deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        deterministic.fill_uninitialized_memory = filled


class _Run:
    """A run in this process."""

    def __init__(
        self, task: Task, folder: RunFolder, processes: Processes, say: Callable[[str], None]
    ) -> None:
        self.task, self.recipe, self.folder = task, task.recipe, folder
        self.processes, self.say = processes, say
        self.progress = Progress()
        self.tensorboard: TensorBoardLog | None = None
        local = f":{processes.local}" if self.recipe.device == "cuda" else ""
        self.device = torch.device(self.recipe.device + local)
        torch.manual_seed(self.recipe.seed)
        self.network = channels_last(task.network().to(self.device))
        if self.recipe.precision == "bf16" and self.device.type == "cpu":
            depthwise_in_float32(self.network)
        self.groups = list(task.groups(self.network))
        self.average = swa_utils.AveragedModel(
            self.network, multi_avg_fn=ema(self.recipe.ema, self.recipe.ema_ramp), use_buffers=True
        )
        self.optimiser = self._optimiser()
        size = self.recipe.batch * self.recipe.accumulate * processes.count
        self.steps = len(task.order(0)) // size  # of an epoch
        if not self.steps:
            raise VitruvianError(
                f"{amount(len(task.order(0)), 'sample')} to learn from, want at least one batch of "
                f"{size}; use fewer with --set batch=N"
            )
        self.total = self.steps * self.recipe.epochs
        self._began = self._told = time.monotonic()
        self._saved = time.monotonic()

    def _optimiser(self) -> torch.optim.Optimizer:
        groups = [
            {"params": list(group.parameters), "weight_decay": group.decay, "lr": group.rate}
            for group in self.groups
        ]
        if self.recipe.optimiser == "sgd":
            return torch.optim.SGD(groups, momentum=self.recipe.momentum, nesterov=True)
        return torch.optim.AdamW(groups)

    # Files

    def open(self, resume: bool) -> None:
        """Check the data, and continue from the checkpoint if there is one."""
        report = self.task.report()
        there = self.folder.state.exists()
        if there and not resume:
            raise VitruvianError(
                f"'{shown(self.folder.path, 100)}' has a run already; continue it with --resume, "
                "or give another --out"
            )
        for line in (*report.lines, *report.suspicious):
            self.say(line)
        if there:
            self._load(report.sha256)
        elif self.processes.first:
            self.recipe.write(self.folder.path / "recipe.toml")
            text = [*report.lines, *(f"look at: {line}" for line in report.suspicious)]
            write_whole(self.folder.path / "data.txt", "".join(f"{line}\n" for line in text))
            some = [self.task.sample(index, 0) for index in self.task.order(0)[:SHEET]]
            self.folder.write_sheet("data.png", [self.task.draw(sample) for sample in some])
        self.sha256 = report.sha256
        self.processes.wait()

    @contextmanager
    def events(self) -> Iterator[None]:
        """Inside, lines of the log go to TensorBoard too, if the recipe says so."""
        if not (self.recipe.tensorboard and self.processes.first):
            yield
            return
        with closing(TensorBoardLog(self.folder.path, self.progress.step)) as self.tensorboard:
            yield

    def _load(self, sha256: str) -> None:
        state = self.folder.load("state.pt")
        before, now = json.loads(state["recipe"]), asdict(self.recipe)
        changed = [name for name in now if before.get(name) != now[name]]
        if changed := [name for name in changed if name not in CHANGEABLE]:
            raise VitruvianError(
                f"'{shown(self.folder.path, 80)}' is a run with {changed[0]} = "
                f"{shown(before.get(changed[0]))}, not {shown(now[changed[0]])}; resume it with "
                "its own recipe, or give another --out"
            )
        if state["sha256"] != sha256:
            raise VitruvianError(
                f"'{shown(self.folder.path, 80)}' is a run on other data; give another --out"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = Progress(**json.loads(state["progress"]))
        self.say(f"resumes at step {self.progress.step} of {self.total}")

    def save(self) -> None:
        """Write the checkpoint."""
        self._saved = time.monotonic()
        if not self.processes.first:
            return
        self._add_hours()
        content = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": json.dumps(asdict(self.progress)),
            "recipe": json.dumps(asdict(self.recipe)),
            "sha256": self.sha256,
        }
        self.folder.save("state.pt", content)

    def _add_hours(self) -> None:
        now = time.monotonic()
        self.progress.hours += (now - self._began) / 3600
        self._began = now

    # Steps

    def train(self) -> None:
        """All epochs that are left."""
        try:
            for epoch in range(self.progress.step // self.steps, self.recipe.epochs):
                if self._stopped_early():
                    break
                self._train_epoch(epoch)
        except Interrupted:  # between two steps
            self.save()
            self.say(f"stopped at step {self.progress.step} of {self.total}; continue: --resume")
            raise
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if "memory" not in str(error) and not isinstance(error, MemoryError):
                raise
            raise VitruvianError(
                f"out of memory with batch {self.recipe.batch}; use a smaller one and "
                f"accumulate: --set batch={max(1, self.recipe.batch // 2)} --set "
                f"accumulate={2 * self.recipe.accumulate}"
            ) from None

    def _train_epoch(self, epoch: int) -> None:
        for group in self.groups:
            for parameter in group.parameters:
                parameter.requires_grad_(epoch >= group.since)
        learned = {id(p) for group in self.groups for p in group.parameters}
        for parameter in self.network.parameters():
            if id(parameter) not in learned:
                parameter.requires_grad_(False)
        self.network.train()
        network: nn.Module = self.network
        if self.processes.count > 1:
            local = [self.processes.local] if self.device.type == "cuda" else None
            network = DistributedDataParallel(network, device_ids=local)
        done = self.progress.step - epoch * self.steps
        for some in batches_of_epoch(self.task, epoch, done, self.steps, self.processes):
            losses = self._step(network, some)
            for name, value in losses.items():
                self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
            self.progress.step += 1
            last = self.progress.step == (epoch + 1) * self.steps
            if last:
                self._end_epoch(epoch)
            if last or time.monotonic() - self._saved > self.recipe.checkpoint_every:
                self.save()
            self._tell(epoch, losses)
            with hold_signals(False):
                pass  # Ctrl-C is raised here, between two steps

    def _step(self, network: nn.Module, some: Sequence[Batch]) -> dict[str, float]:
        """One update of the weights; the losses."""
        step, recipe = self.progress.step, self.recipe
        seed = np.random.SeedSequence([recipe.seed, step, self.processes.rank])
        torch.manual_seed(int(seed.generate_state(1)[0]))
        for group, options in zip(self.groups, self.optimiser.param_groups, strict=True):
            since = group.since * self.steps
            options["lr"] = group.rate * learning_rate(
                step, since, self.total, recipe.warmup, recipe.final, recipe.schedule
            )
            warm = warmth(step, since, recipe.warmup)
            if step >= since:
                options["lr"] += group.first_rate * (1 - warm)
            momentum = recipe.momentum + (recipe.warmup_momentum - recipe.momentum) * (1 - warm)
            if recipe.optimiser == "sgd":
                options["momentum"] = momentum
            else:
                options["betas"] = (momentum, options["betas"][1])

        def forward(*inputs: Any) -> Any:
            bf16 = recipe.precision == "bf16"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                return network(*inputs)

        losses: dict[str, Tensor] = {}
        for i, batch in enumerate(some):
            alone = i + 1 < len(some) and isinstance(network, DistributedDataParallel)
            with network.no_sync() if alone else nullcontext():  # type: ignore[operator]
                terms = self._shares(self.task.loss(forward, self._moved(batch)))
                loss = torch.stack(list(terms.values())).sum() / len(some)
                self._check_finite(loss, terms)
                loss.backward()
            for name, term in terms.items():
                losses[name] = losses.get(name, 0) + term.detach() / len(some)
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if recipe.ema:
            self.average.update_parameters(self.network)
        values = torch.stack(list(losses.values())) / self.processes.count
        return dict(zip(losses, self.processes.added(values).tolist(), strict=True))

    def _shares(self, terms: Mapping[str, LossTerm]) -> dict[str, Tensor]:
        """The share of each loss term that this process has.

        DistributedDataParallel takes the mean of gradients, so that of sums is multiplied by the
        number of processes.
        """
        counts = [torch.as_tensor(term.number, dtype=torch.float32) for term in terms.values()]
        whole = self.processes.added(torch.stack([c.detach().to(self.device) for c in counts]))
        shares = self.processes.count / whole.clamp_min(1)
        return {name: term.total * shares[i] for i, (name, term) in enumerate(terms.items())}

    def _moved(self, batch: Batch) -> Batch:
        """A batch on the device, images in the memory format of the network."""
        moved = {}
        for name, values in batch.items():
            layout = torch.channels_last if values.dim() == 4 else torch.preserve_format
            moved[name] = values.to(self.device, non_blocking=True, memory_format=layout)
        return moved

    def _check_finite(self, loss: Tensor, terms: Mapping[str, Tensor]) -> None:
        """Raise `VitruvianError` if the loss is not a number."""
        if self.device.type != "cpu" and self.progress.step % FINITE_EVERY:
            return
        if not bool(torch.isfinite(loss)):
            some = ", ".join(f"{name} {float(term.detach()):.3g}" for name, term in terms.items())
            raise VitruvianError(
                f"the loss is not a number at step {self.progress.step} ({some}); start again in "
                f"another --out with --set rate={self.recipe.rate / 3:.2g} or --set precision=f32"
            )

    # Epochs

    def evaluated(self) -> nn.Module:
        """A copy of the moving average of the weights, in evaluation mode, to be used as it is."""
        network = copy.deepcopy(self.average.module if self.recipe.ema else self.network)
        restore_weights(network)
        return network.eval().requires_grad_(False)

    def _end_epoch(self, epoch: int) -> None:
        progress = self.progress
        losses = {name: total / self.steps for name, total in progress.sums.items()}
        if not all(map(math.isfinite, losses.values())):
            self._check_finite(torch.tensor(math.nan), {})
        figures: Mapping[str, Figure] = {}
        last = epoch + 1 == self.recipe.epochs
        if self.processes.first and (last or (epoch + 1) % self.recipe.validate_every == 0):
            network = self.evaluated()
            figures = self.task.validate(network)
            self.folder.write_sheet(
                f"pictures/{epoch + 1:04}.png", list(self.task.pictures(network))
            )
            value = next(iter(figures.values())).value
            better = value < progress.best if self.task.lower_is_better else value > progress.best
            if better or math.isnan(progress.best):
                progress.best, progress.best_epoch = value, epoch + 1
                self.folder.save("best.pt", network.state_dict())
        progress.best_epoch = self._from_first(progress.best_epoch)
        self._add_hours()
        line = {"epoch": epoch + 1, "step": progress.step, "hours": round(progress.hours, 4)}
        line |= {"rate": self.optimiser.param_groups[0]["lr"], "memory_gb": memory_gb(self.device)}
        line |= {"losses": {"loss": sum(losses.values()), **losses}}
        line |= {"figures": {name: list(figure) for name, figure in figures.items()}}
        progress.lines.append(line)
        progress.sums = {}
        if self.processes.first:
            self.folder.write_log(progress.lines)
            if self.tensorboard is not None:
                self.tensorboard.write(line)
        words = "  ".join(f"{name} {interval(figure)}" for name, figure in figures.items())
        self.say(f"epoch {epoch + 1} of {self.recipe.epochs}: {terms_of(losses)}  {words}".rstrip())

    def _from_first(self, value: int) -> int:
        """A number of the first process, which alone validates."""
        if self.processes.count == 1:
            return value
        own = torch.tensor(float(value) if self.processes.first else 0.0, device=self.device)
        return int(self.processes.added(own))

    def _stopped_early(self) -> bool:
        """Whether the figure has not become better for too long."""
        patience = self.recipe.patience
        since = len(self.progress.lines) - self.progress.best_epoch
        if not patience or since < patience:
            return False
        self.say(f"stopped: no better figure since epoch {self.progress.best_epoch}")
        return True

    def _tell(self, epoch: int, losses: Mapping[str, float]) -> None:
        """A line of progress, every `REPORT` seconds."""
        now = time.monotonic()
        if now - self._told < REPORT:
            return
        done = self.progress.step - epoch * self.steps
        hours = self.progress.hours + (now - self._began) / 3600
        left = hours * 60 * (self.total - self.progress.step) / self.progress.step
        self._told = now
        self.say(
            f"epoch {epoch + 1} of {self.recipe.epochs}, step {done} of {self.steps}: "
            f"{terms_of(losses)}, {left:.0f} min left, {memory_gb(self.device):.1f} GB"
        )

    def finish(self) -> None:
        """Write the weights and the exported network."""
        self.folder.write_log(self.progress.lines, finished=True)
        last = self.evaluated()
        self.folder.save("last.pt", last.state_dict())
        if self.recipe.keep == "best" and (self.folder.path / "best.pt").exists():
            last.load_state_dict(self.folder.load("best.pt"))
        self.task.export(last.cpu(), self.folder.path / "model.onnx")


def terms_of(losses: Mapping[str, float]) -> str:
    """Losses for a line of progress."""
    some = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    return f"loss {sum(losses.values()):.4g}" + (f" ({some})" if len(losses) > 1 else "")


def interval(figure: Figure) -> str:
    """A figure and its interval."""
    wide = f" [{figure.low:.3f}, {figure.high:.3f}]" if figure.low == figure.low else ""
    return f"{figure.value:.3f}{wide}"


def memory_gb(device: torch.device) -> float:
    """Peak memory of the process, or of the GPU, GB; 0 if unknown (Windows)."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    with suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2)
    return 0.0
