"""Training of vitruvian-3d: people in metres and in pixels together, starts, a whole run."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mine import make_mine
from vitruvian.body.skeletons import COCO17, HALPE26
from vitruvian.errors import VitruvianError
from vitruvian.evaluate import truth
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.load import load

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.network.openvino import OpenVino  # noqa: E402
from vitruvian.stopping import Interrupted  # noqa: E402
from vitruvian.training.data import labelled, people3d  # noqa: E402
from vitruvian.training.tasks import starts3d  # noqa: E402
from vitruvian.training.tasks.vitruvian3d import Recipe3D, Vitruvian3DTask  # noqa: E402
from vitruvian.verbs.train import train  # noqa: E402

CAMERA = [[300.0, 0, 160], [0, 300, 120], [0, 0, 1]]
QUICK = ["batch=4", "real=1", "steps=2", "epochs=2", "head_epochs=1", "precision=f32"]
QUICK += ["threads=1", "resamples=0", "validate_every=1", "checkpoint_every=0.0"]


@pytest.fixture
def solid(tmp_path) -> Path:
    """Six images of two people each, with COCO's keypoints in metres; one wrist is unknown."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "solid").mkdir()
    for i in range(6):
        cv2.imwrite(
            str(tmp_path / "solid" / f"{i}.png"), rng.integers(0, 255, (240, 320, 3), np.uint8)
        )
        people = []
        for x in (-0.6, 0.6):
            xyz = rng.normal((x, 0, 3), 0.25, (17, 3)).round(3).tolist()
            xyz[COCO17["left_wrist"]] = None
            people.append({"xyz": xyz})
        rows.append({"file": f"{i}.png", "size": [320, 240], "camera": CAMERA, "people": people})
    file = tmp_path / "solid" / "metres.json"
    file.write_text(json.dumps({"skeleton": "coco17", "pictures": rows}))
    return file


def test_people_in_metres_are_all_there_by_name(solid):
    read = truth.read(solid)
    people = people3d.people_in_metres(read)
    assert len(people) == 12
    first = read.pictures[0]
    assert first.xyz is not None
    nose, wrist = HALPE26["nose"], HALPE26["left_wrist"]
    np.testing.assert_allclose(people[1].xyz[nose], first.xyz[1, 0], atol=1e-6)
    assert np.isnan(people[1].xyz[[wrist, HALPE26["head_top"]]]).all()
    hips = people[1].xyz[[HALPE26["left_hip"], HALPE26["right_hip"]]].mean(axis=0)
    np.testing.assert_allclose(people[1].xyz[HALPE26["mid_hip"]], hips, atol=1e-6)


