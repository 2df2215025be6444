"""People whose boxes somebody has written down: a person finder that reads a file.

Three kinds of JSON: COCO annotations (`images` and `annotations`), a list of COCO results, and the
list of AlphaPose's `--detfile`, whose `image_id` is a path.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.network.weights import sha256

PERSON = 1  # COCO's category
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm")  # a name of many frames
# The name of a picture, and the number of a frame; None where the file does not say.
Place = tuple[str | None, int | None]


class Detections:
    """Finds in each frame whom the file says is there: all that are likely enough."""

    def __init__(self, file: Path, conf: float = 0.0) -> None:
        """Read a file.

        Args:
            file: .json, see above; boxes are x, y, width and height, pixels.
            conf: 0..1, a box counts from here. Those of annotations have 1.

        Raises:
            VitruvianError: it is missing, or none of the three.
        """
        self.file = file
        rows: dict[Place, list[list[float]]] = defaultdict(list)
        try:
            read = json.loads(file.read_bytes())
            self.names = None  # of the pictures that are meant; None: a list does not say
            if isinstance(read, dict):
                names = {image["id"]: Path(image["file_name"]).name for image in read["images"]}
                self.names = set(names.values())
                for row in _people(read["annotations"]):
                    if not row.get("iscrowd"):
                        rows[names[row["image_id"]], None].append([*map(float, row["bbox"]), 1.0])
            else:
                for row in _people(read):
                    rows[_place(row)].append([*map(float, row["bbox"]), float(row["score"])])
            self.boxes = {place: _boxes(found, conf) for place, found in rows.items()}
        except OSError as error:
            raise VitruvianError(f"cannot read '{file}': {error.strerror}") from None
        except (ValueError, TypeError, LookupError, AttributeError):
            raise VitruvianError(
                f"cannot read '{file}': want COCO annotations, or a list of "
                '{"image_id": ..., "bbox": [x, y, width, height], "score": ...}'
            ) from None
        self.weights = {file.name: sha256(file)}

    def find(self, frames: Sequence[Frame]) -> list[Regions]:
        """The boxes in each frame, the likeliest first.

        Raises:
            VitruvianError: the annotations are of other pictures.
        """
        return [self._of(frame) for frame in frames]

    def bodies(self, frames: Sequence[Frame]) -> list[Regions]:
        """Squares around the boxes, upright, the likeliest first: for BlazePose."""
        return [found.squares() for found in self.find(frames)]

    def _of(self, frame: Frame) -> Regions:
        path = Path(frame.source)
        if self.names is not None and path.name not in self.names:
            raise VitruvianError(
                f"'{self.file}' knows no picture '{path.name}'; give one that does"
            )
        # As results are written: a picture's number is its name, or else its place in the source.
        number = int(path.stem) if path.stem.isdecimal() else frame.index
        places: list[Place] = [(path.name, number), (path.name, None), (None, number)]
        found = np.concatenate([self.boxes.get(place, np.zeros((0, 5))) for place in places])
        found = found[np.argsort(-found[:, 4], kind="stable")].astype(np.float32)
        return Regions.boxes(found[:, :4], found[:, 4])


def _people(rows: Iterable[dict]) -> Iterable[dict]:
    return (row for row in rows if row.get("category_id", PERSON) == PERSON)


def _place(row: dict) -> Place:
    """Which picture a result is about: the name says it, but for one of many frames."""
    which = row["image_id"]
    name = row.get("file_name", which if isinstance(which, str) else None)
    if name is None:
        return None, int(which)
    path = Path(name)
    return path.name, int(which) if path.suffix.lower() in VIDEOS else None


def _boxes(rows: list[list[float]], conf: float) -> np.ndarray:
    """(N, 5) x0 y0 x1 y1 and score, of x y width height and score."""
    box = np.array(rows, np.float64)
    if box.shape[1] != 5 or not np.isfinite(box).all():
        raise ValueError("want four numbers and a score")
    box[:, 2:4] += box[:, :2]
    return box[(box[:, 4] >= conf) & (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])]
