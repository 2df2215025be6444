"""Parts of MediaPipe that are not here: they can be imported, and say so where they are used."""

from __future__ import annotations

from types import ModuleType
from typing import NoReturn

from vitruvian.errors import VitruvianError

ROAD = "hands and faces of whole bodies: mp.solutions.holistic; for this use MediaPipe itself"


class Absent:
    """Stands for a class, function or constant; any use raises `VitruvianError`."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def refuse(self, *_: object, **__: object) -> NoReturn:
        """Say what is missing."""
        raise VitruvianError(f"vitruvian.mediapipe has no {self._name}; {ROAD}")

    __call__ = __iter__ = __len__ = __contains__ = __getitem__ = refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # what Python and its tools look for
            raise AttributeError(name)
        self.refuse()

    def __repr__(self) -> str:
        return f"<{self._name}: not in vitruvian.mediapipe>"


def absent(name: str, attribute: str) -> Absent:
    """For a module's `__getattr__`: the stand-in of what MediaPipe's module may have."""
    if attribute.startswith("_"):
        raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
    return Absent(f"{name.rpartition('.')[2]}.{attribute}")


class AbsentModule(ModuleType):
    """A module all of whose names are stand-ins."""

    def __getattr__(self, name: str) -> Absent:
        return absent(self.__name__, name)
