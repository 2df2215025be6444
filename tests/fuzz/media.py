"""Pictures, videos and networks for `seeds.py`: small valid files of each kind that is read."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.geometry import calibration
from vitruvian.picture_files.opened import picture_size
from vitruvian.sources.open import open_source
from vitruvian.sources.video import Span

sys.path.append(str(Path(__file__).parents[1]))  # the tests' own makers of files

SIZE = (64, 48)
# What is read, and those of its files that are damaged; None: the one that is damaged.
Made = tuple[Path | None, list[Path]]
Make = Callable[[Path], Made]
RGB = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)


# Images


def picture(name: str, mode: str = "RGB", **options: Any) -> Make:
    """A small image, as Pillow writes it, with an EXIF orientation and focal length."""

    def make(folder: Path) -> Made:
        image = Image.fromarray(RGB)
        path, more = folder / name, dict(options)
        if path.suffix in (".jpg", ".png", ".webp", ".avif"):
            exif = image.getexif()
            exif[0x0112] = 6
            exif.get_ifd(0x8769)[0xA405] = 26
            more["exif"] = exif
        if mode == "16":
            image = Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)
        elif mode == "F":
            image = Image.fromarray(RGB[..., 0].astype(np.float32) / 255)
        else:
            image = image.convert(mode)
        image.save(path, **more)
        return path, [path]

    return make


def several(name: str, mode: str = "RGB", **options: Any) -> Make:
    """Four images in one file: a film, or pages."""

    def make(folder: Path) -> Made:
        first, *rest = (Image.fromarray(np.roll(RGB, 9 * i, 1)).convert(mode) for i in range(4))
        path = folder / name
        first.save(path, save_all=True, append_images=rest, **options)
        return path, [path]

    return make


def opencv_picture(name: str, depth: type = np.uint8) -> Make:
    """A image as OpenCV writes it."""

    def make(folder: Path) -> Made:
        values = RGB.astype(np.float64) / 255 * (1 if depth is np.float32 else np.iinfo(depth).max)
        path = folder / name
        assert cv2.imwrite(str(path), values.astype(depth))
        return path, [path]

    return make


def heic(folder: Path) -> Made:
    """A photograph as phones have it, with a second image and a thumbnail."""
    import pillow_heif

    path = folder / "a.heic"
    written = pillow_heif.from_pillow(Image.fromarray(RGB))
    written.add_from_pillow(Image.fromarray(RGB[::-1].copy()))
    written.save(path, quality=50, exif=Image.Exif().tobytes())
    return path, [path]


def tiled(suffix: str, codec: str) -> Make:
    """A photograph of four tiles."""

    def make(folder: Path) -> Made:
        from pictures import tiles

        rgb = np.kron(RGB[:2, :2], np.ones((64, 64, 1), np.uint8))
        path = tiles(folder / f"a.{suffix}", rgb, 64, codec)
        return path, [path]

    return make


def read_pictures(path: Path) -> object:
    """Size, pixels, camera, of all pages or all of a film."""
    with suppress(VitruvianError):  # some kinds are OpenCV's alone
        picture_size(path)
        calibration.exif(path)
    return everything(path, Span())


def everything(path: Path, span: Span) -> list[Any]:
    """The frames of a file; what is given instead of the last one is raised."""
    shapes: list[Any] = []
    for source in open_source(path, span):
        source.count()
        for one in source:
            if isinstance(one, VitruvianError):
                raise one
            shapes.append((one.rgb.shape, one.index, one.seconds))
    return shapes


# Videos


def video(
    name: str, codec: str, pixels: str = "yuv420p", then: Callable[[Path], None] | None = None
) -> Make:
    """Twelve small frames; `then` changes the file."""

    def make(folder: Path) -> Made:
        from pictures import usual_priority

        path = folder / name
        form = {".ts": "mpegts", ".mpg": "mpeg", ".vob": "vob"}.get(path.suffix)
        with usual_priority(), av.open(str(path), "w", format=form) as container:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
            stream.gop_size = 6
            if codec == "libsvtav1":
                stream.options = {"preset": "12", "svtav1-params": "lp=1"}
            for i in range(12):
                frame = av.VideoFrame.from_ndarray(np.roll(RGB, 3 * i, 1), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        if then is not None:
            then(path)
        return path, [path]

    return make


def turned(path: Path) -> None:
    """As a phone holds it upright and mirrored."""
    from pictures import with_matrix

    with_matrix(path, 0, 1, 1, 0)


def read_video(path: Path) -> object:
    """All frames, and those from a time on; what cannot be read is raised at the end."""
    faults, found = [], []
    for span in (Span(max_frames=30), Span(start=0.3, end=0.4)):
        try:
            found.append(everything(path, span))
        except VitruvianError as fault:
            faults.append(fault)
    if faults:
        raise faults[0]
    return found


# Networks


def torch_file(folder: Path) -> Made:
    """A checkpoint as torch.save writes it."""
    import torch

    path = folder / "a.pt"
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    torch.save({"model": network, "ema": None, "epoch": 3, "train_args": {"imgsz": 640}}, path)
    return path, [path]


def archive(folder: Path) -> Made:
    """An archive of MeTRAbs' authors with a network of three points."""
    import torch

    from metrabs_files import arrays, files, pack, small, tensors_file
    from vitruvian.exports.networks import metrabs

    tensors = arrays(metrabs.Metrabs(replace(small(metrabs, "efficientnetv2"), depth=8)))
    path = pack(folder / "a.tar.gz", files(tensors_file(torch, tensors)))
    return path, [path]


def network(folder: Path) -> Made:
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


def representation(folder: Path) -> Made:
    """OpenVINO's, of the same network."""
    import openvino

    _, (made,) = network(folder)
    path = folder / "a.xml"
    openvino.save_model(openvino.convert_model(made), path)
    return path, [path]


def png_sums(data: bytes) -> bytes:
    """A damaged PNG whose chunks have the right sums: what is behind them is reached, too."""
    import zlib

    out, at = io.BytesIO(), 8
    out.write(data[:8])
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunk = data[at + 4 : at + 8 + size]
        out.write(data[at : at + 8 + size] + zlib.crc32(chunk).to_bytes(4, "big"))
        at += 12 + size
    return out.getvalue()
