"""The stages inside a model, for `trace`: hooks between the region and the keypoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.decode import heatmap
from vitruvian.errors import amount
from vitruvian.frame import Frame
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions
from vitruvian.models.top_down import TopDown

NOWHERE = np.full(2, np.nan, np.float32)


@dataclass(frozen=True, eq=False)
class TraceRow:
    """The keypoint after one stage or step; NaN where the stage has no value."""

    name: str
    about: str = ""
    crop: np.ndarray = field(default_factory=NOWHERE.copy)  # (2,) pixels of the network's input
    frame: np.ndarray = field(default_factory=NOWHERE.copy)  # (2,) pixels of the frame
    score: float = np.nan


@dataclass(eq=False)
class DecodeCall:
    """Arguments and result of one `decode` call of the model's head."""

    outputs: list[np.ndarray]
    crops: list[Crop]
    look: Regions
    poses: Poses


@contextmanager
def decode_calls(model: Any, index: int, looks: list[DecodeCall]) -> Iterator[None]:
    """Record the `decode` calls of a top-down model for one frame."""
    model = getattr(model, "body", model)
    if not isinstance(model, TopDown):
        yield
        return
    head = model.head
    decode = head.decode

    def listens(frame: Frame, outputs: Any, crops: Any, look: Regions) -> Poses:
        poses = decode(frame, outputs, crops, look)
        if frame.index == index:
            looks.append(DecodeCall(list(outputs), list(crops), look, poses))
        return poses

    with _replaced(head, "decode", listens):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def stages_inside(
    model: Any, frame: Frame, looks: list[DecodeCall], poses: Poses, row: int, k: int
) -> tuple[list[TraceRow], dict[str, Any]]:
    """The stages inside the model, and the crop, network input and heat map of the person."""
    model = getattr(model, "body", model)  # what hands and faces are added to
    if isinstance(model, TopDown):
        if k >= len(model.skeleton):
            return [], {}
        return _top_down(model, frame, looks, poses.xy[row], k)
    return _whole_frame(model, frame, poses.xy[row], k)


