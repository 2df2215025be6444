"""Annotated pictures and videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.sink.draw import VISIBLE, draw
from vitruvian.sink.part import Part

CLOCK = 90_000  # ticks a second, MPEG's own: time stamps of every frame rate come out exact enough


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB as the extension says."""
    import cv2

    ok, data = cv2.imencode(path.suffix, np.ascontiguousarray(rgb[..., ::-1]))
    if not ok:
        raise VitruvianError(f"cannot write '{path}': OpenCV cannot make {path.suffix} pictures")
    part = Part(path)
    part.begin().write_bytes(data.tobytes())
    part.finish()


class Picture:
    """One picture file; takes one frame."""

    def __init__(self, path: Path, visible: float = VISIBLE) -> None:
        self.path, self.visible, self.paths = path, visible, list[Path]()

    def __enter__(self) -> Picture:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draw and write it."""
        if self.paths:
            raise VitruvianError(f"'{self.path}' holds one picture; for more give a folder")
        write_picture(self.path, draw(frame, poses, self.visible))
        self.paths.append(self.path)

    def __exit__(self, *_: object) -> None:
        pass


class Video:
    """An H.264 video with the time stamps of its frames; valid also when it is cut short."""

    def __init__(self, path: Path, visible: float = VISIBLE) -> None:
        self.part, self.visible = Part(path), visible
        self.container: Any = None

    def __enter__(self) -> Video:
        return self

    def _begin(self, frame: Frame) -> None:
        import av

        kinds = {".mkv": "matroska"}
        kind = kinds.get(self.part.path.suffix.lower(), "mp4")
        self.container = av.open(str(self.part.begin()), "w", format=kind)
        self.stream = self.container.add_stream("libx264", rate=30)
        self.size, self.first, self.last = frame.size, frame.seconds, -1
        self.stream.width, self.stream.height = (side + side % 2 for side in frame.size)
        self.stream.pix_fmt = "yuv420p"
        self.stream.options = {"preset": "veryfast", "crf": "20"}
        self.stream.codec_context.time_base = Fraction(1, CLOCK)
        # BT.709 and its tag: without it players guess, and colours shift.
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(self.stream.codec_context, name, 1)

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draw and add it."""
        import av

        if self.container is None:
            self._begin(frame)
        if frame.size != self.size:
            raise VitruvianError(
                f"'{self.part.path}' is {self.size[0]} x {self.size[1]}, but frame {frame.index} "
                f"of '{frame.source}' is {frame.size[0]} x {frame.size[1]}; give a folder"
            )
        image = draw(frame, poses, self.visible)
        odd = self.size[0] % 2, self.size[1] % 2
        if any(odd):
            image = np.pad(image, ((0, odd[1]), (0, odd[0]), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
        picture.pts = max(round((frame.seconds - self.first) * CLOCK), self.last + 1)
        picture.time_base = Fraction(1, CLOCK)
        self.last = picture.pts
        assert self.container is not None
        self.container.mux(self.stream.encode(picture))

    def __exit__(self, *_: object) -> None:
        if self.container is not None:
            self.container.mux(self.stream.encode(None))
            self.container.close()
            self.part.finish()

    @property
    def paths(self) -> list[Path]:
        """What has been written."""
        return [self.part.path] if self.container is not None else []
