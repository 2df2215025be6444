"""A skeleton is a table of named keypoints; order, bones, mirror and sides all follow from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from math import nan
from pathlib import Path

import numpy as np

from vitruvian.documents import read_toml, unreadable
from vitruvian.errors import shown, unknown


@dataclass(frozen=True, eq=False)
class Skeleton:
    """K named keypoints. Left is always the subject's left.

    Nothing guesses a skeleton from K: whoever has poses has been told which one it is.
    """

    name: str
    source: str  # where the table comes from
    keypoints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]  # pairs of keypoint numbers
    sigmas: np.ndarray  # (K,) OKS standard deviations, NaN where nobody has published one

    @classmethod
    def table(cls, name: str, source: str, *rows: tuple[str, str, float]) -> Skeleton:
        """A skeleton from rows of (keypoint, "names of the keypoints it is joined to", sigma)."""
        keypoints = tuple(row[0] for row in rows)
        number = {keypoint: i for i, keypoint in enumerate(keypoints)}
        bones = tuple((number[to], number[row[0]]) for row in rows for to in row[1].split())
        return cls(name, source, keypoints, bones, np.array([row[2] for row in rows], np.float32))

    @classmethod
    def read(cls, path: Path) -> Skeleton:
        """A skeleton from a TOML file.

        name = "paw"
        keypoints = [["wrist", "", 0.1], ["tip", "wrist", 0.2]]

        Each keypoint: its name, the names of earlier ones it is joined to, and if known its OKS
        sigma.

        Raises:
            VitruvianError: it is missing, or says something else.
        """
        read, rows = read_toml(path), list[tuple[str, str, float]]()
        form = 'name = "...", keypoints = [["name", "joined to", sigma], ...]'
        given = read.get("keypoints")
        for row in given if isinstance(given, list) else [None]:
            match row:
                case [str(keypoint), str(joined)]:
                    rows.append((keypoint, joined, nan))
                case [str(keypoint), str(joined), float() | int() as sigma] if sigma > 0:
                    rows.append((keypoint, joined, float(sigma)))
                case _:
                    raise unreadable(path, f"keypoints has {shown(row)}; want {form}")
        if not isinstance(read.get("name"), str) or not read["name"]:
            raise unreadable(path, f"its name is {shown(read.get('name'))}; want {form}")
        if not rows or len({row[0] for row in rows}) != len(rows):
            raise unreadable(path, "want keypoints, each with a name of its own")
        try:
            return cls.table(read["name"], str(path), *rows)
        except KeyError as error:
            raise unreadable(path, f"a keypoint is joined to {error}, which is none") from None

    @classmethod
    def from_json(cls, text: str) -> Skeleton:
        """A skeleton from what `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError: something else wrote it.
        """
        read = json.loads(text)
        keypoints = tuple(str(name) for name in read["keypoints"])
        if len(set(keypoints)) != len(keypoints):
            raise ValueError("two keypoints have one name")
        if not all(type(end) is int for bone in read["bones"] for end in bone):
            raise ValueError("a bone has an end that is no whole number")
        bones = tuple((a, b) for a, b in read["bones"])
        sigmas = np.array(read["sigmas"], np.float32)  # null is NaN
        if np.isinf(sigmas).any():
            raise ValueError("a sigma is infinite")
        if not keypoints or sigmas.shape != (len(keypoints),):
            raise ValueError("as many sigmas as keypoints")
        if not all(0 <= end < len(keypoints) for bone in bones for end in bone):
            raise ValueError("a bone ends at no keypoint")
        return cls(str(read["name"]), str(read["source"]), keypoints, bones, sigmas)

    def to_json(self) -> str:
        """All of it, as a line of JSON; a sigma nobody has published is null."""
        sigmas = [None if np.isnan(sigma) else float(sigma) for sigma in self.sigmas]
        table = {"name": self.name, "source": self.source, "keypoints": self.keypoints}
        return json.dumps({**table, "bones": self.bones, "sigmas": sigmas})

    def __len__(self) -> int:
        return len(self.keypoints)

    def __repr__(self) -> str:
        return f"Skeleton({self.name}, {len(self)} keypoints)"

    def __getitem__(self, keypoint: str) -> int:
        """The number of a keypoint: `COCO17["left_knee"]` is 13."""
        try:
            return self.keypoints.index(keypoint)
        except ValueError:
            raise unknown(f"keypoint of {self.name}", keypoint, self.keypoints) from None

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """K times "left", "right" or "", read from the names."""
        words = [set(keypoint.split("_")) & {"left", "right"} for keypoint in self.keypoints]
        return tuple(word.pop() if word else "" for word in words)

    @cached_property
    def mirror(self) -> np.ndarray:
        """(K,) the keypoint on the other side of the body; itself where there is no other side."""
        swap = {"left": "right", "right": "left"}
        names = [
            "_".join(swap.get(word, word) for word in keypoint.split("_"))
            for keypoint in self.keypoints
        ]
        number = {keypoint: i for i, keypoint in enumerate(self.keypoints)}
        return np.array([number.get(name, i) for i, name in enumerate(names)], np.int64)
