"""From the tensors of a checkpoint to a network, strictly: all that it has, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import nn

from vitruvian.errors import VitruvianError

COUNTER = ".num_batches_tracked"  # of a norm: not used at inference, missing in files before 2018


def fill(
    network: nn.Module, tensors: Mapping[str, np.ndarray], what: str, *, counters: bool = False
) -> None:
    """Give a network, made on the meta device, its numbers; float32, ready for inference.

    Args:
        network: what they are for.
        tensors: by name: all that the network has, and no others.
        what: the network, in words: for the error.
        counters: whether the counters of batches may be missing.

    Raises:
        VitruvianError: a tensor is missing, not known, or of another shape.
    """
    want = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if counters:
        zero = np.zeros((), np.int64)
        tensors = {name: zero for name in want if name.endswith(COUNTER)} | dict(tensors)
    _refuse(what, "misses", want.keys() - tensors.keys())
    _refuse(what, "has, but should not,", tensors.keys() - want.keys())
    _refuse(what, "has in another shape", {n for n in want if want[n] != tensors[n].shape})
    values = {
        # Half precision must become single before anything is computed, the norms most of all.
        name: torch.from_numpy(value.astype(np.int64 if value.dtype.kind == "i" else np.float32))
        for name, value in tensors.items()
    }
    network.load_state_dict(values, strict=True, assign=True)
    network.eval()


def _refuse(what: str, verb: str, names: Iterable[str]) -> None:
    if names := sorted(names):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise VitruvianError(f"no {what} network: it {verb} {names[0]!r}{more}")
