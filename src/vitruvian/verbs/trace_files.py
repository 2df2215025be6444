"""Output files of `trace`: the table, and images of the frame, the crop and the heat map."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.errors import VitruvianError

if TYPE_CHECKING:
    from vitruvian.verbs.trace import Trace

FILES = ("trace.csv", "frame.png", "crop.png", "heatmap.png")


def refuse_existing_trace(folder: Path, overwrite: bool) -> None:
    """Raise `VitruvianError` if files of a trace exist and may not be replaced."""
    if folder.exists() and not folder.is_dir():
        raise VitruvianError(f"'{folder}' is a file; trace writes a folder")
    there = [name for name in FILES if (folder / name).exists()]
    if there and not overwrite:
        raise VitruvianError(f"'{folder / there[0]}' exists; pass --overwrite, or another --out")


def write_trace(result: Trace, folder: Path) -> list[Path]:
    """Write the table and the images; returns their paths."""
    from vitruvian.rendering.points import marked

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILES[0]).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["stage", "crop_x", "crop_y", "frame_x", "frame_y", "score", "about"])
        for s in result.stages:
            rows.writerow([s.name, *s.crop.tolist(), *s.frame.tolist(), s.score, s.about])
    names = [stage.name for stage in result.stages]
    frame = [stage.frame for stage in result.stages]
    corners = None
    if result.crop is not None:
        wide, tall = result.crop.size
        ends = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float64)
        corners = result.crop.to_frame(ends)
    pictures = [(FILES[1], marked(result.image.rgb, dict(zip(names, frame, strict=True)), corners))]
    if result.view is not None and result.crop is not None:
        places = {s.name: s.crop for s in result.stages if s.name not in ("crop", "region", "box")}
        last = result.crop.from_frame(frame[-1].astype(np.float64))
        half = 0.5 - result.crop.centre  # from pixel centres to drawing coordinates
        places = {name: xy + half for name, xy in {**places, names[-1]: last}.items()}
        pictures.append((FILES[2], marked(result.view, places)))
    if result.map is not None and result.crop is not None:
        top = max(float(result.map.max()), 1e-9)
        grey = (np.clip(result.map / top, 0, 1) * 255).astype(np.uint8)
        by = np.divide(grey.shape[::-1], result.crop.size)
        half = 0.5 - result.crop.centre
        inside = [s for s in result.stages if s.name not in ("crop", "region")]
        places = {s.name: s.crop * by + half for s in inside}
        pictures.append((FILES[3], marked(np.stack([grey] * 3, axis=-1), places)))
    import cv2

    for name, picture in pictures:
        cv2.imwrite(str(folder / name), picture[..., ::-1])
    return [folder / name for name in (FILES[0], *(name for name, _ in pictures))]
