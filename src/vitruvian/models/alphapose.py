"""AlphaPose: top-down pose estimation with heat maps, from an upright crop of each person.

A separate person detector gives the bounding boxes. Each box is extended to the aspect ratio of the
network's input, enlarged by a quarter and cropped. The network gives one heat map per keypoint; the
maximum of each is decoded, and duplicate poses are merged (pose NMS).

Pixel coordinates of the crop, and of the frame, start at the top left corner of the image but are
sampled half a pixel off (`Crop.centre` is 0), and cell i of a heat map is pixel 4 i of the crop:
the reference does so, and its networks are trained that way.

Source: the behaviour of AlphaPose c60106d (specs/alphapose.md 3 to 5), and Fang et al. 2022,
"AlphaPose: Whole-Body Regional Multi-Person Pose Estimation and Tracking in Real-Time".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.similar import is_limb
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, as_skeleton
from vitruvian.decode import heatmap, pose_nms
from vitruvian.errors import VitruvianError, unknown
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import box_around
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import Family, Find, Finder
from vitruvian.models.options import (
    Area,
    Count,
    EitherRuntime,
    OneOf,
    Share,
    Wants,
    is_number,
)
from vitruvian.models.ready import (
    converted,
    is_checkpoint,
    is_network_file,
    pull_files,
    short_name,
)
from vitruvian.models.top_down import TopDown
from vitruvian.models.zoo import EVERYBODY, entry
from vitruvian.network.onnxruntime import OnnxRuntime
from vitruvian.network.open import Network, open_network
from vitruvian.network.openvino import OpenVino

MARGIN = np.float32(1.25)  # size of the crop relative to the bounding box
BEST = 1 + 1 + 1.25  # the largest score of a person in the reference: all scores 1
DECODERS = ("argmax", "integral", "combined", "local")  # keys of `DECODE`
# Of limbs, see `is_limb`; and the sum of the score of their box and the mean of their keypoints'
# scores, from which they are somebody. Chosen for vitruvian-2d on 128 pictures of
# `../shared/data/coco_pictures`, where nobody is lost: a child has more.
SMALL, CERTAIN = 0.1, 0.6
SEEN = 0.3  # keypoint score threshold for predicting the person's next region


def _scales(scales: Any) -> bool:
    """Whether they are distinct numbers from 0.25 to 4 that include 1."""
    good = isinstance(scales, tuple) and all(is_number(s) and 0.25 <= s <= 4 for s in scales)
    return good and 1 in scales and len(set(scales)) == len(scales)


Scales = Annotated[
    tuple[float, ...], Wants(_scales, "distinct numbers from 0.25 to 4, including 1")
]


@dataclass(frozen=True, kw_only=True)
class Options(EitherRuntime):
    """Options of AlphaPose models."""

    num_poses: Count = 100  # maximum number of people per frame, by score
    conf: Share | None = None  # 0..1, detection threshold; None: the detector's default
    flip: bool = False  # test-time augmentation: average with the mirrored crop
    scales: Scales = (1.0,)  # test-time augmentation: crop scales; with 1
    refine: Annotated[str, OneOf(("pga",))] | None = None  # a second network refines them
    decode: Annotated[str, OneOf(DECODERS)] | None = None  # None: from the file
    pose_nms: bool = True  # pose NMS: merge duplicate poses
    min_box_area: Area = 0.0  # pixels squared: smaller people are dropped; with pose_nms
    # "alphapose": reproduce the reference's bugs, see docs/alphapose.md
    compat: Annotated[str, OneOf(("fixed", "alphapose"))] = "fixed"
    heatmaps: bool = False  # keep the heat maps as `Poses.maps`
    batch: Count = 64  # batch size: maximum number of crops per network call

    KIND: ClassVar[str] = "AlphaPose option"

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Options from keywords; `scales` may also be a list, a number, or "0.75,1,1.25"."""
        if "scales" in given:
            given["scales"] = _numbers(given["scales"])
        return super().of(**given)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_box_area and not self.pose_nms:
            raise VitruvianError("min_box_area needs pose_nms; leave pose_nms on")


