"""vitruvian: find people in photos, videos and live streams, and say where their joints are.

import vitruvian as vit

for frame, poses in vit.run("match.mp4", num_poses=2):
    print(frame.seconds, poses.person, poses["left_wrist"].xy)
"""

from importlib import import_module

# Public name -> the module it is in; loaded when it is first used, so that importing vitruvian is
# quick. No module here has a public name: the import system would set it in place of the function.
_PUBLIC = {
    "Event": "analysis.events",
    "EventChange": "analysis.changes",
    "Frame": "frame",
    "Poses": "body.poses",
    "Skeleton": "body.skeleton",
    "VitruvianError": "errors",
    "analyze": "verbs.api",
    "analyze_frames": "verbs.analyze",
    "batch": "verbs.batch.batch",
    "benchmark": "verbs.benchmark.benchmark",
    "calibrate": "verbs.calibrate",
    "compare": "verbs.compare.compare",
    "convert": "verbs.convert",
    "distil": "verbs.distil",
    "doctor": "verbs.doctor",
    "draw": "rendering.draw",
    "export": "verbs.export",
    "from_supervision": "formats.libraries",
    "from_xarray": "formats.libraries",
    "live": "verbs.live.push",
    "load": "models.load",
    "open_sink": "verbs.outputs",
    "open_source": "sources.open",
    "plot3d": "rendering.page",
    "predict": "verbs.api",
    "read": "formats.table",
    "run": "streams.run",
    "serve": "verbs.live.serve",
    "show": "rendering.show",
    "stream": "streams.run",
    "synth": "verbs.synth",
    "to_pandas": "formats.libraries",
    "to_supervision": "formats.libraries",
    "to_xarray": "formats.libraries",
    "trace": "verbs.trace",
    "track": "verbs.api",
    "train": "verbs.train",
    "triangulate": "verbs.triangulate",
    "val": "verbs.val.val",
}
__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name == "__version__":
        value = _installed_version()
    elif name in _PUBLIC:
        value = getattr(import_module(f"vitruvian.{_PUBLIC[name]}"), name)
    else:
        raise AttributeError(f"module 'vitruvian' has no attribute '{name}'")
    globals()[name] = value
    return value


def _installed_version() -> str:
    """Git's tag and the commits since, as it was when vitruvian was installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("vitruvian")
    except PackageNotFoundError:  # its files are on Python's path, and no more
        return "0+unknown"


def __dir__() -> list[str]:
    return list(__all__)
