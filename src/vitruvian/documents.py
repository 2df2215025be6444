"""Safe parsing of text, JSON, TOML, YAML and XML files: bounded size and depth, one-line errors.

The only place where such files are parsed. NaN, infinity and integers beyond 64 bits are refused.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, shown

LARGEST = 1 << 30  # bytes of a file that is read whole
AT_FIRST = 1 << 16  # bytes of it
LONGEST_LINE = 1 << 26  # bytes of a line, of files that are read line by line
LARGEST_YAML = 4 << 20  # bytes; PyYAML takes about a second a megabyte
WHOLE = 1 << 63  # whole numbers are smaller than this: NumPy's int64


def read_bytes(path: str | Path, most: int = LARGEST) -> bytes:
    """Read a whole file.

    Raises:
        VitruvianError: it is missing, cannot be read, or has more than `most` bytes (a device or
            a pipe may never end).
    """
    try:
        with (path if isinstance(path, Path) else Path(path)).open("rb") as file:
            first = min(AT_FIRST, most + 1)  # few are longer; room for the longest takes time
            data = file.read(first)
            if len(data) == first:
                data += file.read(most + 1 - first)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        why = getattr(error, "strerror", None) or str(error)
        raise VitruvianError(f"cannot read '{shown(path, 100)}': {why}") from None
    if len(data) > most:
        raise unreadable(path, f"it has more than {most >> 20} MB")
    return data


def read_text(path: str | Path, most: int = LARGEST) -> str:
    """Read a whole UTF-8 text file, without its byte order mark.

    Raises:
        VitruvianError: as `read_bytes`; or it is not UTF-8, with the line number.
    """
    data = read_bytes(path, most)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise unreadable(
            path,
            f"line {line} is not UTF-8 text (byte 0x{data[error.start]:02x}); save it as UTF-8",
        ) from None


def read_lines(path: str | Path, most: int = LONGEST_LINE) -> Generator[str, None, None]:
    """Iterate over the lines of a UTF-8 text file, with line ends, without a byte order mark.

    Raises:
        VitruvianError: it is missing, cannot be read, is not UTF-8, or a line has more than `most`
            bytes (of a device, it may never end).
    """
    number = 0
    try:
        with Path(path).open("rb") as file:
            while line := file.readline(most + 1):
                number += 1
                if len(line) > most:
                    raise unreadable(path, f"line {number} has more than {most >> 20} MB")
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise unreadable(
            path, f"line {number} is not UTF-8 text (byte 0x{byte:02x}); save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise unreadable(path, getattr(error, "strerror", None) or error) from None


def read_json(path: str | Path, *, quick: bool = False) -> Any:
    """Parse a JSON file; `quick`: see `parse_json`.

    Raises:
        VitruvianError: as `read_text`; or it is no JSON, nested too deeply, or has a number that
            is not finite or beyond 64 bits.
    """
    return parse_json(read_text(path), path, quick=quick)


def parse_json(text: str, path: str | Path, where: str = "it", *, quick: bool = False) -> Any:
    """Parse a JSON text of `path`; `where`: the part of the file, such as "line 3".

    `quick`, twice as fast, does not check for numbers beyond 64 bits, and gives 1e999 as infinity:
    the caller must check the numbers that it uses.

    Raises:
        VitruvianError: as `read_json`.
    """
    try:
        return (_QUICK if quick else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}" if where == "it" else where
        raise unreadable(path, f"{at} is not valid JSON ({error.msg})") from None
    except RecursionError:
        raise unreadable(path, f"{where} is nested too deeply") from None
    except ValueError as error:
        raise unreadable(path, f"{where} has {error}") from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        VitruvianError: as `read_text`; or it is no TOML, nested too deeply, or has a number that
            is not finite or beyond 64 bits.
    """
    text = read_text(path)
    try:
        read = tomllib.loads(text, parse_float=_number)
        _check_whole(read)
        return read
    except RecursionError:
        raise unreadable(path, "it is nested too deeply") from None
    except ValueError as error:
        raise unreadable(path, f"it is not valid TOML: {error}") from None


