"""What `fuzz.py` damages: small valid files for each reader, and how they are read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

import vitruvian as vit
from vitruvian.analyse import rules
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, SKELETONS
from vitruvian.evaluate import truth
from vitruvian.frame import Frame, picture_size
from vitruvian.geometry import calibration, calibration_files
from vitruvian.models.detections import Detections
from vitruvian.network import checkpoint, metrabs_archive
from vitruvian.network.about import about
from vitruvian.video import Span, Video

sys.path.append(str(Path(__file__).parents[1]))  # the tests' own makers of archives

SIZE = (64, 48)
BOX = np.array([[4, 3, 40, 45]], np.float32)


@dataclass(frozen=True)
class Reader:
    """A reader, and a file for it."""

    name: str
    share: float  # of all files
    # Makes files in a folder: what is given to `read`, and those of them that are damaged.
    make: Callable[[Path], tuple[Path, list[Path]]]
    read: Callable[[Path], object]


def somebody(skeleton: Skeleton, index: int) -> Poses:
    """One person with metres, and a keypoint that is missing."""
    k = len(skeleton)
    rng = np.random.default_rng(index)
    xy = rng.uniform((4, 3), (40, 45), (1, k, 2)).astype(np.float32)
    xyz = rng.uniform((-1, -1, 3), (1, 1, 5), (1, k, 3)).astype(np.float32)
    if index == 3:
        xy[0, -1], xyz[0, -1] = np.nan, np.nan
    one = np.ones(1, np.float32)
    score = np.full((1, k), 0.9, np.float32)
    return Poses(skeleton, xy, score, BOX, one, np.array([1]), xyz=xyz, origin="camera")


def written(name: str, skeleton: str = "coco17") -> Callable[[Path], tuple[Path, list[Path]]]:
    """Five frames as one of our own writers has them."""

    def make(folder: Path) -> tuple[Path, list[Path]]:
        out = folder / name
        with vit.open_sink(out) as sink:
            for i in range(5):
                frame = Frame(None, i, i / 25, "v.mp4", size=SIZE)
                sink.write(frame, somebody(SKELETONS[skeleton], i))
        (path,) = folder.iterdir()  # a person's number may be in its name
        return path, [path]

    return make


def text(name: str, content: str | bytes) -> Callable[[Path], tuple[Path, list[Path]]]:
    """A file as it stands."""

    def make(folder: Path) -> tuple[Path, list[Path]]:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path, [path]

    return make


def frames(**options: Any) -> Callable[[Path], object]:
    """Read poses, all of them."""
    return lambda path: [(frame.size, len(poses)) for frame, poses in vit.read(path, **options)]


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


def opencv(suffix: str) -> Callable[[Path], tuple[Path, list[Path]]]:
    """A calibration as OpenCV's FileStorage writes it: a stereo pair."""

    def make(folder: Path) -> tuple[Path, list[Path]]:
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


def annotations(results: bool) -> dict[str, Any] | list[dict[str, Any]]:
    """COCO's, with a picture, a person and a crowd."""
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


def coco(results: bool) -> Callable[[Path], tuple[Path, list[Path]]]:
    """A COCO file with its picture beside it."""

    def make(folder: Path) -> tuple[Path, list[Path]]:
        Image.new("RGB", SIZE).save(folder / "a.jpg")
        path = folder / "coco.json"
        path.write_text(json.dumps(annotations(results)))
        return path, [path]

    return make


def solid(folder: Path) -> tuple[Path, list[Path]]:
    """Joints in metres, as docs/val.md has them."""
    Image.new("RGB", SIZE).save(folder / "a.jpg")
    xyz = [[0.1 * k, 0.1, 3.0] for k in range(16)] + [None]
    people = [{"xyz": xyz, "box": [4, 3, 36, 42]}]
    picture = {"file": "a.jpg", "size": list(SIZE), "people": people, "camera": K}
    said = {"skeleton": "coco17", "pictures": [picture]}
    path = folder / "metres.json"
    path.write_text(json.dumps(said))
    return path, [path]


