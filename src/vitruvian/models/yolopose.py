"""YOLOv8-pose: bounding boxes and keypoints of all people, in one pass over the whole frame.

The network's output is (F, 4 + C + K * D, A) for F frames and A anchors, the cells of strides 8, 16
and 32 (and 64), already in pixels of the input. Rows: cx cy w h, a score for each of C classes,
then x, y and (D = 3) a score of each of K keypoints.

Pixel coordinates start at the corner of the image, and are mapped to the frame by the scale and
the padding of the letterbox alone, as in the reference.

Source: the behaviour of Ultralytics 8.4.190 (specs/yolov8pose.md): letterbox, suppression, and the
way back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, as_skeleton
from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame, checked
from vitruvian.geometry.boxes import nms
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.letterbox import Letterbox, letterboxed
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import Family, Finder
from vitruvian.models.options import Count, EitherRuntime, Share, Side, StreamDefaults
from vitruvian.models.ready import (
    converted,
    is_checkpoint,
    is_network_file,
    pull,
    short_name,
)
from vitruvian.network.open import open_network
from vitruvian.network.threads import imap
from vitruvian.weights.checkpoint import Checkpoint
from vitruvian.weights.download import sha256

FILL = 114  # grey of the bars
SEEN = 0.5  # score from which a keypoint is taken to be where it is said to be
MOST_BOXES = 30000  # that suppression looks at, the likeliest
CLASS_SHIFT = 7680  # pixels; boxes of different classes are moved apart, so that none hides another


@dataclass(frozen=True, kw_only=True)
class Options(EitherRuntime):
    """Options of YOLOv8-pose; the first three have the reference's defaults."""

    conf: Share = 0.25  # 0..1, confidence threshold of a detection
    iou: Share = 0.7  # 0..1, IoU threshold of non-maximum suppression
    num_poses: Count = 300  # maximum number of people per frame
    imgsz: Side | None = None  # pixels, longer side of the input; None: from the file
    rect: bool = True  # pad to the next multiple of the stride, not to a square

    KIND: ClassVar[str] = "YOLOv8-pose option"


