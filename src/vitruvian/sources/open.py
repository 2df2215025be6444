"""Sources: images, videos, webcams and network streams, as frames with timestamps in seconds.

A path or address given by the user becomes one or more sources. Iterating over a source opens it,
yields its frames in order and closes it; it can be iterated again.
"""

from __future__ import annotations

import glob
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vitruvian.errors import VitruvianError, amount, note, shown
from vitruvian.frame import Frame
from vitruvian.picture_files import opened, pixels
from vitruvian.picture_files.content import page_of
from vitruvian.sources.frames import CallerFrames
from vitruvian.sources.video import STREAMS, Span, VideoFile
from vitruvian.sources.webcam import Webcam

# fmt: off
PICTURES = frozenset([
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".exr", ".gif", ".hdr", ".heic", ".heics",
    ".heif", ".heifs", ".hif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm",
    ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
])
VIDEOS = frozenset([
    ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
])
# fmt: on
CLUTTER = frozenset(["desktop.ini", "ehthumbs.db", "thumbs.db"])  # lower case


class Source(Protocol):
    """An iterable of frames."""

    @property
    def name(self) -> str:
        """Name for messages and output files."""
        ...

    @property
    def moving(self) -> bool:
        """Whether frames are consecutive in time (video), so that people can be tracked."""
        ...

    @property
    def live(self) -> bool:
        """Whether it is real time (webcam, stream), so that old frames are dropped."""
        ...

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        """Frames; an error in place of a frame that cannot be read."""
        ...

    def count(self) -> int | None:
        """Number of frames, None if unknown in advance."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Image files, independent of each other."""

    paths: tuple[Path, ...]
    span: Span
    moving = False
    live = False

    @property
    def name(self) -> str:
        """Name of the file, or of their common folder."""
        files = {page_of(path)[0] if path.suffix[-1:] == "]" else path for path in self.paths}
        if len(files) == 1:
            return files.pop().name
        folders = {path.parent for path in self.paths}
        return folders.pop().resolve().name if len(folders) == 1 else f"{len(self.paths)} images"

    def wanted(self) -> Sequence[tuple[int, Path]]:
        """Number and file of each image."""
        return list(enumerate(self.paths))[:: self.span.stride][: self.span.max_frames]

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        told: set[str] = set()
        for index, path in self.wanted():
            try:
                frame, assumed = Frame.read_and_say(path, index)
            except VitruvianError as error:
                yield error
                continue
            # One note for all images of one camera.
            what = re.sub(r"[-+.\de]+", "", assumed)
            if assumed and what not in told:
                told.add(what)
                others = "" if len(self.paths) == 1 else ", likewise for similar images"
                note(f"'{shown(path, 100)}': {assumed}{others}")
            yield frame

    def count(self) -> int:
        """Number of images."""
        return len(self.wanted())


@dataclass(frozen=True)
class MovingPicture(VideoFile):
    """An animated image (GIF, APNG, WebP or AVIF), with the frame times of the file."""

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        span, given, seconds = self.span, 0, 0.0
        try:
            for index, (rgb, seconds) in enumerate(pixels.film(Path(self.address))):
                if span.end is not None and seconds >= span.end:
                    return
                if seconds >= span.start and index % span.stride == 0:
                    yield Frame(rgb, index, seconds, self.address)
                    given += 1
                    if given == span.max_frames:
                        return
        except VitruvianError as error:
            yield error
            return
        if not given and seconds < span.start:
            yield VitruvianError(
                f"'{self.address}' has no frames from {span.start:g} s on: it ends at {seconds:g} s"
            )

    def count(self) -> int | None:
        """Number of frames; None if unknown in advance."""
        span = self.span
        if span.start or span.end is not None:
            return span.max_frames
        try:
            wanted = range(0, pixels.film_length(Path(self.address)), span.stride)
        except VitruvianError:
            return None
        return min(len(wanted), span.max_frames or len(wanted))


def is_picture(word: str) -> bool:
    """Whether the source of a frame is a still image.

    By its content, or by its extension if the file is missing; then a GIF counts as a video.
    """
    if word.startswith(STREAMS):
        return False
    path, page = page_of(word)
    found = opened.kind(path)
    if page is not None or found:
        return page is not None or found in ("picture", "pages")
    return path.suffix.lower() in PICTURES - {".apng", ".gif"}


