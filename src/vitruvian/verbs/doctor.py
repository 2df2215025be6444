"""Doctor: checks of this machine, what is wrong, and how to fix it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.picture_files.opened import import_heif


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    what: str
    found: str
    way_out: str = ""  # how to fix it; empty if nothing is wrong

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.way_out


def doctor() -> list[Finding]:
    """Check everything a run needs; nothing is wrong if all findings are `good`."""
    return list(_findings())


def _findings() -> Iterator[Finding]:
    from vitruvian import __version__

    where = f"Python {platform.python_version()}, {platform.platform()}"
    yield Finding("vitruvian", f"{__version__}, {where}, {os.cpu_count()} cores")
    yield _runtime()
    yield from _weights()
    yield _versions()
    yield _opencv()
    yield _codecs()
    yield _pictures()
    yield Finding("telemetry", "none; openvino's telemetry is not loaded (docs/conventions.md)")


def _versions() -> Finding:
    names = ["numpy", "opencv-python-headless", "av", "openvino", "matplotlib"]
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    lost = [name for name in missing if name != "opencv-python-headless"]
    way_out = f"pip install {' '.join(lost)}" if lost else ""
    return Finding("libraries", ", ".join(found), way_out)


def _opencv() -> Finding:
    """Several OpenCV wheels share one folder: the last one installed wins, and breaks the rest."""
    wheels = sorted(set(packages_distributions().get("cv2", [])))
    if len(wheels) > 1:
        others = " ".join(name for name in wheels if name != "opencv-python-headless")
        way_out = (
            f"pip uninstall -y {others} opencv-python-headless && "
            "pip install opencv-python-headless"
        )
        return Finding(
            "OpenCV", f"{len(wheels)} wheels that overwrite each other: {wheels}", way_out
        )
    try:
        import cv2
    except ImportError as error:
        return Finding("OpenCV", f"does not load: {error}", "pip install opencv-python-headless")
    return Finding("OpenCV", f"{cv2.__version__}, {cv2.getNumThreads()} threads")


def _codecs() -> Finding:
    import av.codec

    wanted = {"h264": "r", "hevc": "r", "vp9": "r", "av1": "r", "libx264": "w"}
    missing = []
    for name, mode in wanted.items():
        try:
            av.codec.Codec(name, mode)  # type: ignore[arg-type]
        except (av.codec.codec.UnknownCodecError, ValueError):
            missing.append(name)
    have = ", ".join(name for name in wanted if name not in missing)
    way_out = f"install av from its wheel: pip install --force-reinstall av (lacks {missing})"
    return Finding("codecs", have, way_out if missing else "")


def _pictures() -> Finding:
    """Whether phone photos (HEIC, AVIF) can be read."""
    from PIL import features

    missing = [] if features.check("avif") else ["pillow>=11.3 (AVIF)"]
    try:
        import_heif()
    except VitruvianError:
        missing.append("pi-heif (HEIC)")
    way_out = f"pip install --upgrade {' '.join(name.split()[0] for name in missing)}"
    have = "JPEG, PNG, WebP, GIF, TIFF, HEIC, AVIF and others"
    return Finding(
        "image formats",
        have if not missing else f"without {', '.join(missing)}",
        way_out if missing else "",
    )


def _weights() -> Iterator[Finding]:
    from vitruvian.models.zoo import CATALOGUE
    from vitruvian.weights import download

    folder = download.cache_folder()
    there = folder
    while not there.exists():
        there = there.parent
    way_out = (
        "" if os.access(there, os.W_OK) else "set VITRUVIAN_CACHE to a folder you may write to"
    )
    mode = ", offline" if download.offline() else ""
    yield Finding("cache", f"{folder}{mode}", way_out)
    clients = ["pip" if _has_pip() else "", "npm" if shutil.which("npm") else ""]
    found = ", ".join(filter(None, clients)) or "none"
    missing = "" if clients[0] else f"{sys.executable} -m ensurepip"
    yield Finding("package clients", f"{found} (npm only for blazepose-lite and -heavy)", missing)
    here, rest = list[str](), list[str]()
    for row in CATALOGUE.values():
        try:
            whole = all(download.find(file) is not None for file in row.files)
        except VitruvianError as error:
            yield Finding(f"weights of {row.name}", "damaged", str(error))
            continue
        (here if whole else rest).append(row.name)
    yield Finding("downloaded weights", ", ".join(here) or "none yet")
    if rest:
        few = ", ".join(rest[:4]) + (f" and {len(rest) - 4} more" if rest[4:] else "")
        yield Finding("weights not downloaded yet", f"{few}; the first run downloads them")


def _has_pip() -> bool:
    from importlib.util import find_spec

    return find_spec("pip") is not None


def _runtime() -> Finding:
    """Run the default model, if its weights are here, and report its device."""
    from vitruvian.frame import Frame
    from vitruvian.models.load import load
    from vitruvian.models.zoo import DEFAULT, entry
    from vitruvian.network.openvino import import_openvino, openvino_core
    from vitruvian.weights import download

    openvino = import_openvino()
    devices = ", ".join(openvino_core().available_devices)
    found = f"OpenVINO {openvino.__version__.split('-')[0]}, devices {devices}"
    try:
        if any(download.find(file) is None for file in entry(DEFAULT).files):
            return Finding(
                "runtime", f"{found}; {DEFAULT} not tested, its weights are not downloaded"
            )
        model = load(DEFAULT)
        model([Frame(np.zeros((64, 64, 3), np.uint8))])
    except VitruvianError as error:
        return Finding("runtime", found, str(error))
    return Finding("runtime", f"{found}; {DEFAULT} ran on {model.runs_on}")
