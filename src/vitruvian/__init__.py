"""vitruvian: find people in photos, videos and live streams, and say where their joints are.

import vitruvian as vit

for frame, poses in vit.run("match.mp4", num_poses=2):
    print(frame.seconds, poses.person, poses["left_wrist"].xy)
"""

import sys
from importlib import import_module
from types import ModuleType
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
    from vitruvian.stream.live import live as live
    from vitruvian.stream.stream import run as run
    from vitruvian.stream.stream import stream as stream
    from vitruvian.verbs.analyze import analyze as analyze
    from vitruvian.verbs.outputs import open_sink as open_sink
    from vitruvian.verbs.trace import trace as trace
    from vitruvian.verbs.val.val import val as val

__version__ = "0.1.0"

# Public name -> where it is; loaded when it is first used, so that importing vitruvian is quick.
_PUBLIC = {
    "Event": "vitruvian.analysis.events:Event",
    "Frame": "vitruvian.frame:Frame",
    "Poses": "vitruvian.body.poses:Poses",
    "Skeleton": "vitruvian.body.skeleton:Skeleton",
    "VitruvianError": "vitruvian.errors:VitruvianError",
    "analyze": "vitruvian.verbs.analyze:analyze",
    "draw": "vitruvian.show.draw:draw",
    "live": "vitruvian.stream.live:live",
    "load": "vitruvian.models.load:load",
    "open_sink": "vitruvian.verbs.outputs:open_sink",
    "open_source": "vitruvian.sources.open:open_source",
    "read": "vitruvian.formats.table:read",
    "run": "vitruvian.stream.stream:run",
    "stream": "vitruvian.stream.stream:stream",
    "to_pandas": "vitruvian.formats.libraries:to_pandas",
    "to_supervision": "vitruvian.formats.libraries:to_supervision",
    "to_xarray": "vitruvian.formats.libraries:to_xarray",
    "trace": "vitruvian.verbs.trace:trace",
    "val": "vitruvian.verbs.val.val:val",
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
    "stream",
    "to_pandas",
    "to_supervision",
    "to_xarray",
    "trace",
    "val",
]


class _Package(ModuleType):
    """Where a public name is also that of a folder, as `stream` is, it is the public name."""

    def __setattr__(self, name: str, value: object) -> None:
        # The import system hangs each folder on its package when it is first imported.
        if not (isinstance(value, ModuleType) and name in _PUBLIC):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vitruvian' has no attribute '{name}'")
    module, attribute = _PUBLIC[name].split(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