def of_file(name: str, span: Span) -> VideoFile:
    """A video or an animated image, by its content."""
    return (MovingPicture if opened.kind(Path(name)) == "moving" else VideoFile)(name, span)


def open_source(
    words: Any, span: Span | None = None, *, fps: float | None = None, order: str | None = None
) -> list[Source]:
    """Open paths, addresses, webcams or frames of the caller as sources.

    Args:
        words: image, folder, glob pattern (`*.jpg`), video, page of a TIFF (`scan.tif[1]`), webcam
            (`camera:0`), `rtsp://` or `http://` stream, `-` for paths from standard input, or
            `sample` for the portrait that comes with matplotlib; or a list of these. Or a webcam
            index; a `Frame` or an array; or a list or generator of them, which is one video.
        span: frames to read of each source; by default all.
        fps: frame rate of such a list or generator; by default from the timestamps of the frames,
            or, for a generator, from the wall clock.
        order: channel order of arrays: "bgr" (OpenCV) or "rgb".

    Raises:
        VitruvianError: file not found, or a folder without images and videos.
    """
    span = span or Span()
    words, frames = _given(words)
    if frames:
        return [CallerFrames(words, span, fps=fps, order=order)]
    if fps is not None or order is not None:
        name = "order" if fps is None else "fps"
        raise VitruvianError(f"{name} is for frames and arrays; files have their own")
    items: list[Path | Source] = []
    for word in words:
        items.extend(_items(str(word), span))
    if not items:
        raise VitruvianError("no sources: the list is empty")
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
        raise VitruvianError("start and end select a part of a video, but there are only images")
    return sources


def _given(words: Any) -> tuple[Any, bool]:
    """The source names or frames that a caller gave, and whether they are frames.

    Raises:
        VitruvianError: neither, or a mix of both.
    """
    if isinstance(words, (str, Path)):
        return [words], False
    if isinstance(words, int) and not isinstance(words, bool):
        if words < 0:
            raise VitruvianError(f"{words} is not a camera index; the first is 0")
        return [f"camera:{words}"], False
    if isinstance(words, np.ndarray) and words.ndim == 4:
        words = list(words)
    if isinstance(words, (Frame, np.ndarray)):
        return [words], True
    if not isinstance(words, Iterable):
        way_out = "give a file, camera:0, or frames"
        if hasattr(words, "read") and hasattr(words, "grab"):  # of OpenCV
            way_out = (
                "read its frames yourself and pass each to vit.stream, or give vit.run its file"
            )
        raise VitruvianError(f"{shown(type(words).__name__)} is not a source; {way_out}")
    if not isinstance(words, Sequence):  # one after the other
        rest = iter(words)
        first = next(rest, None)
        if first is None:
            return [], False
        words = chain([first], rest)
        return (words, True) if not isinstance(first, (str, Path)) else (list(words), False)
    pictures = [isinstance(word, (Frame, np.ndarray)) for word in words]
    if any(pictures) and not all(pictures):
        raise VitruvianError("file names and frames are mixed; give one kind")
    return words, any(pictures)


