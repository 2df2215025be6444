"""What README and docs say is true: code runs, commands and options exist, links lead somewhere."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import rigs
import vitruvian as vit
from commands import command
from conftest import absent, need
from mine import make_mine
from vitruvian.body.skeletons import COCO17
from vitruvian.cli.app import app
from vitruvian.geometry.camera import Camera
from vitruvian.models.load import FAMILIES
from vitruvian.models.options import StreamDefaults
from vitruvian.models.zoo import CATALOGUE

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)


def blocks(language: str) -> list[tuple[str, str]]:
    """(name, code) of every block of a language."""
    found = []
    for page in PAGES:
        pattern = rf"```{language}\n(.*?)```"
        for number, code in enumerate(re.findall(pattern, page.read_text(), re.DOTALL), 1):
            found.append((f"{page.name}:{number}", code))
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory, blazepose) -> Path:
    """The files that the examples name: a photo, a video, a record of it, and its camera."""
    import av

    blazepose("full")
    blazepose("lite")
    blazepose("heavy")
    folder = tmp_path_factory.mktemp("examples")
    photo = vit.open_source("sample")[0].paths[0]  # type: ignore[attr-defined]
    shutil.copy(photo, folder / "photo.jpg")
    rgb = vit.Frame.read(photo).rgb
    with av.open(str(folder / "match.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height = rgb.shape[1], rgb.shape[0]
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    with vit.open_sink(folder / "out" / "match.jsonl", blazepose("full")) as sink:
        for frame, poses in vit.run(folder / "match.mp4", blazepose("full")):
            sink.write(frame, poses)
    with vit.open_sink(folder / "match.jsonl", blazepose("full")) as sink:
        for frame, poses in vit.run(folder / "match.mp4", blazepose("full"), absolute=True):
            sink.write(frame, poses)
    annotated(folder, blazepose("full"))
    if importlib.util.find_spec("pyarrow") is not None:
        how = {"rules": "arms_raised", "angles": True, "workers": 1}
        vit.batch(folder / "match.mp4", out=folder / "results", **how)
    make_mine(folder)
    size = rgb.shape[1::-1]
    values = {"camera_matrix": board_matrix(size).tolist(), "image_size": size}
    (folder / "camera.json").write_text(json.dumps(values))
    chessboards(folder / "board", size)
    rigs.write(folder, 2, np.arange(30) / 30)
    return folder


def annotated(folder: Path, model) -> None:
    """people.json: what the model finds in the photo, as COCO annotations of it."""
    from vitruvian.formats.coco import results

    frame = vit.Frame.read(folder / "photo.jpg")
    rows = []
    for i, row in enumerate(results(frame, model([frame])[0]), 1):
        _, _, w, h = row["bbox"]
        rows.append({**row, "id": i, "image_id": 1, "area": w * h, "iscrowd": 0})
    category = {"id": 1, "name": "person", "keypoints": COCO17.keypoints}
    said = {"images": [{"id": 1, "file_name": "photo.jpg"}], "annotations": rows}
    (folder / "people.json").write_text(json.dumps({**said, "categories": [category]}))


def board_matrix(size: tuple[int, int]) -> np.ndarray:
    """(3, 3) of the camera that takes the images of the chessboard, as OpenCV counts."""
    return np.array([[700.0, 0, size[0] / 2 - 8], [0, 700, size[1] / 2 + 5], [0, 0, 1]])


def chessboards(folder: Path, size: tuple[int, int]) -> None:
    """Pictures of a board of 10 x 7 squares of 25 mm, tilted this way and that."""
    folder.mkdir()
    squares = 200 * (np.add.outer(np.arange(9), np.arange(12)) % 2).astype(np.uint8) + 40
    squares[[0, -1]] = squares[:, [0, -1]] = 240  # a white margin
    scale, side = 0.025, 40  # metres and pixels a square
    board = np.kron(squares, np.ones((side, side), np.uint8))
    to_metres = np.diag([scale / side, scale / side, 1])
    to_metres[:2, 2] = -6 * scale, -4.5 * scale
    for i, (x, y, z) in enumerate([(0.5, 0, 0), (0, 0.5, 0), (-0.4, 0.3, 0.2), (0.3, -0.5, 0)]):
        rotation, _ = cv2.Rodrigues(np.array([x, y, z]))
        place = np.column_stack([rotation[:, :2], (0.02 * i, -0.02 * i, 0.5 + 0.05 * i)])
        seen = board_matrix(size) @ place @ to_metres
        picture = cv2.warpPerspective(board, seen, size, flags=cv2.INTER_AREA, borderValue=(240,))
        cv2.imwrite(str(folder / f"{i}.png"), picture)


@pytest.mark.weights
@pytest.mark.parametrize(("name", "code"), blocks("python"), ids=lambda value: value[:20])
def test_the_examples_run(name, code, folder, monkeypatch):
    for library in ("pandas", "xarray", "supervision"):
        if f"to_{library}" in code and importlib.util.find_spec(library) is None:
            absent(f"{library} is not installed (the interop extra)")
    for library in ("pyarrow", "pandas", "polars", "duckdb", "fsspec"):
        if f"import {library}" in code and importlib.util.find_spec(library) is None:
            absent(f"{library} is not installed (the programs extra)")
    if "vit.train(" in code:
        need("torch")
    monkeypatch.chdir(folder)
    exec(compile(code, name, "exec"), {"__name__": "__main__"})


@pytest.mark.weights
def test_the_calibration_shown_finds_the_camera(folder, tmp_path, monkeypatch):
    (code,) = [code for _, code in blocks("python") if "vit.calibrate(" in code]
    shutil.copytree(folder / "board", tmp_path / "board")
    monkeypatch.chdir(tmp_path)
    exec(code, {"__name__": "__main__"})
    camera = Camera.read(tmp_path / "lens.toml")
    want = board_matrix(camera.size)
    want[:2, 2] += 0.5
    np.testing.assert_allclose(camera.matrix, want, atol=7)


def test_the_readme_shows_six_lines_of_python():
    (_, code), *_ = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) == 6


def test_the_json_shown_has_the_keys_of_a_record(people, frame):
    from vitruvian.formats.wire import frame_to_dict

    (_, shown), *_ = blocks("json")
    example = json.loads(shown)
    real = frame_to_dict(frame(), people(1, everything=True))
    assert example.keys() == real.keys()
    assert example["people"][0].keys() <= real["people"][0].keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_every_command_and_model_is_in_the_docs():
    for each in app.registered_commands:
        name = each.name or (each.callback.__name__ if each.callback else "")
        assert f"vitruvian {name}" in TEXT, name
    for name in CATALOGUE:
        assert f"`{name}`" in TEXT


def test_every_option_that_the_docs_name_exists():
    helps: dict[str, str] = {}
    for line in "\n".join(code for _, code in blocks("sh")).splitlines():
        found = re.match(r".*vitruvian (\w+)", line)
        if not found or line.startswith("docker "):  # which has options of its own
            continue
        name = found[1]
        if name not in helps:
            helps[name] = command(name, "--help", env={"COLUMNS": "300"}).stdout
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", line):
            assert option in helps[name], line
    assert {"predict", "export", "models", "doctor"} <= helps.keys()


def test_every_option_of_a_model_is_on_the_page_of_options():
    page = (ROOT / "docs" / "options.md").read_text()
    options = [StreamDefaults, *(family.options for family in FAMILIES.values())]
    for name in {name for each in options for name in (*each.names(), *each.SYNONYMS)}:
        assert f"`{name}`" in page, name


@pytest.fixture
def hooks():
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (the docs extra)")
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/css">',
        "<style>@import url(https://example.org/a.css)</style>",
    ],
)
def test_the_site_loads_nothing_from_other_servers(hooks, tag):
    page = SimpleNamespace(file=SimpleNamespace(src_path="a.md"))
    own = '<a href="https://example.org">paper</a><script src="assets/a.js"></script>'
    assert hooks.on_post_page(own, page=page) == own
    with pytest.raises(hooks.PluginError, match=r"a\.md loads .*example\.org"):
        hooks.on_post_page(own + tag, page=page)


def test_every_public_name_is_on_the_page_of_the_api(hooks):
    page = hooks.on_page_markdown((ROOT / "docs" / "api.md").read_text())
    shown = re.findall(r"^::: vitruvian\.(?:\w+\.)*(\w+)$", page, re.MULTILINE)
    assert sorted(shown) == sorted(set(vit.__all__) - {"__version__"})


def test_the_site_shows_the_path_of_a_source_file(hooks):
    text = (
        "see [a name](../src/vitruvian/frame.py), [body/state.py](../src/vitruvian/body/state.py)"
    )
    shown = "see a name (`src/vitruvian/frame.py`), `src/vitruvian/body/state.py`"
    assert hooks.on_page_markdown(text) == shown


def test_generated_pages_and_the_stub_are_up_to_date():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], check=False
    )
    assert done.returncode == 0
