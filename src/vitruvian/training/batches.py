"""Batches of an epoch, prepared ahead of the training loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from vitruvian.sources.threads import Prefetch
from vitruvian.training.parallel import Processes
from vitruvian.training.task import Batch, Task


class _Samples(Dataset[Any]):
    """The samples of an epoch."""

    def __init__(self, task: Task, epoch: int) -> None:
        self.task, self.epoch = task, epoch

    def __getitem__(self, index: int) -> Any:
        return self.task.sample(index, self.epoch)


def batches_of_epoch(
    task: Task, epoch: int, first: int, steps: int, processes: Processes
) -> Iterator[Sequence[Batch]]:
    """Batches of this process for each step, as many as are accumulated.

    Args:
        task: what is learned.
        epoch: its samples.
        first: step of the epoch to begin with.
        steps: of the epoch.
        processes: of which each gets every n-th sample of a step.
    """
    recipe = task.recipe
    order = [int(index) for index in task.order(epoch)]
    size = recipe.batch * recipe.accumulate * processes.count
    chosen = []
    for step in range(first, steps):
        own = order[step * size : (step + 1) * size][processes.rank :: processes.count]
        chosen += [own[i : i + recipe.batch] for i in range(0, len(own), recipe.batch)]
    samples = _Samples(task, epoch)
    if recipe.workers:
        batches = iter(
            DataLoader(
                samples,
                batch_sampler=chosen,
                num_workers=recipe.workers,
                collate_fn=task.collate,
                pin_memory=recipe.device == "cuda",
            )
        )
    else:
        batches = iter(Prefetch(task.collate([samples[i] for i in some]) for some in chosen))
    for _ in range(first, steps):
        yield [next(batches) for _ in range(recipe.accumulate)]
