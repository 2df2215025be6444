"""Interactive 3D viewer as a self-contained .html file; works in any browser, offline.

The page is `page.html` with the scene as JSON. Joint coordinates are base64 of little-endian
integers in millimetres: the centre of the body (int32) plus an offset (int16, -32768 where the
joint was not found), so they are exact to half a millimetre anywhere. With BlazePose's 33 joints a
person takes 0.3 kB per frame: 0.6 MB per minute at 30 frames per second.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, amount
from vitruvian.formats.atomic_file import write_whole
from vitruvian.frame import Frame
from vitruvian.rendering.draw import VISIBLE
from vitruvian.rendering.scene import Scene

TEMPLATE, POINTERS = map(Path(__file__).with_name, ("page.html", "pointers.js"))
MISSING = -32768
SIDES = ("", "left", "right")  # the index is the page's code


class Page:
    """Writes the interactive 3D viewer (.html) of one image or video."""

    def __init__(self, path: Path, visible: float = VISIBLE) -> None:
        self.path, self.scene = path, Scene(visible)

    def __enter__(self) -> Page:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Add a frame."""
        if self.scene.moments and frame.source != self.scene.source:
            raise VitruvianError(
                f"'{self.path}' holds one image or video; for more give a folder and --save html"
            )
        self.scene.add(frame, poses)

    def __exit__(self, *_: object) -> None:
        if self.scene.moments:
            write_whole(self.path, page(self.scene))

    @property
    def paths(self) -> list[Path]:
        """The output files; complete after the `with` block."""
        return [self.path] if self.scene.moments else []


def page(scene: Scene) -> str:
    """The HTML of a scene. `<` is escaped, so that no name can end a tag or script."""
    parts = {
        "TITLE": html.escape(Path(scene.source).name) + " in 3D",
        "SCENE": json.dumps(scene_to_dict(scene), allow_nan=False, separators=(",", ":")),
    }
    parts["SCENE"] = parts["SCENE"].replace("<", "\\u003c")
    parts["POINTERS"] = POINTERS.read_text(encoding="utf-8").replace("export ", "")
    template = TEMPLATE.read_text(encoding="utf-8")
    return re.sub("__(TITLE|SCENE|POINTERS)__", lambda found: parts[found[1]], template)


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """The scene as JSON-compatible data."""
    skeleton, moments = scene.skeleton, scene.moments
    hips = scene.space == "hips"
    xyz = np.concatenate([moment.xyz for moment in moments]).astype(np.float64)
    middles, joints = in_mm(xyz)
    scores = np.concatenate([moment.score for moment in moments])
    return {
        "source": Path(scene.source).name,
        "space": scene.space,
        "keypoints": skeleton.keypoints,
        "bones": skeleton.bones,
        "sides": [SIDES.index(side) for side in skeleton.sides],
        "visible": scene.visible,
        "axes": np.round(scene.axes, 9).tolist(),
        "floor": round(scene.floor, 4),
        "bounds": np.round(scene.bounds, 4).tolist(),
        "frustum": None if scene.frustum is None else np.round(scene.frustum, 6).tolist(),
        "spacing": round(scene.spacing, 4) if hips else 0,
        "places": scene.places,
        "index": [moment.index for moment in moments],
        "seconds": [round(moment.seconds, 4) for moment in moments],
        "people": [[moment.name(row) for row in range(len(moment.person))] for moment in moments],
        "place": [moment.place.tolist() for moment in moments],
        "middles": _base64(middles, "<i4"),
        "joints": _base64(joints, "<i2"),
        "scores": _base64(np.round(scores.clip(0, 1) * 255), "u1"),
    }


def in_mm(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert (B, K, 3) metres to whole millimetres.

    Returns:
        (B, 3) the centre of each body.
        (B, K, 3) joints relative to it, -32768 if unknown or farther than 32 m from it.
    """
    known = np.all(np.isfinite(xyz), axis=-1)
    whole = np.round(np.where(known[..., None], xyz, 0) * 1000)
    one = whole[np.arange(len(xyz)), known.argmax(axis=1)][:, None]  # known joint, fills unknown
    filled = np.where(known[..., None], whole, one)
    middles = np.round((filled.min(axis=1) + filled.max(axis=1)) / 2)
    joints = whole - middles[:, None]
    near = known & (np.abs(joints) <= 32767).all(axis=-1)
    return middles, np.where(near[..., None], joints, MISSING)


def _base64(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode()


class Plot3D:
    """The interactive 3D viewer of some frames; a notebook shows it below the cell."""

    def __init__(self, scene: Scene, height: int) -> None:
        self._scene, self._height = scene, height

    def __repr__(self) -> str:
        frames = amount(len(self._scene.moments), "frame")
        return f"Plot3D({frames}; save('view.html') writes a page)"

    def _repr_html_(self) -> str:
        """A frame of its own, so that nothing in the page meets what is in the notebook."""
        inside = html.escape(page(self._scene))
        style = f"width: 100%; height: {self._height}px; border: 0"
        return f'<iframe srcdoc="{inside}" sandbox="allow-scripts" style="{style}"></iframe>'

    def save(self, path: str | Path) -> None:
        """Write the viewer as an .html file.

        Raises:
            VitruvianError: it cannot be written.
        """
        write_whole(Path(path), page(self._scene))


def plot3d(
    poses: Poses | Iterable[tuple[Frame, Poses]],
    frame: Frame | None = None,
    *,
    visible: float = VISIBLE,
    height: int = 480,
) -> Plot3D:
    """People in 3D, to turn with the mouse: the last line of a notebook's cell, or `.save(path)`.

        vit.plot3d(poses)
        vit.plot3d(vit.run("match.mp4", max_frames=300))

    Args:
        poses: of one image, or pairs of frames and poses, as of `run`.
        frame: the frame of `poses`, for its camera; without it no camera is drawn.
        visible: 0..1, confidence threshold; keypoints below it are drawn thin and pale.
        height: of the view in a notebook, pixels.

    Raises:
        VitruvianError: there are 2D keypoints only, or no frames.
    """
    scene = Scene(visible)
    if isinstance(poses, Poses):
        poses = [(Frame(None) if frame is None else frame, poses)]
    for each, its in poses:
        scene.add(each, its)
    if not scene.moments:
        raise VitruvianError("nothing to show in 3D: there are no frames")
    return Plot3D(scene, height)
