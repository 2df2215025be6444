"""Sources: pictures, videos, cameras and streams, as frames with real time stamps.

A word from the user becomes one or more sources. A source is opened by iterating over it, gives
frames in order, and closes itself; it can be iterated again.
"""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.video import STREAMS, Span, Video

PICTURES = frozenset(
    [
        ".bmp",
        ".dib",
        ".exr",
        ".gif",
        ".hdr",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
VIDEOS = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mjpeg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    ]
)


class Source(Protocol):
    """Where frames come from."""

    @property
    def name(self) -> str:
        """For messages and the names of output files."""
        ...

    @property
    def moving(self) -> bool:
        """Whether frames follow each other in time, so that people can be followed."""
        ...

    @property
    def live(self) -> bool:
        """Whether it goes on whether we are ready or not, so that old frames should be skipped."""
        ...

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        """Frames; in place of one that cannot be read, why not."""
        ...

    def count(self) -> int | None:
        """How many frames are wanted of it, as far as can be told beforehand."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Picture files, each on its own."""

    paths: tuple[Path, ...]
    span: Span
    moving = False
    live = False

    @property
    def name(self) -> str:
        """The file, or the folder they all lie in."""
        if len(self.paths) == 1:
            return self.paths[0].name
        folders = {path.parent for path in self.paths}
        return folders.pop().resolve().name if len(folders) == 1 else f"{len(self.paths)} pictures"

    def _wanted(self) -> Sequence[tuple[int, Path]]:
        return list(enumerate(self.paths))[:: self.span.stride][: self.span.most]

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        for index, path in self._wanted():
            try:
                yield Frame.read(path, index)
            except VitruvianError as error:
                yield error

    def count(self) -> int:
        """How many there are."""
        return len(self._wanted())


@dataclass(frozen=True)
class Webcam:
    """A camera of this machine; it goes on until it is stopped."""

    number: int
    span: Span
    moving = True
    live = True

    @property
    def name(self) -> str:
        """As the user calls it."""
        return f"camera:{self.number}"

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        import time

        import cv2

        device = cv2.VideoCapture(self.number)
        try:
            if not device.isOpened():
                yield VitruvianError(
                    f"cannot open {self.name}: there is no such camera, or a program is using it"
                )
                return
            began, given, index = time.monotonic(), 0, -1
            while self.span.most is None or given < self.span.most:
                ok, bgr = device.read()
                seconds = time.monotonic() - began
                if not ok:
                    yield VitruvianError(f"{self.name} gave no more frames after {seconds:.1f} s")
                    return
                index += 1
                if self.span.end is not None and seconds >= self.span.end:
                    return
                if seconds >= self.span.start and index % self.span.stride == 0:
                    yield Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), index, seconds, self.name)
                    given += 1
        finally:
            device.release()

    def count(self) -> int | None:
        """Nobody knows, unless only so many are wanted."""
        return self.span.most


def is_picture(word: str) -> bool:
    """Whether the source of a frame is a picture file, which has no time, by its name."""
    return Path(word).suffix.lower() in PICTURES and not word.startswith(STREAMS)


def open_source(words: str | Path | Sequence[str | Path], span: Span | None = None) -> list[Source]:
    """The sources that words name.

    Args:
        words: picture, folder, pattern (`*.jpg`), video, `camera:0`, `rtsp://` or `http://` stream,
            `-` for a list of them on standard input, or `sample` for the portrait that comes with
            matplotlib.
        span: which frames are wanted of each; all of them.

    Raises:
        VitruvianError: there is no such file, or nothing to look at in a folder.
    """
    span = span or Span()
    if isinstance(words, (str, Path)):
        words = [words]
    items: list[Path | Source] = []
    for word in words:
        items.extend(_items(str(word), span))
    if not items:
        raise VitruvianError("there is nothing to look at: the list of sources is empty")
    sources: list[Source] = []
    pictures: list[Path] = []
    for item in [*items, None]:
        if isinstance(item, Path):
            pictures.append(item)
            continue
        if pictures:
            sources.append(Pictures(tuple(pictures), span))
            pictures = []
        if item is not None:
            sources.append(item)
    if (span.start or span.end is not None) and not any(source.moving for source in sources):
        raise VitruvianError("start and end choose a part of a video, but there are only pictures")
    return sources


def _items(word: str, span: Span) -> list[Path | Source]:
    """What one word names: pictures as paths, everything else as sources."""
    if word == "-":
        lines = [line.strip() for line in sys.stdin]
        return [item for line in lines if line for item in _items(line, span)]
    if word.startswith(STREAMS):
        return [Video(word, span)]
    if word.startswith("camera:"):
        number = word.removeprefix("camera:")
        if number.isdecimal():
            return [Webcam(int(number), span)]  # a file of that name is ./camera:0
        if not Path(word).exists():
            raise VitruvianError(f"'{word}' is no camera; write camera:0 for the first one")
    path = Path(word).expanduser()
    if word == "sample" and not path.exists():
        return [sample()]
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES | VIDEOS)
        if not found:
            raise VitruvianError(
                f"no pictures or videos in '{word}'; folders inside it are not searched, "
                f"a pattern does that: '{path / '**' / '*.jpg'}'"
            )
    elif path.exists():
        found = [path]
    elif any(sign in word for sign in "*?["):
        matches = sorted(Path(match) for match in glob.glob(word, recursive=True))  # noqa: PTH207
        found = [p for p in matches if p.is_file()]
        if not found:
            raise VitruvianError(f"nothing matches '{word}'")
    else:
        raise VitruvianError(f"cannot read '{word}': no such file or folder")
    return [p if p.suffix.lower() in PICTURES else Video(str(p), span) for p in found]


def sample() -> Path:
    """The built-in picture: Grace Hopper, a portrait in the public domain, from matplotlib."""
    from importlib.util import find_spec

    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise VitruvianError("the sample comes with matplotlib, which is not installed")
    return Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
