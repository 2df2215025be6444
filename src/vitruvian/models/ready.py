"""The files a model runs from: fetched, and a checkpoint converted once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import find_skeleton
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError
from vitruvian.models.zoo import Entry, entry, shelf
from vitruvian.weights import download, metrabs_archive
from vitruvian.weights.download import File

if TYPE_CHECKING:
    from vitruvian.export.export import Exported

CHECKPOINTS = (".pt", ".pth")  # of PyTorch


def is_network_file(name: str) -> bool:
    """Whether the name of a model is that of a file: a checkpoint or an exported network."""
    path = Path(name)
    return is_checkpoint(path) or path.suffix.lower() in (".onnx", ".xml")


def is_checkpoint(path: Path) -> bool:
    """Whether a file is converted once, before it runs: of PyTorch, or an archive of MeTRAbs."""
    return path.suffix.lower() in CHECKPOINTS or metrabs_archive.is_archive(path)


def short_name(name: str) -> str:
    """Of a model of the catalogue its name; of a file, that without folder and ending."""
    return stem(Path(name)) if is_network_file(name) else name


def stem(path: Path) -> str:
    """The name of a file without what says its kind: `.tar.gz` is one of them."""
    return path.stem.removesuffix(".tar")


def pull(name: str) -> list[Path]:
    """The files a model runs from; what is missing is fetched, and converted if need be.

    Raises:
        VitruvianError: no such model, weights not to be had, or what converts them is missing.
    """
    return pull_files(entry(name), entry(name).files)


def pull_files(row: Entry, files: Sequence[File]) -> list[Path]:
    """Some of a model's files, fetched and converted."""
    table = skeleton_named(row.skeleton) if row.decode else None
    return [
        converted(path, table, row.decode) if is_checkpoint(path) else path
        for path in download.fetch(files, keep=shelf(), notice=row.notice)
    ]


def converted(
    checkpoint: Path, skeleton: Skeleton | None = None, decode: str | None = None
) -> Path:
    """A checkpoint as a network in the cache folder; made the first time, with torch.

    Args:
        checkpoint: see `vitruvian.export.export.export_checkpoint`.
        skeleton: the same.
        decode: the same.

    Raises:
        VitruvianError: it has to be made, and torch is not installed.
    """
    table = skeleton.to_json() if skeleton else "its own"
    key = f"{download.sha256(checkpoint)} {table} {decode or ''}"
    name = f"{stem(checkpoint)}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.onnx"
    out = download.cache_folder() / name
    if out.exists():
        return out
    export = exporter(checkpoint.name)
    print(f"converting {checkpoint.name}, once", file=sys.stderr, flush=True)
    export(checkpoint, out, skeleton=skeleton, decode=decode)
    return out


def exporter(name: str) -> Callable[..., Exported]:
    """`vitruvian.export.export.export_checkpoint`, for a checkpoint of this name.

    Raises:
        VitruvianError: torch, or another library it needs, is not installed.
    """
    try:
        from vitruvian.export.export import export_checkpoint
    except ImportError as error:
        raise VitruvianError(
            f"{name} has to be converted once, which needs {error.name}; "
            "install it with: pip install 'vitruvian[train]'"
        ) from None
    return export_checkpoint


def as_skeleton(which: str | Path | Skeleton | None) -> Skeleton | None:
    """A skeleton by its name or .toml file, or as it is."""
    return which if which is None or isinstance(which, Skeleton) else find_skeleton(str(which))
