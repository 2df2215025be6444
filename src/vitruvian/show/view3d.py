"""Views in 3D with matplotlib, of a picture or a whole video: metres, equal axes, up is up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.show.draw import COLOURS, VISIBLE
from vitruvian.show.film import VideoWriter, write_picture
from vitruvian.show.scene import Scene, SceneFrame

SIZE, DPI = (1280, 640), 100  # of a view, pixels
# Two views each: title, degrees above the floor, degrees around it, how far from parallel lines.
STANDING = (("from behind the camera", 18, -62, 0.7), ("from above", 90, -90, np.inf))
HIPS = (("from the camera", 8, -90, 0.7), ("from the side", 8, -20, 0.7))
WHERE = {
    "camera": "metres from the camera",
    "hips": "metres from the middle of each one's hips, side by side",
    "world": "metres in the world",
}
MANY = 300  # frames: it takes more than some seconds
GRID = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100)  # metres between lines of the floor
# How the two views lie in the picture: (left, bottom, width, height) of each, shares of it, and
# the room for the box in one, pixels. People in a row are wide: then one is above the other.
BESIDE = (((0.0, 0.04, 0.5, 0.84), (0.5, 0.04, 0.5, 0.84)), (480, 425))
ABOVE = (((0.0, 0.49, 1.0, 0.41), (0.0, 0.03, 1.0, 0.41)), (1120, 190))
NARROW, MARGIN = 1.0, 0.3  # metres: no side of the box is less, or has more around people
LINES = 10  # of the floor, at most about so many each way


class View3D:
    """Everybody's joints in metres: of one picture, as a picture; of a video, as one or as a .gif.

    Where the floor is, and how far people go, is known at the end: it is drawn then.
    """

    def __init__(self, path: Path, visible: float = VISIBLE, *, moving: bool = True) -> None:
        """Draws what has a lower score than `visible` thin and pale: the network guesses it.

        `moving`: whether it takes many frames.
        """
        self.path, self.moving, self.scene = path, moving, Scene(visible)

    def __enter__(self) -> View3D:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Take it."""
        if self.scene.moments and not self.moving:
            raise VitruvianError(f"'{self.path}' holds one picture; for more give a folder")
        self.scene.add(frame, poses)

    def __exit__(self, *_: object) -> None:
        moments = self.scene.moments
        if not moments:
            return
        if len(moments) > MANY:
            print(f"drawing {len(moments)} frames in 3D: {self.path}", file=sys.stderr, flush=True)
        stage = Stage(self.scene, timed=self.moving)
        if not self.moving:
            write_picture(self.path, stage(moments[0]))
        else:
            with VideoWriter(self.path) as film:
                for moment in moments:
                    film.add(stage(moment), moment.seconds)

    @property
    def paths(self) -> list[Path]:
        """What has been written, or will be at the end."""
        return [self.path] if self.scene.moments else []


