"""Labels of YOLO-pose data sets: a text file for each picture, a line for each person in it.

A line is `class cx cy w h` and K times `x y v` or `x y`, all but class and v in shares of the
picture's width and height. The labels of images/val/a.jpg are labels/val/a.txt. What the parts are
is in data.yaml: path, train, val, test, kpt_shape and perhaps kpt_names; without one, a folder with
images and labels in it is a data set as well.

Source: Ultralytics' public description of the format, https://docs.ultralytics.com/datasets/pose/.
"""

from __future__ import annotations

import hashlib
import re
from ast import literal_eval
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.frame import picture_size
from vitruvian.source import PICTURES, is_clutter


@dataclass(frozen=True, eq=False)
class People:
    """N people of a picture, in shares of its width and height."""

    box: np.ndarray  # (N, 4) middle, width and height
    points: np.ndarray  # (N, K, 3) x y v; v above 0 is labelled


@dataclass(frozen=True, eq=False)
class Labels:
    """All pictures of a part of a data set."""

    shape: tuple[int, int]  # keypoints, and numbers of each: 3 or 2
    names: list[str] | None  # of the keypoints, if it says
    pictures: list[tuple[Path, tuple[int, int], People]]  # picture, width and height, people
    sha256: str  # of all label files
    faults: list[VitruvianError]  # pictures that cannot be read


def read(data: Path, images: Path | None, split: str) -> Labels:
    """A part of a data set.

    Args:
        data: data.yaml, or the folder it lies in, or a folder with images and labels.
        images: the folder of the pictures, instead of what data.yaml says.
        split: train, val or test.

    Raises:
        VitruvianError: it cannot be read, or is none.
    """
    said: dict[str, object] = {}
    table = next((p for p in (data / "data.yaml", data / "data.yml") if p.is_file()), None)
    if data.is_dir():
        root = data
    else:
        root, table = data.absolute().parent, data
    if table is not None:
        said = settings(table)
        root = (root / str(said.get("path", "."))).resolve()
        if images is None and split not in said:
            raise VitruvianError(f"'{table}' has no '{split}'; choose another --split")
    where = images
    if where is None:
        where = root / str(said.get(split, "images"))
        if split not in said and (where / split).is_dir():
            where = where / split
    paths = _pictures(where, root)
    if not paths:
        raise VitruvianError(f"no pictures in '{where}'; give a data.yaml, or images/ and labels/")
    digest = hashlib.sha256()
    rows: list[list[list[float]]] = []
    for path in paths:
        text = b""
        file = _label_file(path)
        if file.is_file():
            text = file.read_bytes()
        digest.update(path.name.encode() + b"\0" + text)
        rows.append(_rows(file, text))
    shape = _shape(said, rows, where)
    pictures, faults = [], []
    for path, each in zip(paths, rows, strict=True):
        people = _people(_label_file(path), each, shape)
        try:
            pictures.append((path, picture_size(path), people))
        except VitruvianError as error:
            faults.append(error)
    names = said.get("kpt_names")
    names = next(iter(names.values())) if isinstance(names, dict) else names
    names = names if isinstance(names, list) else None
    return Labels(shape, names, pictures, digest.hexdigest(), faults)


def _pictures(where: Path, root: Path) -> list[Path]:
    """Of a folder, or of a .txt list of them."""
    if where.suffix == ".txt" and where.is_file():
        lines = where.read_text(encoding="utf-8").split("\n")
        return [root / line.strip() for line in lines if line.strip()]
    if not where.is_dir():
        raise VitruvianError(f"cannot read '{where}': no such folder of pictures")
    found = (p for p in where.rglob("*") if p.suffix.lower() in PICTURES)
    return sorted(p for p in found if not is_clutter(p))


def _label_file(picture: Path) -> Path:
    """Beside images there is labels."""
    parts = list(picture.parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def _rows(file: Path, text: bytes) -> list[list[float]]:
    try:
        return [
            [float(word) for word in line.split()] for line in text.splitlines() if line.strip()
        ]
    except ValueError as error:
        raise VitruvianError(f"cannot read '{file}': {error}") from None


def _shape(said: dict[str, object], rows: list[list[list[float]]], where: Path) -> tuple[int, int]:
    given = said.get("kpt_shape")
    if isinstance(given, list) and len(given) == 2 and given[1] in (2, 3):
        return int(given[0]), int(given[1])
    if given is not None:
        raise VitruvianError(f"kpt_shape is {given}, want [keypoints, 2 or 3]")
    lengths = {len(row) for each in rows for row in each}
    wide = max(lengths, default=5) - 5
    if not lengths:
        raise VitruvianError(f"no labels for the pictures in '{where}': nothing to compare with")
    if wide % 3 or not wide:
        raise VitruvianError(
            f"the labels of '{where}' have {wide + 5} numbers a person, want 5 and 3 for each "
            "keypoint; give a data.yaml with kpt_shape"
        )
    return wide // 3, 3


def _people(file: Path, rows: list[list[float]], shape: tuple[int, int]) -> People:
    """Those of class 0; a line with a box alone is somebody without keypoints."""
    k, numbers = shape
    points = np.zeros((len(rows), k, 3))
    for i, row in enumerate(rows):
        if len(row) == 5:
            continue
        if len(row) != 5 + k * numbers:
            raise VitruvianError(
                f"cannot read '{file}': line {i + 1} has {len(row)} numbers, "
                f"want {5 + k * numbers} for {k} keypoints"
            )
        points[i, :, :numbers] = np.reshape(row[5:], (k, numbers))
    if numbers == 2:
        points[..., 2] = points[..., :2].any(axis=-1)
    ours = np.array([row[0] == 0 for row in rows], bool)
    box = np.array([row[1:5] for row in rows], np.float64).reshape(len(rows), 4)
    return People(box[ours], points[ours])


def settings(file: Path) -> dict[str, Any]:
    """What data.yaml says, as far as such files go: words, numbers, lists, and one level below.

    Raises:
        VitruvianError: it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise VitruvianError(f"cannot read '{file}': {why}") from None
    said: dict[str, Any] = {}
    key, inner = "", ""
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).rstrip()
        item = re.fullmatch(r"\s*- +(.*)", line)
        pair = re.fullmatch(r"(\s*)([\w.-]+):(?:\s+(.*))?", line)
        if item and key:
            where, last = (said, key) if not isinstance(said[key], dict) else (said[key], inner)
            where[last] = [*(where[last] or []), _value(item[1])]
        elif pair and not pair[1]:
            key = pair[2]
            said[key] = _value(pair[3])
        elif pair and key:
            if not isinstance(said[key], dict):
                said[key] = {}
            inner = pair[2]
            said[key][inner] = _value(pair[3])
    return said


def _value(text: str | None) -> object:
    text = (text or "").strip()
    if not text:
        return None
    if text.startswith("[") and text.endswith("]"):
        return [_value(part) for part in text[1:-1].split(",") if part.strip()]
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text
