"""The folder of a training run: recipe, state, weights, log and curves.

| file | what |
|---|---|
| recipe.toml | the parameters |
| data.txt, data.png | what the data is, and some samples as the network sees them |
| log.jsonl, curves.csv, curves.png | a line per epoch: losses and figures |
| pictures/ | predictions on fixed validation pictures |
| state.pt | what `--resume` continues |
| best.pt, last.pt | weights (moving average) |
| weights.pt, model.onnx | the trained network: for `vitruvian export`, and for `--model RUN` |
| tensorboard/ | the log as event files, if asked for |
| val/ | the report of `vitruvian val`, before and after |
| README.md | model card |
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import write_whole
from vitruvian.picture_files.encode import encode_picture
from vitruvian.rendering.curves import write_curves

COLUMNS = 6  # of a contact sheet
CURVES = 60.0  # seconds, at least, between two curves.png


class RunFolder:
    """Files of a run; each is replaced as a whole, so a killed process leaves none half-written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state, self.log = path / "state.pt", path / "log.jsonl"
        self._drawn = -CURVES

    def save(self, name: str, content: Mapping[str, Any]) -> None:
        """Save tensors and plain values, loadable with `weights_only=True`."""
        buffer = io.BytesIO()
        torch.save(dict(content), buffer)
        write_whole(self.path / name, buffer.getvalue())

    def load(self, name: str) -> dict[str, Any]:
        """What `save` wrote.

        Raises:
            VitruvianError: it cannot be read.
        """
        file = self.path / name
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds
            why = shown(str(error).splitlines()[0] if str(error) else type(error).__name__, 100)
            raise VitruvianError(
                f"cannot read '{shown(file, 100)}': {why}; start over in another --out"
            ) from None

    def write_log(self, lines: Sequence[Mapping[str, Any]], *, finished: bool = False) -> None:
        """Write log.jsonl and curves.csv, and from time to time curves.png."""
        write_whole(self.log, "".join(json.dumps(line) + "\n" for line in lines))
        rows = [flat_line(line) for line in lines]
        table = io.StringIO(newline="")
        writer = csv.DictWriter(
            table, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path / "curves.csv", table.getvalue())
        if len(lines) > 1 and (finished or time.monotonic() - self._drawn > CURVES):
            self._drawn = time.monotonic()
            write_curves(self.path / "curves.png", lines)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        write_whole(self.path / name, text)

    def write_sheet(self, name: str, pictures: Sequence[np.ndarray]) -> None:
        """Write pictures of (H, W, 3) uint8 RGB as one, `COLUMNS` in a row."""
        if not pictures:
            return
        height = max(len(picture) for picture in pictures)
        width = max(picture.shape[1] for picture in pictures)
        columns = min(COLUMNS, len(pictures))
        rows = -(-len(pictures) // columns)
        sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
        for i, picture in enumerate(pictures):
            y, x = i // columns * height, i % columns * width
            sheet[y : y + len(picture), x : x + picture.shape[1]] = picture
        write_whole(self.path / name, encode_picture(sheet, ".png"))


def flat_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the log as a row of a table: figures with their intervals as columns."""
    row = {name: value for name, value in line.items() if name not in ("losses", "figures")}
    row |= {f"loss {name}": value for name, value in line["losses"].items()}
    for name, (value, low, high) in line["figures"].items():
        row[name] = value
        if low == low:
            row |= {f"{name} low": low, f"{name} high": high}
    return row