class Runtime(Protocol):
    """What is needed of a network; `OpenVino` and `OnnxRuntime` are such, and so may a test be."""

    input_shape: tuple[int | None, ...]  # (N, 3, H, W); None where any will do

    @property
    def runs_on(self) -> str:
        """What truly computes it."""
        ...

    def __call__(self, rows: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """(N, 3, H, W) float32 RGB, 0..1 -> the output, see above."""
        ...


def load(
    file: Path,
    options: Options = Options(),
    *,
    skeleton: Skeleton | None = None,
    name: str = "",
) -> YoloPose:
    """YOLOv8-pose from an exported file: ours, or one of Ultralytics' own .onnx.

    Args:
        file: .onnx, or for OpenVINO .xml.
        options: see `Options`.
        skeleton: of its keypoints; None: as the file says, and COCO's if it says nothing.
        name: of the model in the catalogue, for records.

    Raises:
        VitruvianError: it cannot be opened, or its keypoints are not those of the skeleton.
    """
    if file.suffix == ".pt":
        raise VitruvianError(
            f"'{file}' is a checkpoint; export it first: vitruvian export '{file}'"
        )
    network = open_network(
        file,
        options.runtime,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        streams=options.streams,
    )
    if len(network.input_shape) != 4:
        raise VitruvianError(f"'{file}' has an input with {len(network.input_shape)} axes, want 4")
    about = network.metadata
    if "family" in about:
        raise VitruvianError(
            f"'{file}' is not a YOLOv8-pose network: its metadata say {about['family']}"
        )
    if about.get("task", "pose") != "pose":
        raise VitruvianError(
            f"'{file}' is a network for the task '{shown(about['task'])}', which gives no "
            "keypoints; want the task 'pose', such as yolov8n-pose"
        )
    if about.get("end2end") == "True" or "'nms': True" in about.get("args", ""):
        raise VitruvianError(
            f"'{file}' has built-in NMS; export it without: "
            'YOLO(...).export(format="onnx", dynamic=True, nms=False, end2end=False)'
        )
    try:
        if skeleton is None:
            skeleton = Skeleton.from_json(about["skeleton"]) if "skeleton" in about else COCO17
        keypoints, numbers = (int(n) for n in json.loads(about.get("kpt_shape", "[17, 3]")))
        stride = int(about.get("stride", "32"))
        side = int(json.loads(about.get("imgsz", "[640, 640]"))[0])
        if stride < 1 or side < 1:
            raise ValueError
    except (ValueError, TypeError, LookupError):
        raise VitruvianError(f"'{file}' has metadata that is not YOLOv8's") from None
    if keypoints != len(skeleton) or numbers not in (2, 3):
        raise VitruvianError(
            f"'{file}' has {keypoints} keypoints of {numbers} numbers, want {len(skeleton)} of 2 "
            f"or 3 for {skeleton.name}; give the skeleton it was trained with"
        )
    return YoloPose(
        network,
        options,
        skeleton=skeleton,
        numbers=numbers,
        stride=stride,
        side=side,
        name=name,
        weights={file.name: about.get("source_sha256", "") or sha256(file)},
    )


def _by_name(
    name: str,
    options: Options = Options(),
    skeleton: str | Path | Skeleton | None = None,
    finder: Finder | None = None,
) -> YoloPose:
    """A model of the catalogue or a file; `vitruvian.models.load.load` is for users."""
    table, path = as_skeleton(skeleton), Path(name)
    if not is_network_file(name):
        (path,) = pull(name)
    elif is_checkpoint(path):
        path = converted(path, table)
    return load(path, options, skeleton=table, name=short_name(name))


def _finder(name: str, wants: str, options: Options) -> Finder:
    """YOLOv8-pose as a person finder, for `vitruvian.models.load.open_finder`."""
    model = _by_name(name, options)
    return Finder(model.find if wants == "boxes" else model.bodies, model.weights)


def calibration_inputs(
    checkpoint: Path, skeleton: Skeleton | None, frames: Iterable[Frame]
) -> list[np.ndarray]:
    """(1, 3, H, W) inputs of the network, of images, for int8 weights."""
    model = _by_name(str(checkpoint), skeleton=skeleton)
    return [model.prepare([frame], [model.letterbox(frame)]) for frame in frames]


def check_checkpoint(read: Checkpoint, file: Path) -> None:
    """Refuse a checkpoint of Ultralytics that is of another version or task than YOLOv8-pose.

    The module keeps the name of the .yaml it was made from. One without (a state dict) is told by
    its head: the last module, `model.N`, which has `cv4` if it gives keypoints, and depthwise
    convolutions in `cv3` from YOLO11 on. Seen with Ultralytics 8.4.190.

    Raises:
        VitruvianError: with the version's name, and the way out.
    """
    made_from = read.attributes.get("yaml")
    word = made_from.get("yaml_file") if isinstance(made_from, dict) else None
    known = re.search(r"(?i)yolo[ _-]?v?(\d+)", Path(str(word or "")).stem)
    heads = [int(m[1]) for t in read.tensors if (m := re.match(r"model\.(\d+)\.cv3\.0\.", t))]
    head = f"model.{max(heads, default=0)}"
    version = "YOLO" if known is None else f"YOLO{'v' if int(known[1]) < 11 else ''}{known[1]}"
    later = f"{head}.cv3.0.0.0.conv.weight" in read.tensors
    if known is None and later:
        version = "YOLO11 or later"
    inside = {name.removeprefix(f"{head}.").split(".")[0] for name in read.tensors}
    if heads and ("cv4" not in inside or "proto" in inside):
        raise VitruvianError(
            f"'{file}' is {version} for {'masks' if 'proto' in inside else 'boxes'}, which gives "
            "no keypoints; want the task 'pose', such as yolov8n-pose"
        )
    if later or version not in ("YOLO", "YOLOv8"):
        raise VitruvianError(
            f"'{file}' is a checkpoint of {version}; use its .onnx export: "
            f'YOLO("{file.name}").export(format="onnx", dynamic=True), then --model '
            f"{file.stem}.onnx"
        )


class YoloPose:
    """YOLOv8-pose, a single-stage model. Stateless."""

    def __init__(
        self,
        network: Runtime,
        options: Options = Options(),
        *,
        skeleton: Skeleton = COCO17,
        numbers: int = 3,
        stride: int = 32,
        side: int = 640,
        name: str = "",
        weights: Mapping[str, str] | None = None,
    ) -> None:
        """Read a network.

        Args:
            network: opened.
            options: see `Options`.
            skeleton: of its keypoints.
            numbers: D, of a keypoint; 2: it has no score of its own, and gets its person's.
            stride: pixels, the sides of the input are multiples of it.
            side: pixels, `imgsz` where the options do not say.
            name: of the model in the catalogue, for records.
            weights: name and SHA-256 of its file, for records.
        """
        self.network, self.chosen, self.skeleton = network, options, skeleton
        self.numbers, self.stride, self.name = numbers, stride, name
        self.weights, self.options = dict(weights or {}), asdict(options)
        self.wanted = StreamDefaults()
        _, _, height, width = network.input_shape
        side = -(-(options.imgsz or side) // stride) * stride
        # Width and height of the square that a frame must fit into. A file made for one size has
        # no choice, and no bars are saved.
        self.size = (width or side, height or side)
        self.rect = options.rect and not (width or height)

    @property
    def runs_on(self) -> str:
        """What truly computes it, as the runtime says."""
        return self.network.runs_on

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None
    ) -> list[Poses]:
        """Poses of each frame; `look` is ignored, as the whole frame is always processed."""
        frames = checked(frames)
        boxes = [self.letterbox(frame) for frame in frames]
        one_by_one = self.network.input_shape[0] is not None
        batches: dict[object, list[int]] = {}
        for i, box in enumerate(boxes):
            batches.setdefault((box.back.size, i if one_by_one else 0), []).append(i)
        poses = [Poses.nobody(self.skeleton)] * len(frames)
        for batch in batches.values():
            inputs = self.prepare([frames[i] for i in batch], [boxes[i] for i in batch])
            rows, *_ = self.network(inputs)
            for i, row in zip(batch, rows, strict=True):
                poses[i] = self.decode(row, boxes[i].back, frames[i].size)
        return poses

    def stream(self, frames: Iterable[Frame]) -> Iterator[Poses]:
        """Everyone in each frame, in order, `Options.streams` frames computed side by side."""
        return imap(lambda frame: self([frame])[0], frames, self.chosen.streams)

    def find(self, frames: Sequence[Frame]) -> list[Regions]:
        """The boxes alone, the likeliest first: a person finder for `TopDown`."""
        return [Regions.boxes(poses.box, poses.box_score) for poses in self(frames)]

    def bodies(self, frames: Sequence[Frame]) -> list[Regions]:
        """Squares around whole bodies, turned upright, the likeliest first: for BlazePose.

        Around the middle of the hips where hips and shoulders are seen, far enough for all
        keypoints that are, and a fifth more for head and feet; otherwise around the box.
        """
        return [_bodies(poses) for poses in self(frames)]

    def letterbox(self, frame: Frame) -> Letterbox:
        """How the network sees a frame."""
        return Letterbox.fit(frame.size, self.size, self.stride, self.rect)

    def prepare(self, frames: Sequence[Frame], boxes: Sequence[Letterbox]) -> np.ndarray:
        """(F, 3, height, width) float32, RGB, 0..1; grey bars."""
        width, height = boxes[0].back.size
        inputs = np.empty((len(frames), 3, height, width), np.float32)
        for row, frame, box in zip(inputs, frames, boxes, strict=True):
            canvas = letterboxed(frame.rgb, box.inner, box.corner, box.back.size, FILL)
            np.divide(canvas.transpose(2, 0, 1), np.float32(255), out=row)
        return inputs

    def decode(self, rows: np.ndarray, back: Crop, frame: tuple[int, int]) -> Poses:
        """One frame of the network's output, (4 + C + K * D, A) -> those who are really there.

        Boxes and keypoints are clipped to the frame, whose width and height this takes, pixels.
        """
        k = len(self.skeleton)
        classes = len(rows) - 4 - k * self.numbers
        if rows.ndim != 2 or classes < 1:
            raise VitruvianError(
                f"the network returns {rows.shape} for a frame, want more than "
                f"{4 + k * self.numbers} rows for {self.skeleton.name}; export it again"
            )
        scores = rows[4 : 4 + classes]
        likely = np.flatnonzero(scores.max(axis=0) > self.chosen.conf)
        found = np.ascontiguousarray(rows[:, likely].T)
        scores = found[:, 4 : 4 + classes]
        score, kind = scores.max(axis=1), scores.argmax(axis=1)
        half = found[:, 2:4] / 2
        box = np.concatenate([found[:, :2] - half, found[:, :2] + half], axis=1)

        best = np.argsort(-score, kind="stable")[:MOST_BOXES]
        apart = box[best] + (kind[best, None] * CLASS_SHIFT).astype(np.float32)
        kept = best[nms(apart, score[best], self.chosen.iou, self.chosen.num_poses)]
        n = len(kept)
        points = found[kept, 4 + classes :].reshape(n, k, self.numbers)
        edge = np.array(frame, np.float32)
        score = score[kept]
        return Poses(
            self.skeleton,
            xy=np.clip(back.to_frame(points[..., :2]), 0, edge),
            score=points[..., 2] if self.numbers == 3 else np.repeat(score[:, None], k, axis=1),
            box=np.clip(back.to_frame(box[kept].reshape(n, 2, 2)), 0, edge).reshape(n, 4),
            box_score=score,
            person=np.full(n, -1, np.int64),
        )


def _bodies(poses: Poses) -> Regions:
    boxes = Regions.boxes(poses.box, poses.box_score)
    trunk = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
    if not set(trunk) <= set(poses.skeleton.keypoints):
        return boxes
    left_hip, right_hip, left, right = (poses[name] for name in trunk)
    hips, shoulders = (left_hip.xy + right_hip.xy) / 2, (left.xy + right.xy) / 2
    up = shoulders - hips
    length = np.linalg.norm(up, axis=1)
    seen = poses.score >= SEEN
    whole = np.all([poses[name].score >= SEEN for name in trunk], axis=0) & (length > 0)
    reach = np.where(seen, np.linalg.norm(poses.xy - hips[:, None], axis=-1), 0)
    radius = 1.2 * reach.max(axis=1, initial=0)
    top = hips + up * (radius / np.where(length > 0, length, 1))[:, None]
    turned = Regions.upright(hips, top.astype(np.float32), poses.box_score, poses.person)
    return Regions(
        np.where(whole[:, None], turned.centre, boxes.centre),
        np.where(whole[:, None], turned.size, boxes.squares().size),
        np.where(whole, turned.angle, boxes.angle),
        boxes.score,
        boxes.person,
    )


FAMILY = Family(
    "yolopose",
    _by_name,
    Options,
    wants="nothing",
    metres=False,
    finder=_finder,
    for_ap={"conf": 0.001},
    check=check_checkpoint,
    calibration_inputs=calibration_inputs,
)
