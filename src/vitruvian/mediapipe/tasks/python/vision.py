"""`mediapipe.tasks.python.vision`: the Pose Landmarker.

What is not here says so where it is used.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.mediapipe.absent import Absent, absent
from vitruvian.mediapipe.follow import Everyone
from vitruvian.mediapipe.image import Image, ImageFormat
from vitruvian.mediapipe.solutions import drawing_styles as drawing_styles
from vitruvian.mediapipe.solutions import drawing_utils as drawing_utils
from vitruvian.mediapipe.solutions.pose import POSE_CONNECTIONS
from vitruvian.mediapipe.solutions.pose import PoseLandmark as PoseLandmark
from vitruvian.mediapipe.tasks.python.base_options import BaseOptions
from vitruvian.mediapipe.tasks.python.containers import Landmark, NormalizedLandmark, Rect
from vitruvian.models import blazepose
from vitruvian.models.top_down import TopDown
from vitruvian.streams.live import Newest
from vitruvian.weights.task_bundle import unpack_pose_task

CLOSED = "Task runner is currently not running."


class VisionTaskRunningMode(enum.Enum):
    """Unrelated images, the frames of a video, or those of a camera."""

    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    LIVE_STREAM = "LIVE_STREAM"


RunningMode = VisionTaskRunningMode


@dataclass
class ImageProcessingOptions:
    """A part of the image, which poses do not take, and its rotation, which they do not need."""

    region_of_interest: Rect | None = None
    rotation_degrees: int = 0


@dataclass
class PoseLandmarkerResult:
    """The people in an image."""

    pose_landmarks: list[list[NormalizedLandmark]]
    pose_world_landmarks: list[list[Landmark]]  # metres
    segmentation_masks: list[Image] | None = None  # VEC32F1, 0..1; None: nobody, or not asked for


class _Connection(NamedTuple):
    start: int
    end: int


class PoseLandmarksConnections:
    """The bones."""

    Connection: ClassVar[type[_Connection]] = _Connection
    POSE_LANDMARKS: ClassVar[list[_Connection]] = [
        _Connection(*pair) for pair in sorted(POSE_CONNECTIONS)
    ]


@dataclass
class PoseLandmarkerOptions:
    """What the Pose Landmarker does; confidences are 0..1."""

    base_options: BaseOptions
    running_mode: VisionTaskRunningMode = VisionTaskRunningMode.IMAGE
    num_poses: int = 1
    min_pose_detection_confidence: float = 0.5
    min_pose_presence_confidence: float = 0.5
    min_tracking_confidence: float = 0.5  # IoU of regions, above which a new one replaces another
    output_segmentation_masks: bool = False
    # Gets result, image and timestamp of LIVE_STREAM, in another thread.
    result_callback: Callable[[PoseLandmarkerResult, Image, int], None] | None = None


class PoseLandmarker:
    """MediaPipe's Pose Landmarker, of a .task bundle.

    Deviations: an exception in `result_callback` is raised by the next call, and does not end the
    process; LIVE_STREAM drops a frame that waits when the next one comes.
    """

    def __init__(self, model: TopDown, options: PoseLandmarkerOptions) -> None:
        """See `create_from_options`."""
        self._model: TopDown | None = model
        self._mode, self._last = VisionTaskRunningMode(options.running_mode), -1 << 63
        follow = Everyone(model, options.min_tracking_confidence)
        self._follow, self._newest = follow, None
        callback = options.result_callback
        if callback is not None:

            def handle(item: tuple[Image, int]) -> None:
                image, stamp = item
                poses = follow(_frame(image), stamp / 1000)
                callback(_result(poses, image), image, stamp)

            self._newest = Newest(handle)

    @classmethod
    def create_from_model_path(cls, model_path: str) -> Self:
        """Open a bundle for unrelated images, with default options.

        Raises:
            RuntimeError: the file is missing, or not such a bundle.
        """
        return cls.create_from_options(PoseLandmarkerOptions(BaseOptions(model_path)))

    @classmethod
    def create_from_options(cls, options: PoseLandmarkerOptions) -> Self:
        """Open a bundle.

        Raises:
            ValueError: no bundle given, a confidence out of range, or a callback missing or not
                wanted.
            RuntimeError: the file is missing, or not such a bundle; no GPU; `num_poses` below 1.
        """
        base, mode = options.base_options, VisionTaskRunningMode(options.running_mode)
        live = mode is VisionTaskRunningMode.LIVE_STREAM
        if live and options.result_callback is None:
            raise ValueError(
                "The vision task is in live stream mode, a user-defined result callback must be "
                "provided."
            )
        if not live and options.result_callback is not None:
            raise ValueError(
                "The vision task is in image or video mode, a user-defined result callback should "
                "not be provided."
            )
        for name in ("min_pose_presence_confidence", "min_tracking_confidence"):
            value = getattr(options, name)
            if not 0 <= value <= (1 if "presence" in name else np.inf):
                raise ValueError(f"Invalid `{name}` option: {value}, want a number from 0.0 to 1.0")
        most = operator.index(options.num_poses)
        if most < 1:
            raise RuntimeError(f"num_poses is {most}, should be greater than or equal to 1.")
        bundle = base.model_asset_buffer or base.model_asset_path
        if not bundle:
            raise ValueError("BaseOptions must specify model_asset_path or model_asset_buffer.")
        own = blazepose.Options.of(
            num_poses=most,
            conf=min(max(float(options.min_pose_detection_confidence), 0.0), 1.0),
            presence=float(options.min_pose_presence_confidence),
            masks=bool(options.output_segmentation_masks),
            device="GPU" if base.delegate is BaseOptions.Delegate.GPU else "CPU",
        )
        try:
            file = bundle if isinstance(bundle, bytes) else Path(bundle)
            detector, landmarks = unpack_pose_task(file)
            find = blazepose.open_detector(detector, own)
            model = blazepose.load(landmarks, find, own, name="pose_landmarker")
        except VitruvianError as error:
            raise RuntimeError(str(error)) from None
        return cls(model, options)

    def detect(
        self, image: Image, image_processing_options: ImageProcessingOptions | None = None
    ) -> PoseLandmarkerResult:
        """The people in an image.

        Raises:
            ValueError: another mode, not an `Image` in colour, or closed.
        """
        model = self._ready(VisionTaskRunningMode.IMAGE, image, image_processing_options)
        return _result(model([_frame(image)])[0], image)

    def detect_for_video(
        self,
        image: Image,
        timestamp_ms: int,
        image_processing_options: ImageProcessingOptions | None = None,
    ) -> PoseLandmarkerResult:
        """The people in the next frame of a video, at a time in milliseconds.

        Raises:
            ValueError: another mode, not an `Image` in colour, timestamps do not increase, or
                closed.
            TypeError: the timestamp is not an int.
        """
        self._ready(VisionTaskRunningMode.VIDEO, image, image_processing_options)
        seconds = self._stamp(timestamp_ms) / 1000
        return _result(self._follow(_frame(image), seconds), image)

    def detect_async(
        self,
        image: Image,
        timestamp_ms: int,
        image_processing_options: ImageProcessingOptions | None = None,
    ) -> None:
        """Have the callback get the people in the next frame of a camera; does not wait.

        Raises:
            ValueError: as `detect_for_video`.
            TypeError: the timestamp is not an int.
            Exception: raised by the callback.
        """
        self._ready(VisionTaskRunningMode.LIVE_STREAM, image, image_processing_options)
        assert self._newest is not None
        self._newest.check()
        self._newest.put((image, self._stamp(timestamp_ms)))

    def close(self) -> None:
        """Wait for the callback, and give the networks back.

        Raises:
            ValueError: it is closed.
            Exception: raised by the callback.
        """
        if self._model is None:
            raise ValueError(CLOSED)
        self._model = None
        if self._newest is not None:
            self._newest.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _ready(
        self, mode: VisionTaskRunningMode, image: object, options: ImageProcessingOptions | None
    ) -> TopDown:
        if self._mode is not mode:
            wanted = mode.name.lower().replace("_", " ")
            raise ValueError(
                f"Task is not initialized with the {wanted} mode. Current running mode:"
                f"{self._mode.name}"
            )
        if not isinstance(image, Image):
            raise ValueError("Please provide 'image_format' with 'data'.")
        if image.image_format not in (ImageFormat.SRGB, ImageFormat.SRGBA) or image.is_empty():
            raise ValueError(f"want an image of SRGB or SRGBA with pixels, got {image!r}")
        if options is not None and options.region_of_interest is not None:
            raise ValueError("This task doesn't support region-of-interest.")
        if options is not None and options.rotation_degrees % 90:
            raise ValueError("Expected rotation to be a multiple of 90°.")
        if self._model is None:
            raise ValueError(CLOSED)
        return self._model

    def _stamp(self, timestamp_ms: int) -> int:
        if isinstance(timestamp_ms, float | np.floating | str) or timestamp_ms is None:
            raise TypeError(f"timestamp_ms is {timestamp_ms!r}, want an int")
        stamp = operator.index(timestamp_ms)
        if stamp <= self._last:
            raise ValueError("Input timestamp must be monotonically increasing.")
        self._last = stamp
        return stamp


def _frame(image: Image) -> Frame:
    return Frame(np.ascontiguousarray(image.numpy_view()[..., :3]))


def _result(poses: Poses, image: Image) -> PoseLandmarkerResult:
    assert poses.xyz is not None
    if not len(poses):
        return PoseLandmarkerResult([], [])
    assert poses.depth is not None
    assert poses.presence is not None
    size = np.array([image.width, image.height], np.float32)
    seen = poses.score, poses.presence
    places = np.dstack([poses.xy / size, poses.depth / size[0], *seen]).tolist()
    world = np.dstack([poses.xyz, *seen]).tolist()
    masks = None
    if poses.mask is not None:
        masks = [Image(ImageFormat.VEC32F1, mask.astype(np.float32)) for mask in poses.mask]
    return PoseLandmarkerResult(
        [[NormalizedLandmark(*point) for point in person] for person in places],
        [[Landmark(*point) for point in person] for person in world],
        masks,
    )


def __getattr__(name: str) -> Absent:
    return absent(__name__, name)
