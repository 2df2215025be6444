"""vitruvian: find people in photos, videos and live streams, and say where their joints are.

import vitruvian as vit

for frame, poses in vit.run("match.mp4", num_poses=2):
    print(frame.seconds, poses.person, poses["left_wrist"].xy)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitruvian.analyse.events import Event as Event
    from vitruvian.analysis import analyze as analyze
    from vitruvian.body.poses import Poses as Poses
    from vitruvian.body.skeleton import Skeleton as Skeleton
    from vitruvian.errors import VitruvianError as VitruvianError
    from vitruvian.evaluate.run import val as val
    from vitruvian.frame import Frame as Frame
    from vitruvian.interop import to_pandas as to_pandas
    from vitruvian.interop import to_supervision as to_supervision
    from vitruvian.interop import to_xarray as to_xarray
    from vitruvian.models.catalogue import load as load
    from vitruvian.pipeline import run as run
    from vitruvian.pushed import live as live
    from vitruvian.sink.draw import draw as draw
    from vitruvian.sink.files import open_sink as open_sink
    from vitruvian.sink.formats import read as read
    from vitruvian.source import open_source as open_source

__version__ = "0.1.0"

# Public name -> where it is; loaded when it is first used, so that importing vitruvian is quick.
_PUBLIC = {
    "Event": "vitruvian.analyse.events:Event",
    "Frame": "vitruvian.frame:Frame",
    "Poses": "vitruvian.body.poses:Poses",
    "Skeleton": "vitruvian.body.skeleton:Skeleton",
    "VitruvianError": "vitruvian.errors:VitruvianError",
    "analyze": "vitruvian.analysis:analyze",
    "draw": "vitruvian.sink.draw:draw",
    "live": "vitruvian.pushed:live",
    "load": "vitruvian.models.catalogue:load",
    "open_sink": "vitruvian.sink.files:open_sink",
    "open_source": "vitruvian.source:open_source",
    "read": "vitruvian.sink.formats:read",
    "run": "vitruvian.pipeline:run",
    "to_pandas": "vitruvian.interop:to_pandas",
    "to_supervision": "vitruvian.interop:to_supervision",
    "to_xarray": "vitruvian.interop:to_xarray",
    "val": "vitruvian.evaluate.run:val",
}
__all__ = [
    "Event",
    "Frame",
    "Poses",
    "Skeleton",
    "VitruvianError",
    "__version__",
    "analyze",
    "draw",
    "live",
    "load",
    "open_sink",
    "open_source",
    "read",
    "run",
    "to_pandas",
    "to_supervision",
    "to_xarray",
    "val",
]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vitruvian' has no attribute '{name}'")
    module, attribute = _PUBLIC[name].split(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
