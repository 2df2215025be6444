"""BlazePose (MediaPipe Pose): 33 landmarks in pixels of the frame and in metres from the hips.

A detector finds heads and predicts, for each, the mid-hip point and a point on a circle around the
whole body. The square around that circle, rotated upright, is the input of the landmark network.
Two auxiliary landmarks of its output give the square of the next frame.

Pixel coordinates of both networks start at the top left corner of the image, but are sampled half
a pixel off (`Crop.centre` is 0): MediaPipe's crops have no half-pixel shift, and neither do these.

Source: MediaPipe 0.10.21, mediapipe/modules/pose_detection and pose_landmark (graphs, .pbtxt), and
Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.decode import anchors, heatmap
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import weighted_nms
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions, turn_in_plane
from vitruvian.models.everyone import FIRST, Everyone
from vitruvian.models.model import Family, Find, Finder
from vitruvian.models.options import (
    Count,
    OddOrZero,
    OneOf,
    PoseOptions,
    Share,
    StreamDefaults,
)
from vitruvian.models.ready import (
    converted,
    is_checkpoint,
    is_network_file,
    pull_files,
    short_name,
)
from vitruvian.models.top_down import TopDown
from vitruvian.models.zoo import DEFAULT, DETECTOR, EVERYBODY, entry
from vitruvian.network.onnxruntime import OnnxRuntime
from vitruvian.network.open import Network, open_network
from vitruvian.network.openvino import OpenVino
from vitruvian.weights.download import sha256
from vitruvian.weights.task_bundle import is_task_bundle, unpack_pose_task

DETECTOR_SIDE = 224  # pixels; pose_detection_cpu.pbtxt
LANDMARK_SIDE = 256  # pixels; pose_landmark_by_roi_cpu.pbtxt
GRIDS = ((28, 2), (14, 2), (7, 6))  # strides 8, 16 and three layers of stride 32: SsdAnchors
CONF = 0.5  # detection and presence threshold of MediaPipe's graphs
MARGIN = np.float32(1.25)  # of the crop around the body: scale_x, scale_y of RectTransformation
POINTS = 39  # landmarks of the network: 33 public ones, two for the next region, four of the hands
PUBLIC, HIPS, TOP = 33, 33, 34
PARTS = ("body", "body,hands", "body,face", "body,hands,face")
# What MediaPipe's legacy Python Solutions do, unlike its graph files and its Tasks API: the
# option blocks of the graph are lost on the way from Python to C++ (specs/blazepose.md, 0.1).
COMPAT: dict[str, dict[str, object]] = {
    "tasks": {},
    "solutions": {"refine_window": 9, "nms_iou": 0.3},
}


@dataclass(frozen=True, kw_only=True)
class Options(PoseOptions):
    """Options of BlazePose; defaults are MediaPipe's."""

    num_poses: Count = 1  # maximum number of people per frame
    conf: Share | None = None  # 0..1, detection threshold; None: the detector's default, here 0.5
    # 0..1, threshold of pose presence; None: `conf` if that is given, or else 0.5; who is found by
    # bounding boxes: see `vitruvian.models.everyone`.
    presence: Share | None = None
    masks: bool = False  # output segmentation masks
    refine_window: OddOrZero = 7  # side of the heat map window, cells; 0: no refinement
    nms_iou: Share = 0.5  # IoU threshold of non-maximum suppression
    compat: Annotated[str, OneOf(tuple(COMPAT))] = "tasks"  # "solutions": see `COMPAT`
    # `hands` and `face` in one word; None: as those say, or the model's name.
    parts: Annotated[str, OneOf(PARTS)] | None = None

    KIND: ClassVar[str] = "BlazePose option"
    SYNONYMS: ClassVar[Mapping[str, str]] = {
        **PoseOptions.SYNONYMS,
        "min_pose_detection_confidence": "conf",
        "min_pose_presence_confidence": "presence",
        "output_segmentation_masks": "masks",
        "min_detection_confidence": "conf",
        "enable_segmentation": "masks",
    }

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Options from keywords; `compat` sets the defaults of the others."""
        cls.check("compat", given.get("compat", cls.compat))
        if given.get("conf") is not None and not {"presence", "min_pose_presence_confidence"} & set(
            given
        ):
            cls.check("conf", given["conf"])
            given["presence"] = given["conf"]
        if given.get("parts") is not None:
            cls.check("parts", given["parts"])
            asked = {part: part in given["parts"] for part in ("hands", "face")}
            given |= {part: on for part, on in asked.items() if given.get(part) is None}
        return super().of(**{**COMPAT[given.get("compat", cls.compat)], **given})


def load(
    landmarks: Path,
    find: Find,
    options: Options = Options(),
    *,
    name: str = "",
    weights: Mapping[str, str] | None = None,
) -> TopDown:
    """Load BlazePose from its landmark network, a .tflite file or one of a training run.

    Args:
        landmarks: the file.
        find: the person detector, which gives squares around whole bodies.
        options: see `Options`.
        name: of the model in the catalogue, for records.
        weights: name and SHA-256 of the finder's files, for records.
    """
    if options.presence is None:
        options = replace(options, presence=CONF)
    network = open_network(
        landmarks,
        outputs=Landmarks.outputs(options),
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        streams=options.streams,
    )
    _check_input(network, landmarks, LANDMARK_SIDE)
    return TopDown(
        find,
        Landmarks(network, options),
        options.num_poses,
        name=name,
        weights={**(weights or {}), landmarks.name: sha256(landmarks)},
        options=asdict(options),
    )


def _by_name(
    name: str, options: Options, skeleton: str | Path | Skeleton | None, finder: Finder | None
) -> TopDown:
    """Load a catalogue model or a file; the public function is `vitruvian.models.load.load`."""
    detector = None
    if is_task_bundle(name):
        detector, landmarks = unpack_pose_task(Path(name))
        name = short_name(name)
    elif is_network_file(name):
        path, name = Path(name), short_name(name)
        landmarks = converted(path) if is_checkpoint(path) else path
    else:
        row = entry(name)
        (landmarks,) = pull_files(row, row.files[1:2])
    own, weights = None, {}
    if finder is None or (finder.upright and not finder.complete):
        if detector is None:
            (detector,) = pull_files(entry(DEFAULT), [DETECTOR])  # the same for all
        own, weights = open_detector(detector, options), {detector.name: sha256(detector)}
    if finder is not None and finder.upright:
        near = load(landmarks, own or finder.find, options, name=name, weights=weights)
        least = min(FIRST, FIRST if options.presence is None else options.presence)
        lenient = Landmarks(near.head.network, replace(options, presence=least))
        return Everyone(near, finder, lenient, options.presence)
    found = own if finder is None else finder.find
    assert found is not None
    weights = weights if finder is None else finder.weights
    return load(landmarks, found, options, name=name, weights=weights)


def _finder(name: str, wants: str, options: Options) -> Finder:
    """BlazePose's detector as a person detector, for `vitruvian.models.load.open_finder`."""
    if is_task_bundle(name):
        file, _ = unpack_pose_task(Path(name))
    else:
        (file,) = pull_files(entry(name), [DETECTOR])
    detector = open_detector(file, options)
    return Finder(detector.boxes if wants == "boxes" else detector, {file.name: sha256(file)})


