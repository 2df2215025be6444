"""Training of AlphaPose's networks: what they start from, losses, whole runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import command, one_line
from mine import NAMES, make_mine
from vitruvian.body.skeletons import COCO17, HALPE68, HALPE136
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.load import load

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.exports.networks import fastpose  # noqa: E402
from vitruvian.stopping import Interrupted  # noqa: E402
from vitruvian.training import losses  # noqa: E402
from vitruvian.training.data import labelled  # noqa: E402
from vitruvian.training.fit import fit  # noqa: E402
from vitruvian.training.tasks import fastpose as task_of  # noqa: E402
from vitruvian.training.tasks.fastpose import FastPoseRecipe, FastPoseTask  # noqa: E402
from vitruvian.training.trainable import trainable  # noqa: E402
from vitruvian.verbs.train import train  # noqa: E402

R50 = "alphapose-fastpose-r50"
QUICK = ["start=scratch", "width=4", "batch=4", "epochs=2", "resamples=0", "checkpoint_every=0.0"]
QUICK += ["threads=1", "warmup=2"]


def checkpoint_of(folder: Path, keypoints: int = 17, width: int = 4) -> Path:
    """A file of AlphaPose's format: a bare state dict."""
    torch.manual_seed(1)
    network = fastpose.build(task_of.shape_of(R50, keypoints, width))
    file = folder / f"own{keypoints}.pth"
    torch.save(network.state_dict(), file)
    return file


@pytest.fixture
def mine(tmp_path) -> Path:
    return make_mine(tmp_path)


def task(mine: Path, model: str, **recipe) -> FastPoseTask:
    given = FastPoseRecipe(resamples=0, **recipe)
    return FastPoseTask(given, model, labelled.read_data(mine / "labels.json"))


def test_a_checkpoint_keeps_its_keypoints_by_name(mine, tmp_path):
    file = checkpoint_of(tmp_path)
    assert trainable(str(file)).task is FastPoseTask
    own = task(mine, str(file))
    assert own.decode == "argmax"
    torch.manual_seed(0)
    network, before = own.network().eval(), fastpose.build(task_of.shape_of(R50, 17, 4))
    before.load_state_dict(torch.load(file))
    x = torch.rand(1, 3, 256, 192)
    maps, old = network(x), before.eval()(x)
    assert maps.shape == (1, 4, 64, 48)
    for i, name in enumerate(NAMES):  # nose, both wrists, and a hat that nobody knew
        same = name in COCO17.places and torch.allclose(maps[:, i], old[:, COCO17[name]])
        assert same == (name != "hat")
    kinds = [{id(p) for p in group.parameters} for group in own.groups(network)]
    assert [group.rate for group in own.groups(network)] == [1e-3, 1e-4]
    assert kinds[0] | kinds[1] == {id(p) for p in network.parameters()}
    assert id(task_of.last_layer(network).weight) in kinds[0]


def test_a_resnet_as_torchvision_names_it_is_a_start(mine, tmp_path):
    torch.manual_seed(0)
    donor = fastpose.build(task_of.shape_of(R50, 4, 4)).state_dict()
    named = {
        name.removeprefix("preact."): value
        for name, value in donor.items()
        if name.startswith("preact.") and ".se." not in name
    }
    torch.save({**named, "fc.weight": torch.zeros(1000, 128)}, tmp_path / "resnet.pth")
    own = task(mine, R50, start=str(tmp_path / "resnet.pth"), width=4)
    torch.manual_seed(7)
    state = own.network().state_dict()
    assert all(torch.equal(state[f"preact.{name}"], value) for name, value in named.items())
    assert not torch.equal(state["duc1.conv.weight"], donor["duc1.conv.weight"])
    with pytest.raises(VitruvianError, match=r"conv1\.weight is missing or of another shape"):
        task(mine, R50, start=str(tmp_path / "resnet.pth"), width=8).network()


@pytest.mark.parametrize("decode", ["argmax", "integral"])
def test_the_loss_is_that_of_the_decoder(mine, decode):
    own = task(mine, R50, start="scratch", width=4, decode=decode)
    torch.manual_seed(0)
    network = own.network().eval()
    batch = own.collate([own.sample(i, 0) for i in range(3)])
    terms = own.loss(network, batch)
    maps = network(fastpose.fastpose_input(batch["crops"].permute(0, 2, 3, 1)))
    if decode == "argmax":
        want = losses.heatmap_mse_loss(maps, batch["maps"], batch["known"])
    else:
        xy = losses.expected_position(maps)
        want = losses.coordinate_l1_loss(xy, batch["xy"], batch["weight"], (48, 64))
    (term,) = terms.values()
    assert (term.total / term.number).item() == pytest.approx(want.item(), rel=1e-5)
    peaks = batch["maps"].amax((-2, -1))[batch["weight"] > 0]
    assert (peaks == 1).all()  # around the nearest cell, as the reference


