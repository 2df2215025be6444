"""Every model by name: its files, where they come from, and their licence. A row adds a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitruvian.errors import unknown
from vitruvian.network import weights
from vitruvian.network.weights import File, Package, Source

if TYPE_CHECKING:
    from vitruvian.models.top_down import TopDown

_WHEEL = Package("pypi", "mediapipe", "0.10.21", 35_622_638)
_NPM = Package("npm", "@mediapipe/pose", "0.5.1675469404", 40_985_403)


def _task(size: str, size_bytes: int) -> Package:
    """MediaPipe's own bundle, the last resort: nobody has published a hash of what is in it."""
    bucket = "https://storage.googleapis.com/mediapipe-models/pose_landmarker"
    address = f"{bucket}/pose_landmarker_{size}/float16/1/pose_landmarker_{size}.task"
    return Package("url", address, "", size_bytes)


def _landmarks(size: str, sha256: str, size_bytes: int, task_bytes: int) -> File:
    name = f"pose_landmark_{size}.tflite"
    wheel = [Source(_WHEEL, f"mediapipe/modules/pose_landmark/{name}")] if size == "full" else []
    npm = Source(_NPM, f"package/{name}")
    task = Source(_task(size, task_bytes), "pose_landmarks_detector.tflite", checked=False)
    return File(name, sha256, size_bytes, (*wheel, npm, task))


_DETECTOR = File(
    "pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    2_959_046,
    (
        Source(_WHEEL, "mediapipe/modules/pose_detection/pose_detection.tflite"),
        Source(_task("full", 9_398_198), "pose_detector.tflite", checked=False),
    ),
)


@dataclass(frozen=True)
class Entry:
    """One model."""

    name: str
    family: str
    skeleton: str
    gives: str  # what its poses hold
    files: tuple[File, ...]
    licence: str  # of the weights
    about: str


def _blazepose(size: str, landmarks: File, about: str) -> Entry:
    files = (_DETECTOR, landmarks)
    gives = "2D pixels, 3D metres from the hips, masks"
    return Entry(f"blazepose-{size}", "blazepose", "blazepose33", gives, files, "Apache-2.0", about)


CATALOGUE = {
    entry.name: entry
    for entry in (
        _blazepose(
            "lite",
            _landmarks(
                "lite",
                "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
                2_819_824,
                5_777_746,
            ),
            "the fastest",
        ),
        _blazepose(
            "full",
            _landmarks(
                "full",
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
                6_440_512,
                9_398_198,
            ),
            "the default",
        ),
        _blazepose(
            "heavy",
            _landmarks(
                "heavy",
                "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
                27_709_200,
                30_664_242,
            ),
            "the most accurate",
        ),
    )
}
DEFAULT = "blazepose-full"


def entry(name: str) -> Entry:
    """The model's row; `VitruvianError` with the nearest name if there is none."""
    if name not in CATALOGUE:
        raise unknown("model", name, CATALOGUE)
    return CATALOGUE[name]


def shelf() -> list[File]:
    """Every file of every model, once."""
    return list({file.name: file for row in CATALOGUE.values() for file in row.files}.values())


def load(name: str = DEFAULT, **options: object) -> TopDown:
    """A model, ready to run; its weights are fetched if they are not in the cache.

    Args:
        name: a row of the catalogue, see `vitruvian models`.
        options: those of its family, for BlazePose `vitruvian.models.blazepose.Options`.

    Raises:
        VitruvianError: no such model or option, a value out of range, or weights not to be had.
    """
    from vitruvian.models import blazepose

    row = entry(name)
    chosen = blazepose.Options.of(**options)  # a wrong one is refused before anything is fetched
    detector, landmarks = weights.fetch(row.files, keep=shelf())
    hashes = {path.name: weights.sha256(path) for path in (detector, landmarks)}
    return blazepose.load(detector, landmarks, chosen, row.name, hashes)
