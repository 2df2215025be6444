"""3D views with matplotlib of an image or video: metres, equal axes, z up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.rendering.draw import COLOURS, VISIBLE
from vitruvian.rendering.film import VideoWriter, write_picture
from vitruvian.rendering.scene import Scene, SceneFrame

SIZE, DPI = (1280, 640), 100  # of the output image, pixels
# Two views each: title, elevation and azimuth in degrees, focal length (inf: orthographic).
STANDING = (("from behind the camera", 18, -62, 0.7), ("from above", 90, -90, np.inf))
HIPS = (("from the camera", 8, -90, 0.7), ("from the side", 8, -20, 0.7))
WHERE = {
    "camera": "metres from the camera",
    "hips": "metres from the hip centre of each person, side by side",
    "world": "metres in the world",
}
MANY = 300  # frames from which a notice is printed: drawing is slow
GRID = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100)  # metres between floor grid lines
# Layouts of the two views: (left, bottom, width, height) of each, as fractions of the image, and
# the room for the box of one, pixels. Wide scenes, such as people in a row, are stacked.
BESIDE = (((0.0, 0.04, 0.5, 0.84), (0.5, 0.04, 0.5, 0.84)), (480, 425))
ABOVE = (((0.0, 0.49, 1.0, 0.41), (0.0, 0.03, 1.0, 0.41)), (1120, 190))
NARROW, MARGIN = 1.0, 0.3  # metres: minimum side of the box, and maximum margin around people
LABEL = (42, 15)  # pixels that tick labels must be apart: across, or down
NAME_AWAY = 38  # minimum distance of the name of an axis from it, pixels
UP_AWAY = (24, 56)  # distance of the tick labels of the upright axis from it, and of its name
AT_EDGE = (8, 21)  # minus the pads at which matplotlib writes the two onto an axis
LINES = 10  # maximum floor grid lines per direction, about


class View3D:
    """Writes 3D views: of one image as an image, of a video as a video or .gif.

    Rendered at the end, when the floor and the bounds of all frames are known.
    """

    def __init__(self, path: Path, visible: float = VISIBLE, *, moving: bool = True) -> None:
        """Joints with a score below `visible` are drawn thin and pale.

        `moving`: whether it takes many frames.
        """
        self.path, self.moving, self.scene = path, moving, Scene(visible)

    def __enter__(self) -> View3D:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Add a frame."""
        if self.scene.moments and not self.moving:
            raise VitruvianError(f"'{self.path}' holds one image; for more give a folder")
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
        """The output files; complete after the `with` block."""
        return [self.path] if self.scene.moments else []


class Stage:
    """A figure with a cached background, so that a frame takes milliseconds."""

    def __init__(self, scene: Scene, *, timed: bool) -> None:
        # No pyplot: it keeps every figure alive and chooses a GUI backend.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.scene, self.timed = scene, timed
        size = (SIZE[0] / DPI, SIZE[1] / DPI)
        self.figure = Figure(figsize=size, dpi=DPI)
        self.canvas = FigureCanvasAgg(self.figure)
        assert scene.space is not None
        self.figure.suptitle(f"{WHERE[scene.space]}; left blue, right vermilion")
        views = HIPS if scene.space == "hips" else STANDING
        # Choose the layout that shows the projected boxes of both views larger.
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
        _clear([panel.axes for panel in self.panels])
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
        # A centred square as large as the room: matplotlib makes it square anyway.
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
        for number, marks in enumerate((step, step, height)):
            _thin(axes, number, marks)
        if elevation_deg == 90:  # seen end on, tick labels overlap
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
    """The people in one view, as a few lines with gaps: fast for many people too."""

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
        """Draw over the background. `standing`: (N, K, 3) right, away, up."""
        scene = self.scene
        shown = moment.score >= scene.visible  # unknown joints are NaN: not drawn
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
        """Draw an artist at (..., 3) right, away, up."""
        if points.size:
            artist.set_data_3d(*points.reshape(-1, 3).T)
            self.axes.draw_artist(artist)


