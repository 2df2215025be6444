"""Load the tensors of a checkpoint into a network, strictly: none missing, none left over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import nn

from vitruvian.errors import VitruvianError

COUNTER = ".num_batches_tracked"  # unused at inference, missing in files before 2018


def fill(
    network: nn.Module, tensors: Mapping[str, np.ndarray], what: str, *, counters: bool = False
) -> None:
    """Load tensors into a network on the meta device; float32, in inference mode.

    Args:
        network: the network, on the meta device.
        tensors: by name: all of the network's, and no others.
        what: name of the network, for the error.
        counters: whether batch norm counters may be missing.

    Raises:
        VitruvianError: a tensor is missing, unknown, or of another shape.
    """
    want = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if counters:
        zero = np.zeros((), np.int64)
        tensors = {name: zero for name in want if name.endswith(COUNTER)} | dict(tensors)
    _refuse(what, "misses", want.keys() - tensors.keys())
    _refuse(what, "has, but should not,", tensors.keys() - want.keys())
    _refuse(what, "has in another shape", {n for n in want if want[n] != tensors[n].shape})
    values = {
        # Half precision must be cast before anything is computed, batch norms most of all.
        name: torch.from_numpy(value.astype(np.int64 if value.dtype.kind == "i" else np.float32))
        for name, value in tensors.items()
    }
    network.load_state_dict(values, strict=True, assign=True)
    network.eval()


def _refuse(what: str, verb: str, names: Iterable[str]) -> None:
    if names := sorted(names):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise VitruvianError(f"not a {what} network: it {verb} {names[0]!r}{more}")
