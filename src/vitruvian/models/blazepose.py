"""BlazePose (MediaPipe Pose): 33 landmarks in pixels of the frame and in metres from the hips.

A detector looks for heads and gives, for each, the middle of the hips and a point on a circle
around the whole body. The square around that circle, turned upright, is what the landmark network
sees. Two more of its points say where the square of the next frame is.

Both networks count pixels from the top left corner of the picture, but sample it half a pixel off
(`Crop.centre` is 0): MediaPipe's crops have no half-pixel shift, and the same is done here.

Source: MediaPipe 0.10.21, mediapipe/modules/pose_detection and pose_landmark (graphs, .pbtxt), and
Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.decode import anchors, heatmap
from vitruvian.errors import VitruvianError, unknown
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import weighted_nms
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions
from vitruvian.models.top_down import TopDown
from vitruvian.network import PRECISIONS, Network, OpenVino

DETECTOR_SIDE = 224  # pixels; pose_detection_cpu.pbtxt
LANDMARK_SIDE = 256  # pixels; pose_landmark_by_roi_cpu.pbtxt
GRIDS = ((28, 2), (14, 2), (7, 6))  # strides 8, 16 and three layers of stride 32: SsdAnchors
MARGIN = np.float32(1.25)  # of the crop around the body: scale_x, scale_y of RectTransformation
POINTS = 39  # landmarks of the network: 33 public ones, two for the next region, four of the hands
PUBLIC, HIPS, TOP = 33, 33, 34
# What the reference's Python Solutions do, unlike its own graph files and unlike its Tasks: the
# option blocks of the graph are lost on the way from Python to C++ (specs/blazepose.md, 0.1).
COMPAT: dict[str, dict[str, object]] = {
    "tasks": {},
    "solutions": {"refine_window": 9, "nms_iou": 0.3},
}


@dataclass(frozen=True)
class Options:
    """What can be asked of BlazePose; the first five under MediaPipe's names and defaults."""

    num_poses: int = 1  # people, at most
    min_pose_detection_confidence: float = 0.5  # 0..1, a detection counts from here
    min_pose_presence_confidence: float = 0.5  # 0..1, landmarks count above this
    min_tracking_confidence: float = 0.5  # 0..1, two regions that overlap more show one person
    output_segmentation_masks: bool = False
    track: bool = True  # follow people through videos and live streams
    smooth: bool = True  # One-Euro filters for each of those who are followed
    detect_every: int = 5  # frames, at least, between two detections while someone is followed
    refine_window: int = 7  # cells of the heat map along a side, odd; 0: landmarks as regressed
    nms_iou: float = 0.5  # detections that overlap more are one
    precision: str = "f32"  # inside the networks: f32 (exact), bf16, f16
    threads: int | None = None  # of the networks; None: one a core
    device: str = "CPU"  # as OpenVINO names it
    compat: str = "tasks"  # "solutions": refine_window 9 and nms_iou 0.3

    @classmethod
    def of(cls, **given: object) -> Options:
        """The options of that name; `compat` changes what is not given."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise unknown("BlazePose option", name, known)
        compat = given.get("compat", cls.compat)
        if compat not in COMPAT:
            raise unknown("compat", str(compat), COMPAT)
        return cls(**{**COMPAT[str(compat)], **given})  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "float" and not (_number(value) and 0 <= value <= 1):
                raise VitruvianError(f"{field.name} is {value!r}, want a number from 0 to 1")
            if field.type == "bool" and not isinstance(value, bool):
                raise VitruvianError(f"{field.name} is {value!r}, want True or False")
        for name, least in {
            "num_poses": 1,
            "detect_every": 1,
            "refine_window": 0,
            "threads": 1,
        }.items():
            value = getattr(self, name)
            if name == "threads" and value is None:
                continue
            if type(value) is not int or value < least:
                raise VitruvianError(f"{name} is {value!r}, want a whole number from {least}")
        if self.refine_window and self.refine_window % 2 == 0:
            raise VitruvianError(f"refine_window is {self.refine_window}, want an odd number or 0")
        if self.precision not in PRECISIONS:
            raise unknown("precision", str(self.precision), PRECISIONS)


def _number(value: object) -> bool:
    return type(value) in (int, float)


def load(
    detector: Path, landmarks: Path, options: Options, name: str, weights: Mapping[str, str]
) -> TopDown:
    """BlazePose from its two .tflite files; name and weights are for records."""
    read = OpenVino(
        landmarks,
        outputs=Landmarks.outputs(options),
        device=options.device,
        precision=options.precision,
        threads=options.threads,
    )
    return TopDown(
        open_detector(detector, options),
        Landmarks(read, options),
        options.num_poses,
        name=name,
        weights=weights,
        options=asdict(options),
    )


def open_detector(file: Path, options: Options) -> Detector:
    """BlazePose's detector from its .tflite file."""
    # Its batch is fixed: a batch would silently be folded into the anchors.
    network = OpenVino(
        file,
        batch=False,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
    )
    return Detector(network, options)


