"""vitruvian: find people in photos, videos and live streams, and say where their joints are.

import vitruvian as vit

for frame, poses in vit.run("match.mp4", num_poses=2):
    print(frame.seconds, poses.person, poses["left_wrist"].xy)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitruvian.analysis.events import Event as Event
    from vitruvian.body.poses import Poses as Poses
    from vitruvian.body.skeleton import Skeleton as Skeleton
    from vitruvian.errors import VitruvianError as VitruvianError
    from vitruvian.formats.libraries import to_pandas as to_pandas
    from vitruvian.formats.libraries import to_supervision as to_supervision
    from vitruvian.formats.libraries import to_xarray as to_xarray
    from vitruvian.formats.table import read as read
    from vitruvian.frame import Frame as Frame
    from vitruvian.models.load import load as load
    from vitruvian.show.draw import draw as draw
    from vitruvian.sources.open import open_source as open_source
    from vitruvian.streams.live import live as live
    from vitruvian.streams.run import run as run
    from vitruvian.streams.run import stream as stream
    from vitruvian.verbs.analyze import analyze_frames as analyze_frames
    from vitruvian.verbs.api import analyze as analyze
    from vitruvian.verbs.api import predict as predict
    from vitruvian.verbs.api import track as track
    from vitruvian.verbs.benchmark.benchmark import benchmark as benchmark
    from vitruvian.verbs.compare.compare import compare as compare
    from vitruvian.verbs.convert import convert as convert
    from vitruvian.verbs.doctor import doctor as doctor
    from vitruvian.verbs.export import export as export
    from vitruvian.verbs.outputs import open_sink as open_sink
    from vitruvian.verbs.synth import synth as synth
    from vitruvian.verbs.trace import trace as trace
    from vitruvian.verbs.val.val import val as val

__version__ = "0.1.0"

# Public name -> the module it is in; loaded when it is first used, so that importing vitruvian is
# quick. No module here has a public name: the import system would set it in place of the function.
_PUBLIC = {
    "Event": "analysis.events",
    "Frame": "frame",
    "Poses": "body.poses",
    "Skeleton": "body.skeleton",
    "VitruvianError": "errors",
    "analyze": "verbs.api",
    "analyze_frames": "verbs.analyze",
    "benchmark": "verbs.benchmark.benchmark",
    "compare": "verbs.compare.compare",
    "convert": "verbs.convert",
    "doctor": "verbs.doctor",
    "draw": "show.draw",
    "export": "verbs.export",
    "live": "streams.live",
    "load": "models.load",
    "open_sink": "verbs.outputs",
    "open_source": "sources.open",
    "predict": "verbs.api",
    "read": "formats.table",
    "run": "streams.run",
    "stream": "streams.run",
    "synth": "verbs.synth",
    "to_pandas": "formats.libraries",
    "to_supervision": "formats.libraries",
    "to_xarray": "formats.libraries",
    "trace": "verbs.trace",
    "track": "verbs.api",
    "val": "verbs.val.val",
}
__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vitruvian' has no attribute '{name}'")
    value = getattr(import_module(f"vitruvian.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
