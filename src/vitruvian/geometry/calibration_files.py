"""Read camera calibration files of various programs.

| program | recognised by | extrinsics | unit, up |
|---|---|---|---|
| OpenCV, ROS (.yaml, .json, .xml) | `camera_matrix`, `K`, ... | if given | not given |
| OpenCV, stereo | `M1` and `M2`, `R`, `T` | the second from the first | not given |
| EasyMocap (intri.yml, extri.yml) | `K_NAME`, `R_NAME`, `T_NAME` | yes | not given |
| Kalibr (camchain.yaml) | `intrinsics` of four numbers | a chain, `T_cn_cnm1` | metres |
| Pose2Sim, Sports2D (.toml) | a table per camera, `fisheye = false` | yes | metres, z |
| anipose, FreeMoCap (.toml) | a table per camera, its `name` inside | yes | not given |
| Caliscope (camera_array.toml) | `cameras`, `cam_id` inside | yes | not given |
| Qualisys (.qca.txt) | XML, `calibration` with `cameras` | yes | millimetres, z |
| Vicon (.xcp) | XML, `Cameras` | yes | millimetres, z |

If a file does not state its unit, `units = "mm"` can be added to it, and `up = "z"` for the up
axis of its world. Nothing is inferred from the file name.

OpenCV puts the centre of the top-left pixel at (0, 0); here it is (0.5, 0.5). So half a pixel is
added to the principal point of every calibration file, here and nowhere else; but not if the file
says `pixel_centre = 0.5`: OpenCV before version 4.14 puts the corners of ChArUco boards there
(findings/opencv_charuco_half_pixel.sh), which moves the principal point. Distortion coefficients
are defined on the plane one metre away and do not change.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.documents import read_json, read_toml, read_xml, read_yaml
from vitruvian.errors import VitruvianError, note, shown
from vitruvian.geometry.camera import COEFFICIENTS, Camera, rotation_matrix
from vitruvian.geometry.mocap_files import read_qualisys, read_vicon

HALF_PIXEL = 0.5
READERS = {
    ".toml": read_toml,
    ".json": read_json,
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".xml": read_xml,
    ".qca.txt": read_qualisys,
    ".xcp": read_vicon,
}
METRES = {"m": 1.0, "metre": 1.0, "meter": 1.0, "cm": 0.01, "centimetre": 0.01, "centimeter": 0.01}
METRES |= {"mm": 1e-3, "millimetre": 1e-3, "millimeter": 1e-3, "inch": 0.0254}
FARTHEST = 50.0  # metres: maximum distance of a camera from its world origin, unit not stated
LARGEST_SIDE = 1 << 16  # maximum image size, pixels
# Keys that only Pose2Sim writes for a camera (run with aniposelib 0.8.0, Pose2Sim's demo).
POSE2SIM = {"name", "size", "matrix", "distortions", "rotation", "translation", "fisheye"}
# Values of `distortion_model` whose coefficients are OpenCV's k1 k2 p1 p2 k3 ...
LENSES = {"", "none", "plumb_bob", "rational_polynomial", "radtan", "opencv", "brown_conrady"}
# Non-pinhole lens models, as named by ROS, Kalibr and others.
FISHEYES = re.compile(r"fish|equi|kannala|kb4|omni|eucm|unified|mei|double.?sphere|^ds$|^fov$")
# Keys of values in files: OpenCV's samples, its tutorial's variables, ROS, Pose2Sim, Kalibr,
# EasyMocap, CMU Panoptic.
NAMES = {
    "matrix": (
        *("camera_matrix", "cameraMatrix", "CameraMatrix", "Camera_Matrix", "matrix", "K", "k"),
        *("mtx", "intrinsics", "intrinsic", "intrinsic_matrix", "M"),
    ),
    "distortion": (
        *("distortion_coefficients", "Distortion_Coefficients", "distortion_coeffs"),
        *("distortions", "distortion", "distCoeffs", "dist_coeffs", "dist_coeff", "distCoef"),
        *("dist", "D", "d"),
    ),
    "size": ("image_size", "imageSize", "img_size", "size", "resolution"),
    "width": ("image_width", "image_Width", "img_width", "width", "W"),
    "height": ("image_height", "image_Height", "img_height", "height", "H"),
    "rotation": ("Rot", "rotation", "rvec", "R"),
    "translation": ("translation", "tvec", "T", "t"),
    "extrinsics": ("extrinsics", "world_to_camera"),
}


class SizeUnsaid(VitruvianError):
    """A calibration lacks the image size."""


class Cameras(dict[str, Camera]):
    """The cameras of a file by name; the name of a table (`cam_0`) is accepted, too."""

    def __init__(self, tables: dict[str, str]) -> None:
        """`tables`: table name of a camera -> its own name."""
        super().__init__()
        self.tables = tables

    def __missing__(self, key: str) -> Camera:
        if key not in self.tables:
            raise KeyError(key)
        return self[self.tables[key]]


def read(path: Path, size: tuple[int, int] | None = None) -> Cameras:
    """Read the cameras of a calibration file, by name; a single camera may be called "".

    Args:
        path: .yaml, .yml, .json or .xml in OpenCV's FileStorage format (or a plain object),
            ROS's, Kalibr's or EasyMocap's .yaml, .toml of Pose2Sim or anipose. Rotations are
            vectors or matrices, world -> camera. Translations are in the unit in the file
            (`units = "mm"`), otherwise metres are assumed, with a note; if they cannot be metres,
            the camera has no extrinsics. The camera is assumed upright if neither the file nor
            its program defines up.
        size: width and height of the images, pixels, for files without it.

    Raises:
        VitruvianError: it is missing, no calibration, or of a fisheye lens.
        SizeUnsaid: the file lacks the image size, and none was given.

    Assumptions are reported in one line on standard error.
    """
    kind = ".qca.txt" if path.name.lower().endswith(".qca.txt") else path.suffix.lower()
    if kind not in READERS:
        kinds = ", ".join(READERS)
        raise VitruvianError(f"cannot read cameras from '{shown(path, 100)}'; want one of {kinds}")
    said = READERS[kind](path)
    tables, about = _tables(_beside(path, said))
    tables = _in_order(tables)
    names, unsaid = _names(tables), []
    cameras = Cameras({key: name for key, name in names.items() if key not in names.values()})
    for key, table in tables.items():
        name = names[key]
        where = f"'{shown(path, 100)}'" + (f", camera '{shown(name)}'" if name else "")
        cameras[name], far = _camera({**about, **table}, where, size)
        unsaid += [] if far is None else [far]
    if not cameras:
        raise VitruvianError(
            f"cannot read '{shown(path, 100)}': no camera in it; want a 3 x 3 matrix named "
            f"{' or '.join(NAMES['matrix'][:2])} or K"
        )
    if unsaid:
        _unit_unsaid(path, max(unsaid))
    if path.suffix.lower() == ".toml" and any(
        ("cam_id" in table or ("name" in table and "fisheye" not in table))
        and "pixel_centre" not in about | table
        for table in tables.values()
    ):
        note(
            f"'{shown(path, 100)}': the centre of the first pixel is taken to be (0, 0); if it was "
            "made with a ChArUco board and OpenCV before 4.14, add the line pixel_centre = 0.5"
        )
    return cameras


def _unit_unsaid(path: Path, far: float) -> None:
    """Report how translations without a unit, the longest `far`, were interpreted."""
    told = f"'{shown(path, 100)}' has no unit for its translations (up to {far:.4g})"
    lines = {".toml": 'units = "mm"', ".json": '"units": "mm"', ".xml": "<units>mm</units>"}
    way = f"add the line {lines.get(path.suffix.lower(), 'units: mm')} (or m, cm)"
    if far > FARTHEST:
        note(f"{told}, which cannot be metres; camera positions are ignored; {way}")
    else:
        note(f"{told}: metres are assumed; if not, {way}")


# From a file to a table per camera


def _beside(path: Path, said: Any) -> Any:
    """Merge EasyMocap's two files."""
    other = {"intri": "extri", "extri": "intri"}.get(path.stem.lower())
    beside = None if other is None else path.with_name(other + path.suffix)
    if beside is None or not isinstance(said, dict) or not beside.is_file():
        return said
    more = READERS[path.suffix.lower()](beside)
    return {**more, **said} if isinstance(more, dict) else said


