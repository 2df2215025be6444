"""Training of the person detector: what it is shown, what it learns from, what is written."""

import json
from pathlib import Path

import numpy as np
import pytest

from vitruvian.decode import anchors
from vitruvian.errors import VitruvianError
from vitruvian.models.objectron import SCALES, SIDE

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.exports.export import reread_person_ssd, write_person_ssd  # noqa: E402
from vitruvian.exports.networks.ssd import PersonSsd  # noqa: E402
from vitruvian.network.openvino import OpenVino  # noqa: E402
from vitruvian.training.data import boxes  # noqa: E402
from vitruvian.training.tasks import finder  # noqa: E402

BOX = np.array([[60, 20, 140, 180]], np.float32)
NONE = np.zeros((0, 4), np.float32)


def painted() -> boxes.LabelledBoxes:
    """A grey picture with a white person."""
    rgb = np.full((240, 320, 3), 60, np.uint8)
    rgb[20:180, 60:140] = 255
    return boxes.LabelledBoxes(rgb, BOX, NONE)


def test_boxes_move_with_the_picture(monkeypatch):
    monkeypatch.setattr(boxes, "jitter_colours", lambda rgb, rng: rgb)
    rng, seen = np.random.default_rng(0), 0
    for _ in range(30):
        view = boxes.random_view(painted(), boxes.Views(), rng)
        for box in view.people:
            rows, columns = np.nonzero(view.rgb[..., 0] > 200)
            ends = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box, ends, atol=2)
            seen += 1
    assert seen > 20


def test_where_nobody_is_nobody_is():
    rng = np.random.default_rng(0)
    for _ in range(20):
        view = boxes.nobody_view(painted(), rng)
        assert (len(view.people), view.rgb.shape) == (0, (SIDE, SIDE, 3))
    # A crowd fills the picture: plain colour.
    whole = np.array([[0, 0, 320, 240]], np.float32)
    assert boxes.nobody_view(painted()._replace(people=NONE, ignored=whole), rng).rgb.std() < 90


def test_boxes_with_gradients_are_those_of_the_decoder():
    rows = np.random.default_rng(0).normal(0, 2, (1917, 4)).astype(np.float32)
    want = anchors.decode_ssd(rows, anchors.ssd(SIDE, SIDE, SCALES)) * SIDE
    got = finder.DetectionLoss().boxes(torch.from_numpy(rows))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_score_where_a_person_is_costs_less_than_elsewhere(ignored: bool):
    measure, person = finder.DetectionLoss(), torch.tensor([[80.0, 40, 160, 260]])
    rows, logits = torch.zeros(1917, 4), torch.full((1917,), -4.0)
    near = finder.overlap(measure.shapes, person)[0][:, 0].argmax()
    crowd = torch.tensor([[0.0, 0, 300, 300]]) if ignored else torch.zeros(0, 4)
    losses = {}
    for name, which in (("right", near), ("nobody", None), ("wrong", 3 * (9 * 19 + 15))):
        sure = logits.clone()
        if which is not None:
            sure[which] = 4.0
        losses[name] = measure(rows, sure, person, crowd)[0].item()
    assert losses["right"] < losses["nobody"]
    if ignored:  # what is in a crowd is no error
        assert losses["wrong"] == pytest.approx(losses["nobody"], abs=1e-3)
    else:
        assert losses["nobody"] < losses["wrong"]


def test_the_network_is_written_for_any_size(tmp_path):
    torch.manual_seed(0)
    out = tmp_path / "find.onnx"
    network = PersonSsd().eval()
    assert write_person_ssd(network, out) < 1e-2  # which rounds its weights
    again = reread_person_ssd(out).state_dict()
    assert all(torch.equal(again[name], value) for name, value in network.state_dict().items())
    for side, count in ((SIDE, 1917), (160, 540)):
        rows, logits = OpenVino(out, side=side)(np.zeros((1, side, side, 3), np.float32))
        assert (rows.shape, logits.shape) == ((1, count, 4), (1, count, 1))


def test_a_resumed_run_ends_with_the_same_weights(monkeypatch, tmp_path):
    def network(file: object) -> PersonSsd:
        torch.manual_seed(3)
        return PersonSsd()

    monkeypatch.setattr(
        finder, "read_boxes", lambda data: [painted()._replace(number=i) for i in range(6)]
    )
    monkeypatch.setattr(finder.ready, "pull", lambda name: [tmp_path])
    monkeypatch.setattr(finder, "read_person_ssd", network)
    recipe = finder.FinderRecipe(batch=2, epochs=2, apart=3)
    whole = finder.train_finder(recipe, tmp_path, tmp_path / "whole")
    saved = finder.torch.save

    def stop(state: dict, file: Path) -> None:
        saved(state, file)
        if len(state["lines"]) == 1:
            (tmp_path / "part" / "fresh.pt").replace(tmp_path / "part" / "state.pt")
            raise KeyboardInterrupt

    monkeypatch.setattr(finder.torch, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        finder.train_finder(recipe, tmp_path, tmp_path / "part")
    with pytest.raises(VitruvianError, match="has a run already"):
        finder.train_finder(recipe, tmp_path, tmp_path / "part")
    other = finder.FinderRecipe(batch=2, epochs=3, apart=3)
    with pytest.raises(VitruvianError, match="another recipe"):
        finder.train_finder(other, tmp_path, tmp_path / "part", resume=True)
    resumed = finder.train_finder(recipe, tmp_path, tmp_path / "part", resume=True)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    lines = (tmp_path / "part" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_less_than_a_batch_of_images_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setattr(
        finder, "read_boxes", lambda data: [painted()._replace(number=i) for i in range(3)]
    )
    monkeypatch.setattr(finder.ready, "pull", lambda name: [tmp_path])
    monkeypatch.setattr(finder, "read_person_ssd", lambda file: PersonSsd())
    with pytest.raises(VitruvianError, match="has 2 images, want at least a batch of 16"):
        finder.train_finder(finder.FinderRecipe(), tmp_path, tmp_path / "out")