class Detector:
    """Finds bodies in the whole frame."""

    anchors = anchors.points(GRIDS)

    def __init__(self, network: Network, options: Options) -> None:
        self.network, self.options = network, options

    def __call__(self, frames: Sequence[Frame]) -> list[Regions]:
        """Regions of each frame, the likeliest first."""
        side = (DETECTOR_SIDE, DETECTOR_SIDE)
        crops = [Crop.letterbox(frame.size, side, centre=0) for frame in frames]
        rows, logits = self.network(self.prepare(frames, crops))
        return [self.decode(*parts) for parts in zip(rows, logits, crops, strict=True)]

    def boxes(self, frames: Sequence[Frame]) -> list[Regions]:
        """The regions as boxes around people, turned: for networks that want such."""
        return [found.boxes_of_bodies() for found in self(frames)]

    def prepare(self, frames: Sequence[Frame], crops: Sequence[Crop]) -> np.ndarray:
        """(F, 224, 224, 3) float32, RGB, -1..1; black bars."""
        cut = [crop.cut(frame.rgb) for frame, crop in zip(frames, crops, strict=True)]
        return np.stack(cut) * np.float32(2 / 255) - np.float32(1)

    def decode(self, rows: np.ndarray, logits: np.ndarray, crop: Crop) -> Regions:
        """One frame of the network's output, (2254, 12) and (2254, 1), -> regions, best first.

        A row: x y w h of the head, then x y of hips, body circle, shoulders, upper body circle.
        """
        score = heatmap.sigmoid(np.clip(logits[:, 0], -100, 100))
        keep = score >= self.options.min_pose_detection_confidence
        keep &= (rows[:, 2] >= 0) & (rows[:, 3] >= 0)
        boxes = anchors.decode(rows[keep], self.anchors[keep], DETECTOR_SIDE)
        boxes, score = weighted_nms(boxes, score[keep], self.options.nms_iou)
        points = crop.to_frame(boxes[:, 4:8].reshape(len(boxes), 2, 2) * DETECTOR_SIDE)
        return Regions.upright(points[:, 0], points[:, 1], score, np.full(len(boxes), -1, np.int64))


