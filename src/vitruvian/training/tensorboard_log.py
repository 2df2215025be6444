"""The log of a run as TensorBoard event files, if the recipe says `tensorboard = true`.

Source: https://docs.pytorch.org/docs/stable/tensorboard.html, SummaryWriter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, pip_install

FOLDER = "tensorboard"  # of event files, in the folder of a run


class TensorBoardLog:
    """Writes losses and figures of each epoch, by the step at its end."""

    def __init__(self, out: Path, step: int) -> None:
        """Start a new file.

        Args:
            out: folder of the run.
            step: at which the run starts or resumes; what earlier files have of later steps is
                hidden.

        Raises:
            VitruvianError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise VitruvianError(
                "tensorboard=true needs the package tensorboard; install it with: "
                f"{pip_install('tensorboard')}"
            ) from None
        self._writer = SummaryWriter(str(out / FOLDER), purge_step=step + 1)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line of log.jsonl; see `vitruvian.training.fit`."""
        values = {f"loss/{name}": value for name, value in line["losses"].items()}
        values |= {f"figures/{name}": value for name, (value, _, _) in line["figures"].items()}
        values |= {name: line[name] for name in ("rate", "hours", "memory_gb")}
        for name, value in values.items():
            self._writer.add_scalar(name.replace(" ", "_"), value, line["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