def _items(word: str, span: Span) -> list[Path | Source]:
    """The sources of one path or address: images as paths, everything else as sources."""
    if word == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):  # names of files may be any bytes
            sys.stdin.reconfigure(errors="surrogateescape")
        lines = [line.strip() for line in sys.stdin]
        return [item for line in lines if line for item in _items(line, span)]
    if word.startswith(STREAMS):
        return [_stream(word, span)]
    path = Path(word).expanduser()
    try:
        path.exists()
    except OSError as error:  # a name that is too long, a link to itself
        raise VitruvianError(f"cannot read '{shown(word, 200)}': {error.strerror}") from None
    if word.startswith("camera:"):
        number = word.removeprefix("camera:")
        if number.isdecimal():
            return [Webcam(int(number), span)]  # a file of that name is ./camera:0
        if not path.exists():
            raise VitruvianError(f"'{word}' is not a camera; the first is camera:0")
    if word == "sample" and not path.exists():
        return [sample()]
    if path.is_dir():
        found = _sorted_out(path.iterdir(), word)
        if not found:
            raise VitruvianError(
                f"no images or videos in '{shown(word, 100)}'; subfolders are not searched; use a "
                f"pattern: '{shown(path / '**' / '*.jpg', 100)}'"
            )
    elif path.exists():
        found = [path]
    elif page_of(path)[0].is_file():
        return [path]
    elif any(sign in word for sign in "*?["):
        matches = [Path(match) for match in glob.glob(word, recursive=True)]  # noqa: PTH207
        found = _sorted_out(matches, word)
        if not found:
            raise VitruvianError(f"nothing matches '{shown(word, 200)}'")
    else:
        raise VitruvianError(f"cannot read '{shown(word, 200)}': no such file or folder")
    return [item for p in found for item in _file(p, span)]


def _stream(word: str, span: Span) -> VideoFile:
    """The network stream at an address.

    Raises:
        VitruvianError: the address is that of an image.
    """
    kind = Path(word.split("?")[0].split("#")[0]).suffix.lower()
    if word.startswith(("http://", "https://")) and kind in PICTURES:
        raise VitruvianError(
            f"'{shown(word, 150)}' is an image, but URLs must be videos; download it first (curl "
            "-O), and give the file"
        )
    return VideoFile(word, span)


def _file(path: Path, span: Span) -> list[Path | Source]:
    """The source of a file, by its content, or else by its extension."""
    kind = opened.kind(path)
    if kind == "pages":
        return [*opened.pages(path)]
    if kind in ("moving", "video") or (not kind and path.suffix.lower() not in PICTURES):
        return [of_file(str(path), span)]
    return [path]


def natural(path: Path) -> tuple[tuple[tuple[str | int, ...], str], ...]:
    """Key for natural sort order: `frame_2` before `frame_10`."""
    return tuple(map(natural_name, path.parts))


def natural_name(name: str) -> tuple[tuple[str | int, ...], str]:
    """The same for names of one folder."""
    pieces: list[str | int] = [*re.split(r"([0-9]+)", name)]
    pieces[1::2] = map(int, pieces[1::2])
    return tuple(pieces), name


def is_clutter(name: str) -> bool:
    """Whether a file is hidden or of the operating system: `._a.jpg`, `Thumbs.db`."""
    return name.startswith(".") or name.lower() in CLUTTER


def _sorted_out(paths: Iterable[Path], word: str) -> list[Path]:
    """Images and videos of a folder or pattern, in natural order; notes which files are skipped."""
    found, left = [], Counter[str]()
    for path in sorted(paths, key=natural):
        kind = path.suffix.lower()
        if path.name.startswith("._"):
            left["macOS metadata (._*)"] += 1
        elif is_clutter(path.name):
            left["hidden or system files"] += 1
        elif path.is_dir():
            left["folders"] += 1
        elif kind and kind not in PICTURES | VIDEOS:
            left[kind] += 1
        elif not path.is_file():
            left["not files (broken links, pipes)"] += 1
        elif not kind and not opened.kind(path):
            left["without an extension"] += 1
        elif opened.kind(path) == "macos":
            left["macOS metadata (._*)"] += 1
        else:
            found.append(path)
    if left and found:
        most = left.most_common()
        kinds = ", ".join(f"{number} {what}" for what, number in most[:6])
        more = f", {sum(number for _, number in most[6:])} more" if most[6:] else ""
        taken = amount(len(found), "image or video", "images and videos")
        note(f"'{shown(word, 100)}': {taken}; ignored: {kinds}{more}")
    elif left:
        kinds = ", ".join(f"{number} {what}" for what, number in left.most_common(6))
        raise VitruvianError(f"no images or videos in '{shown(word, 100)}', only {kinds}")
    return found


def sample() -> Path:
    """Path of the sample image of matplotlib: Grace Hopper, a portrait in the public domain."""
    from importlib.util import find_spec

    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise VitruvianError("the sample image is part of matplotlib, which is not installed")
    return Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
