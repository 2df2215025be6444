"""`config.yaml` of MeTRAbs' published archives, read without a YAML library."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vitruvian.weights.unpickle import Fault


@dataclass(frozen=True)
class Config:
    """Settings that are not in the tensors, in our units."""

    side: int  # pixels of the crop
    stride: int  # crop pixels per heat map cell
    depth: int  # heat map cells along the depth axis
    box: float  # metres, side of the heat map cube
    centered: bool  # whether the strides are centred
    legacy: bool  # whether pixels get another shift, see `vitruvian.decode.volume`
    mix: float | None  # weight of 3D for joints in view; None: 0
    weak_perspective: bool


def scalars(text: str) -> dict[str, object]:
    """Top-level scalars (string, number, bool, null) of a YAML file, by name.

    Lists and nested values are skipped: published files have no setting there that we need.
    """
    found: dict[str, object] = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        value = rest.strip()
        if not colon or line[:1] in " \t-#\"'" or (rest and rest[0] not in " \t"):
            continue
        if value[:1] in ("'", '"'):
            end = value.find(value[0], 1)
            if end > 0:
                found[name.strip()] = value[1:end]
        else:
            value = "" if value.startswith("#") else value.split(" #")[0].rstrip()
            if value[:1] not in tuple("[{&*!|>") or not value:
                found[name.strip()] = _scalar(value)
    return found


def _scalar(value: str) -> object:
    """The value of an unquoted YAML 1.2 scalar."""
    words = {"true": True, "false": False, "null": None, "~": None, "": None}
    if value.lower() in words:
        return words[value.lower()]
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def config(text: str) -> Config:
    """Parse a `config.yaml`.

    Raises:
        Fault: settings are missing, or unlike those of any published network.
    """
    says = scalars(text)

    def take(name: str, low: float, high: float, default: float | None = None) -> float:
        value = says.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise Fault(f"its config.yaml says {name} is {value!r}, want a number")
        if not low <= value <= high:
            raise Fault(f"its config.yaml says {name} is {value}, want {low} to {high}")
        return value

    def flag(name: str, default: bool | None = None) -> bool:
        value = says.get(name, default)
        if not isinstance(value, bool):
            raise Fault(f"its config.yaml says {name} is {value!r}, want true or false")
        return value

    if says.get("affine_weights") is not None:
        raise Fault(
            "its config.yaml has affine_weights; networks with latent points are not supported"
        )
    for name in ("transform_coords", "predict_all_and_latents"):
        if flag(name, default=False):
            raise Fault(
                f"its config.yaml has {name}; networks with latent points are not supported"
            )
    side, stride = take("proc_side", 64, 2048), take("stride_test", 1, 64, 32)
    if stride != 32 or side % 32:
        raise Fault(
            f"its heat maps have stride {stride:g} at {side:g} pixels; only stride 32 is supported"
        )
    depth = take("depth", 1, 64)
    if int(side) != side or int(depth) != depth:
        raise Fault("in its config.yaml, depth or proc_side is not a whole number")
    mix = says.get("mix_3d_inside_fov", 0.5)
    return Config(
        int(side),
        int(stride),
        int(depth),
        take("box_size_mm", 100, 10_000) / 1000,
        flag("centered_stride"),
        # Missing only in published configurations that the authors' own code refuses.
        flag("legacy_centered_stride_bug", default=False),
        None if mix is None else take("mix_3d_inside_fov", 0, 1, 0.5),
        flag("weak_perspective", default=False),
    )