def _numbers(given: object) -> object:
    """Scales as a tuple, from a list, a number, or the text of a command line."""
    if isinstance(given, str):
        try:
            return tuple(float(word) for word in given.split(","))
        except ValueError:
            return (given,)
    if isinstance(given, list | tuple):
        return tuple(given)
    return (given,)


def face_and_hands(skeleton: Skeleton) -> int:
    """Number of face and hand keypoints, which come last; 0 for a body-only skeleton."""
    parts = skeleton.parts
    if not {"left_hand", "right_hand"} <= parts.keys():
        return 0
    return sum(len(parts.get(part, ())) for part in ("face", "left_hand", "right_hand"))


def _combined(maps: np.ndarray, skeleton: Skeleton, compat: bool) -> tuple[np.ndarray, np.ndarray]:
    return heatmap.combined(maps, face_and_hands(skeleton), compat)


# Heat map decoders: (N, K, h, w) raw network output, and the same scaled to 0..1 -> (N, K, 2) cells
# and (N, K) scores.
Decode = Callable[[np.ndarray, np.ndarray, Skeleton, bool], tuple[np.ndarray, np.ndarray]]
DECODE: dict[str, Decode] = {
    "argmax": lambda _, values, __, compat: heatmap.argmax(values, compat),
    "integral": lambda maps, *_: heatmap.integral(maps),
    "combined": lambda maps, _, skeleton, compat: _combined(maps, skeleton, compat),
    "local": lambda _, values, *__: heatmap.local(values),
}
# The decoder a network was trained for -> other decoders that work on its heat maps. Networks for
# argmax give Gaussians of height 1, those for integral and local logits, those for combined both.
ALSO = {
    "argmax": {"local"},
    "integral": {"argmax", "local"},
    "local": {"argmax", "integral"},
    "combined": {"argmax", "local"},
}


def load(
    file: Path,
    find: Find,
    options: Options = Options(),
    *,
    refiner: Path | None = None,
    name: str = "",
    weights: Mapping[str, str] | None = None,
) -> TopDown:
    """Load AlphaPose from a file written by `vitruvian export`.

    Args:
        file: .onnx, or for OpenVINO .xml. Input: (N, H, W, 3) uint8 RGB. Outputs: maps, float32
            (N, K, h, w); for `refine` also features (N, C, h', w').
        find: the person detector, which gives bounding boxes.
        options: see `Options`.
        refiner: the file for `refine`. Inputs: features, and keypoints (N, K, 2) in cells of the
            maps. Output: (N, K, 2) cells to add to them.
        name: of the model in the catalogue, for records.
        weights: name and SHA-256 of the finder's files, for records.

    Raises:
        VitruvianError: the file cannot be opened, is not an AlphaPose network, or does not
            support the options.
    """
    network = _open(file, options, None if options.refine else [0])
    about, shape = network.metadata, network.input_shape
    if len(shape) != 4 or shape[3] != 3 or None in shape[1:]:
        raise VitruvianError(
            f"'{file}' has an input of {shape}, want (N, height, width, 3); export it again"
        )
    try:
        skeleton = Skeleton.from_json(about["skeleton"])
        trained = about["decode"]
    except (ValueError, TypeError, LookupError):
        raise VitruvianError(f"'{file}' has no metadata of this package; export it again") from None
    if trained not in DECODE:
        raise unknown("decode", trained, DECODE)
    decode = options.decode or trained
    if decode == "combined" and not face_and_hands(skeleton):
        raise VitruvianError(
            f"decode combined is for faces and hands, which {skeleton.name} does not have; "
            "use argmax or integral"
        )
    if decode != trained and decode not in ALSO[trained]:
        raise VitruvianError(
            f"decode {decode} cannot decode the heat maps of '{file}', which was trained for "
            f"{trained}; use {' or '.join([trained, *sorted(ALSO[trained])])}"
        )
    if options.refine and refiner is None:
        raise VitruvianError(f"{name or file} has no refinement network; leave refine out")
    _, height, width, _ = shape
    head = Joints(
        network,
        options,
        skeleton,
        size=(int(width or 0), int(height or 0)),
        decode=decode,
        trained=trained,
        antialias=1 if about.get("antialias") == "1" else 0,
        refiner=None if refiner is None or not options.refine else _open(refiner, options),
    )
    return TopDown(
        find,
        head,
        options.num_poses,
        batch=options.batch,
        name=name,
        weights={**(weights or {}), file.name: about.get("sha256", "")},
        options={**asdict(options), "decode": decode},
    )