def open_detector(file: Path, options: Options) -> BodyDetector:
    """Open BlazePose's detector from its .tflite file."""
    # Its batch size is fixed at 1: a larger batch would silently be folded into the anchors.
    network = OpenVino(
        file,
        batch=False,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        streams=options.streams,
    )
    _check_input(network, file, DETECTOR_SIDE)
    return BodyDetector(network, options)


def _check_input(network: OpenVino | OnnxRuntime, file: Path, side: int) -> None:
    """Raise `VitruvianError` if a file is another network than the one wanted."""
    if tuple(network.input_shape[1:]) != (side, side, 3):
        raise VitruvianError(
            f"'{file}' has an input of {network.input_shape}, want (N, {side}, {side}, 3); it is "
            "another network"
        )


class BodyDetector:
    """Detects people in the whole frame."""

    anchors = anchors.points(GRIDS)

    def __init__(self, network: Network, options: Options) -> None:
        self.network, self.options = network, options

    def __call__(self, frames: Sequence[Frame]) -> list[Regions]:
        """Regions of each frame, by descending score."""
        side = (DETECTOR_SIDE, DETECTOR_SIDE)
        crops = [Crop.letterbox(frame.size, side, centre=0) for frame in frames]
        rows, logits = self.network(self.prepare(frames, crops))
        return [self.decode(*parts) for parts in zip(rows, logits, crops, strict=True)]

    def boxes(self, frames: Sequence[Frame]) -> list[Regions]:
        """The regions as rotated bounding boxes, for networks that take boxes."""
        return [found.boxes_of_bodies() for found in self(frames)]

    def prepare(self, frames: Sequence[Frame], crops: Sequence[Crop]) -> np.ndarray:
        """(F, 224, 224, 3) float32, RGB, -1..1; letterboxed in black."""
        cut = [crop.cut(frame.rgb) for frame, crop in zip(frames, crops, strict=True)]
        return np.stack(cut) * np.float32(2 / 255) - np.float32(1)

    def decode(self, rows: np.ndarray, logits: np.ndarray, crop: Crop) -> Regions:
        """Decode one frame's output, (2254, 12) and (2254, 1), into regions by descending score.

        A row: x y w h of the head, then x y of hips, body circle, shoulders, upper body circle.
        """
        score = heatmap.sigmoid(np.clip(logits[:, 0], -100, 100))
        keep = score >= (CONF if self.options.conf is None else self.options.conf)
        keep &= (rows[:, 2] >= 0) & (rows[:, 3] >= 0)
        boxes = anchors.decode(rows[keep], self.anchors[keep], DETECTOR_SIDE)
        boxes, score = weighted_nms(boxes, score[keep], self.options.nms_iou)
        points = crop.to_frame(boxes[:, 4:8].reshape(len(boxes), 2, 2) * DETECTOR_SIDE)
        return Regions.upright(points[:, 0], points[:, 1], score, np.full(len(boxes), -1, np.int64))


