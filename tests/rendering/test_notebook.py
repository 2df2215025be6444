"""Notebooks: what cells show, run in a real kernel, and the same in scripts."""

import base64
from dataclasses import replace

import cv2
import numpy as np
import pytest

import vitruvian as vit
from conftest import need
from vitruvian.body.skeletons import COCO17
from vitruvian.rendering.notebook import in_notebook
from vitruvian.verbs.progress import progress

MAKE = """
import numpy as np
import vitruvian as vit
from vitruvian.body.skeletons import COCO17
rng = np.random.default_rng(0)
frame = vit.Frame(np.full((480, 1280, 3), 200, np.uint8), 3, 0.1, "street.jpg")
xyz = rng.normal(size=(2, 17, 3)).astype(np.float32) * 0.3 + (0, 0, 4)
poses = vit.Poses(
    COCO17, rng.uniform(100, 400, (2, 17, 2)), np.full((2, 17), 0.9),
    np.array([[100, 100, 400, 400], [90, 90, 300, 300.0]]), np.array([0.9, 0.8]),
    np.array([4, 7]), xyz=xyz, origin="camera",
)
"""


@pytest.fixture
def made() -> tuple[vit.Frame, vit.Poses]:
    names: dict = {}
    exec(MAKE, names)
    return names["frame"], names["poses"]


@pytest.fixture(scope="module")
def cells() -> list[list]:
    """The outputs of each cell."""
    need("ipykernel")
    need("nbclient")
    import nbclient
    from nbformat import v4 as nbformat

    sources = [
        MAKE,
        "frame",
        "poses",
        "vit.show(frame, poses)",
        "for _ in range(3): vit.show(frame, poses, wait=0)",
        "vit.plot3d(poses, frame)",
        "from vitruvian.verbs.progress import progress\n"
        "with progress('<clip>', 30) as tick:\n    for done in range(1, 31): tick(done)",
    ]
    book = nbformat.new_notebook(cells=[nbformat.new_code_cell(each) for each in sources])
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    return [cell["outputs"] for cell in book["cells"]]


def only(outputs: list) -> dict:
    (one,) = outputs
    return one["data"]


def picture(coded: str) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(coded), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


def test_a_cell_shows_a_frame_as_a_small_picture(cells):
    data = only(cells[1])
    assert picture(data["image/png"]).shape == (240, 640, 3)
    assert data["text/plain"] == "Frame(1280 x 480, index=3, seconds=0.1, source='street.jpg')"


def test_a_cell_shows_poses_as_a_table(cells):
    data = only(cells[2])
    assert data["text/plain"] == "Poses(2 people, coco17, xyz in metres from the camera, ids 4, 7)"
    assert data["text/html"].count("<tr>") == 3
    assert "<td>17 of 17</td><td>100 100 400 400</td>" in data["text/html"]


def test_show_draws_the_poses_below_the_cell(cells):
    drawn = picture(only(cells[3])["image/jpeg"])
    assert drawn.shape == (360, 960, 3)
    assert np.ptp(drawn) > 100


def test_show_in_a_loop_replaces_the_picture(cells):
    assert set(only(cells[4])) == {"image/jpeg"}


def test_a_cell_shows_the_3d_viewer_in_a_frame_of_its_own(cells):
    shown = only(cells[5])["text/html"]
    assert shown.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert "&quot;street.jpg&quot;" in shown
    assert 'sandbox="allow-scripts"' in shown


def test_progress_in_a_notebook_is_one_bar_that_ends_full(cells):
    data = only(cells[6])
    assert 'value="30" max="30"' in data["text/html"]
    assert "&lt;clip&gt;: 30 of 30" in data["text/html"]


def test_a_script_is_no_notebook(capsys):
    assert not in_notebook()
    with progress("clip", 3) as tick:
        tick(3)
    assert capsys.readouterr() == ("", "")


def test_poses_are_told_in_a_short_line(made):
    _, poses = made
    assert repr(poses[0]) == "Poses(1 person, coco17, xyz in metres from the camera, ids 4)"
    assert repr(vit.Poses.nobody(COCO17)) == "Poses(0 people, coco17)"
    many = vit.Poses.join(*[poses] * 50)
    assert len(repr(many)) < 120
    html = many._repr_html_()
    assert html.count("<tr>") == 21
    assert "and 80 more" in html
    assert "<table>" not in vit.Poses.nobody(COCO17)._repr_html_()


def test_a_person_without_any_known_joint_has_a_row(made):
    _, poses = made
    assert poses.xyz is not None
    unknown = replace(poses, xyz=np.full_like(poses.xyz, np.nan), box=np.full((2, 4), np.nan))
    assert "<td>nan</td>" in unknown._repr_html_()


def test_a_frame_of_a_record_has_no_picture():
    frame = vit.Frame(None, 1, size=(640, 480))
    assert frame._repr_png_() is None
    assert repr(frame) == "Frame(640 x 480, no pixels, index=1, seconds=0)"


def test_show_without_a_display_says_what_else_there_is(made, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")
    with pytest.raises(vit.VitruvianError, match=r"no display here; .*vitruvian live"):
        vit.show(*made)


def test_show_in_a_window_takes_the_next_picture_into_the_same_one(made, monkeypatch):
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frame, poses = made
    figure, calls = Figure(), []
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "one", raising=False)
    FigureCanvasAgg(figure)
    monkeypatch.setattr(pyplot, "figure", lambda *_, **__: figure)
    monkeypatch.setattr(pyplot, "fignum_exists", lambda _: bool(calls))
    monkeypatch.setattr(pyplot, "pause", calls.append)
    monkeypatch.setattr(pyplot, "show", lambda block: calls.append(block))
    vit.show(frame, wait=0)
    first = figure.axes[0]
    vit.show(frame, poses, wait=0.5)
    assert figure.axes == [first]
    shown = first.images[0].get_array()
    assert shown is not None
    np.testing.assert_array_equal(shown, vit.draw(frame, poses))
    vit.show(vit.Frame(np.zeros((9, 9, 3), np.uint8)))
    assert figure.axes[0].images[0].get_size() == (9, 9)
    assert calls == [1e-3, 0.5, True]


def test_plot3d_takes_pairs_and_is_saved(made, tmp_path):
    frame, poses = made
    later = replace(frame, index=4, seconds=0.2)
    view = vit.plot3d(iter([(frame, poses), (later, poses)]))
    assert repr(view) == "Plot3D(2 frames; save('view.html') writes a page)"
    view.save(tmp_path / "view.html")
    assert '"index":[3,4]' in (tmp_path / "view.html").read_text()
    assert "<iframe" in vit.plot3d(poses)._repr_html_()
    with pytest.raises(vit.VitruvianError, match="there are no frames"):
        vit.plot3d([])
    with pytest.raises(vit.VitruvianError, match="2D keypoints only"):
        vit.plot3d(replace(poses, xyz=None, origin=None), frame)
