"""Files that appear whole or not at all: written beside their place, moved there when done."""

from __future__ import annotations

from pathlib import Path

from vitruvian.errors import VitruvianError

# File names whose bytes are no UTF-8, in files of text, which are UTF-8.
NO_TEXT = "backslashreplace"


class Part:
    """The unfinished file of `path`. Nothing is made until it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unfinished = path.with_name(path.name + ".part")

    def begin(self) -> Path:
        """Where to write; its folder is made if need be."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.unfinished.touch()
        except OSError as error:
            raise VitruvianError(f"cannot write '{self.path}': {error.strerror}") from None
        return self.unfinished

    def finish(self) -> None:
        """Move it into place, over what may be there."""
        self.unfinished.replace(self.path)
