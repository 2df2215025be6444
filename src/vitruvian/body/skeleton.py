"""Skeleton: a table of named keypoints, which gives bones, sides and left-right pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import nan
from pathlib import Path

import numpy as np

from vitruvian.body.names import known_names, places
from vitruvian.documents import read_toml, unreadable, xml_tree
from vitruvian.errors import shown, unknown

_FINGER = re.compile(r"(thumb|index|middle|ring|pinky)_\d$")
_HAND = re.compile(r"(left_|right_)?(hand|(?:thumb|index|middle|ring|pinky)_\d)")
_FACE = re.compile(r"jaw|chin|brow|nostril|nose_b|eye_|pupil|lip|mouth")
_MESH = re.compile(r"face_\d+")  # a face mesh: names in the middle of its face are the body's
_FOOT = re.compile(r"toe|heel|foot")


@dataclass(frozen=True, eq=False)
class Skeleton:
    """K named keypoints. Left is always the subject's left.

    A skeleton is never guessed from K; poses always carry theirs. Two skeletons are equal if all
    fields but `source` are, also after pickling.
    """

    name: str
    source: str  # reference of the table
    keypoints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]  # pairs of keypoint indices
    sigmas: np.ndarray  # (K,) OKS standard deviations, NaN if none is published

    @classmethod
    def table(cls, name: str, source: str, *rows: tuple[str, str, float]) -> Skeleton:
        """Build a skeleton from rows of (keypoint, "names of connected keypoints", sigma)."""
        keypoints = tuple(row[0] for row in rows)
        number = {keypoint: i for i, keypoint in enumerate(keypoints)}
        bones = tuple((number[to], number[row[0]]) for row in rows for to in row[1].split())
        return cls(name, source, keypoints, bones, np.array([row[2] for row in rows], np.float32))

    @classmethod
    def read(cls, path: Path) -> Skeleton:
        """Read a skeleton from a TOML file.

        name = "paw"
        keypoints = [["wrist", "", 0.1], ["tip", "wrist", 0.2]]

        Each keypoint: its name, the names of earlier keypoints it is connected to, and optionally
        its OKS sigma.

        Raises:
            VitruvianError: the file is missing or has another format.
        """
        read, rows = read_toml(path), list[tuple[str, str, float]]()
        form = 'name = "...", keypoints = [["name", "connected to", sigma], ...]'
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
            raise unreadable(path, "want keypoints with unique names")
        try:
            return cls.table(read["name"], str(path), *rows)
        except KeyError as error:
            raise unreadable(
                path, f"a keypoint is connected to {error}, which does not exist"
            ) from None

    @classmethod
    def of_markers(cls, path: Path) -> Skeleton:
        """The markers of an OpenSim model or marker set, .osim or .xml, without bones.

        Raises:
            VitruvianError: the file is missing, or has no markers.
        """
        names = [marker.get("name", "") for marker in xml_tree(path).iter("Marker")]
        if not names or not all(names) or len(set(names)) != len(names):
            raise unreadable(path, "want <Marker name=...> with unique names, as OpenSim has them")
        return cls.table(path.stem, str(path), *((name, "", nan) for name in names))

    @classmethod
    def from_json(cls, text: str) -> Skeleton:
        """Read a skeleton written by `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the text has another format.
        """
        read = json.loads(text)
        keypoints = tuple(read["keypoints"])
        bones = tuple((a, b) for a, b in read["bones"])
        sigmas = np.array([nan if each is None else each for each in read["sigmas"]])
        if not all(isinstance(word, str) for word in (read["name"], read["source"], *keypoints)):
            raise TypeError("a name is not a string")
        if len(set(keypoints)) != len(keypoints):
            raise ValueError("two keypoints have the same name")
        if not keypoints or sigmas.shape != (len(keypoints),) or sigmas.dtype.kind not in "fiu":
            raise ValueError("the number of sigmas is not that of the keypoints")
        if np.any(sigmas < 0) or np.any(sigmas > 1e6):
            raise ValueError("a sigma is not positive")
        ends = [end for bone in bones for end in bone]
        if not all(type(end) is int and 0 <= end < len(keypoints) for end in ends):
            raise ValueError("a bone refers to a keypoint that does not exist")
        return cls(read["name"], read["source"], keypoints, bones, sigmas.astype(np.float32))

    def to_json(self) -> str:
        """The skeleton as one line of JSON; unknown sigmas are null."""
        sigmas = [None if np.isnan(sigma) else float(sigma) for sigma in self.sigmas]
        table = {"name": self.name, "source": self.source, "keypoints": self.keypoints}
        return json.dumps({**table, "bones": self.bones, "sigmas": sigmas})

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Skeleton):
            return NotImplemented
        ours, theirs = ((s.name, s.keypoints, s.bones) for s in (self, other))
        return ours == theirs and np.array_equal(self.sigmas, other.sigmas, equal_nan=True)

    def __hash__(self) -> int:
        return hash((self.name, self.keypoints))

    def __len__(self) -> int:
        return len(self.keypoints)

    def __repr__(self) -> str:
        return f"Skeleton({self.name}, {len(self)} keypoints)"

    def __getitem__(self, keypoint: str) -> int:
        """Index of a keypoint: `COCO17["left_knee"]` is 13; also for a file that calls it LKnee."""
        own = self.places.get(keypoint, ())
        if len(own) != 1:
            raise unknown(f"keypoint of {self.name}", keypoint, self.keypoints)
        return own[0]

    @cached_property
    def places(self) -> dict[str, tuple[int, ...]]:
        """Standard keypoint name -> index of the keypoint, or of the two it is the midpoint of."""
        return places(self.keypoints)

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """Side of each keypoint: "left", "right" or "", derived from the names."""
        sides = [set(word.split("_")) & {"left", "right"} for word in known_names(self.keypoints)]
        return tuple(side.pop() if side else "" for side in sides)

    @cached_property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Keypoint indices of the "body", "feet", "face", "left_hand" and "right_hand".

        Derived from the names; empty parts are omitted. A hand needs finger joints and a
        face needs a jaw or a mesh: nose and wrists belong to the body. A hand of unknown side is
        "hand".
        """
        parts: dict[str, list[int]] = {}
        own = known_names(self.keypoints)
        hands = (_HAND.fullmatch(word) for word in own if _FINGER.search(word))
        fingers = {hand[1] for hand in hands if hand}
        face = _MESH if "face_0" in own else _FACE if "chin" in own else None
        for k, word in enumerate(own):
            hand = _HAND.fullmatch(word)
            if hand and hand[1] in fingers:
                part = f"{hand[1] or ''}hand"
            elif face is not None and face.search(word):
                part = "face"
            else:
                part = "feet" if _FOOT.search(word) else "body"
            parts.setdefault(part, []).append(k)
        return {part: tuple(numbers) for part, numbers in parts.items()}

    def part(self, name: str) -> Skeleton:
        """The keypoints of one of the `parts`, with the bones between them.

        Raises:
            VitruvianError: it has no such part.
        """
        if name not in self.parts:
            raise unknown(f"part of {self.name}", name, self.parts)
        return _only(self, self.parts[name], f"{self.name}_{name}")

    def only(self, which: Sequence[int], name: str) -> Skeleton:
        """Some of the keypoints, by number, with the bones between them."""
        return _only(self, tuple(which), name)

    @cached_property
    def mirror(self) -> np.ndarray:
        """(K,) index of the keypoint's left-right counterpart; its own index if there is none."""
        swap = {"left": "right", "right": "left"}
        own = known_names(self.keypoints)
        others = ["_".join(swap.get(part, part) for part in word.split("_")) for word in own]
        pairs = enumerate(others)
        return np.array([own.index(other) if other in own else k for k, other in pairs], np.int64)


@lru_cache(64)
def _only(whole: Skeleton, own: tuple[int, ...], name: str) -> Skeleton:
    number = {k: i for i, k in enumerate(own)}
    bones = tuple((number[a], number[b]) for a, b in whole.bones if a in number and b in number)
    keypoints = tuple(whole.keypoints[k] for k in own)
    return Skeleton(name, whole.source, keypoints, bones, whole.sigmas[list(own)])
