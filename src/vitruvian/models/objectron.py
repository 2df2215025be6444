"""Person detectors for `find`: an SSD on MobileNetV2, which gives bounding boxes and no poses.

The whole frame is stretched to a square. One file of this family is MediaPipe Objectron's object
detector, trained on Open Images V4, with 24 classes of which one is people.

Source: specs/person_finder.md; Liu et al. 2016, "SSD: Single Shot MultiBox Detector"; Sandler et
al. 2018, "MobileNetV2".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vitruvian.decode import anchors, heatmap
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import nms
from vitruvian.geometry.letterbox import letterboxed
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import Family, Finder
from vitruvian.models.options import Count, Machine, Share
from vitruvian.models.ready import is_network_file, pull
from vitruvian.network.open import Network
from vitruvian.network.openvino import OpenVino
from vitruvian.weights.download import sha256

SIDE = 300  # pixels of its input
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # of its layers' anchors
PERSON = 4  # row of the label map
GLANCE = 128  # pixels of its input, to see whether there are several people: a sixth of the time
CONF = 0.35  # detection threshold: a portrait is one person
CONF_BODIES = 0.2  # for a network that says itself whether somebody is there
# Score in such a glance from which somebody is another person. In 128 pictures of
# `../shared/data/coco_pictures` the glance shows one of 40 who are alone as several five times, and
# several as one never; with 160 pixels and 0.4, without `everyone.PART`, eight times and once.
SURE = 0.35
LEAST = 2.0  # pixels, minimum side of a bounding box inside the frame


@dataclass(frozen=True, kw_only=True)
class Options(Machine):
    """Options of these person detectors."""

    num_poses: Count = 100  # maximum number of people per frame, by score
    conf: Share | None = None  # 0..1, detection threshold; None: 0.35, for BlazePose 0.2
    nms_iou: Share = 0.5  # IoU threshold of non-maximum suppression

    KIND: ClassVar[str] = "option of a person detector"


class PersonDetector:
    """Detects people in the whole frame."""

    def __init__(self, network: Network, options: Options = Options(), side: int = SIDE) -> None:
        """Read a network: (1, side, side, 3) float32 -> what `decode` takes."""
        self.network, self.options, self.side = network, options, side
        self.anchors = anchors.ssd(side, SIDE, SCALES)

    def __call__(self, frames: Sequence[Frame]) -> list[Regions]:
        """Bounding boxes of each frame, by descending score."""
        rows, logits = self.network(self.prepare(frames))
        sizes = [frame.size for frame in frames]
        return [self.decode(*parts) for parts in zip(rows, logits, sizes, strict=True)]

    def start(self, frame: Frame) -> Callable[[], Regions]:
        """Begin to look at a frame, in the background; call what it returns for its boxes."""
        assert isinstance(self.network, OpenVino)
        wait = self.network.start(self.prepare([frame]), beside=True)  # with another network

        def boxes() -> Regions:
            rows, logits = wait()
            return self.decode(rows[0], logits[0], frame.size)

        return boxes

    def prepare(self, frames: Sequence[Frame]) -> np.ndarray:
        """(F, side, side, 3) float32, RGB, -1..1; the aspect ratio is not kept."""
        size = (self.side, self.side)
        cut = [letterboxed(frame.rgb, size, (0, 0), size, 0) for frame in frames]
        return np.stack(cut) * np.float32(2 / 255) - np.float32(1)

    def decode(self, rows: np.ndarray, logits: np.ndarray, size: tuple[int, int]) -> Regions:
        """Decode one frame's output, (A, 4) and (A, C), into boxes by descending score.

        Args:
            rows: y x h w, relative to the anchors, of which a side of 300 has 1917.
            logits: of the classes, before the sigmoid; only one: people.
            size: width and height of the frame, pixels.
        """
        score = heatmap.sigmoid(logits[:, PERSON if logits.shape[1] > 1 else 0])
        keep = score >= (CONF if self.options.conf is None else self.options.conf)
        edge = np.array(size * 2, np.float32)
        box = anchors.decode_ssd(rows[keep], self.anchors[keep]) * edge
        box, score = np.clip(box, 0, edge), score[keep]
        inside = (box[:, 2:] - box[:, :2]).min(axis=1) >= LEAST
        box, score = box[inside], score[inside]
        best = nms(box, score, self.options.nms_iou, self.options.num_poses)
        return Regions.boxes(box[best], score[best])


def _no_poses(name: str, *_: Any) -> Any:
    raise VitruvianError(
        f"{name} finds people, but does not estimate poses; use it as a person detector: find "
        f"'{name}'"
    )


class _Opened:
    """A person detector that is opened when it is first needed: with one person near, seldom."""

    def __init__(self, file: Path, options: Options, side: int) -> None:
        self.file, self.options, self.side = file, options, side
        self.opening = threading.Lock()
        self.detector: PersonDetector | None = None

    def __call__(self, frames: Sequence[Frame]) -> list[Regions]:
        return self._opened()(frames)

    def start(self, frame: Frame) -> Callable[[], Regions]:
        """As `PersonDetector.start`."""
        return self._opened().start(frame)

    def _opened(self) -> PersonDetector:
        with self.opening:  # frames are looked at side by side
            self.detector = self.detector or self._open()
        return self.detector

    def _open(self) -> PersonDetector:
        options = self.options
        network = OpenVino(
            self.file,
            batch=False,  # which Objectron's file has fixed at 1, like its size
            side=self.side if self.file.suffix == ".onnx" else None,
            device=options.device,
            precision=options.precision,
            threads=options.threads,
            streams=options.streams,
        )
        return PersonDetector(network, options, self.side)


def _finder(name: str, wants: str, options: Options) -> Finder:
    """A person detector, for `vitruvian.models.load.open_finder`."""
    (file,) = (Path(name),) if is_network_file(name) else pull(name)
    if options.conf is None and wants == "bodies":
        options = replace(options, conf=CONF_BODIES)
    quick = None
    if file.suffix == ".onnx":  # of any size
        quick = _Opened(file, replace(options, conf=SURE), GLANCE).start
    find = _Opened(file, options, SIDE)
    return Finder(find, {file.name: sha256(file)}, upright=True, glance=quick)


FAMILY = Family("objectron", _no_poses, Options, wants="nothing", metres=False, finder=_finder)
