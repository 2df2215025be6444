"""Calibration boards: their corners, the lenses of cameras that see them, and where these stand.

Corners are pixels as everywhere here: the centre of the top left one is (0.5, 0.5). OpenCV puts it
at (0, 0), but for the corners of ChArUco boards before version 4.14, which are half a pixel
further (findings/opencv_charuco_half_pixel.sh). Refined here, they are the same in all versions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from scipy import sparse
from scipy.optimize import least_squares

from vitruvian.errors import VitruvianError, amount, shown, unknown
from vitruvian.geometry.camera import Camera, rotation_matrix
from vitruvian.multiview.people_rig import Placing

HALF_PIXEL = 0.5
WINDOWS = (2, 10)  # pixels each side of a corner that it is refined in, at least and at most
REFINED = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-3)  # steps, pixels
LEAST_CORNERS = 8  # of a board, in an image that counts
MOST_VIEWS = 60  # that a lens is fitted to: those that differ most
LEAST_VIEWS = 4
GOOD_VIEWS = 12
CELLS = (8, 6)  # in which corners are counted, along the longer and the shorter side
COVERED = 0.6  # of the cells: less is told
TILTED = np.radians(20)  # between the board and the image plane, that some views must have
FOCAL_OFF = 0.005  # relative standard deviation of a focal length that is told
WRONG = 3.0  # times the median error: views that are left out
BETTER = 0.97  # of the error: a third radial coefficient must reach it, to be used
TOGETHER = np.radians(3)  # spread of the rotations between two cameras that see the same board
# Names of the dictionaries of markers: 4x4_50 and so on.
DICTIONARIES = {
    name.removeprefix("DICT_").lower(): getattr(cv2.aruco, name)
    for name in dir(cv2.aruco)
    if name.startswith("DICT_")
}


@dataclass(frozen=True)
class Board:
    """A chessboard, by its inner corners, or a ChArUco board, by its squares."""

    columns: int
    rows: int
    square: float  # metres
    marker: float = 0.0  # metres, of ChArUco; 0: a chessboard
    dictionary: str = ""

    @classmethod
    def of(
        cls, words: str, square_mm: float | None, marker_mm: float | None, dictionary: str | None
    ) -> Board:
        """From the options of `calibrate`.

        Raises:
            VitruvianError: one is wrong or missing; sizes are never guessed.
        """
        match = re.fullmatch(r"(chessboard|charuco):(\d+)x(\d+)", words.strip().lower())
        if match is None or not all(3 <= int(n) <= 100 for n in match.groups()[1:]):
            raise VitruvianError(
                f"board is '{shown(words)}', want chessboard:9x6 (inner corners) or charuco:5x7 "
                "(squares), 3 to 100 a side"
            )
        sizes = {"square_mm": square_mm}
        if match[1] == "charuco":
            sizes["marker_mm"] = marker_mm
        for name, size in sizes.items():
            option = f"--{name.replace('_', '-')}"
            if size is None:
                raise VitruvianError(
                    f"measure a {name.removesuffix('_mm')} of the printed board and give {option}"
                )
            if not 0 < size < 1e4:
                raise VitruvianError(f"{option} is {size:g}, want millimetres above 0")
        assert square_mm is not None
        columns, rows = int(match[2]), int(match[3])
        if match[1] == "chessboard":
            return cls(columns, rows, square_mm / 1000)
        assert marker_mm is not None
        if marker_mm >= square_mm:
            raise VitruvianError(
                f"markers of {marker_mm:g} mm do not fit into squares of {square_mm:g} mm"
            )
        if dictionary is None:
            raise VitruvianError(
                "which markers has the board? give --dictionary, such as 4x4_50 or 5x5_100"
            )
        name = dictionary.lower().removeprefix("dict_")
        if name not in DICTIONARIES:
            raise unknown("dictionary of markers", name, DICTIONARIES)
        return cls(columns, rows, square_mm / 1000, marker_mm / 1000, name)

    @property
    def corners(self) -> np.ndarray:
        """(C, 3) metres: x to the right, y down, as one looks at the board."""
        columns, rows = self.columns, self.rows
        if self.marker:
            columns, rows = columns - 1, rows - 1
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1) * self.square
        return flat + (self.square * np.array([1, 1, 0]) if self.marker else 0)

    @property
    def ambiguous(self) -> bool:
        """Whether it looks the same upside down."""
        return not self.marker and (self.columns + self.rows) % 2 == 0

    def charuco(self, legacy: bool = False) -> Any:
        """The board of OpenCV; `legacy`: a marker in the first square, as before OpenCV 4.6."""
        markers = cv2.aruco.getPredefinedDictionary(DICTIONARIES[self.dictionary])
        board = cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, markers)
        board.setLegacyPattern(legacy)
        return board


@dataclass(frozen=True, eq=False)
class BoardView:
    """A board in an image."""

    seconds: float
    ids: np.ndarray  # (C,) which corners
    xy: np.ndarray  # (C, 2) pixels


class BoardFinder:
    """Finds a board in images."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.legacy: bool | None = None  # of ChArUco boards with an even number of rows
        self.detectors: dict[bool, Any] = {}
        if board.marker:
            forms = (False, True) if board.rows % 2 == 0 else (False,)
            self.detectors = {
                form: cv2.aruco.CharucoDetector(board.charuco(form)) for form in forms
            }

    def __call__(self, pixels: np.ndarray, seconds: float) -> BoardView | None:
        """The board in an (H, W, 3) RGB image; None if it is not there."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return self._markers(grey, seconds) if self.board.marker else self._plain(grey, seconds)

    def _plain(self, grey: np.ndarray, seconds: float) -> BoardView | None:
        size = self.board.columns, self.board.rows
        if not cv2.checkChessboard(grey, size):
            return None
        # Of 28 photographs of Pose2Sim's demo, 25 are found so, 12 without the last two.
        flags = cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE
        done, corners = cv2.findChessboardCornersSB(grey, size, flags=flags)
        if not done:
            return None
        xy = np.asarray(corners, np.float64).reshape(-1, 2)
        # Upside down the square between the first corners is white.
        first = xy.reshape(self.board.rows, self.board.columns, 2)
        light = [_light(grey, first[a : a + 2, b : b + 2]) for a, b in ((0, 0), (0, 1))]
        if light[0] > light[1] and not self.board.ambiguous:
            xy = xy[::-1]
        return BoardView(seconds, np.arange(len(xy)), xy + HALF_PIXEL)

    def _markers(self, grey: np.ndarray, seconds: float) -> BoardView | None:
        best: tuple[np.ndarray, np.ndarray] | None = None
        chosen = False
        for form, detector in self.detectors.items():
            if self.legacy not in (None, form):
                continue
            corners, ids, *_ = detector.detectBoard(grey)
            if ids is None or len(ids) < LEAST_CORNERS:
                continue
            ids = np.asarray(ids).ravel()
            if best is None or len(ids) > len(best[0]):
                best, chosen = (ids, np.asarray(corners, np.float64).reshape(-1, 2)), form
        if best is None:
            return None
        if len(self.detectors) > 1:
            self.legacy = chosen
        ids, xy = best
        return BoardView(seconds, ids, _refined(grey, ids, xy, self.board) + HALF_PIXEL)


def _refined(grey: np.ndarray, ids: np.ndarray, xy: np.ndarray, board: Board) -> np.ndarray:
    """(C, 2) corners of a ChArUco board where its squares meet, first pixel at (0, 0).

    In a window that no marker reaches into, at any angle: `detectBoard` leaves corners 0.1 pixels
    off on average, and 0.1 to 0.2 (root mean square); so they are within 0.01, and 0.04 to 0.07.
    """
    gap = (1 - board.marker / board.square) / 2  # squares, from a corner to the markers
    apart = np.linalg.norm(board.corners[ids][:, None] - board.corners[ids], axis=2)
    np.fill_diagonal(apart, np.nan)
    far = np.linalg.norm(xy[:, None] - xy, axis=2)
    sides = np.nanmin(far / apart, axis=1) * board.square  # pixels, of the squares around
    windows = np.clip(sides * gap, *WINDOWS).astype(int)
    best = xy.astype(np.float32)
    for window in np.unique(windows):
        size = int(window), int(window)
        at = np.flatnonzero(windows == window)
        found = cv2.cornerSubPix(grey, best[at].reshape(-1, 1, 2), size, (-1, -1), REFINED)
        best[at] = found[:, 0]
    return best.astype(np.float64)


def _light(grey: np.ndarray, square: np.ndarray) -> float:
    """How light the middle of a (2, 2, 2) square of corners is."""
    x, y = square.reshape(4, 2).mean(axis=0).round().astype(int)
    return float(grey[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean())


@dataclass(frozen=True, eq=False)
class Lens:
    """A calibrated lens, and how well it is known."""

    camera: Camera
    used: Sequence[BoardView]
    errors: np.ndarray  # (M,) pixels, of the corners of these
    focal_off: float  # standard deviation of the focal length, relative
    coverage: float  # of the cells of the image that have corners
    warnings: Sequence[str] = field(default_factory=list)


def calibrate_lens(
    views: Sequence[BoardView], board: Board, size: tuple[int, int], name: str
) -> Lens:
    """Focal lengths, principal point and distortion (k1 k2 p1 p2, and k3 if it is needed).

    Args:
        views: of the board, by one camera.
        board: its sizes.
        size: of the images, pixels.
        name: of the camera, for messages.

    Raises:
        VitruvianError: too few views.
    """
    if len(views) < LEAST_VIEWS:
        raise VitruvianError(
            f"the board is found in {amount(len(views), 'image')} of '{name}', want "
            f"{GOOD_VIEWS} or more: near and far, tilted, out to the edges; check --board"
        )
    corners = board.corners.astype(np.float32)
    used = _different(views, size)
    fit, flags = None, cv2.CALIB_FIX_K3
    for _ in range(3):
        fit = _calibrated(used, corners, size, flags)
        errors = fit[-1].ravel()
        kept = [v for v, e in zip(used, errors, strict=True) if e < WRONG * np.median(errors)]
        if len(kept) == len(used) or len(kept) < LEAST_VIEWS:
            break
        used = kept
    assert fit is not None
    more = _calibrated(used, corners, size, 0)
    if more[0] < BETTER * fit[0]:
        fit = more
    _, matrix, lens, turns, shifts, spread, *_ = fit
    errors, tilts = list[np.ndarray](), list[float]()
    for view, turn, shift in zip(used, turns, shifts, strict=True):
        seen, _ = cv2.projectPoints(corners[view.ids], turn, shift, matrix, lens)
        errors.append(np.linalg.norm(seen.reshape(-1, 2) - view.xy, axis=1))
        tilts.append(float(np.arccos(np.clip(abs(cv2.Rodrigues(turn)[0][2, 2]), 0, 1))))
    focal_off = float(spread.ravel()[0] / matrix[0, 0])
    coverage = covered(np.concatenate([view.xy for view in used]), size)
    warnings = list[str]()
    if len(used) < GOOD_VIEWS:
        warnings.append(
            f"{name}: {amount(len(used), 'view')} of the board, want {GOOD_VIEWS} or more"
        )
    if coverage < COVERED:
        warnings.append(
            f"{name}: corners in {100 * coverage:.0f} % of the image, want {100 * COVERED:.0f} %: "
            "move the board out to all edges"
        )
    if np.sort(tilts)[-min(3, len(tilts))] < TILTED:
        warnings.append(
            f"{name}: tilt the board more, by 20 to 45 degrees, to know the focal length"
        )
    if focal_off > FOCAL_OFF:
        warnings.append(f"{name}: the focal length is known to {100 * focal_off:.1f} % only")
    camera = Camera(np.asarray(matrix), size, np.asarray(lens).ravel()[:5], known_by="file")
    return Lens(camera, used, np.concatenate(errors), focal_off, coverage, warnings)


def _calibrated(
    views: Sequence[BoardView], corners: np.ndarray, size: tuple[int, int], flags: int
) -> Any:
    calibrate: Any = cv2.calibrateCameraExtended  # typed without the None that it takes
    points = [view.xy.astype(np.float32) for view in views]
    return calibrate([corners[view.ids] for view in views], points, size, None, None, flags=flags)


def covered(xy: np.ndarray, size: tuple[int, int]) -> float:
    """Share of the cells of an image that have some of (M, 2) pixels."""
    cells = np.array(CELLS if size[0] >= size[1] else CELLS[::-1])
    at = np.floor(xy / size * cells).astype(int)
    inside = ((at >= 0) & (at < cells)).all(axis=1)
    return len(np.unique(at[inside], axis=0)) / float(cells.prod())


def _different(views: Sequence[BoardView], size: tuple[int, int]) -> list[BoardView]:
    """The views that differ most: in place, size and tilt of the board."""
    if len(views) <= MOST_VIEWS:
        return list(views)
    what = []
    for view in views:
        middle, spread = view.xy.mean(axis=0) / max(size), np.cov(view.xy.T) / max(size) ** 2
        values = np.linalg.eigvalsh(spread).clip(1e-9)
        what.append([*middle, *np.log(values) / 4, spread[0, 1] * 20, len(view.ids) / 1000])
    places = np.array(what)
    chosen = [int(np.argmax([len(view.ids) for view in views]))]
    far = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < MOST_VIEWS:
        chosen.append(int(far.argmax()))
        far = np.minimum(far, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return [views[i] for i in sorted(chosen)]


# Several cameras


def place_by_board(
    cameras: Sequence[Camera],
    views: Sequence[Sequence[BoardView]],
    board: Board,
    names: Sequence[str],
    apart: float,
    up: str,
) -> Placing:
    """Where cameras stand that see one board at the same times.

    Args:
        cameras: their lenses.
        views: of each camera, at the times of one clock.
        board: its sizes.
        names: of the cameras.
        apart: seconds between two views of the same time, at most.
        up: "board" if it lies on the floor in the first views of it, or an axis of the first
            camera.

    Raises:
        VitruvianError: a camera never sees the board with others, or the board is not the same.
    """
    if board.ambiguous:
        raise VitruvianError(
            f"a chessboard of {board.columns} x {board.rows} corners looks the same upside down; "
            "for several cameras one number must be odd and one even, or use a ChArUco board"
        )
    times = _times(views, apart)
    poses = [  # of each time: camera -> (view, rotation, shift)
        {v: (view, *_board_pose(cameras[v], view, board)) for v, view in here.items()}
        for here in times
    ]
    steps = dict[tuple[int, int], tuple[np.ndarray, np.ndarray, int]]()
    for u, v in combinations(range(len(cameras)), 2):
        moves = [_relative(p[u][1:], p[v][1:]) for p in poses if u in p and v in p]
        if moves:
            turn, shift, spread = _usual(moves)
            if len(moves) > 2 and spread > TOGETHER:
                raise VitruvianError(
                    f"'{names[u]}' and '{names[v]}' do not see the same board at the same time: "
                    f"their angle varies by {np.degrees(spread):.0f} degrees; give seconds "
                    "(--sync 0,0.12) and hold the board still; or calibrate lenses only: --no-place"
                )
            steps[u, v] = turn, shift, len(moves)
    known = {0: (np.eye(3), np.zeros(3))}
    while len(known) < len(cameras):
        ways = [
            (count, u, v, turn, shift)
            for (u, v), (turn, shift, count) in steps.items()
            if (u in known) != (v in known)
        ]
        if not ways:
            left = next(v for v in range(len(cameras)) if v not in known)
            raise VitruvianError(
                f"'{names[left]}' never sees the board at the same time as the other cameras; for "
                "lenses only: --no-place"
            )
        _, u, v, turn, shift = max(ways, key=lambda way: way[0])
        if u in known:
            a, b = known[u]
            known[v] = turn @ a, turn @ b + shift
        else:
            a, b = known[v]
            known[u] = turn.T @ a, turn.T @ (b - shift)
    return _fitted_boards(cameras, poses, board, known, up)


Pose = tuple[np.ndarray, np.ndarray]


def _times(views: Sequence[Sequence[BoardView]], apart: float) -> list[dict[int, BoardView]]:
    """The views of each time: those of a camera are at the nearest time of the one with most."""
    base = max(range(len(views)), key=lambda v: len(views[v]))
    found = [{base: view} for view in views[base]]
    seconds = np.array([view.seconds for view in views[base]])
    extra = list[dict[int, BoardView]]()
    for v, own in enumerate(views):
        if v == base:
            continue
        for view in own:
            i = int(np.abs(seconds - view.seconds).argmin()) if len(seconds) else -1
            if i >= 0 and abs(seconds[i] - view.seconds) <= apart and v not in found[i]:
                found[i][v] = view
            else:
                near = [e for e in extra if v not in e and _near(e, view, apart)]
                near[0].update({v: view}) if near else extra.append({v: view})
    return [each for each in (*found, *extra) if len(each) > 1]


def _near(some: dict[int, BoardView], view: BoardView, apart: float) -> bool:
    return all(abs(each.seconds - view.seconds) <= apart for each in some.values())


def _board_pose(camera: Camera, view: BoardView, board: Board) -> Pose:
    rays = camera.rays(view.xy)
    _, turn, shift = cv2.solvePnP(board.corners[view.ids], rays, np.eye(3), None)
    return cv2.Rodrigues(turn)[0], np.asarray(shift).ravel()


def _relative(a: Pose, b: Pose) -> Pose:
    """From the axes of camera a to those of b, which see the same board."""
    turn = b[0] @ a[0].T
    return turn, b[1] - turn @ a[1]


def _usual(moves: Sequence[Pose]) -> tuple[np.ndarray, np.ndarray, float]:
    """The move that most are near to, and the median angle of the others from it."""
    turns, shifts = np.stack([m[0] for m in moves]), np.stack([m[1] for m in moves])
    cosine = (np.einsum("aij,bij->ab", turns, turns) - 1) / 2
    angle = np.arccos(cosine.clip(-1, 1))
    best = int(np.median(angle, axis=1).argmin())
    return turns[best], shifts[best], float(np.median(angle[best]))


def _fitted_boards(
    cameras: Sequence[Camera],
    poses: Sequence[dict[int, tuple[BoardView, np.ndarray, np.ndarray]]],
    board: Board,
    known: dict[int, Pose],
    up: str,
) -> Placing:
    """Cameras and boards together: the least reprojection errors (soft L1)."""
    count, corners = len(cameras), board.corners
    start = [np.concatenate([_vector(known[v][0]), known[v][1]]) for v in range(1, count)]
    for each in poses:
        v = max(each, key=lambda n: len(each[n][0].ids))
        turn, shift = known[v]
        start.append(np.concatenate([_vector(turn.T @ each[v][1]), turn.T @ (each[v][2] - shift)]))
    rows = [(n, v, view) for n, each in enumerate(poses) for v, (view, *_) in each.items()]
    at = [cameras[v].rays(view.xy) for _, v, view in rows]
    focal = [np.diag(cameras[v].matrix)[:2] for _, v, _ in rows]

    def residuals(x: np.ndarray) -> np.ndarray:
        parts = x.reshape(-1, 6)
        turns = [np.eye(3), *(rotation_matrix(w) for w in parts[:, :3])]
        shifts = np.concatenate([np.zeros((1, 3)), parts[:, 3:]])
        found = list[np.ndarray]()
        for (n, v, view), flat, f in zip(rows, at, focal, strict=True):
            seen = corners[view.ids] @ turns[count + n].T + shifts[count + n]
            seen = seen @ turns[v].T + shifts[v]
            found.append(((seen[:, :2] / seen[:, 2:] - flat) * f).ravel())
        return np.concatenate(found)

    x0 = np.concatenate(start)
    ends = np.cumsum([0, *(2 * len(view.ids) for _, _, view in rows)])
    pattern = sparse.lil_matrix((ends[-1], len(x0)), dtype=int)
    for i, (n, v, _) in enumerate(rows):
        for block in (count - 1 + n, v - 1):
            if block >= 0:
                pattern[ends[i] : ends[i + 1], 6 * block : 6 * block + 6] = 1
    fit = least_squares(
        residuals, x0, jac_sparsity=pattern, loss="soft_l1", x_scale="jac", method="trf",
        ftol=1e-10, xtol=1e-10, tr_options={"maxiter": 2000}, max_nfev=50,
    )  # fmt: skip
    parts = fit.x.reshape(-1, 6)
    turns = np.stack([np.eye(3), *(rotation_matrix(w) for w in parts[: count - 1, :3])])
    shifts = np.concatenate([np.zeros((1, 3)), parts[: count - 1, 3:]])
    left = residuals(fit.x).reshape(-1, 2)
    noise2 = float((left**2).mean())
    spread = np.linalg.inv((fit.jac.T @ fit.jac).toarray() + 1e-9 * np.eye(len(fit.x))) * noise2
    turn_off, place_off = np.zeros(count), np.zeros(count)
    for v in range(1, count):
        part = spread[6 * v - 6 : 6 * v, 6 * v - 6 : 6 * v]
        turn_off[v] = np.sqrt(np.trace(part[:3, :3]))
        x, y, z = shifts[v]
        across = np.hstack([np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]), -np.eye(3)])
        across = turns[v].T @ across
        place_off[v] = np.sqrt(np.trace(across @ part @ across.T))
    boards = [(rotation_matrix(p[:3]), p[3:]) for p in parts[count - 1 :]]
    world = np.concatenate([corners @ turn.T + shift for turn, shift in boards])
    if up == "board":
        turn, origin = boards[0]
        turn = np.diag([1.0, -1.0, -1.0]) @ turn.T  # of the board's axes: z is into it
        told = "up: out of the board as it lies in the first view; the origin is its first corner"
    else:
        turn, told = _level(up)
        origin = np.zeros(3)
        told += "; the origin is the first camera"
    placed = list[Camera]()
    for v, camera in enumerate(cameras):
        extrinsics = np.eye(4)
        extrinsics[:3, :3] = turns[v] @ turn.T
        extrinsics[:3, 3] = shifts[v] + turns[v] @ origin
        placed.append(replace(camera, extrinsics=None).placed(extrinsics, (0, 0, 1)))
    far = np.linalg.norm(left, axis=1)
    parts_of = [far[ends[i] // 2 : ends[i + 1] // 2] for i in range(len(rows))]
    return Placing(
        placed,
        [
            np.concatenate([p for p, r in zip(parts_of, rows, strict=True) if r[1] == v])
            for v in range(count)
        ],
        [np.concatenate([r[2].xy for r in rows if r[1] == v]) for v in range(count)],
        turn_off, place_off, np.zeros(count), (world - origin) @ turn.T, [None] * count,
        ["scale: from the squares of the board", told],
    )  # fmt: skip


def _vector(rotation: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.Rodrigues(rotation)[0]).ravel()


def _level(up: str) -> tuple[np.ndarray, str]:
    """(3, 3) first camera -> world with z up, if `up` is an axis of it."""
    z = np.array([(-1.0 if up[0] == "-" else 1.0) * (name == up[-1]) for name in "xyz"])
    y = np.array([0.0, 0.0, 1.0]) if up[-1] != "z" else np.array([0.0, -1.0, 0.0])
    level = " (it is level)" if up == "-y" else ""
    return np.stack([np.cross(y, z), y, z]), f"up: {up} of the first camera{level}"