def _tables(said: Any) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """A table per camera by name, and the values common to all."""
    if isinstance(said, dict) and isinstance(said.get("opencv_storage"), dict):
        said = said["opencv_storage"]
    if isinstance(said, dict) and isinstance(said.get("cameras"), (dict, list)):
        poses = said.get("camera_poses")
        about, said = said, said["cameras"]
        if isinstance(poses, dict) and isinstance(said, dict):
            said = {k: {**_dict(v), **_dict(poses.get(k))} for k, v in said.items()}
    else:
        about = said
    about = {**_dict(_dict(about).get("metadata")), **_dict(about)}
    words = {key: about[key] for key in ("units", "unit", "up") if isinstance(about.get(key), str)}
    about = words | {key: about[key] for key in ("pixel_centre",) if key in about}
    if isinstance(said, list):
        said = {str(number): each for number, each in enumerate(said)}
    if not isinstance(said, dict):
        return {}, {}
    if _find(said, "matrix") is not None:
        return {"": said}, about
    nested = {name: table for name, table in said.items() if _has_matrix(table)}
    if not nested:
        return _numbered(said), about
    if any("T_cn_cnm1" in table for table in nested.values()):
        return _chain(nested), about
    if set(nested) == {"left", "right"} and "R" in said and "T" in said:
        nested["right"] = {**nested["right"], "rotation": said["R"], "translation": said["T"]}
        nested["left"] = {**nested["left"], "extrinsics": np.eye(4).tolist()}
    return nested, about


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _has_matrix(table: Any) -> bool:
    return isinstance(table, dict) and _find(table, "matrix") is not None