def yolo(folder: Path) -> tuple[Path, list[Path]]:
    """A YOLO-pose data set of one picture."""
    for part in ("images/val", "labels/val"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", SIZE).save(folder / "images/val/a.jpg")
    (folder / "labels/val/a.txt").write_text(LABEL * 2)
    (folder / "data.yaml").write_text(YOLO)
    return folder / "data.yaml", [folder / "data.yaml", folder / "labels/val/a.txt"]


def find(path: Path) -> object:
    """Boxes of a file, for one picture."""
    return Detections(path).find([Frame(None, 0, 0.0, "a.jpg", size=SIZE)])


def picture(kind: str, **options: Any) -> Callable[[Path], tuple[Path, list[Path]]]:
    """A small picture with an EXIF orientation."""

    def make(folder: Path) -> tuple[Path, list[Path]]:
        rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        image = Image.fromarray(rgb)
        if kind in ("jpg", "png", "webp"):
            exif = image.getexif()
            exif[0x0112] = 6
            options["exif"] = exif
        path = folder / f"a.{kind}"
        image.save(path, **options)
        return path, [path]

    return make


def read_picture(path: Path) -> object:
    """Pixels and size."""
    return Frame.read(path).size, picture_size(path)


def video(name: str, codec: str, form: str | None = None) -> Callable[..., tuple[Path, list[Path]]]:
    """Twelve small frames."""

    def make(folder: Path) -> tuple[Path, list[Path]]:
        path = folder / name
        with av.open(str(path), "w", format=form) as container:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            for i in range(12):
                rgb = np.full((SIZE[1], SIZE[0], 3), 20 * i, np.uint8)
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path, [path]

    return make


def read_video(path: Path) -> object:
    """Frames from a tenth of a second on; what cannot be read is told instead of a frame."""
    found = list(Video(str(path), Span(start=0.1, most=20)))
    return [one.rgb.shape for one in found if isinstance(one, Frame)]


def torch_file(folder: Path) -> tuple[Path, list[Path]]:
    """A checkpoint as torch.save writes it."""
    import torch

    path = folder / "a.pt"
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    torch.save({"model": network, "ema": None, "epoch": 3, "train_args": {"imgsz": 640}}, path)
    return path, [path]


def archive(folder: Path) -> tuple[Path, list[Path]]:
    """An archive of MeTRAbs' authors with a network of three points."""
    import torch

    from test_metrabs_network import arrays, files, pack, small, tensors_file
    from vitruvian.train.networks import metrabs

    tensors = arrays(metrabs.Metrabs(replace(small(metrabs, "efficientnetv2"), depth=8)))
    path = pack(folder / "a.tar.gz", files(tensors_file(torch, tensors)))
    return path, [path]


def openpose(folder: Path) -> tuple[Path, list[Path]]:
    """Two frames of OpenPose."""
    person = {"person_id": [-1], "pose_keypoints_2d": [v for k in range(25) for v in (k, 9, 0.9)]}
    for i in range(2):
        path = folder / f"v_{i:012}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": [person] * (i + 1)}))
    return folder, sorted(folder.iterdir())


def network(folder: Path) -> tuple[Path, list[Path]]:
    """A network of one operation, with metadata."""
    import onnx

    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out]))
    onnx.helper.set_model_props(model, {"family": "alphapose", "skeleton": COCO17.to_json()})
    path = folder / "a.onnx"
    onnx.save(model, path)
    return path, [path]


READERS = [
    Reader("record", 8, written("a.jsonl"), frames()),
    Reader("csv", 6, written("a.csv"), frames()),
    Reader("parquet", 3, written("a.parquet"), frames()),
    Reader("coco results", 5, coco(True), frames(fps=25)),
    Reader("coco", 5, coco(False), frames(fps=25)),
    Reader("mot", 5, text("a.txt", MOT), frames(form="mot", fps=25)),
    Reader("openpose", 6, openpose, frames(fps=25)),
    Reader("trc", 8, written("a.trc"), frames()),
    Reader("bvh", 8, written("a.bvh", "smpl_24"), frames()),
    Reader("c3d", 1, written("a.c3d"), frames()),
    Reader("camera toml", 4, text("a.toml", TOML), cameras),
    Reader("camera yaml", 3, text("a.yaml", KALIBR), cameras),
    Reader("camera yml", 3, opencv(".yml"), cameras),
    Reader("camera json", 4, opencv(".json"), cameras),
    Reader("camera xml", 3, opencv(".xml"), cameras),
    Reader("skeleton", 4, text("a.toml", SKELETON), Skeleton.read),
    Reader("rules", 4, text("a.toml", RULES), rules.read),
    Reader("truth coco", 5, coco(False), truth.read),
    Reader("truth metres", 4, solid, truth.read),
    Reader("truth yolo", 5, yolo, truth.read),
    Reader("find", 4, coco(True), find),
    Reader("jpg", 2, picture("jpg"), read_picture),
    Reader("png", 2, picture("png"), read_picture),
    Reader("gif", 1, picture("gif"), read_picture),
    Reader("webp", 1, picture("webp"), read_picture),
    Reader("tiff", 2, picture("tif"), read_picture),
    Reader("avif", 1, picture("avif"), read_picture),
    Reader("bmp", 1, picture("bmp"), read_picture),
    Reader("mp4", 2, video("a.mp4", "libx264"), read_video),
    Reader("mkv", 1, video("a.mkv", "libx264"), read_video),
    Reader("avi", 1, video("a.avi", "mpeg4"), read_video),
    Reader("ts", 1, video("a.ts", "libx264", "mpegts"), read_video),
    Reader("checkpoint", 4, torch_file, checkpoint.read),
    Reader("archive", 1, archive, metrabs_archive.read),
    Reader("onnx", 3, network, about),
]