def _room(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two corners with a margin added, except below the floor, and a minimum width."""
    wide = high - low
    least = min(float(wide.max()) / 2, NARROW)
    more = np.maximum(least - wide, min(0.1 * float(wide.max()), MARGIN)) / 2
    return low - more * (1, 1, 0), high + more * (1, 1, 0.5)


def _seen(axes: Any) -> np.ndarray:
    """(8, 2) pixels, the projected corners of a view's box."""
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    limits = axes.get_xlim(), axes.get_ylim(), axes.get_zlim()
    x_m, y_m, z_m = np.array(np.meshgrid(*limits)).reshape(3, -1)
    x, y, _ = proj_transform(x_m, y_m, z_m, axes.get_proj())
    return axes.transData.transform(np.stack([x, y], axis=-1))


def _scale(boxes: list[np.ndarray], room: tuple[int, int]) -> float:
    """Product of the scales at which boxes, (8, 2) pixels each, fit a room."""
    return float(np.prod([(room / np.ptp(box, axis=0)).min() for box in boxes]))


def _fit(axes: Any, low: np.ndarray, high: np.ndarray, room: tuple[int, int]) -> None:
    """Scale and centre a box, `low` to `high`, to fill a room."""
    # Equal scale on all axes.
    axes.set_box_aspect(high - low)
    axes.set_box_aspect(high - low, zoom=_scale([_seen(axes)], room))
    x0, y0, wide, tall = axes.get_position().bounds
    box = _seen(axes)
    off = (box.min(axis=0) + box.max(axis=0)) / 2 / SIZE - (x0 + wide / 2, y0 + tall / 2)
    axes.set_position((x0 - off[0], y0 - off[1], wide, tall))


def _thin(axes: Any, number: int, step: float) -> None:
    """Write only every n-th tick label of an axis where more would overlap.

    Args:
        axes: the view, fitted.
        number: of the axis: 0 right, 1 away, 2 up.
        step: metres between ticks.
    """
    from matplotlib.ticker import FuncFormatter
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    ends = np.array([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()]).mean(axis=1)[:, None]
    ends = ends + np.array([0, step]) * np.eye(3)[number][:, None]
    x_m, y_m, z_m = ends
    x, y, _ = proj_transform(x_m, y_m, z_m, axes.get_proj())
    apart = np.abs(np.diff(axes.transData.transform(np.stack([x, y], axis=-1)), axis=0)[0])
    every = next((n for n in (1, 2, 5, 10) if (n * apart >= LABEL).any()), 20)
    digits = next((n for n in (0, 1) if round(step * every * 10**n, 6) % 1 == 0), 2)

    def written(value: float, _: object) -> str:
        number = round(value / step)
        text = f"{number * step:.{digits}f}".replace("-", "\N{MINUS SIGN}")
        return "" if number % every else text

    (axes.xaxis, axes.yaxis, axes.zaxis)[number].set_major_formatter(FuncFormatter(written))


def _clear(views: list[Any]) -> None:
    """Move the names of axes away from the tick labels, where a flat view has them on top."""
    axes = [axis for view in views for axis in (view.xaxis, view.yaxis, view.zaxis)]
    at: list[np.ndarray] = []
    for pad in (-AT_EDGE[1], 0):  # on the axis, and as far as a pad of 0 puts it
        for axis in axes:
            axis.labelpad = pad
        views[0].figure.draw_without_rendering()
        at.append(
            np.array([axis.axes.transData.transform(axis.label.get_position()) for axis in axes])
        )
    for axis, away in zip(axes, np.hypot(*(at[1] - at[0]).T), strict=True):
        pixels = max(float(away) / AT_EDGE[1], 0.1)  # per unit of pad
        if axis.axis_name == "z":
            axis.set_tick_params(pad=UP_AWAY[0] / pixels - AT_EDGE[0])
            axis.labelpad = UP_AWAY[1] / pixels - AT_EDGE[1]
        else:
            axis.labelpad = max(NAME_AWAY / pixels - AT_EDGE[1], 4)  # 4: matplotlib's


def grid_step(low: np.ndarray, high: np.ndarray) -> float:
    """Metres between floor grid lines, for a floor between two corners."""
    wide = float((high - low)[:2].max())
    return next((step for step in GRID if wide / step <= LINES), GRID[-1])


def floor_lines(
    low: np.ndarray, high: np.ndarray, height: float, step: float
) -> Iterator[np.ndarray]:
    """(2, 3) endpoints of each floor grid line, right, away, up, metres."""
    for axis in (0, 1):
        for at in np.arange(np.ceil(low[axis] / step), np.floor(high[axis] / step) + 1) * step:
            ends = np.array([[*low[:2], height], [*high[:2], height]])
            ends[:, axis] = at
            yield ends


def frustum_lines(points: np.ndarray) -> Iterator[np.ndarray]:
    """(2, 3) endpoints of each line of a camera, the (5, 3) `Scene.frustum`."""
    eye, corners = points[0], points[1:]
    for i, corner in enumerate(corners):
        yield np.stack([eye, corner])
        yield np.stack([corner, corners[(i + 1) % 4]])