class Stage:
    """A figure of which all but the people stays as it is: one of them takes milliseconds."""

    def __init__(self, scene: Scene, *, timed: bool) -> None:
        # The object interface: pyplot would keep every figure alive, and choose a window system.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.scene, self.timed = scene, timed
        size = (SIZE[0] / DPI, SIZE[1] / DPI)
        self.figure = Figure(figsize=size, dpi=DPI)
        self.canvas = FigureCanvasAgg(self.figure)
        assert scene.space is not None
        self.figure.suptitle(f"{WHERE[scene.space]}; left blue, right vermilion")
        views = HIPS if scene.space == "hips" else STANDING
        # The box of each view, as it is seen, decides which way there is more room for both.
        trial = [self._panel(BESIDE[0][0], view, BESIDE[1]) for view in views]
        shapes = [_seen(panel.axes) for panel in trial]
        places, room = max((BESIDE, ABOVE), key=lambda way: _scale(shapes, way[1]))
        for panel in trial:
            panel.axes.remove()
        self.panels = []
        for place, view in zip(places, views, strict=True):
            self.panels.append(self._panel(place, view, room))
            x, y = place[0] + place[2] / 2, place[1] + place[3]
            self.figure.text(x, y, view[0], ha="center", va="bottom", fontsize="large")
        self.clock = self.figure.text(0.01, 0.01, "", animated=True)
        self.canvas.draw()
        self.empty = self.canvas.copy_from_bbox(self.figure.bbox)

    def _panel(
        self,
        place: tuple[float, float, float, float],
        view: tuple[str, float, float, float],
        room: tuple[int, int],
    ) -> _Panel:
        from matplotlib.ticker import MultipleLocator

        _, elevation_deg, azimuth_deg, focal = view
        # A square in the middle of its place, as large as the room: matplotlib makes it one anyway.
        middle = np.array(place[:2]) + np.array(place[2:]) / 2
        sides = max(room) / np.array(SIZE)
        axes: Any = self.figure.add_axes((*(middle - sides / 2), *sides), projection="3d")
        axes.patch.set_visible(False)
        axes.computed_zorder = False
        if focal == np.inf:
            axes.set_proj_type("ortho")
        else:
            axes.set_proj_type("persp", focal_length=focal)
        low, high = _room(*self.scene.bounds)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
        axes.set(xlabel="right, m", ylabel="away, m", zlabel="up, m")
        step = grid_step(low, high)
        height = next((each for each in GRID if (high - low)[2] / each <= LINES / 2), GRID[-1])
        for axis, marks in ((axes.xaxis, step), (axes.yaxis, step), (axes.zaxis, height)):
            axis.set_major_locator(MultipleLocator(marks))
        axes.view_init(elev=elevation_deg, azim=azimuth_deg)
        _fit(axes, low, high, room)
        if elevation_deg == 90:  # seen end on, the numbers of an axis lie on top of each other
            axes.set(zticks=[], zlabel="")
        if azimuth_deg == -90 and elevation_deg < 45:
            axes.set(yticklabels=[], ylabel="")
        for ends in floor_lines(low, high, self.scene.floor, step):
            axes.plot(*ends.T, color="0.6", linewidth=0.8)
        if self.scene.frustum is not None:
            for ends in frustum_lines(self.scene.frustum):
                axes.plot(*ends.T, color="0.25", linewidth=1)
        return _Panel(axes, self.scene)

    def __call__(self, moment: SceneFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        self.canvas.restore_region(self.empty)
        standing = self.scene.stand(moment)
        for panel in self.panels:
            panel.draw(moment, standing)
        if self.timed:
            self.clock.set_text(f"{moment.seconds:.2f} s, frame {moment.index}")
            self.figure.draw_artist(self.clock)
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


class _Panel:
    """The people in one of the views. A few lines with gaps: fast however many people there are."""

    def __init__(self, axes: Any, scene: Scene) -> None:
        self.axes, self.scene = axes, scene
        self.names: list[Any] = []
        self.bones: dict[tuple[str, bool], Any] = {}
        self.joints: dict[tuple[str, bool], Any] = {}
        for sure in (False, True):
            look = {"alpha": 1.0 if sure else 0.45, "animated": True}
            for side, rgb in COLOURS.items():
                look["color"] = [part / 255 for part in rgb]
                width, dot = (2.5, 4) if sure else (1, 2.5)
                (self.bones[side, sure],) = axes.plot([], [], [], linewidth=width, **look)
                (self.joints[side, sure],) = axes.plot([], [], [], "o", markersize=dot, **look)

    def draw(self, moment: SceneFrame, standing: np.ndarray) -> None:
        """Over what is there. `standing`: (N, K, 3) right, away, up."""
        scene = self.scene
        shown = moment.score >= scene.visible  # what is not known is NaN, and drawn nowhere
        sides = np.array(scene.skeleton.sides)
        a, b = np.array(scene.skeleton.bones, int).reshape(-1, 2).T
        bone_sides, surely = np.where(sides[a] == sides[b], sides[a], ""), shown[:, a] & shown[:, b]
        gap = np.full_like(standing[:, a], np.nan)
        bones = np.stack([standing[:, a], standing[:, b], gap], axis=2)
        for (side, sure), line in self.bones.items():
            self._add(line, bones[(surely == sure) & (bone_sides == side)])
        for (side, sure), dots in self.joints.items():
            self._add(dots, standing[(shown == sure) & (sides == side)])
        for row, body in enumerate(standing):
            if row == len(self.names):
                text = self.axes.text(0, 0, 0, "", ha="center", va="bottom", animated=True)
                self.names.append(text)
            if np.isfinite(body).any():
                self.names[row].set_text(moment.name(row))
                self.names[row].set_position_3d(body[np.nanargmax(body[:, 2])] + (0, 0, 0.05))
                self.axes.draw_artist(self.names[row])

    def _add(self, artist: Any, points: np.ndarray) -> None:
        """Draw it through (..., 3) right, away, up."""
        if points.size:
            artist.set_data_3d(*points.reshape(-1, 3).T)
            self.axes.draw_artist(artist)


def _room(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A little more than between two corners, above the floor, and not too narrow."""
    wide = high - low
    least = min(float(wide.max()) / 2, NARROW)
    more = np.maximum(least - wide, min(0.1 * float(wide.max()), MARGIN)) / 2
    return low - more * (1, 1, 0), high + more * (1, 1, 0.5)


def _seen(axes: Any) -> np.ndarray:
    """(8, 2) pixels of the corners of the box of a view."""
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    limits = axes.get_xlim(), axes.get_ylim(), axes.get_zlim()
    x_m, y_m, z_m = np.array(np.meshgrid(*limits)).reshape(3, -1)
    x, y, _ = proj_transform(x_m, y_m, z_m, axes.get_proj())
    return axes.transData.transform(np.stack([x, y], axis=-1))


def _scale(boxes: list[np.ndarray], room: tuple[int, int]) -> float:
    """How large these boxes, (8, 2) pixels each, would be in a room, all of them together."""
    return float(np.prod([(room / np.ptp(box, axis=0)).min() for box in boxes]))


def _fit(axes: Any, low: np.ndarray, high: np.ndarray, room: tuple[int, int]) -> None:
    """Draw a box, low to high, as large as there is room for, in the middle of it."""
    # As long as the limits are apart: a metre is as long in every direction.
    axes.set_box_aspect(high - low)
    axes.set_box_aspect(high - low, zoom=_scale([_seen(axes)], room))
    x0, y0, wide, tall = axes.get_position().bounds
    box = _seen(axes)
    off = (box.min(axis=0) + box.max(axis=0)) / 2 / SIZE - (x0 + wide / 2, y0 + tall / 2)
    axes.set_position((x0 - off[0], y0 - off[1], wide, tall))


def grid_step(low: np.ndarray, high: np.ndarray) -> float:
    """Metres between lines of the floor between two corners."""
    wide = float((high - low)[:2].max())
    return next((step for step in GRID if wide / step <= LINES), GRID[-1])


def floor_lines(
    low: np.ndarray, high: np.ndarray, height: float, step: float
) -> Iterator[np.ndarray]:
    """(2, 3) both ends of each line of a grid between two corners, right, away, up, metres."""
    for axis in (0, 1):
        for at in np.arange(np.ceil(low[axis] / step), np.floor(high[axis] / step) + 1) * step:
            ends = np.array([[*low[:2], height], [*high[:2], height]])
            ends[:, axis] = at
            yield ends


def frustum_lines(points: np.ndarray) -> Iterator[np.ndarray]:
    """(2, 3) both ends of each line of a camera, of the (5, 3) `Scene.frustum`."""
    eye, corners = points[0], points[1:]
    for i, corner in enumerate(corners):
        yield np.stack([eye, corner])
        yield np.stack([corner, corners[(i + 1) % 4]])
