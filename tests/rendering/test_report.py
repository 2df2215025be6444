"""Reports: one file with everything in it, whatever the names in it are."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np

from vitruvian.rendering.report import HtmlReport, format_cell, legend_above, plot

CLOSED = {"meta", "img", "path", "use", "rect", "br"}


class Balanced(HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in CLOSED:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in CLOSED:
            assert self.open.pop() == tag


def made() -> HtmlReport:
    report = HtmlReport("a <b> & 'c'")
    report.heading("Speed & more")
    report.paragraph("1 < 2")
    report.table(["model", "AP"], [["<script>", 0.5], ["none", float("nan")], ["b", None]])
    for _ in range(2):
        drawing = plot()
        drawing.subplots().plot([1, 2], [3, 4])
        report.figure(drawing, "a line")
    report.picture(np.full((8, 12, 3), (200, 30, 90), np.uint8), '"quoted"')
    return report


def test_a_report_is_one_file_that_asks_for_nothing_else(tmp_path):
    made().write(tmp_path / "report.html")
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(addresses) >= 3
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in addresses)
    assert "url(http" not in text
    assert "@import" not in text


def test_words_cannot_end_a_tag():
    text = made().html()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<title>a &lt;b&gt; &amp; &#x27;c&#x27;</title>" in text
    parser = Balanced()
    parser.feed(text)
    assert not parser.open


def test_the_parts_of_two_figures_have_names_of_their_own():
    first, second = (
        set(re.findall(r'id="([^"]+)"', f)) for f in made().html().split("<figure>")[1:3]
    )
    assert first
    assert not first & second


def test_a_picture_comes_back_as_it_was():
    (data,) = re.findall(r"base64,([^\"]+)", made().html())
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    assert image.shape == (8, 12, 3)
    np.testing.assert_allclose(image.mean(axis=(0, 1)), (200, 30, 90), atol=4)


def test_what_there_is_not_is_a_dash():
    assert [format_cell(value) for value in (0.5, 3, "AP", None, float("nan"))] == [
        *("0.500", "3", "AP", "\N{EN DASH}", "\N{EN DASH}")
    ]


def test_numbers_stand_right_and_words_left():
    text = made().html()
    assert "<th class=number>AP</th>" in text
    assert "<th>model</th>" in text
    assert "<td class=number>0.500</td>" in text


def test_a_legend_of_long_names_is_above_the_plot_and_as_wide():
    """Not beside it, where it leaves a stripe of the plot."""
    drawing = plot(9, 3)
    axes = drawing.subplots()
    names = [f"blazepose-full (find={'folder/' * n}yolov8n.pt)" for n in (1, 4, 30)]
    for name in names:
        axes.plot([1, 2], [3, 4], label=name)
    legend_above(axes)
    drawing.draw_without_rendering()
    assert axes.legend_ is not None
    inside, whole, legend = (part.get_window_extent() for part in (axes, drawing, axes.legend_))
    assert inside.width > 0.85 * whole.width
    assert legend.y0 >= inside.y1 - 1
    assert legend.x1 <= whole.x1
