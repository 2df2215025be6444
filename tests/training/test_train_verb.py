"""`vitruvian train`: the tutorial's commands, what a run leaves behind, and what is refused."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import command, one_line
from mine import NAMES, make_mine
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError, pip_install
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.load import load
from vitruvian.models.spec import ModelSpec
from vitruvian.sources.open import open_source

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.training.trainable import trainable  # noqa: E402
from vitruvian.verbs.train import train  # noqa: E402

TUTORIAL = Path(__file__).parents[2] / "docs" / "train.md"


def make_unlabelled(folder: Path) -> None:
    """Four images of a person."""
    folder.mkdir()
    frame = next(iter(open_source("sample")[0]))
    assert isinstance(frame, Frame)
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), frame.rgb[: 606 - 10 * i, 5 * i :, ::-1])


@pytest.mark.weights
def test_the_commands_of_the_tutorial_run(tmp_path):
    make_mine(tmp_path)
    make_unlabelled(tmp_path / "unlabelled")
    blocks = re.findall(r"```sh\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    ran = []
    for line in lines:
        if line.startswith("vitruvian "):
            done = command(*shlex.split(line)[1:], cwd=tmp_path)
            assert done.returncode == 0, (line, done.stderr)
            ran.append(line.split()[1])
    assert ran == ["train", "train", "predict", "val", "export", "train", "distil"]
    run = tmp_path / "run"
    card = (run / "README.md").read_text()
    assert "9 pictures, 18 people, 18 with keypoints, 4.0 of 4 each" in card
    assert re.search(r"\| AP \| \d\.\d{3} \[", card)
    assert re.search(r"vitruvian-2d +\d\.\d{3} .*\nrun +\d\.\d{3} ", card)
    assert "validate with: few labels of nose 2" in card
    assert "few labels of" in (run / "data.txt").read_text()
    assert Frame.read(run / "data.png").size[0] == 6 * 192
    assert len([*(run / "pictures").iterdir()]) == 2
    assert len([*(tmp_path / "out").glob("*.jpg")]) == 10
    card = (tmp_path / "lite" / "README.md").read_text()
    assert "vitruvian-2d found 4 people in 4 of 4 images; 0 without people" in card
    assert "teacher = vitruvian-2d" in card
    assert load(str(tmp_path / "lite")).skeleton == COCO17


@pytest.mark.weights
def test_a_run_learns_keypoints_of_ones_own(tmp_path):
    """Coloured dots, from the released weights: nearly all within a tenth of the box."""
    mine = make_mine(tmp_path, 20)
    run = tmp_path / "run"
    settings = ["epochs=12", "batch=6", "head_epochs=0", "ema=0.9", "warmup=10", "resamples=0"]
    settings += ["half_body=0.0", "scale=0.1", "turn_deg=10.0", "proposal=0.0", "rate=0.003"]
    done = train("vitruvian-2d", mine / "labels.json", run, settings=settings)
    assert done.figures["PCK"][0] > 0.9
    model = load(str(run), find=str(mine / "labels.json"))
    frame = Frame.read(mine / "images" / "0.png")
    box = Regions.boxes(np.array([[27, 23, 83, 147]], np.float32), np.ones(1, np.float32))
    (poses,) = model([frame], [box])
    assert poses.skeleton.keypoints == NAMES
    assert len(poses) == 1
    settings = [f"of={run}", "epochs=1", "batch=4", "resamples=0"]
    refined = train("vitruvian-2d-pga", mine / "labels.json", tmp_path / "pga", settings=settings)
    assert set(refined.figures) == {"cells", "cells before"}
    assert "cells before" in (tmp_path / "pga" / "README.md").read_text()


def test_what_cannot_be_trained_is_said_before_anything_is_read(tmp_path):
    for model, why in (
        ("osnet", "no model named 'osnet'"),
        ("metrabs-s", "metrabs-s cannot be trained; choose vitruvian-2d"),
    ):
        with pytest.raises(VitruvianError, match=why):
            train(model, tmp_path / "nothing.json", tmp_path / "run")
    words = ("train", "--model", "vitruvian-2d", "--data", "nothing.json", "--out", tmp_path / "r")
    one_line(command(*words), "cannot read 'nothing.json'")
    one_line(command(*words, "--set", "epoch=3"), "no entry of a recipe named 'epoch'")
    one_line(command(*words, "--recipe", "vitruvian-4d"), "no recipe named 'vitruvian-4d'")
    assert not (tmp_path / "r").exists()


def test_an_unfinished_run_is_no_model(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"")
    with pytest.raises(VitruvianError, match="is not finished; continue it with"):
        ModelSpec.parse(str(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"")
    for text in (str(tmp_path), f"{tmp_path},flip=true"):
        spec = ModelSpec.parse(text)
        assert spec.name == str(tmp_path / "model.onnx")
        assert spec.label.startswith(tmp_path.name)


def test_without_torch_the_extra_is_named():
    code = "import sys; sys.modules['torch'] = None\n"
    code += "from vitruvian.verbs.train import train\ntrain('vitruvian-2d', 'a.json', 'b')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"training needs torch; install it with: {pip_install('train')}" in done.stderr


def test_every_trainable_has_a_recipe_of_its_own():
    for name in ("vitruvian-2d", "blazepose-lite", "vitruvian-2d-pga"):
        assert trainable(name).recipe.epochs > 0