class Landmarks:
    """Runs the landmark network on a rotated square around each person."""

    skeleton = BLAZEPOSE33

    def __init__(self, network: Network, options: Options) -> None:
        self.network, self.options = network, options
        self.presence = CONF if options.presence is None else options.presence

    @staticmethod
    def outputs(options: Options) -> list[int]:
        """Indices of the outputs to compute: segmentation is a third of the network's work."""
        masks, maps = options.masks, options.refine_window > 1
        return [0, 1, 4] + [3] * maps + [2] * masks

    def crops(self, frame: Frame, regions: Regions) -> list[Crop]:
        """Square crops with the longer side of each region, and a margin."""
        side = regions.size.max(axis=1) * MARGIN
        extent = np.stack([side, side], axis=-1)
        size = (LANDMARK_SIDE, LANDMARK_SIDE)
        rows = zip(regions.centre, extent, regions.angle, strict=True)
        return [Crop.turned(*row, size, centre=0) for row in rows]

    def prepare(self, frame: Frame, crops: Sequence[Crop]) -> np.ndarray:
        """(N, 256, 256, 3) float32, RGB, 0..1; border pixels are replicated outside the frame."""
        shape = (len(crops), LANDMARK_SIDE, LANDMARK_SIDE, 3)
        cut = np.empty(shape, np.float32)
        for row, crop in zip(cut, crops, strict=True):
            np.multiply(frame.cut(crop, replicate=True), np.float32(1 / 255), out=row)
        return cut

    def decode(
        self, frame: Frame, outputs: Sequence[np.ndarray], crops: Sequence[Crop], look: Regions
    ) -> Poses:
        """Decode the network's N rows into the poses whose presence is above the threshold.

        Outputs: (N, 195) 39 times x y z in pixels of the crop, visibility and presence before the
        sigmoid; (N, 1) presence of the body, 0..1; (N, 117) 39 times x y z in metres; then, where
        they were kept, (N, 64, 64, 39) heat maps and (N, 256, 256, 1) segmentation before the
        sigmoid.
        """
        there = self._there(outputs)
        if not there.any():
            return Poses.nobody(BLAZEPOSE33, "hips")
        if not there.all():
            outputs = [output[there] for output in outputs]
            look, crops = look.take(there), [crops[i] for i in np.flatnonzero(there).tolist()]
        n = len(crops)

        points = outputs[0].reshape(n, POINTS, 5)
        xy = self._places(outputs, crops, range(POINTS))
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
            xyz=turn_in_plane(outputs[2].reshape(n, POINTS, 3)[:, :PUBLIC], look.angle),
            origin="hips",
            mask=self.masks(outputs[-1], crops, frame.size) if self.options.masks else None,
            presence=presence,
            depth=public[..., 2] * (side / np.float32(LANDMARK_SIDE))[:, None],
            look=Regions.upright(xy[:, HIPS], xy[:, TOP], score, look.person),
        )

    def next_look(
        self, outputs: Sequence[np.ndarray], crops: Sequence[Crop], look: Regions
    ) -> Regions | None:
        """`look` of the poses that `decode` will give, quickly; None: somebody is lost."""
        if not len(look) or not self._there(outputs).all():
            return None
        xy = self._places(outputs, crops, (HIPS, TOP))
        return Regions.upright(xy[:, 0], xy[:, 1], outputs[1][:, 0], look.person)

    def _there(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """(N,) bool, whether somebody is in the crop."""
        return outputs[1][:, 0] > self.presence

    def _places(
        self, outputs: Sequence[np.ndarray], crops: Sequence[Crop], which: Sequence[int]
    ) -> np.ndarray:
        """(N, len(which), 2) pixels of the frame: some of the landmarks, refined."""
        local = outputs[0].reshape(len(crops), POINTS, 5)[:, which, :2]
        window = self.options.refine_window
        if window > 1:
            scale = np.float32(LANDMARK_SIDE)
            local = heatmap.refine(local / scale, outputs[3], window, which) * scale
        return np.stack([crop.to_frame(row) for crop, row in zip(crops, local, strict=True)])

    @staticmethod
    def masks(logits: np.ndarray, crops: Sequence[Crop], size: tuple[int, int]) -> np.ndarray:
        """(N, 256, 256, 1) -> (N, H, W) 0..1 over the whole frame."""
        rows = zip(heatmap.sigmoid(logits[..., 0]), crops, strict=True)
        return np.stack([crop.paste(row, size) for row, crop in rows])


FAMILY = Family(
    "blazepose",
    _by_name,
    Options,
    wants="bodies",
    metres=True,
    finder=_finder,
    finds_near=True,
    wanted=StreamDefaults(smooth=True, detect_every=5, same_from=0.5),
    for_ap={"num_poses": 20, "find": EVERYBODY},
    for_pictures={"num_poses": 100, "find": EVERYBODY},
    tensors=("regressor.",),
)
