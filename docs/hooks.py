"""What mkdocs needs to make the site of docs/: links into the source tree, and no foreign server.

mkdocs build --strict    # `docs` extra; the site is build/site/index.html
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.exceptions import PluginError

# [label](../path): a file of the repository that is not a page of the site.
SOURCE = re.compile(r"\[([^\]]+)\]\(\.\./((?:src|tests|benchmarks|examples|check)[^)\s]*)\)")
# What a browser loads without being asked: not <a href>, which needs a click.
LOADED = re.compile(
    r"<(?:script|img|iframe|video|audio|source|embed)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|@import\s+(?:url\()?[\"']?((?:https?:)?//[^\"'\s)]+)",
    re.IGNORECASE,
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Show the path of a source file in place of a link that the site cannot follow."""
    return SOURCE.sub(_path, markdown)


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