class Landmarks:
    """The landmark network on a turned square around each body."""

    skeleton = BLAZEPOSE33

    def __init__(self, network: Network, options: Options) -> None:
        self.network, self.options = network, options

    @staticmethod
    def outputs(options: Options) -> list[int]:
        """Which of the network's outputs are needed: the segmentation is a third of its work."""
        masks, maps = options.output_segmentation_masks, options.refine_window > 1
        return [0, 1, 4] + [3] * maps + [2] * masks

    def crops(self, frame: Frame, regions: Regions) -> list[Crop]:
        """The regions made square by their longer side, with a margin."""
        side = regions.size.max(axis=1) * MARGIN
        extent = np.stack([side, side], axis=-1)
        size = (LANDMARK_SIDE, LANDMARK_SIDE)
        rows = zip(regions.centre, extent, regions.angle, strict=True)
        return [Crop.turned(*row, size, centre=0) for row in rows]

    def prepare(self, frame: Frame, crops: Sequence[Crop]) -> np.ndarray:
        """(N, 256, 256, 3) float32, RGB, 0..1; what is outside the frame repeats its edge."""
        shape = (len(crops), LANDMARK_SIDE, LANDMARK_SIDE, 3)
        cut = np.empty(shape, np.float32)
        for row, crop in zip(cut, crops, strict=True):
            rgb, corner = frame.part(crop.bounds())
            seen = crop.within(corner).cut(rgb, replicate=True)
            np.multiply(seen, np.float32(1 / 255), out=row)
        return cut

    def decode(
        self, frame: Frame, outputs: Sequence[np.ndarray], crops: Sequence[Crop], look: Regions
    ) -> Poses:
        """The network's N rows -> the people whose presence is above the threshold.

        Outputs: (N, 195) 39 times x y z in pixels of the crop, visibility and presence before the
        sigmoid; (N, 1) presence of the body, 0..1; (N, 117) 39 times x y z in metres; then, where
        they were kept, (N, 64, 64, 39) heat maps and (N, 256, 256, 1) segmentation before the
        sigmoid.
        """
        there = outputs[1][:, 0] > self.options.min_pose_presence_confidence
        if not there.any():
            return Poses.nobody(BLAZEPOSE33, "hips")
        if not there.all():
            outputs = [output[there] for output in outputs]
            look, crops = look.take(there), [crops[i] for i in np.flatnonzero(there).tolist()]
        n = len(crops)

        points = outputs[0].reshape(n, POINTS, 5)
        local = points[..., :2]
        if self.options.refine_window > 1:
            scale = np.float32(LANDMARK_SIDE)
            local = heatmap.refine(local / scale, outputs[3], self.options.refine_window) * scale
        xy = np.stack([crop.to_frame(row) for crop, row in zip(crops, local, strict=True)])
        body, public = xy[:, :PUBLIC], points[:, :PUBLIC]
        visible, presence = np.moveaxis(heatmap.sigmoid(public[..., 3:]), -1, 0)
        edge = np.array(frame.size * 2, np.float32)
        box = np.concatenate([body.min(axis=1), body.max(axis=1)], axis=-1)
        score = outputs[1][:, 0]
        side = look.size.max(axis=1) * MARGIN
        return Poses(
            BLAZEPOSE33,
            xy=body,
            score=visible,
            box=np.minimum(np.maximum(box, 0), edge),
            box_score=score,
            person=look.person,
            xyz=turn(outputs[2].reshape(n, POINTS, 3)[:, :PUBLIC], look.angle),
            origin="hips",
            mask=self.masks(outputs[-1], crops, frame.size)
            if self.options.output_segmentation_masks
            else None,
            presence=presence,
            depth=public[..., 2] * (side / np.float32(LANDMARK_SIDE))[:, None],
            look=Regions.upright(xy[:, HIPS], xy[:, TOP], score, look.person),
        )

    @staticmethod
    def masks(logits: np.ndarray, crops: Sequence[Crop], size: tuple[int, int]) -> np.ndarray:
        """(N, 256, 256, 1) -> (N, H, W) 0..1 over the whole frame."""
        rows = zip(heatmap.sigmoid(logits[..., 0]), crops, strict=True)
        return np.stack([crop.paste(row, size) for row, crop in rows])


def turn(xyz: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(N, K, 3) points turned about the camera's axis by (N,) radians, clockwise as seen.

    The network sees the body upright; this puts it as it stands in the frame.
    """
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1)
