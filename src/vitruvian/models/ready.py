"""Prepare model files: download, and convert checkpoints once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError
from vitruvian.models.spec import RUN_NETWORK
from vitruvian.models.zoo import Entry, entry, shelf
from vitruvian.weights import download, metrabs_archive
from vitruvian.weights.download import File
from vitruvian.weights.task_bundle import is_task_bundle

if TYPE_CHECKING:
    from vitruvian.exports.export import Exported

CHECKPOINTS = (".pt", ".pth")  # PyTorch


def is_network_file(name: str) -> bool:
    """Whether a model name is a file: a checkpoint, an exported network or a MediaPipe bundle."""
    path = Path(name)
    return is_checkpoint(path) or path.suffix.lower() in (".onnx", ".xml") or is_task_bundle(path)


def is_checkpoint(path: Path) -> bool:
    """Whether a file needs conversion: a PyTorch checkpoint or MeTRAbs archive."""
    return path.suffix.lower() in CHECKPOINTS or metrabs_archive.is_archive(path)


def short_name(name: str) -> str:
    """The name of a catalogue model, or a file name without folder and extension.

    The network of a training run has the name of its folder.
    """
    path = Path(name)
    if path.name == RUN_NETWORK and path.with_name("recipe.toml").is_file():
        return path.absolute().parent.name
    return stem(path) if is_network_file(name) else name


def stem(path: Path) -> str:
    """A file name without its extension, also without `.tar.gz`."""
    return path.stem.removesuffix(".tar")


def pull(name: str) -> list[Path]:
    """The files of a model; missing ones are downloaded, and converted if needed.

    Raises:
        VitruvianError: unknown model, failed download, or a missing converter library.
    """
    return pull_files(entry(name), entry(name).files)


def pull_files(row: Entry, files: Sequence[File]) -> list[Path]:
    """Download and convert some of a model's files."""
    table = skeleton_named(row.skeleton) if row.decode else None
    return [
        converted(path, table, row.decode) if is_checkpoint(path) else path
        for path in download.fetch(files, keep=shelf(), notice=row.notice)
    ]


def converted(
    checkpoint: Path, skeleton: Skeleton | None = None, decode: str | None = None
) -> Path:
    """The exported network of a checkpoint, in the cache; made once, with torch.

    Args:
        checkpoint: see `vitruvian.exports.export.export_checkpoint`.
        skeleton: see there.
        decode: see there.

    Raises:
        VitruvianError: it is not in the cache, and torch is not installed.
    """
    table = skeleton.to_json() if skeleton else "its own"
    key = f"{download.sha256(checkpoint)} {table} {decode or ''}"
    name = f"{stem(checkpoint)}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.onnx"
    out = download.cache_folder() / name
    if out.exists():
        return out
    export = exporter(checkpoint.name)
    print(f"converting {checkpoint.name} (once)", file=sys.stderr, flush=True)
    export(checkpoint, out, skeleton=skeleton, decode=decode)
    return out


def exporter(name: str) -> Callable[..., Exported]:
    """`vitruvian.exports.export.export_checkpoint`, for a checkpoint of this name.

    Raises:
        VitruvianError: torch, or another required library, is not installed.
    """
    try:
        from vitruvian.exports.export import export_checkpoint
    except ImportError as error:
        raise VitruvianError(
            f"{name} must be converted once, which needs {error.name}; install it with: pip "
            "install 'vitruvian[train]'"
        ) from None
    return export_checkpoint
