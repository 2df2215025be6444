"""Where a task gets its networks from."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar


class _Delegate(enum.Enum):
    CPU = 0
    GPU = 1


@dataclass
class BaseOptions:
    """A .task bundle: a file, or what is in it.

    `delegate`: CPU, or GPU for OpenVINO's first GPU.
    """

    Delegate: ClassVar[type[_Delegate]] = _Delegate

    model_asset_path: str | None = None
    model_asset_buffer: bytes | None = None
    delegate: _Delegate | None = None
