"""Labels of YOLO-pose datasets: a text file per image, a line per person.

A line is `class cx cy w h` and K times `x y v` or `x y`, all but class and v normalized by the
image's width and height. The labels of images/val/a.jpg are labels/val/a.txt. data.yaml defines
the splits: path, train, val, test, kpt_shape, names and optionally kpt_names; without it, a folder
with images and labels in it is a dataset as well.

Source: Ultralytics' public description of the format, https://docs.ultralytics.com/datasets/pose/.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.documents import LARGEST_YAML, read_text, read_yaml
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate.labels import MOST_KEYPOINTS, PERSON, OddityCounter
from vitruvian.frame import picture_size
from vitruvian.sources.open import PICTURES, is_clutter
from vitruvian.sources.path_index import path_parts

SAME = {"val": ("val", "valid", "validation")}  # other names of a split
PIXELS = 2.0  # normalized coordinates are below; larger values are pixels


@dataclass(frozen=True, eq=False)
class YoloPeople:
    """N people of an image, in coordinates normalized by its width and height."""

    box: np.ndarray  # (N, 4) centre, width and height
    points: np.ndarray  # (N, K, 3) x y v; labelled if v is above 0


@dataclass(frozen=True, eq=False)
class YoloLabels:
    """All images of a split of a dataset."""

    shape: tuple[int, int]  # number of keypoints, and values of each: 3 or 2
    names: list[Any] | None  # keypoint names, if given
    pictures: list[tuple[Path, tuple[int, int], YoloPeople]]  # image, width and height, people
    sha256: str  # of all label files
    faults: list[VitruvianError]  # images that cannot be read
    notes: list[str] = field(default_factory=list)  # assumptions


def read(data: Path, images: Path | None, split: str) -> YoloLabels:
    """Read a split of a dataset.

    Args:
        data: data.yaml, its folder, or a folder with images and labels.
        images: image folder, instead of that in data.yaml.
        split: train, val or test.

    Raises:
        VitruvianError: it cannot be read, or is no dataset.
    """
    table = next((p for p in (data / "data.yaml", data / "data.yml") if p.is_file()), None)
    root = data
    if not data.is_dir():
        root, table = data.absolute().parent, data
    said = {} if table is None else read_yaml(table)
    if not isinstance(said, dict):
        raise VitruvianError(f"cannot read '{table}': want the data.yaml of a YOLO-pose dataset")
    shape, notes, odd, lines = (
        _shape(said.get("kpt_shape")),
        list[str](),
        OddityCounter(),
        OddityCounter(),
    )
    if images is not None:
        paths = _pictures(images, [root])
    elif table is not None:
        paths = _listed(table, said, root, split, notes)
    else:
        paths = _pictures(_folder(root, split), [root])
    if not paths:
        where = images or data
        raise VitruvianError(f"no images in '{where}'; give a data.yaml, or images/ and labels/")
    digest, faults = hashlib.sha256(), list[VitruvianError]()
    rows: dict[Path, list[_Row]] = {}
    for path in paths:
        file, text = _label_file(path), ""
        if not os.path.isfile(file):  # noqa: PTH113  # no error for odd names
            odd("without a label file, treated as images without people", path.name)
        else:
            try:
                text = read_text(file, LARGEST_YAML)
            except VitruvianError as error:
                faults.append(error)
                continue
        digest.update(os.fsencode(path.name) + b"\0" + text.encode())
        rows[path] = _rows(file, text, lines)
    person = _person(said, [row for each in rows.values() for row in each], notes)
    chosen = {path: [r for r in each if r.kind == person] for path, each in rows.items()}
    shape = shape or _shape_of(chosen, data)
    _check(chosen, shape, lines)
    pictures = []
    for path, each in chosen.items():
        try:
            size = picture_size(path)
        except VitruvianError as error:
            faults.append(error)
            continue
        pictures.append((path, size, _people(each, shape, lines)))
    if not pictures:
        raise faults[0]
    notes += [*odd.lines("images"), *lines.lines("label lines")]
    names = _names(said, person)
    return YoloLabels(shape, names, pictures, digest.hexdigest(), faults, notes)


# Image paths


def _listed(
    table: Path, said: dict[str, Any], root: Path, split: str, notes: list[str]
) -> list[Path]:
    """The images of a split in data.yaml: folders, lists of images, or several."""
    names = SAME.get(split, (split,))
    entries = next((said[name] for name in names if said.get(name)), None)
    if entries is None:
        raise VitruvianError(f"'{table}' has no split '{split}'; choose another --split")
    entries = entries if isinstance(entries, list) else [entries]
    if not all(isinstance(entry, str) for entry in entries):
        raise VitruvianError(f"cannot read '{table}': '{split}' is {shown(entries)}, want folders")
    above = said.get("path")
    roots = [root]
    if isinstance(above, str) and (found := _resolve(above, [root])) is not None:
        roots = [found, root]
    paths: dict[Path, None] = {}  # unique, in order
    for entry in entries:
        where = _resolve(entry, roots)
        if where is None:
            raise VitruvianError(
                f"cannot read '{table}': there is no '{shown(entry)}'; see --images"
            )
        written = [_slashes(base / _slashed(entry)) for base in roots]
        if _slashes(where) not in written:
            notes.append(f"{split} is '{shown(entry)}' in data.yaml; '{shown(where)}' is used")
        paths |= dict.fromkeys(_pictures(where, roots))
    return list(paths)


def _slashed(path: str) -> str:
    return path.strip().replace("\\", "/")


def _slashes(path: Path) -> str:
    """A normalized path, without redundant parts."""
    return os.path.normpath(path)


def _resolve(entry: str, roots: list[Path]) -> Path | None:
    """An existing path: as written, or else its longest suffix below one of the folders."""
    for root in roots:
        if os.path.exists(root / _slashed(entry)):  # noqa: PTH110  # no error for odd names
            return root / _slashed(entry)
    parts = path_parts(entry)
    for i in range(len(parts)):
        for root in roots:
            if os.path.exists(root.joinpath(*parts[i:])):  # noqa: PTH110
                return root.joinpath(*parts[i:])
    return None


def _folder(root: Path, split: str) -> Path:
    """The image folder of a dataset without data.yaml."""
    for name in SAME.get(split, (split,)):
        for folder in (root / "images" / name, root / name / "images"):
            if folder.is_dir():
                return folder
    return root / "images"


def _pictures(where: Path, roots: list[Path]) -> list[Path]:
    """The images of a folder, or of a .txt list."""
    if where.is_file() and where.suffix.lower() == ".txt":
        lines = [line.strip() for line in read_text(where).splitlines()]
        found = [(line, _resolve(line, [*roots, where.parent])) for line in lines if line]
        listed = [(line, path or roots[0] / _slashed(line)) for line, path in found]
        odd = next((line for line, path in listed if os.path.isdir(path)), None)  # noqa: PTH112
        if odd is not None:
            raise VitruvianError(f"cannot read '{where}': '{shown(odd)}' is a folder, not an image")
        return [path for _, path in listed]
    if where.is_file() and where.suffix.lower() in PICTURES:
        return [where]
    if not where.is_dir():
        raise VitruvianError(f"cannot read '{where}': no such image folder")
    found = (p for p in where.rglob("*") if p.suffix.lower() in PICTURES)
    return sorted(p for p in found if not is_clutter(p.name))


def _label_file(picture: Path) -> Path:
    """The label file: in labels, beside images."""
    parts = list(picture.parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


# Label lines


@dataclass(frozen=True, eq=False)
class _Row:
    """A line of a label file."""

    where: str  # for messages
    kind: int  # the class
    values: np.ndarray  # (V,) values after the class; the first four are the box


def _rows(file: Path, text: str, odd: OddityCounter) -> list[_Row]:
    rows = []
    for i, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        where = f"'{file.name}', line {i}"
        try:
            values = np.array([float(word) for word in words])
        except ValueError:
            values = np.full(1, np.nan)
        if not (np.abs(values) < 1e6).all() or values[0] != np.round(values[0]):
            odd("ignored, want a class and numbers", where)
        elif len(values) < 5:
            odd("ignored, fewer than a class and four numbers", where)
        else:
            rows.append(_Row(where, int(values[0]), values[1:]))
    return rows


def _person(said: dict[str, Any], rows: list[_Row], notes: list[str]) -> int:
    """The class of people: the one with that name, or else 0, or else the only one."""
    names = said.get("names")
    pairs = names.items() if isinstance(names, dict) else enumerate(_list(names))
    called = {int(i): str(name) for i, name in pairs if str(i).isdecimal() and len(str(i)) < 9}
    there = Counter(row.kind for row in rows)
    people = [i for i, name in called.items() if name.lower() in PERSON]
    person = people[0] if len(people) == 1 else 0
    if there and person not in there:
        if len(there) > 1:
            raise VitruvianError(
                f"no labels of class {person} ({shown(called.get(person, 'people'), 40)}); there "
                f"are {shown(sorted(there)[:8])}"
            )
        person = next(iter(there))
    if person != 0:
        notes.append(
            f"people are class {person}" + (f" ({called[person]})" if person in called else "")
        )
    if others := there.total() - there[person]:
        some = ", ".join(called.get(i, str(i)) for i in sorted(there) if i != person)
        notes.append(f"{others} labels of other classes ({shown(some, 60)}) are ignored")
    return person


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _names(said: dict[str, Any], person: int) -> list[Any] | None:
    """Keypoint names; a dataset may have them per class."""
    names = said.get("kpt_names")
    if isinstance(names, dict):
        names = names.get(person, names.get(str(person), next(iter(names.values()), None)))
    return names if isinstance(names, list) else None


def _shape(given: Any) -> tuple[int, int] | None:
    """Number of keypoints and values of each from kpt_shape, also as text; None if missing."""
    if given is None:
        return None
    value = given
    if isinstance(value, str):
        value = [int(n) for n in re.findall(r"-?\d{1,9}", value)]
    whole = isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value)
    if not whole or value[1] not in (2, 3) or value[0] < 1:
        raise VitruvianError(f"kpt_shape is {shown(given)}, want [keypoints, 2 or 3]")
    if value[0] > MOST_KEYPOINTS:
        raise VitruvianError(
            f"kpt_shape is {shown(given)}, want at most {MOST_KEYPOINTS} keypoints"
        )
    return value[0], value[1]


def _shape_of(rows: dict[Path, list[_Row]], data: Path) -> tuple[int, int]:
    """Infer the shape from the lines, if data.yaml has none."""
    lengths = Counter(len(row.values) for each in rows.values() for row in each)
    if not lengths:
        raise VitruvianError(
            f"no labels for the images of '{data}'; want label files in labels/ beside images/"
        )
    wide = max(lengths, key=lambda n: (n > 4, lengths[n])) - 4
    if wide % 3 or not wide or wide > 3 * MOST_KEYPOINTS:
        raise VitruvianError(
            f"the labels of '{data}' have {wide + 5} numbers a person, want 5 and 3 for each "
            "keypoint; give a data.yaml with kpt_shape"
        )
    return wide // 3, 3


def _check(rows: dict[Path, list[_Row]], shape: tuple[int, int], odd: OddityCounter) -> None:
    """Raise `VitruvianError` if most lines have another shape; otherwise drop the few that do."""
    k, numbers = shape
    want, every = 4 + k * numbers, [row for each in rows.values() for row in each]
    wrong = [row for row in every if len(row.values) not in (4, want)]
    if 2 * len(wrong) > len(every):
        raise VitruvianError(
            f"{wrong[0].where} has {len(wrong[0].values) + 1} numbers, want {want + 1} for {k} "
            f"keypoints; {len(wrong)} of {len(every)} lines are like this; check kpt_shape"
        )
    pixels = [row for row in every if (np.abs(row.values[:4]) > PIXELS).any()]
    if 2 * len(pixels) > len(every):
        raise VitruvianError(
            f"{pixels[0].where} has the bounding box {shown(pixels[0].values[:4].tolist())}: in "
            "pixels, want fractions of image width and height, 0 to 1"
        )
    for what, some in (
        (f"ignored, want {want + 1} numbers for {k} keypoints", wrong),
        ("ignored, bounding box outside 0..1", pixels),
    ):
        for row in some:
            odd(what, row.where)
    bad = {id(row) for row in (*wrong, *pixels)}
    for each in rows.values():
        each[:] = [row for row in each if id(row) not in bad]


def _people(rows: list[_Row], shape: tuple[int, int], odd: OddityCounter) -> YoloPeople:
    """People of the lines; a line with only a box is a person without keypoints."""
    k, numbers = shape
    points = np.zeros((len(rows), k, 3))
    for i, row in enumerate(rows):
        if len(row.values) > 4:
            points[i, :, :numbers] = row.values[4:].reshape(k, numbers)
        else:
            odd("a bounding box without keypoints, not evaluated", row.where)
    if numbers == 2:
        points[..., 2] = points[..., :2].any(axis=-1)
    box = np.array([row.values[:4] for row in rows]).reshape(len(rows), 4)
    return YoloPeople(box, points)