def _names(tables: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Names of the cameras inside their tables (anipose), if unique."""
    names = {key: str(table.get("name", key)) for key, table in tables.items()}
    return names if len(set(names.values())) == len(names) else {key: key for key in names}


def _in_order(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Tables sorted as text (aniposelib: cam_10 before cam_2), sorted by their numbers."""
    parts = {key: re.fullmatch(r"(.*\D)(\d{1,9})", key) for key in tables}
    numbers = {key: (part[1], int(part[2])) for key, part in parts.items() if part}
    if len(numbers) < len(tables) or list(tables) != sorted(tables):
        return tables
    return {key: tables[key] for key in sorted(tables, key=numbers.__getitem__)}


def _numbered(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Cameras whose keys contain the camera: `M1` and `D1`, `K_left`, `dist_left`.

    `R` and `T` of such a pair map from the first camera to the second (`cv2.stereoCalibrate`).
    `R1`, `R2`, `P1`, `P2` of OpenCV's stereo files are of rectified images, not extrinsics.
    """
    known = {base: what for what, bases in NAMES.items() for base in bases}
    tables: dict[str, dict[str, Any]] = {}
    for key, value in said.items():
        match = re.fullmatch(r"(.+?)(_(?:\w[\w.-]*)|\d)", str(key))
        for base in sorted(known, key=len, reverse=True) if match else ():
            end = key[len(base) :] if key.startswith(base) else ""
            if end[:1] == "_" or (end.isdigit() and base != "R"):
                tables.setdefault(end.removeprefix("_"), {})[base] = value
                break
    tables = {name: table for name, table in tables.items() if _has_matrix(table)}
    if len(tables) == 2 and "R" in said and "T" in said:
        first, second = tables.values()
        first["extrinsics"] = np.eye(4).tolist()
        second |= {"rotation": said["R"], "translation": said["T"]}
    size = {
        key: said[key] for what in ("size", "width", "height") for key in NAMES[what] if key in said
    }
    return {name: {**size, **table} for name, table in tables.items()}


def _chain(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Kalibr's chain: each camera has the transform from the one before; the first is the world."""
    whole, chain = np.eye(4), {}
    for name, table in tables.items():
        step = table.get("T_cn_cnm1")
        if step is not None:
            whole = _array(step, f"camera '{shown(name)}'", "T_cn_cnm1", 16).reshape(4, 4) @ whole
        chain[name] = {**table, "extrinsics": whole.tolist(), "units": "m"}
    return chain


# From a table to a camera


def _find(table: dict[str, Any], value: str) -> Any:
    return next((table[name] for name in NAMES[value] if table.get(name) is not None), None)


def _camera(
    table: dict[str, Any], where: str, size: tuple[int, int] | None
) -> tuple[Camera, float | None]:
    """A camera from its table of values, with any supported keys.

    Also its distance from the world origin, if the file does not state the unit.
    """
    _check_lens(table, where)
    added = HALF_PIXEL - _pixel_centre(table, where)
    matrix = _matrix(table, where) + added * np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
    given = _find(table, "distortion")
    lens = np.zeros(COEFFICIENTS) if given is None else _array(given, where, "distortion")
    size = _size(table, where) or size
    if size is None:
        raise SizeUnsaid(f"{where} has no image size; add image_width and image_height, in pixels")
    extrinsics, unsaid, up = _extrinsics(table, where), None, _up(table, where)
    own = set(table) - {"units", "unit", "up", "pixel_centre"} <= POSE2SIM and "fisheye" in table
    if extrinsics is not None:
        metres = _unit(table, where)
        far = float(np.abs(extrinsics[:3, 3]).max())
        if metres is None and not own and far:
            unsaid = far
        extrinsics[:3, 3] *= metres or 1.0
        up = (0.0, 0.0, 1.0) if up is None and own else up  # of Pose2Sim's and Qualisys' worlds
    try:
        camera = Camera(matrix, size, lens, known_by="file")
        if extrinsics is None or (unsaid or 0) > FARTHEST:
            return camera, unsaid
        if up is None:
            return Camera(matrix, size, lens, extrinsics, known_by="file"), unsaid
        return camera.placed(extrinsics, up), unsaid
    except VitruvianError as error:
        raise VitruvianError(f"cannot use {where}: {error}") from None


def _check_lens(table: dict[str, Any], where: str) -> None:
    """Reject lenses whose coefficients have another meaning."""
    words = {
        key: str(table[key]).strip().lower()
        for key in ("distortion_model", "camera_model", "lens_model", "model")
        if isinstance(table.get(key), str)
    }
    fisheye = any(table.get(key) in (True, 1) for key in ("fisheye", "fisheye_model"))
    if fisheye or "xi" in table or any(FISHEYES.search(word) for word in words.values()):
        raise VitruvianError(
            f"{where} has a fisheye lens, which is not supported; undistort the images first "
            "(cv2.fisheye.undistortImage)"
        )
    lens = words.get("distortion_model", "")
    if lens not in LENSES:
        raise VitruvianError(
            f"{where} has the distortion model '{shown(lens)}', which is not supported; "
            "want plumb_bob, rational_polynomial or radtan"
        )


def _matrix(table: dict[str, Any], where: str) -> np.ndarray:
    """(3, 3) float64; Kalibr writes only its four numbers."""
    value = _find(table, "matrix")
    flat = _array(value, where, "camera matrix", None)
    if len(flat) == 4:
        fx, fy, cx, cy = flat
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return _array(value, where, "camera matrix", 9).reshape(3, 3)


def _size(table: dict[str, Any], where: str) -> tuple[int, int] | None:
    """Width and height of the images, pixels; None if missing."""
    sides = _find(table, "size")
    if sides is None and _find(table, "width") is not None:
        sides = [_find(table, "width"), _find(table, "height")]
    if sides is None:
        return None
    width, height = _array(sides, where, "image size", 2)
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise VitruvianError(
            f"cannot use {where}: its images are {width:g} x {height:g} pixels, "
            f"want 1 to {LARGEST_SIDE}"
        )
    return int(width), int(height)


def _unit(table: dict[str, Any], where: str) -> float | None:
    """Metres per unit of the file; None if missing."""
    word = table.get("units", table.get("unit"))
    if not isinstance(word, str):
        return None
    known = word.strip().lower()
    for form in (known, known.removesuffix("s"), known.removesuffix("es")):
        if form in METRES:
            return METRES[form]
    raise VitruvianError(f"{where} has the unit '{shown(word)}'; want one of m, cm, mm")


def _pixel_centre(table: dict[str, Any], where: str) -> float:
    """Where the file has the centre of the first pixel."""
    value = table.get("pixel_centre", 0.0)
    if isinstance(value, bool) or value not in (0, 0.5):
        raise VitruvianError(f"{where} has pixel_centre {shown(value)}; want 0 or 0.5")
    return float(value)


def _up(table: dict[str, Any], where: str) -> tuple[float, ...] | None:
    """(3,) up direction in the file's world; None if missing."""
    word = table.get("up")
    if not isinstance(word, str):
        return None
    match = re.fullmatch(r"([+-]?)([xyz])", word.strip().lower())
    if match is None:
        raise VitruvianError(f"{where} has up '{shown(word)}'; want one of x, y, z, -x, -y, -z")
    sign = -1.0 if match[1] == "-" else 1.0
    return tuple(sign * (axis == match[2]) for axis in "xyz")


def _extrinsics(table: dict[str, Any], where: str) -> np.ndarray | None:
    """(4, 4) world -> camera, in the file's unit; None if missing."""
    whole = _find(table, "extrinsics")
    if whole is not None:
        return _array(whole, where, "extrinsics", 16).reshape(4, 4)
    turned, shift = _find(table, "rotation"), _find(table, "translation")
    if turned is None or shift is None:
        return None
    values = _array(turned, where, "rotation")
    if len(values) not in (3, 9):
        raise VitruvianError(f"{where}: rotation has {len(values)} numbers, want 3 or 9")
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = rotation_matrix(values) if len(values) == 3 else values.reshape(3, 3)
    extrinsics[:3, 3] = _array(shift, where, "translation", 3)
    return extrinsics


def _array(value: Any, where: str, what: str, length: int | None = None) -> np.ndarray:
    """(length,) float64 of nested lists, or of OpenCV's matrix with its `data`."""
    if isinstance(value, dict) and "data" in value:
        value = value["data"]
    try:
        array = np.asarray(value, np.float64).ravel()
    except (TypeError, ValueError):
        array = np.zeros(0)
    if (length is not None and len(array) != length) or not np.isfinite(array).all():
        want = "numbers" if length is None else f"{length} numbers"
        raise VitruvianError(f"cannot use {where}: {what} is {shown(value)}, want {want}")
    return array
