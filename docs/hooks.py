"""What mkdocs needs to make the site of docs/: links into the source tree, and no foreign server.

mkdocs build --strict    # `docs` extra; the site is build/site/index.html
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.exceptions import PluginError

import vitruvian

# [label](../path): a file of the repository that is not a page of the site.
ROOTS = "src|tests|benchmarks|examples|check|CHANGELOG|Dockerfile|compose"
SOURCE = re.compile(rf"\[([^\]]+)\]\(\.\./((?:{ROOTS})[^)\s]*)\)")
# What a browser loads without being asked: not <a href>, which needs a click.
LOADED = re.compile(
    r"<(?:script|img|iframe|video|audio|source|embed)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|@import\s+(?:url\()?[\"']?((?:https?:)?//[^\"'\s)]+)",
    re.IGNORECASE,
)


REST = "<!-- the other public names -->"  # on the page of the API
NAMED = re.compile(r"^::: vitruvian\.(?:\w+\.)*(\w+)$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Show paths of source files in place of links, and all public names on the page of the API."""
    if REST in markdown:
        markdown = markdown.replace(REST, _public(set(NAMED.findall(markdown))))
    return SOURCE.sub(_path, markdown)


def _public(named: set[str]) -> str:
    """What mkdocstrings shows: the public names that the page does not name itself."""
    values = [getattr(vitruvian, name) for name in vitruvian.__all__ if name not in named]
    return "\n\n".join(
        f"::: {value.__module__}.{value.__qualname__}" for value in values if callable(value)
    )


def _path(match: re.Match[str]) -> str:
    label, path = match[1].strip("`"), match[2]
    return f"`{path}`" if path.endswith(label.rstrip("/")) else f"{match[1]} (`{path}`)"


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that loads something from another server.

    Raises:
        PluginError: it does.
    """
    for match in LOADED.finditer(output):
        address = next(group for group in match.groups() if group)
        raise PluginError(f"{page.file.src_path} loads {address}: the site must work offline")
    return output
