"""What `fuzz.py` damages: small valid files for each reader, and how they are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from PIL import Image

import vitruvian as vit
from media import (
    RGB,
    SIZE,
    Made,
    Make,
    archive,
    heic,
    network,
    opencv_picture,
    picture,
    read_pictures,
    read_video,
    representation,
    several,
    tiled,
    torch_file,
    turned,
    video,
)
from samples import ANIPOSE, ARMS, SAVED, VARIANTS
from vitruvian.analysis import rules
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, SKELETONS
from vitruvian.errors import VitruvianError
from vitruvian.evaluate import truth
from vitruvian.frame import Frame
from vitruvian.geometry import calibration, calibration_files
from vitruvian.geometry.camera import Camera
from vitruvian.models import load
from vitruvian.models.finders import Detections
from vitruvian.sources.record import open_record
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.compare.compare import compare
from vitruvian.verbs.convert import convert
from vitruvian.verbs.track import over_again
from vitruvian.weights import checkpoint, metrabs_archive
from vitruvian.weights.metadata import about


@dataclass(frozen=True)
class Reader:
    """A reader, and a file for it."""

    name: str
    share: float  # of all files
    # Makes files in a folder: what is given to `read`, and those of them that are damaged.
    make: Make
    read: Callable[[Path], object]


def people(skeleton: Skeleton, index: int) -> Poses:
    """Two people who go on steadily, with metres, and a keypoint that is missing."""
    k = len(skeleton)
    rng = np.random.default_rng(0)
    xy = (rng.uniform((4, 3), (40, 45), (2, k, 2)) + 0.2 * index).astype(np.float32)
    xyz = (rng.uniform((-1, -1, 3), (1, 1, 5), (2, k, 3)) + 0.01 * index).astype(np.float32)
    if index == 3:
        xy[0, -1], xyz[0, -1] = np.nan, np.nan
    one, score = np.ones(2, np.float32), np.full((2, k), 0.9, np.float32)
    box, person = np.array([[4, 3, 40, 45], [9, 3, 50, 40]], np.float32), np.array([1, 2])
    return Poses(skeleton, xy, score, box, one, person, xyz=xyz, origin="camera")


def everything(skeleton: Skeleton, index: int) -> Poses:
    """The same with all that a record can hold, smoothed."""
    raw = people(skeleton, index)
    assert raw.xyz is not None
    more = {"presence": raw.score, "depth": raw.xyz[..., 2], "world": raw.xyz - raw.xyz[:, :1]}
    more |= {"error": raw.box_score, "plausible": np.array([True, False])}
    return replace(raw, xy=raw.xy + 1, raw=raw, **more)


def written(
    name: str,
    skeleton: str = "coco17",
    who: Callable[[Skeleton, int], Poses] = people,
    count: int = 5,
) -> Make:
    """Frames as one of our own writers has them; of one of the people, if a file is of one."""

    def make(folder: Path) -> Made:
        camera = Camera.view(SIZE) if who is everything else None
        with vit.open_sink(folder / name) as sink:
            for i in range(count):
                frame = Frame(None, i, i / 25, "v.mp4", camera, SIZE)
                sink.write(frame, who(SKELETONS[skeleton], i))
        path = min(folder.iterdir())  # a person's number may be in its name
        return path, [path]

    return make


def text(name: str, content: str | bytes) -> Make:
    """A file as it stands."""
    return texts(name, [content])


def texts(name: str, contents: Iterable[str | bytes]) -> Make:
    """A file in several ways: the one that is damaged is read."""

    def make(folder: Path) -> Made:
        paths = []
        for i, content in enumerate(contents):
            (folder / str(i)).mkdir()
            paths.append(folder / str(i) / name)
            paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
        return (None if len(paths) > 1 else paths[0]), paths

    return make


# How files of poses are read


def frames(**options: Any) -> Callable[[Path], object]:
    """Read poses, all of them."""
    return lambda path: [(frame.size, len(poses)) for frame, poses in vit.read(path, **options)]


def converted(*names: str, **options: Any) -> Callable[[Path], object]:
    """Read poses and write them in each of these kinds, as far as it goes."""

    def read(path: Path) -> object:
        faults, done = [], []
        with TemporaryDirectory() as folder:
            for name in names:
                try:
                    done.append(convert(path, Path(folder) / name, **options))
                except VitruvianError as fault:
                    faults.append(fault)
        if len(faults) == len(names):
            raise faults[0]
        return done

    return read


def over_time(**how: Any) -> Callable[[Path], object]:
    """A record through what is done over time, as `vitruvian track` does it."""
    renumber = how.pop("renumber", False)
    over = Wanted(**how)
    return lambda path: list(over_again(open_record(path), over, renumber=renumber))


def analyzed(path: Path) -> object:
    """A record's postures, events and angles."""
    return list(vit.analyze_frames(path, angles=True))


