"""HTML reports: one self-contained .html file that works offline.

report = HtmlReport("Two models")
report.table(["model", "AP"], [["yolov8n-pose", 0.524], ["blazepose-full", 0.19]])
drawing = plot()
drawing.subplots().bar(["yolov8n-pose", "blazepose-full"], [0.524, 0.19])
report.figure(drawing, "OKS-AP")
report.write(Path("report.html"))
"""

from __future__ import annotations

import base64
import html
import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.formats.atomic_file import write_whole
from vitruvian.picture_files.encode import encode_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
div.wide { overflow-x: auto; width: max-content; margin: 1rem 0;
  max-width: calc(50vw + min(50vw, 34rem) - 2.5rem) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .45rem; border-bottom: 1px solid #ddd; text-align: left;
  white-space: nowrap }
th { border-bottom: 2px solid #888; vertical-align: bottom }
th, td:first-child { white-space: normal; overflow-wrap: break-word }
td:first-child { min-width: 8rem }
td small { font-size: .75rem }
td.number, th.number { text-align: right }
td.long { white-space: normal; min-width: 18rem }
figure { margin: 1rem 0 } figcaption { color: #555 }
figure svg, figure img { max-width: 100%; height: auto }
div.cells { display: flex; flex-wrap: wrap; gap: .6rem }
div.cells figure { margin: 0; width: 8.5rem; font-size: .75rem; line-height: 1.3 }
div.cells figcaption { overflow-wrap: anywhere }
"""
# Okabe and Ito's colour-blind safe palette, as in `draw`.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
JPEG_QUALITY = 85
LONG = 40  # letters of a cell that may go on in the next line


def plot(width: float = 9, height: float = 4) -> Figure:
    """An empty matplotlib figure, size in inches, for `HtmlReport.figure`."""
    # No pyplot: it keeps every figure alive and chooses a GUI backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_above(axes: Any, whole: Figure | None = None) -> None:
    """Put the legend above the plot, or above the `whole` figure, where it hides nothing."""
    lines, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    letters = int(axes.figure.get_figwidth() * 10)  # in one line, about
    labels = [textwrap.fill(label, letters) for label in labels]
    longest = max(len(part) for label in labels for part in label.splitlines())
    how: Any = {"frameon": False, "ncols": max(1, min(len(labels), letters // (longest + 6)))}
    if whole is None:
        how |= {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0}
        axes.legend(lines, labels, **how)
    else:
        whole.legend(lines, labels, loc="outside upper left", **how)


class HtmlReport:
    """Headings, paragraphs, tables, figures and images in one HTML file."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        self._figures = 0

    def heading(self, text: str) -> None:
        """Add a heading."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Add text."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table.

        Columns of numbers are right-aligned; later lines of a cell are small, long ones are broken.
        """
        number = [
            any(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))
        ]
        head = "".join(_cell("th", *pair) for pair in zip(columns, number, strict=True))
        body = "".join(
            f"<tr>{''.join(_cell('td', *pair) for pair in zip(row, number, strict=True))}</tr>"
            for row in rows
        )
        self._parts.append(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')

    def figure(self, figure: Figure, caption: str = "") -> None:
        """Add a figure of `plot` as inline SVG."""
        import matplotlib

        text = io.StringIO()
        self._figures += 1  # ids must be unique among the SVGs of a page
        how: Any = {"svg.hashsalt": f"{self.title}{self._figures}", "svg.fonttype": "none"}
        with matplotlib.rc_context(how):  # keep text as text
            figure.savefig(text, format="svg", metadata={"Date": None})
        svg = re.sub(r"^.*?(?=<svg)", "", text.getvalue(), flags=re.DOTALL)
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        used = set(re.findall(r'#([^")]+)', svg))
        svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", svg)
        self._figure(svg, caption)

    def picture(self, rgb: np.ndarray, caption: str = "") -> None:
        """Add (H, W, 3) uint8 RGB as an inline JPEG."""
        self.image(jpeg_of(rgb), "jpeg", caption)

    def image(self, data: bytes, kind: str, caption: str = "") -> None:
        """Add the bytes of an image file, such as a "png"."""
        words = html.escape(caption, quote=True)
        self._figure(f'<img alt="{words}" src="{as_uri(data, kind)}">', caption)

    def cells(self, cells: Sequence[tuple[bytes, Sequence[str]]]) -> None:
        """Add small JPEG files side by side, each with lines of text below it."""
        made = list[str]()
        for data, lines in cells:
            first, *rest = [html.escape(line) for line in lines] or [""]
            words = "<br>".join((f"<b>{first}</b>", *rest))
            image = f'<img alt="{html.escape(lines[0])}" src="{as_uri(data, "jpeg")}">'
            made.append(f"<figure>{image}<figcaption>{words}</figcaption></figure>")
        self._parts.append(f'<div class="cells">{"".join(made)}</div>')

    def _figure(self, inside: str, caption: str) -> None:
        said = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        self._parts.append(f"<figure>{inside}{said}</figure>")

    def html(self) -> str:
        """The page as HTML."""
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style></head><body>\n"
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )

    def write(self, path: Path) -> None:
        """Write the page atomically."""
        write_whole(path, self.html())


def jpeg_of(rgb: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG file."""
    return encode_picture(rgb, ".jpg", quality=JPEG_QUALITY)


def as_uri(data: bytes, kind: str) -> str:
    """The bytes of an image file as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def format_cell(value: object) -> str:
    """A cell's text: three decimals for floats, a dash for missing values."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "\N{EN DASH}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _cell(tag: str, value: object, number: bool) -> str:
    words, *more = html.escape(format_cell(value)).split("\n")
    words += "".join(f"<br><small>{line}</small>" for line in more)
    kind = " class=number" if number else " class=long" if len(words) > LONG else ""
    return f"<{tag}{kind}>{words}</{tag}>"