def _top_down(
    model: TopDown, frame: Frame, looks: list[DecodeCall], xy: np.ndarray, k: int
) -> tuple[list[TraceRow], dict[str, Any]]:
    """Region, crop, heat map, refinement and decoding: the head is run again on this region."""
    head: Any = model.head
    best: tuple[float, Any] = (np.inf, None)
    for look in looks:
        for i in range(len(look.look)):
            rows, views = (len(x) // len(look.look) for x in (look.outputs[0], look.crops))
            outputs = [part[i * rows : (i + 1) * rows] for part in look.outputs]
            crops, region = look.crops[i * views : (i + 1) * views], look.look.take([i])
            heard: dict[str, Any] = {}
            with _hearing(head, heard):
                alone = type(head).decode(head, frame, outputs, crops, region)
            if len(alone):
                off = float(np.nansum(np.abs(alone.xy[0] - xy)))
                if off < best[0]:
                    best = off, (look, outputs, crops, region, heard, alone)
    if best[1] is None:
        return [], {}
    look, outputs, crops, region, heard, alone = best[1]
    crop, size = crops[0], region.size[0]
    followed = int(region.person[0])
    who = f"last region of person {followed}" if followed >= 0 else "from the detector"
    turn = f", turned {np.degrees(region.angle[0]):.1f} degrees" if region.angle[0] else ""
    about = f"{who}: {size[0]:.0f} x {size[1]:.0f} pixels{turn}"
    stages = [TraceRow("region", about, frame=region.centre[0], score=float(region.score[0]))]
    corners = crop.to_frame(np.array([[0, 0], [crop.size[0], 0]], np.float64))
    scale = float(np.linalg.norm(corners[1] - corners[0])) / crop.size[0]
    several = f", the first of {len(crops)} views" if len(crops) > 1 else ""
    about = f"{crop.size[0]} x {crop.size[1]} pixels, each {scale:.2f} of the frame{several}"
    middle = np.array(crop.size, np.float64) / 2
    stages.append(TraceRow("crop", about, middle, crop.to_frame(middle)))
    shown = heard.get("maps")
    plane = None if shown is None else _plane(shown, k, len(head.skeleton), head)
    if plane is not None:
        tall, wide = plane.shape
        y, x = np.unravel_index(int(np.argmax(plane)), plane.shape)
        at = (np.array([x, y]) + crop.centre) * np.divide(crop.size, (wide, tall))
        about = f"cell {x}, {y} of {wide} x {tall}: maximum"
        stages.append(TraceRow("heat map", about, at, crop.to_frame(at), float(plane[y, x])))
    for name, point in heard.get("points", []):
        at = point(k, crop)
        if at is not None:
            stages.append(TraceRow(name, "", at, crop.to_frame(at)))
    place = alone.xy[0, k]
    score = float(alone.score[0, k])
    stages.append(TraceRow("decoded", "mapped to the frame", crop.from_frame(place), place, score))
    regions, people = len(look.look), len(look.poses)
    about = f"{amount(regions, 'region')}, {amount(people, 'person', 'people')} kept"
    stages.append(TraceRow("suppression", about, frame=place, score=score))
    view = head.prepare(frame, crops)[0]
    return stages, {"crop": crop, "view": _picture(view), "map": plane}


@contextmanager
def _hearing(head: Any, heard: dict[str, Any]) -> Iterator[None]:
    """Record intermediate results of a head between network outputs and keypoints."""
    points = heard.setdefault("points", [])
    inner: dict[tuple[Any, str], Callable[..., Any]] = {}

    def blazepose(xy: np.ndarray, logits: np.ndarray, window: int, which: Any) -> np.ndarray:
        refined = inner[heatmap, "refine"](xy, logits, window, which)
        heard["maps"] = heatmap.sigmoid(logits[0]).transpose(2, 0, 1)
        points.append(("regressed", lambda k, crop: xy[0, k] * crop.size))
        points.append(("refined", lambda k, crop: refined[0, k] * crop.size))
        return refined

    def heat(maps: np.ndarray) -> np.ndarray:
        values = inner[head, "heat"](maps)
        heard["maps"], heard["cells"] = values[0], values.shape[:1:-1]
        return values

    def refine(outputs: Any, cells: np.ndarray) -> np.ndarray:
        refined = inner[head, "refine"](outputs, cells)
        scale = lambda crop: np.divide(crop.size, heard["cells"])  # noqa: E731
        points.append(("decoded cells", lambda k, crop: cells[0, k] * scale(crop)))
        points.append(("refined", lambda k, crop: refined[0, k] * scale(crop)))
        return refined

    def read(outputs: Any, cameras: Any) -> Any:
        said = inner[head, "read"](outputs, cameras)
        flat = outputs[0][0]
        heard["maps"] = np.exp(flat - flat.max(axis=(1, 2), keepdims=True))
        share = head.share
        points.append(("2D head", lambda k, crop: share[:, k] @ said.xy[0]))
        return said

    changes: list[tuple[Any, str, Callable[..., Any]]] = [(heatmap, "refine", blazepose)]
    changes += [(head, f.__name__, f) for f in (heat, refine, read) if hasattr(head, f.__name__)]
    own = [(owner, name, vars(owner).get(name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            inner[owner, name] = getattr(owner, name)
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, before in own:
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


def _plane(maps: np.ndarray, k: int, keypoints: int, head: Any) -> np.ndarray:
    """(h, w) of (P, h, w): heat map of the keypoint, or of the point with the largest weight."""
    if len(maps) != keypoints and hasattr(head, "share"):
        k = int(np.argmax(head.share[:, k]))
    return maps[k]


def _whole_frame(
    model: Any, frame: Frame, xy: np.ndarray, k: int
) -> tuple[list[TraceRow], dict[str, Any]]:
    """Stages of YOLOv8-pose: letterbox, network output, decoding and suppression."""
    decode, heard = model.decode, list[Any]()

    def listens(rows: np.ndarray, back: Crop, size: tuple[int, int]) -> Poses:
        poses = decode(rows, back, size)
        heard.append((rows, back, poses))
        return poses

    with _replaced(model, "decode", listens):
        model([frame])
    ((rows, back, poses),) = heard
    off = np.nansum(np.abs(poses.xy - xy), axis=(1, 2))
    row = int(np.argmin(off))
    place = poses.xy[row, k]
    keypoints, numbers = len(model.skeleton), model.numbers
    classes = len(rows) - 4 - keypoints * numbers
    points = rows[4 + classes :].reshape(keypoints, numbers, -1)
    near = np.linalg.norm(points[:, :2] - back.from_frame(xy)[..., None], axis=1).sum(axis=0)
    anchor = int(np.argmin(near))
    box, score = rows[:4, anchor], float(rows[4 : 4 + classes, anchor].max())
    likely = int((rows[4 : 4 + classes].max(axis=0) > model.chosen.conf).sum())
    middle = np.array(back.size, np.float64) / 2
    raw = points[k, :2, anchor]
    point = float(points[k, 2, anchor]) if numbers == 3 else score
    corners = back.to_frame(np.array([[0, 0], [1, 0]], np.float64))
    scale = float(np.linalg.norm(corners[1] - corners[0]))
    about = f"{back.size[0]} x {back.size[1]} pixels, each {scale:.2f} of the frame"
    stages = [
        TraceRow("crop", f"letterbox of {about}", middle, back.to_frame(middle)),
        TraceRow(
            "box", f"{box[2]:.0f} x {box[3]:.0f} pixels", box[:2], back.to_frame(box[:2]), score
        ),
        TraceRow("network", f"row {anchor} of {rows.shape[1]}", raw, back.to_frame(raw), point),
        TraceRow("decoded", "clipped to the frame", back.from_frame(place), place, point),
        TraceRow(
            "suppression",
            f"{amount(likely, 'box', 'boxes')}, {amount(len(poses), 'person', 'people')} kept",
            frame=place,
        ),
    ]
    view = model.prepare([frame], [model.letterbox(frame)])[0]
    return stages, {"crop": back, "view": _picture(view)}


def _picture(view: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 of a network's input, channels first or last, of any value range."""
    view = view.transpose(1, 2, 0) if len(view) == 3 else view
    low, high = float(view.min()), float(view.max())
    if low < -0.01 or high > 1.01:
        view = (view - low) / max(high - low, 1e-9)
    return np.ascontiguousarray(np.clip(view * 255, 0, 255).astype(np.uint8))