def compared(path: Path) -> object:
    """Records beside each other, on an image."""
    with TemporaryDirectory() as out:
        found = [path / name for name in ("found.jsonl", "others.jsonl")]
        return compare(path / "a.jpg", [], out, results=found)


def validated(path: Path) -> object:
    """A data set against results and a record of it."""
    found = [path / name for name in ("results.json", "found.jsonl")]
    return vit.val(path / "coco.json", results=found, resamples=0)


def named(path: Path) -> object:
    """What a network's file is, as it is asked before it is loaded."""
    return load.family_of(str(path)), load.unnamed_keypoints(str(path))


def cameras(path: Path) -> object:
    """Read a calibration, and choose from it."""
    found = calibration_files.read(path, SIZE)
    return [calibration.choose(found, name, "x") for name in found]


K = [[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]
RIG = {"matrix": K, "size": [64, 48], "distortions": [0.1, 0, 0, 0], "rotation": [0.1, 0, 0]}
RIG |= {"translation": [0.1, 0.2, 3.0]}
TOML = "".join(
    f'[cam_{i}]\nname = "c{i}"\n' + "".join(f"{k} = {v}\n" for k, v in RIG.items()) for i in (0, 1)
)
KALIBR = """cam0:
  camera_model: pinhole
  distortion_coeffs: [-0.28, 0.07, 0.0002, 1.0e-05]
  distortion_model: radtan
  intrinsics: [45.0, 45.0, 32.0, 24.0]
  resolution: [64, 48]
cam1:
  camera_model: pinhole
  intrinsics: [45.0, 45.0, 32.0, 24.0]
  resolution: [64, 48]
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.1]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
"""
SKELETON = 'name = "paw"\nkeypoints = [["wrist", "", 0.1], ["left_tip", "wrist", 0.2]]\n'
RULES = """[rules.reach]
all = [{angle = "left_elbow_flexion", above = 9}, {distance = ["left_wrist", "nose"], below = 0.5}]
"""
YOLO = "path: .\nval: images/val\nkpt_shape: [17, 3]\nnames:\n  0: person\nflip_idx: [0, 2, 1]\n"
LABEL = "0 0.5 0.5 0.5 0.5 " + " ".join("0.5 0.4 2" for _ in range(17)) + "\n"
MOT = "1,1,4,3,36,42,0.9,-1,-1,-1\n2,1,5,3,36,42,0.9,-1,-1,-1\n2,2,9,3,36,40,0.8,-1,-1,-1\n"


def opencv(suffix: str) -> Make:
    """A calibration as OpenCV's FileStorage writes it: a stereo pair."""

    def make(folder: Path) -> Made:
        path = folder / f"camera{suffix}"
        file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        for name in ("M1", "M2"):
            file.write(name, np.array(K))
        for name in ("D1", "D2"):
            file.write(name, np.array([[0.1, 0, 0, 0, 0]]))
        file.write("R", np.eye(3))
        file.write("T", np.array([[0.1], [0], [0]]))
        file.release()
        return path, [path]

    return make


def labels(results: bool) -> dict[str, Any] | list[dict[str, Any]]:
    """COCO's, with an image, a person and a crowd."""
    keypoints = [float(v) for k in range(17) for v in (k + 5, k + 6, 2)]
    one = {"image_id": 1, "category_id": 1, "keypoints": keypoints, "bbox": [4, 3, 36, 42]}
    if results:
        return [{**one, "score": 0.9}, {**one, "score": 0.5}]
    person = {**one, "id": 1, "area": 900.0, "iscrowd": 0, "num_keypoints": 17}
    crowd = {**person, "id": 2, "iscrowd": 1, "keypoints": [0] * 51, "num_keypoints": 0}
    picture = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    category = {
        "id": 1,
        "name": "person",
        "keypoints": list(COCO17.keypoints),
        "skeleton": [[1, 2]],
    }
    return {"images": [picture], "annotations": [person, crowd], "categories": [category]}


def coco(results: bool) -> Make:
    """A COCO file with its image beside it."""

    def make(folder: Path) -> Made:
        Image.fromarray(RGB).save(folder / "a.jpg")
        path = folder / "coco.json"
        path.write_text(json.dumps(labels(results)))
        return path, [path]

    return make


def beside(damaged: str) -> Make:
    """A image, its annotations, results and records; what is damaged of it."""

    def make(folder: Path) -> Made:
        coco(False)(folder)
        (folder / "results.json").write_text(json.dumps(labels(True)))
        for name in ("found.jsonl", "others.jsonl"):
            with vit.open_sink(folder / name) as sink:
                at = Frame(None, 0, 0.0, str(folder / "a.jpg"), size=SIZE)
                sink.write(at, people(COCO17, 0))
        return folder, sorted(folder.glob(damaged))

    return make


def solid(folder: Path) -> Made:
    """Joints in metres, as docs/val.md has them."""
    Image.fromarray(RGB).save(folder / "a.jpg")
    xyz = [[0.1 * k, 0.1, 3.0] for k in range(16)] + [None]
    people = [{"xyz": xyz, "box": [4, 3, 36, 42]}]
    picture = {"file": "a.jpg", "size": list(SIZE), "people": people, "camera": K}
    said = {"skeleton": "coco17", "pictures": [picture]}
    path = folder / "metres.json"
    path.write_text(json.dumps(said))
    return path, [path]


def yolo(folder: Path) -> Made:
    """A YOLO-pose data set of one image."""
    for part in ("images/val", "labels/val"):
        (folder / part).mkdir(parents=True)
    Image.fromarray(RGB).save(folder / "images/val/a.jpg")
    (folder / "labels/val/a.txt").write_text(LABEL * 2)
    (folder / "data.yaml").write_text(YOLO)
    return folder / "data.yaml", [folder / "data.yaml", folder / "labels/val/a.txt"]


def yolo_list(folder: Path) -> Made:
    """The same, with a list of its images and names of keypoints."""
    table, files = yolo(folder)
    assert table is not None
    pictures = folder / "list.txt"
    pictures.write_text("./images/val/a.jpg\n" * 2)
    names = "kpt_names:\n  0: [" + ", ".join(COCO17.keypoints) + "]\n"
    table.write_text(YOLO.replace("images/val", "list.txt") + names)
    return table, [*files, pictures]


def synthetic(folder: Path) -> Made:
    """The people of `vitruvian synth`."""
    (folder / "crops").mkdir()
    Image.fromarray(RGB).save(folder / "crops/a.jpg")
    xyz = [[0.1 * k, 0.1, 3.0] for k in range(17)]
    row = {"file": "a.jpg", "split": "val", "skeleton": "coco17", "size": list(SIZE), "camera": K}
    row |= {"xyz": xyz, "box": [4, 3, 36, 42], "distortion": [0.1, 0, 0, 0, 0]}
    path = folder / "people.jsonl"
    path.write_text((json.dumps(row) + "\n") * 3)
    return path, [path]


def alphapose(folder: Path) -> Made:
    """Results of AlphaPose, and the boxes that it is given (`--detfile`)."""
    keypoints = [float(v) for k in range(17) for v in (k + 5, k + 6, 0.9)]
    rows = [
        {"image_id": f"{i}.jpg", "category_id": 1, "keypoints": keypoints, "score": 2.9}
        | {"box": [4.0, 3.0, 36.0, 42.0], "bbox": [4, 3, 36, 42], "idx": [1.0]}
        for i in range(3)
    ]
    path = folder / "alphapose.json"
    path.write_text(json.dumps(rows))
    return path, [path]


def easymocap(folder: Path) -> Made:
    """The two files of its calibration."""
    for name, values in (
        ("intri", {"K_1": np.array(K), "dist_1": np.zeros((1, 5)), "H_1": 48, "W_1": 64}),
        ("extri", {"R_1": np.full((3, 1), 0.1), "Rot_1": np.eye(3), "T_1": np.ones((3, 1))}),
    ):
        file = cv2.FileStorage(str(folder / f"{name}.yml"), cv2.FILE_STORAGE_WRITE)
        for key, value in values.items():
            file.write(key, value)
        file.release()
    return folder / "intri.yml", sorted(folder.iterdir())


def find(path: Path) -> object:
    """Boxes of a file, for one image."""
    return Detections(path).find([Frame(None, 0, 0.0, "a.jpg", size=SIZE)])


def openpose(folder: Path) -> Made:
    """Two frames of OpenPose."""
    person = {"person_id": [-1], "pose_keypoints_2d": [v for k in range(25) for v in (k, 9, 0.9)]}
    for i in range(2):
        path = folder / f"v_{i:012}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": [person] * (i + 1)}))
    return folder, sorted(folder.iterdir())