def read_yaml(path: str | Path) -> Any:
    """Parse a YAML file: YAML 1.2's plain values, and the tags and header of OpenCV.

    Strings stay strings: `no`, `12:30` and dates are not converted.

    Raises:
        VitruvianError: as `read_text`; or it is no YAML, nested too deeply, or has a number that
            is not finite or beyond 64 bits.
    """
    import yaml

    text = read_text(path, LARGEST_YAML)
    # OpenCV's header is "%YAML:1.0", which YAML knows only with a space; and the version is told
    # apart by nobody.
    text = re.sub(r"\A%YAML[^\n]*\n(---[^\n]*\n)?", "", text)
    try:
        return yaml.load(text, _loader())  # a SafeLoader, see there
    except RecursionError:
        raise unreadable(path, "it is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise unreadable(
            path, f"it is not valid YAML: {line}{error.problem or error.context}"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise unreadable(path, f"it is not valid YAML: {error}") from None


def read_xml(path: str | Path) -> Any:
    """Parse an XML file of OpenCV's FileStorage: elements with children become objects.

    Several numbers in an element become a list, as do `_` elements, OpenCV's lists.

    Raises:
        VitruvianError: as `read_text`; or it is no XML, has a document type (which can make a few
            lines as large as memory), is nested too deeply, or has a number that is not finite.
    """
    root = xml_tree(path)
    try:
        return {root.tag: _element(root)}
    except RecursionError:
        raise unreadable(path, "it is nested too deeply") from None
    except ValueError as error:
        raise unreadable(path, f"it is not valid XML: {error}") from None


def xml_tree(path: str | Path) -> Any:
    """The root element of an XML file, for those whose values are attributes.

    Raises:
        VitruvianError: as `read_xml`.
    """
    from xml.etree import ElementTree

    text = read_text(path, LARGEST_YAML)
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL):
        raise unreadable(path, "it is XML with a document type declaration; want plain XML")
    try:
        return ElementTree.fromstring(text)
    except RecursionError:
        raise unreadable(path, "it is nested too deeply") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise unreadable(path, f"it is not valid XML: {error}") from None


def _element(element: Any) -> Any:
    inner = list(element)
    if inner and all(each.tag == "_" for each in inner):
        return [_element(each) for each in inner]
    if inner:
        return {each.tag: _element(each) for each in inner}
    words = (element.text or "").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return (element.text or "").strip().strip('"')
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("a number that is not finite")
    return numbers[0] if len(numbers) == 1 else numbers


def unreadable(path: str | Path, why: object) -> VitruvianError:
    """The error for a file that cannot be read; the value in `why` may be of any length."""
    return VitruvianError(f"cannot read '{shown(path, 100)}': {shown(why, 180)}")


def _number(text: str) -> float:
    """A number of a JSON or TOML file."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number that is not finite ({shown(text)})")
    return value


def _whole(text: str) -> int:
    """A whole number of a JSON file."""
    value = int(text) if len(text) < 25 else WHOLE
    if not -WHOLE <= value < WHOLE:
        raise ValueError(f"a number beyond 64 bits ({shown(text, 40)})")
    return value


def _check_whole(value: Any) -> None:
    """Refuse integers beyond 64 bits, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _check_whole(each)
    elif isinstance(value, int) and not -WHOLE <= value < WHOLE:
        raise ValueError("a number beyond 64 bits")


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_whole, parse_constant=_number)
_QUICK = json.JSONDecoder(parse_constant=_number)


@cache
def _loader() -> type:
    """PyYAML's SafeLoader with YAML 1.2's plain values instead of 1.1's."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # as PyYAML has it

        def compose_node(self, parent: Any, index: Any) -> Any:
            # A few nested aliases expand to billions of values.
            if self.check_event(yaml.AliasEvent):
                raise ValueError("it has an alias (*name); write out the value instead")
            return super().compose_node(parent, index)

    def whole(loader: Any, node: Any) -> int:
        return _whole(loader.construct_scalar(node))

    def number(loader: Any, node: Any) -> float:
        return _number(loader.construct_scalar(node).replace(".inf", "inf").replace(".nan", "nan"))

    def matrix(loader: Any, _: str, node: Any) -> Any:  # opencv-matrix, opencv-nd-matrix
        return loader.construct_mapping(node, deep=True)

    scalar = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    for tag, pattern, first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", r"[-+]?[0-9]+", list("-+0123456789")),
        ("float", rf"{scalar}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.0123456789")),
        ("merge", r"<<", ["<"]),
    ):
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first
        )
    Loader.add_constructor("tag:yaml.org,2002:int", whole)
    Loader.add_constructor("tag:yaml.org,2002:float", number)
    Loader.add_multi_constructor("tag:yaml.org,2002:opencv-", matrix)
    return Loader