def _open(
    file: Path, options: Options, outputs: Sequence[int] | None = None
) -> OpenVino | OnnxRuntime:
    return open_network(
        file,
        options.runtime,
        outputs=outputs,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        streams=options.streams,
    )


def _by_name(
    name: str, options: Options, skeleton: str | Path | Skeleton | None, finder: Finder
) -> TopDown:
    """Load a catalogue model or a file; the public function is `vitruvian.models.load.load`."""
    path = Path(name)
    if skeleton is not None and not is_checkpoint(path):
        raise VitruvianError(f"{name} has a fixed skeleton; leave skeleton out")
    if is_network_file(name):
        if is_checkpoint(path):
            path = converted(path, as_skeleton(skeleton), options.decode)
        refiner = Path(name).with_name(f"{Path(name).stem}-pga.onnx")
        refiner = refiner if refiner.is_file() else None
    else:
        _, *files = entry(name).files
        path, *more = pull_files(entry(name), files)
        refiner = more[0] if more else None
    return load(
        path,
        finder.find,
        options,
        refiner=refiner,
        name=short_name(name),
        weights=finder.weights,
    )


class Joints:
    """Runs the keypoint network on a crop of each person."""

    def __init__(
        self,
        network: Network,
        options: Options = Options(),
        skeleton: Skeleton = COCO17,
        *,
        size: tuple[int, int] = (192, 256),
        decode: str = "argmax",
        trained: str | None = None,
        antialias: int = 0,
        refiner: Network | None = None,
    ) -> None:
        """Read a network.

        Args:
            network: (N, H, W, 3) uint8 RGB -> (N, K, h, w) maps, and for a refiner features.
            options: see `Options`.
            skeleton: of its keypoints.
            size: width and height of its input, pixels.
            decode: a key of `DECODE`.
            trained: the decoder that the network was trained for, which defines what its maps are;
                None: `decode`.
            antialias: of its crops, see `Crop.cut`; the reference uses none.
            refiner: (N, C, h', w') features, (N, K, 2) cells -> (N, K, 2) cells to add.
        """
        self.network, self.options, self.skeleton = network, options, skeleton
        self.size, self.how, self.refiner = size, decode, refiner
        tail = face_and_hands(skeleton)
        gaussians = {"argmax": len(skeleton), "combined": len(skeleton) - tail}
        self.gaussians = gaussians.get(
            trained or decode, 0
        )  # number of leading Gaussian maps; the others are logits
        self.antialias = antialias
        self.views = 2 if options.flip else 1  # of each crop
        self.compat = options.compat == "alphapose"

    def crops(self, frame: Frame, regions: Regions) -> list[Crop]:
        """Crops with the input's aspect ratio and a margin; one per region and scale."""
        whole = self.around(regions)
        rows = zip(whole.centre, whole.size, whole.angle, strict=True)
        return [
            Crop.turned(middle, extent / np.float32(scale), angle, self.size, centre=0)
            for middle, extent, angle in rows
            for scale in self.options.scales
        ]

    def around(self, regions: Regions) -> Regions:
        """Regions of the crops at scale 1: with the input's aspect ratio and a margin."""
        width, height = self.size
        aspect = np.float32(width / height)
        tall = np.maximum(regions.size[:, 1], regions.size[:, 0] / aspect) * MARGIN
        return replace(regions, size=np.stack([tall * aspect, tall], axis=-1))

    def prepare(self, frame: Frame, crops: Sequence[Crop]) -> np.ndarray:
        """(M, H, W, 3) uint8 RGB, each crop followed by its mirror image; black outside."""
        width, height = self.size
        rows = np.empty((len(crops), self.views, height, width, 3), np.uint8)
        for row, crop in zip(rows, crops, strict=True):
            row[0] = frame.cut(crop, antialias=self.antialias)
            if self.options.flip:
                row[1] = row[0, :, ::-1]
        return rows.reshape(len(crops) * self.views, height, width, 3)

    def decode(
        self, frame: Frame, outputs: Sequence[np.ndarray], crops: Sequence[Crop], look: Regions
    ) -> Poses:
        """Decode the network's output for one frame into poses, without duplicates.

        Outputs: (M, K, h, w) heat maps, one row per person and scale, each followed by that of the
        mirror image if `flip` is set; with a refiner also (M, C, h', w') features.

        `Poses.score` is the decoder's confidence, 0..1, 0 where nothing was found. `Poses.box` is
        the detector's bounding box, clipped to the frame. `Poses.box_score` is the reference's
        score of a person divided by its maximum: mean keypoint score + 1.25 times the largest +
        the detector's score. With compat "alphapose" scores are not scaled to 0..1.
        """
        if not len(look):
            return Poses.nobody(self.skeleton)
        maps = self.merge(outputs[0])
        values = self.heat(maps)
        cells, score = DECODE[self.how](maps, values, self.skeleton, self.compat)
        if self.refiner is not None:
            cells = self.refine(outputs, cells)
        scales = self.options.scales
        crops = crops[scales.index(1) :: len(scales)]
        stride = np.float32(self.size[0] / maps.shape[3])
        rows = zip(crops, cells * stride, strict=True)
        xy = np.stack([crop.to_frame(row) for crop, row in rows])
        which, xy, score, sure = self.kept(xy, score, look)
        look, found = look.take(which), np.isfinite(xy).all(axis=-1)
        edge = np.array(frame.size * 2, np.float32)
        poses = Poses(
            self.skeleton,
            xy=xy,
            score=score if self.compat else np.where(found, np.clip(score, 0, 1), 0),
            box=np.minimum(np.maximum(look.bounds(), 0), edge),
            box_score=sure if self.compat else np.clip(sure / np.float32(BEST), 0, 1),
            person=look.person,
            look=look.following(xy, score >= SEEN),
            maps=values[which] if self.options.heatmaps else None,
            seen=self.around(look) if self.options.heatmaps else None,
        )
        if self.compat or not self.options.pose_nms:
            return poses
        # Limbs have few keypoints.
        sure = look.score + poses.score.mean(axis=1)
        body = np.where((score >= SEEN)[..., None], xy, np.nan)
        around = box_around(np.concatenate([poses.box.reshape(-1, 2, 2), body], axis=1))
        return poses.take(~is_limb(poses.box, around, sure, SMALL) | (sure >= CERTAIN))

    def kept(
        self, xy: np.ndarray, score: np.ndarray, look: Regions
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Remove duplicates: indices of people, keypoints, their scores, person scores."""
        options, parts = self.options, self.skeleton.parts
        if not options.pose_nms:
            sure = look.score + score.mean(axis=1) + np.float32(1.25) * score.max(axis=1)
            return np.arange(len(look)), xy, score, sure
        whole = {"face", "left_hand", "right_hand"} <= parts.keys()
        settings = pose_nms.WHOLE_BODY if whole and self.how != "argmax" else pose_nms.BODY
        kept = pose_nms.pose_nms(
            xy,
            score,
            look.bounds(),
            look.score,
            replace(settings, min_area=float(options.min_box_area)),
            pose_nms.whole_body(parts) if whole else (),
            self.compat,
        )
        return kept.index, kept.xy, kept.score, kept.proposal_score

    def heat(self, maps: np.ndarray) -> np.ndarray:
        """(N, K, h, w) heat maps with values from 0: the sigmoid of those that are logits."""
        if self.gaussians == len(self.skeleton):
            return maps
        logits = heatmap.sigmoid(maps[:, self.gaussians :])
        return np.concatenate([maps[:, : self.gaussians], logits], axis=1)

    def merge(self, maps: np.ndarray) -> np.ndarray:
        """Merge the heat maps of all views (scales and flips) of N people, on the grid of scale 1.

        Raw maps are averaged over the views that cover the cell.

        Args:
            maps: (N * scales * views, K, h, w).

        Returns:
            (N, K, h, w).
        """
        scales = self.options.scales
        k, h, w = maps.shape[1:]
        n = len(maps) // (len(scales) * self.views)
        maps = maps.reshape(n, len(scales), self.views, k, h, w)
        total, count = np.zeros((n, k, h, w), np.float32), np.zeros((h, w), np.float32)
        for i, scale in enumerate(scales):
            seen = maps[:, i, 0]
            if self.options.flip:
                mirror = heatmap.mirrored(maps[:, i, 1], self.skeleton.mirror, shift=True)
                seen = (seen + mirror) / 2
            if scale == 1:
                total, count = total + seen, count + 1
                continue
            down, across = _resampling(h, scale), _resampling(w, scale)
            total += down @ seen @ across.T
            count += np.outer(down.sum(axis=1), across.sum(axis=1))
        return total / count

    def refine(self, outputs: Sequence[np.ndarray], cells: np.ndarray) -> np.ndarray:
        """Refine keypoints by the mean offset that the refiner predicts over all views.

        Args:
            outputs: the network's, see `decode`.
            cells: (N, K, 2) of the map of scale 1.

        Returns:
            (N, K, 2) cells of the map of scale 1.
        """
        if self.refiner is None or len(outputs) < 2:
            raise VitruvianError("refine needs features, which this network does not output")
        n, k, _ = cells.shape
        h, w = outputs[0].shape[2:]
        scales = np.array(self.options.scales, np.float32)[:, None, None]
        middle = np.array([w, h], np.float32) / 2
        at = middle + (np.nan_to_num(cells)[:, None] - middle) * scales  # (N, scales, K, 2)
        views, mirror = [at], self.skeleton.mirror
        # Pixel i of a row is pixel W - 1 - i of the mirrored row.
        last = (self.size[0] - 1) * w / self.size[0]
        if self.options.flip:
            views.append(np.array([last, 0], np.float32) + at[:, :, mirror] * (-1, 1))
        asked = np.stack(views, axis=2).reshape(len(outputs[1]), k, 2).astype(np.float32)
        (moved,) = self.refiner(outputs[1], asked)
        moved = moved.reshape(n, len(scales), self.views, k, 2)
        if self.options.flip:
            moved = np.stack([moved[:, :, 0], moved[:, :, 1][:, :, mirror] * (-1, 1)], axis=2)
        return (cells + (moved.mean(axis=2) / scales).mean(axis=1)).astype(np.float32)


def _resampling(cells: int, scale: float) -> np.ndarray:
    """(cells, cells) resampling weights from a heat map of this scale to the grid of scale 1.

    Both maps share their centre. Linear interpolation; a row of zeros outside the map.
    """
    middle = cells / 2
    at = middle + (np.arange(cells) - middle) * scale
    weight = np.maximum(1 - np.abs(at[:, None] - np.arange(cells)), 0)
    return np.where(((at >= 0) & (at <= cells - 1))[:, None], weight, 0).astype(np.float32)


FAMILY = Family(
    "alphapose",
    _by_name,
    Options,
    wants="boxes",
    metres=False,
    found_by=EVERYBODY,
    for_ap={"conf": 0.05},
    tensors=("preact.", "duc1.", "stage2."),
)