def openpose_ours(folder: Path) -> Made:
    """Frames as we write them."""
    path, _ = written("a.jsonl")(folder)
    assert path is not None
    convert(path, folder / "frames")
    return folder / "frames", sorted((folder / "frames").iterdir())


def saved(folder: Path) -> Made:
    """Tables as spreadsheets and data frames leave them."""
    path, _ = written("whole.csv", count=2)(folder)
    assert path is not None
    rows = path.read_text().splitlines()
    return texts("a.csv", [change(rows) for change in SAVED.values()])(folder)


PANOPTIC = {"resolution": SIZE, "K": K, "distCoef": [0.1, 0, 0, 0, 0], "R": np.eye(3).tolist()}
PANOPTIC |= {"t": [[0], [0], [250]]}
CAMERAS = [
    TOML + 'up = "z"\n',
    TOML + "fisheye = false\n",
    'units = "mm"\n' + ANIPOSE + "[metadata]\nadjusted = false\nerror = 0.4\n",
]
OTHERS = ("a.csv", "a.json", "a.txt", "frames", "a.jsonl")  # what pixels can become
MARKERS = ("a.trc", "a.bvh", "a.parquet")  # what metres can become; .c3d takes long
STILL = {
    "jpg": picture("a.jpg"),
    "jpg more": picture("a.jpg", "CMYK", progressive=True),
    "png": picture("a.png"),
    "png 16": picture("a.png", "16"),
    "png palette": picture("a.png", "P", transparency=3),
    "png moving": several("a.png", "RGBA", duration=40),
    "gif": picture("a.gif", "P"),
    "gif moving": several("a.gif", "P", duration=40, transparency=3),
    "webp": picture("a.webp"),
    "webp moving": several("a.webp", "RGBA", duration=40, lossless=True),
    "tiff": picture("a.tif"),
    "tiff pages": several("a.tif", compression="tiff_lzw"),
    "tiff 16": picture("a.tif", "16", compression="tiff_adobe_deflate"),
    "tiff jpeg": picture("a.tif", compression="jpeg"),
    "tiff floats": picture("a.tif", "F"),
    "avif": picture("a.avif"),
    "avif moving": several("a.avif", duration=40),
    "avif tiles": tiled("avif", "libsvtav1"),
    "heic": heic,
    "heic tiles": tiled("heic", "libx265"),
    "bmp": picture("a.bmp"),
    "jp2": picture("a.jp2"),
    "ppm": picture("a.ppm"),
    "ppm 16": opencv_picture("a.ppm", np.uint16),
    "hdr": opencv_picture("a.hdr", np.float32),
    "pfm": opencv_picture("a.pfm", np.float32),
}
FILM = {
    "mp4": video("a.mp4", "libx264"),
    "mov turned": video("a.mov", "libx264", then=turned),
    "mp4 hevc": video("a.mp4", "libx265", "yuv420p10le"),
    "mp4 av1": video("a.mp4", "libsvtav1"),
    "mov prores": video("a.mov", "prores_ks", "yuv422p10le"),
    "mkv": video("a.mkv", "libx264"),
    "mkv ffv1": video("a.mkv", "ffv1"),
    "webm": video("a.webm", "libvpx-vp9"),
    "webm vp8": video("a.webm", "libvpx"),
    "avi": video("a.avi", "mpeg4"),
    "avi mjpeg": video("a.avi", "mjpeg", "yuvj420p"),
    "ts": video("a.ts", "libx264"),
    "mpg": video("a.mpg", "mpeg2video"),
    "flv": video("a.flv", "flv"),
    "wmv": video("a.wmv", "wmv2"),
    "mxf": video("a.mxf", "mpeg2video"),
    "h264": video("a.h264", "libx264"),
    "mjpeg": video("a.mjpeg", "mjpeg", "yuvj420p"),
    "y4m": video("a.y4m", "rawvideo"),
}
READERS = [
    Reader("record", 8, written("a.jsonl", who=everything), frames()),
    Reader("record over", 0.6, written("a.jsonl", who=everything, count=20),
           over_time(smooth="butterworth", repair=True)),
    Reader("record again", 0.4, written("a.jsonl", count=8),
           over_time(smooth="one-euro", renumber=True)),
    Reader("record analysis", 0.2, written("a.jsonl", "blazepose33", everything, 3), analyzed),
    Reader("record to all", 0.4, written("a.jsonl", who=everything), converted(*OTHERS, *MARKERS)),
    Reader("record to c3d", 0.1, written("a.jsonl"), converted("a.c3d")),
    Reader("csv", 4, written("a.csv"), frames()),
    Reader("csv saved", 6, saved, frames()),
    Reader("csv to all", 0.5, written("a.csv"), converted(*OTHERS, *MARKERS)),
    Reader("parquet", 3, written("a.parquet"), frames()),
    Reader("coco results", 5, coco(True), frames(fps=25)),
    Reader("coco", 5, coco(False), frames(fps=25)),
    Reader("coco alphapose", 3, alphapose, frames(fps=25)),
    Reader("coco to all", 0.3, coco(False), converted(*OTHERS, fps=25)),
    Reader("mot", 5, text("a.txt", MOT), frames(form="mot", fps=25)),
    Reader("openpose", 6, openpose, frames(fps=25)),
    Reader("openpose ours", 2, openpose_ours, frames()),
    Reader("openpose to all", 0.3, openpose, converted(*OTHERS, fps=25)),
    Reader("trc", 4, written("a.trc"), frames()),
    Reader("trc of others", 6, texts("a.trc", VARIANTS.values()), frames()),
    Reader("trc to all", 0.5, written("a.trc"), converted("a.jsonl", *MARKERS)),
    Reader("bvh", 5, written("a.bvh", "smpl_24"), frames()),
    Reader("bvh of others", 3, text("a.bvh", ARMS), frames()),
    Reader("bvh to all", 0.5, written("a.bvh", "smpl_24"), converted("a.jsonl", *MARKERS)),
    Reader("c3d", 0.15, written("a.c3d"), frames()),
    Reader("camera toml", 3, text("a.toml", TOML), cameras),
    Reader("camera anipose", 2, texts("a.toml", CAMERAS), cameras),
    Reader("camera kalibr", 2, text("a.yaml", KALIBR), cameras),
    Reader("camera yml", 2, opencv(".yml"), cameras),
    Reader("camera json", 3, opencv(".json"), cameras),
    Reader("camera panoptic", 2, text("a.json", json.dumps({"cameras": [PANOPTIC] * 2})), cameras),
    Reader("camera xml", 2, opencv(".xml"), cameras),
    Reader("easymocap", 2, easymocap, cameras),
    Reader("skeleton", 3, text("a.toml", SKELETON), Skeleton.read),
    Reader("rules", 3, text("a.toml", RULES), rules.read),
    Reader("truth coco", 4, coco(False), truth.read),
    Reader("truth metres", 3, solid, truth.read),
    Reader("truth yolo", 5, yolo, truth.read),
    Reader("truth list", 2, yolo_list, truth.read),
    Reader("truth synth", 2, synthetic, truth.read),
    Reader("val", 0.3, beside("*.json*"), validated),
    Reader("compare", 0.06, beside("*.jsonl"), compared),
    Reader("find", 4, coco(True), find),
    Reader("find annotations", 2, coco(False), find),
    Reader("find alphapose", 2, alphapose, find),
    *(Reader(name, 0.8, make, read_pictures) for name, make in STILL.items()),
    *(Reader(name, 0.4, make, read_video) for name, make in FILM.items()),
    Reader("checkpoint", 1.5, torch_file, checkpoint.read),
    Reader("checkpoint name", 0.5, torch_file, named),
    Reader("archive", 1, archive, metrabs_archive.read),
    Reader("onnx", 2, network, about),
    Reader("onnx name", 1, network, named),
    Reader("openvino", 1, representation, about),
]  # fmt: skip