def test_metres_are_read_as_they_were_written(solid, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    read, file = truth.read(solid), tmp_path / "elsewhere" / "validation.json"
    labelled.write_metres(read, file)
    again = truth.read(file)
    assert again.skeleton.keypoints == COCO17.keypoints
    for a, b in zip(read.pictures, again.pictures, strict=True):
        assert a.path.resolve() == b.path
        assert a.size == b.size
        assert a.xyz is not None
        assert b.xyz is not None
        np.testing.assert_allclose(a.xyz, b.xyz)
        np.testing.assert_allclose(a.xy, b.xy)
        np.testing.assert_allclose(a.box, b.box)


@pytest.mark.weights
def test_people_in_pixels_supervise_what_is_seen_and_nothing_else(solid, tmp_path, blazepose):
    """Of a batch, the 2D labels alone cost where the projected pose is elsewhere."""
    blazepose("full")
    mine = make_mine(tmp_path)
    recipe = Recipe3D(
        start="backbone", batch=4, real=1, steps=2, real_data=str(mine / "labels.json")
    )
    task = Vitruvian3DTask(recipe, "vitruvian-3d", labelled.read_data(solid))
    assert len(task.real) == 20
    assert any("real people with 2D labels: 20" in line for line in task.report().lines)
    order = task.order(0)
    real = [index >= len(task.made) for index in order]
    assert [sum(real[:4]), sum(real[4:])] == [1, 1]
    index = order[real.index(True)]
    sample = task.sample(index, 0)
    assert not sample.exact
    assert not np.isfinite(sample.xyz).any()
    known = np.flatnonzero(np.isfinite(sample.xy).all(axis=-1))
    assert set(known) == {HALPE26[n] for n in ("nose", "left_wrist", "right_wrist")}

    batch = task.collate([sample])
    torch.manual_seed(0)
    network = task.network().eval()
    terms = task.loss(network, batch)
    cost = {name: term.total.item() for name, term in terms.items()}
    assert {name for name, value in cost.items() if value > 0} <= {"flat", "direct", "heat"}
    assert cost["direct"] > 0
    assert cost["taught"] == cost["shape"] == 0


@pytest.mark.weights
def test_released_weights_give_the_released_answer(rng):
    """Also in training, where batch norms use the batch they were made again with."""
    colours = rng.integers(0, 255, (4, 6, 6, 3), np.uint8)
    crops = np.stack([cv2.resize(each, (192, 192)) for each in colours]).astype(np.float32) / 255
    want = OpenVino(starts3d.released_file_3d())(crops)
    x = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()
    network = starts3d.released_network_3d(x)
    for training, part in ((False, 2e-3), (True, 2e-2)):
        network.train(training)
        with torch.no_grad():
            found = network(x)
        for a, b in zip(found, want, strict=True):
            assert np.abs(a.numpy() - b).max() < part * np.abs(b).max()


@pytest.mark.weights
def test_a_mixed_run_resumes_to_the_bit_and_is_a_model(solid, tmp_path, monkeypatch):
    mine, whole, part = make_mine(tmp_path), tmp_path / "whole", tmp_path / "part"
    settings = [*QUICK, f"real_data={mine / 'labels.json'}"]
    done = train("vitruvian-3d", solid, whole, settings=settings)
    assert set(done.figures) == {"MPJPE", "PA-MPJPE", "absolute MPJPE"}
    card = (whole / "README.md").read_text()
    assert "\nvitruvian-3d " in card
    assert "\nwhole " in card
    assert (whole / "val" / "report.html").is_file()
    step, calls = Vitruvian3DTask.loss, 0

    def stop(self, network, batch):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Interrupted(2)
        return step(self, network, batch)

    monkeypatch.setattr(Vitruvian3DTask, "loss", stop)
    with pytest.raises(Interrupted):
        train("vitruvian-3d", solid, part, settings=settings)
    monkeypatch.setattr(Vitruvian3DTask, "loss", step)
    train("vitruvian-3d", solid, part, settings=settings, resume=True)
    states = [torch.load(run / "last.pt") for run in (whole, part)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    # The exported network is PyTorch's.
    network = starts3d.trained_network_3d(str(whole / "weights.pt")).eval()
    x = torch.rand(1, 192, 192, 3)
    with torch.no_grad():
        want = network(x.permute(0, 3, 1, 2))
    for a, b in zip(want, OpenVino(whole / "model.onnx")(x.numpy()), strict=True):
        assert np.abs(a.numpy() - b).max() < 1e-2 * np.abs(b).max()
    model = load(str(whole))
    frame = Frame.read(solid.parent / "0.png")
    box = Regions.boxes(np.array([[20, 20, 140, 220]], np.float32), np.ones(1, np.float32))
    (poses,) = model([frame], [box])
    assert poses.xyz is not None

    # From an earlier run.
    quick = [*QUICK, "epochs=1", "real=0"]
    again = train(str(whole), solid, tmp_path / "again", settings=quick)
    assert "| started from | whole |" in (again.folder / "README.md").read_text()


def test_what_it_cannot_learn_from_is_one_clear_line(solid, tmp_path):
    mine = make_mine(tmp_path)
    flat, metres = labelled.read_data(mine / "labels.json"), labelled.read_data(solid)
    with pytest.raises(VitruvianError, match="no joints in metres with left_hip"):
        Vitruvian3DTask(Recipe3D(), "vitruvian-3d", flat)
    with pytest.raises(VitruvianError, match="want 2D labels with some of the keypoints"):
        Vitruvian3DTask(Recipe3D(real_data=str(solid)), "vitruvian-3d", metres)
    with pytest.raises(VitruvianError, match=r"want released, backbone or a weights\.pt"):
        Vitruvian3DTask(Recipe3D(start="nothing"), "vitruvian-3d", metres).network()