@pytest.mark.parametrize("skeleton", [HALPE68, HALPE136])
@pytest.mark.parametrize("decode", ["", "integral"])
def test_whole_bodies_have_heat_maps_and_coordinates(mine, rng, skeleton, decode):
    data = labelled.read_data(mine / "labels.json")
    xy = rng.uniform(20, 140, (2, len(skeleton), 2))
    ones = np.ones(xy.shape[:2])
    changed = [
        replace(each, xy=xy, labelled=ones > 0, weight=ones) for each in data.training.pictures
    ]
    whole = replace(data.training, skeleton=skeleton, pictures=changed)
    recipe = FastPoseRecipe(start="scratch", width=4, decode=decode)
    own = FastPoseTask(recipe, R50, labelled.Data(whole, whole))
    hands = 42 if len(skeleton) == 68 else 110
    assert (own.decode, own.hands) == (decode or "combined", hands)
    torch.manual_seed(0)
    network = own.network().eval()
    batch = own.collate([own.sample(i, 0) for i in range(2)])
    (term,) = own.loss(network, batch).values()
    maps = network(fastpose.fastpose_input(batch["crops"].permute(0, 2, 3, 1)))
    if decode:
        weight = batch["weight"].clone()
        weight[:, :26] *= 2
        points = losses.expected_position(maps)
        want = losses.coordinate_l1_loss(points, batch["xy"], weight, (48, 64))
    else:
        target, weight = batch["maps"], batch["weight"]
        want = losses.whole_body_loss(maps, target, batch["xy"], weight, hands)
    assert (term.total / term.number).item() == pytest.approx(want.item(), rel=1e-5)


def test_a_run_resumes_to_the_bit_and_is_a_model(mine, tmp_path, monkeypatch):
    whole, part = tmp_path / "whole", tmp_path / "part"
    settings = [*QUICK, "decode=integral"]
    labels = mine / "labels.json"
    done = train(R50, labels, whole, settings=settings)
    assert set(done.figures) == {"AP", "AP50", "PCK"}
    step, calls = FastPoseTask.loss, 0

    def stop(self, network, batch):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise Interrupted(2)
        return step(self, network, batch)

    monkeypatch.setattr(FastPoseTask, "loss", stop)
    with pytest.raises(Interrupted):
        train(R50, labels, part, settings=settings)
    monkeypatch.setattr(FastPoseTask, "loss", step)
    train(R50, labels, part, settings=settings, resume=True)
    states = [torch.load(run / "weights.pt") for run in (whole, part)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    # Exported is what PyTorch computes, decoded as trained.
    model = load(str(whole), find=str(labels), pose_nms=False)
    assert model.options["decode"] == "integral"
    assert model.skeleton.keypoints == NAMES
    own = task(mine, str(whole / "model.onnx"))
    assert own.decode == "integral"
    network = own.network().eval()
    frame = Frame.read(own.kept.truth.pictures[0].path)
    box = Regions.boxes(own.kept.box(0)[None], np.ones(1, np.float32))
    (poses,) = model([frame], [box])
    found = own.predict_people(network, own.kept)[own.kept.number(0)]
    np.testing.assert_allclose(poses.xy[0], found.xy[0], atol=0.1)

    # Of an earlier run, with another decoder.
    again = train(
        str(whole), labels, tmp_path / "again",
        settings=[*QUICK[2:], "epochs=1", "decode=argmax"],
    )  # fmt: skip
    card = (again.folder / "README.md").read_text()
    assert "| started from | whole |" in card
    assert "\nwhole" in card
    assert "\nagain" in card


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_dots_are_learned(tmp_path, precision):
    """From scratch, a sixteenth as wide: most of the dots within a tenth of the box."""
    mine = make_mine(tmp_path, 20)
    settings: dict[str, Any] = {"start": "scratch", "width": 4, "batch": 6, "epochs": 12}
    settings |= {"rate": 0.01, "warmup": 10, "ema": 0.9, "half_body": 0.0, "scale": 0.1}
    settings |= {
        "turn_deg": 10.0,
        "proposal": 0.0,
        "resamples": 0,
        "validate_every": 12,
        "seed": 2,  # on the processor where 0 ends at 0.375, 1 has 0.75 and 2 has 1
        "precision": precision,
    }
    recipe = FastPoseRecipe(**settings)
    data = labelled.read_data(mine / "labels.json")
    progress = fit(FastPoseTask(recipe, R50, data), tmp_path / "run", say=lambda _: None)
    assert progress.lines[-1]["figures"]["PCK"][0] > 0.4


def test_what_cannot_be_started_from_is_one_clear_line(mine, tmp_path):
    file = checkpoint_of(tmp_path, 5)
    labels, words = mine / "labels.json", ("train", "--out", tmp_path / "run")
    asked = (*words, "--data", labels, "--model")
    one_line(command(*asked, file), "does not say how its heat maps are decoded")
    with pytest.raises(VitruvianError, match="has 5 keypoints, which is no known skeleton"):
        task(mine, str(file), decode="argmax").network()
    one_line(command(*asked, file, "--set", "decode=local"), "no decoder named 'local'")
    one_line(command(*asked, R50, "--set", "start=nothing"), "want model, scratch, or the file")
    one_line(command(*asked, R50, "--set", "start=scratch", "--set", "decode=combined"), "has none")
    (tmp_path / "alone").mkdir()
    with pytest.raises(VitruvianError, match="no such file"):
        trainable(str(tmp_path / "alone" / "model.onnx"))
