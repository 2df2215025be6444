"""MediaPipe's model bundles (.task): zip archives of the networks that a task needs.

Source: MediaPipe 0.10.21, Pose Landmarker: pose_detector.tflite and pose_landmarks_detector.tflite,
not compressed.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

from vitruvian.errors import VitruvianError, shown
from vitruvian.weights.download import cache_folder, sha256

DETECTOR, LANDMARKS = "pose_detector.tflite", "pose_landmarks_detector.tflite"
MOST_BYTES = 1 << 28  # of a network; the largest published one has 28 MB
MOST_MEMBERS = 8  # that an error lists


def is_task_bundle(path: str | Path) -> bool:
    """Whether a file is a bundle, by its name."""
    return Path(path).suffix.lower() == ".task"


def unpack_pose_task(bundle: Path | bytes) -> tuple[Path, Path]:
    """Detector and landmark network of a bundle of the Pose Landmarker.

    They are kept in the cache folder, named by their content.

    Args:
        bundle: the .task file, or what is in it.

    Raises:
        VitruvianError: the file is missing, no zip archive, damaged, or of another task.
    """
    name = "model_asset_buffer" if isinstance(bundle, bytes) else f"'{shown(bundle, 100)}'"
    try:
        file = io.BytesIO(bundle) if isinstance(bundle, bytes) else bundle.open("rb")
        with file, zipfile.ZipFile(file) as archive:
            found = archive.namelist()
            missing = next((each for each in (DETECTOR, LANDMARKS) if each not in found), None)
            if missing:
                held = ", ".join(found[:MOST_MEMBERS]) or "nothing"
                raise VitruvianError(
                    f"cannot read {name}: no file with name: {missing}; it holds {held}; want a "
                    "bundle of MediaPipe's Pose Landmarker"
                )
            detector, landmarks = (_kept(archive, each, name) for each in (DETECTOR, LANDMARKS))
    except OSError as error:
        raise VitruvianError(f"cannot read {name}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        # zipfile raises the last two for unsupported and encrypted archives.
        fault = "it is not a zip archive, as MediaPipe's .task bundles are, or it is damaged"
        raise VitruvianError(f"cannot read {name}: {fault}") from None
    return detector, landmarks


def _kept(archive: zipfile.ZipFile, member: str, name: str) -> Path:
    """One network in the cache folder."""
    with archive.open(member) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise VitruvianError(f"cannot read {name}: {member} is larger than {MOST_BYTES} bytes")
    digest, folder = hashlib.sha256(content).hexdigest(), cache_folder()
    path = folder / f"{Path(member).stem}-{digest[:16]}.tflite"
    if path.is_file() and sha256(path) == digest:
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number, part = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(number, "wb") as out:
                out.write(content)
            Path(part).replace(path)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise VitruvianError(
            f"cannot write to the cache folder '{folder}': {error.strerror}; set VITRUVIAN_CACHE "
            "to a writable folder"
        ) from None
    return path
