"""Training of the person detector: what it is shown, what it learns from, what is written."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import command, one_line
from vitruvian.decode import anchors
from vitruvian.errors import VitruvianError
from vitruvian.evaluate import truth
from vitruvian.frame import Frame
from vitruvian.models.load import load, open_finder
from vitruvian.models.objectron import SCALES, SIDE, Options, PersonDetector

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.exports.export import reread_person_ssd, write_person_ssd  # noqa: E402
from vitruvian.exports.networks.ssd import PersonSsd  # noqa: E402
from vitruvian.network.openvino import OpenVino  # noqa: E402
from vitruvian.stopping import Interrupted  # noqa: E402
from vitruvian.training.data import boxes, labelled  # noqa: E402
from vitruvian.training.fit import fit  # noqa: E402
from vitruvian.training.tasks import finder  # noqa: E402
from vitruvian.verbs.train import train  # noqa: E402

BOX = np.array([[60, 20, 140, 180]], np.float32)
NONE = np.zeros((0, 4), np.float32)
QUICK = ["epochs=2", "batch=4", "resamples=10", "checkpoint_every=0.0", "threads=1"]


def painted() -> boxes.LabelledBoxes:
    """A grey picture with a white person."""
    rgb = np.full((240, 320, 3), 60, np.uint8)
    rgb[20:180, 60:140] = 255
    return boxes.LabelledBoxes(rgb, BOX, NONE)


@pytest.fixture
def labels(tmp_path) -> Path:
    """Boxes without keypoints: 10 images of a person, a crowd in the first, nobody in the last."""
    (tmp_path / "images").mkdir()
    rng, images, rows = np.random.default_rng(0), [], []

    def add(image: int, box: list[int], crowd: int) -> None:
        row = {"id": len(rows) + 1, "image_id": image, "category_id": 1, "bbox": box}
        rows.append({**row, "area": box[2] * box[3], "iscrowd": crowd})

    for i in range(11):
        rgb = rng.integers(40, 90, (120, 160, 3), np.uint8)
        if i < 10:
            x, y = int(rng.integers(10, 90)), int(rng.integers(5, 30))
            rgb[y : y + 80, x : x + 40] = 230
            add(i, [x, y, 40, 80], 0)
        if i == 0:
            add(i, [0, 100, 160, 20], 1)
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), rgb)
        images.append({"id": i, "file_name": f"{i}.png", "width": 160, "height": 120})
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    said = {"images": images, "annotations": rows, "categories": categories}
    (tmp_path / "boxes.json").write_text(json.dumps(said))
    return tmp_path / "boxes.json"


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


def test_everybody_s_boxes_and_crowds_reach_the_loss(labels, tmp_path):
    """Nobody has keypoints; a picture of nobody and a crowd are learned from as what they are."""
    whole = truth.read(labels, boxes=True)
    assert not any(picture.labelled.any() for picture in whole.pictures)
    data = labelled.Data(whole, whole)
    task = finder.FinderTask(finder.FinderRecipe(nobody=0.0), "vitruvian-find", data)
    report = task.report()
    assert any("1 of them without people" in line for line in report.lines)
    assert any("1 crowd (ignored regions)" in line for line in report.lines)
    some = [boxes.boxes_of(task.training, number) for number in (0, 10, 1)]
    assert [(len(each.people), len(each.ignored)) for each in some] == [(1, 1), (0, 0), (1, 0)]
    width, height = some[0].rgb.shape[1::-1]
    np.testing.assert_allclose(some[0].ignored[0], [0, height * 100 / 120, width, height], atol=1)
    left, top, right, bottom = some[2].people[0].astype(int)
    assert some[2].rgb[top + 4 : bottom - 4, left + 4 : right - 4].min() > 220

    batch = task.collate([each._replace(rgb=np.zeros((SIDE, SIDE, 3), np.uint8)) for each in some])
    assert batch["people_of"].tolist() == [0, 2]
    assert batch["ignored_of"].tolist() == [0]
    torch.manual_seed(0)
    network = PersonSsd().eval()
    terms = task.loss(network, batch)
    parts = [
        task.measure(rows, logits[:, 0], *(torch.from_numpy(part) for part in each[1:3]))
        for each, rows, logits in zip(some, *network(-torch.ones(3, SIDE, SIDE, 3)), strict=True)
    ]
    weight = sum(part[2].item() for part in parts)
    assert float(terms["scores"].number) == pytest.approx(weight)
    assert terms["scores"].total.item() == pytest.approx(sum(p[0].item() for p in parts), rel=1e-5)
    boxes_loss = 2 * sum(part[1].item() for part in parts)
    assert terms["boxes"].total.item() == pytest.approx(boxes_loss, rel=1e-5)


def test_a_run_is_a_person_detector_and_resumes_to_the_bit(labels, tmp_path, monkeypatch):
    whole, part = tmp_path / "whole", tmp_path / "part"
    said: list[str] = []
    done = train("vitruvian-find", labels, whole, settings=QUICK, say=said.append)
    assert said[-1].endswith(f"use it with --find {whole}")
    assert set(done.figures) == {"AP50", "found"}
    card = (whole / "README.md").read_text()
    assert "vitruvian-find  0." in card
    assert "weights.pt" not in card
    assert Frame.read(whole / "data.png").size == (6 * SIDE, 2 * SIDE)

    # Exported is what PyTorch computes, and `find` opens it.
    frame = Frame.read(labels.parent / "images" / "3.png")
    network = reread_person_ssd(done.model)
    (want,) = PersonDetector(finder.run_of(network), Options(conf=0.1))([frame])
    (found,) = open_finder(str(whole), "boxes", Options(conf=0.1)).find([frame])
    assert len(want) > 0
    np.testing.assert_allclose(found.bounds(), want.bounds(), atol=0.5)
    np.testing.assert_allclose(found.score, want.score, atol=0.01)
    model = load("vitruvian-2d", find=str(whole), conf=0.1, pose_nms=False)
    assert len(model([frame])[0]) > 0
    with pytest.raises(VitruvianError, match="finds people, but does not estimate poses"):
        load(str(whole))

    step = finder.FinderTask.loss
    calls = 0

    def stop(self, network, batch):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Interrupted(2)
        return step(self, network, batch)

    monkeypatch.setattr(finder.FinderTask, "loss", stop)
    with pytest.raises(Interrupted):
        train("vitruvian-find", labels, part, settings=QUICK)
    monkeypatch.setattr(finder.FinderTask, "loss", step)
    with pytest.raises(VitruvianError, match="is not finished"):
        open_finder(str(part), "boxes", Options())
    train("vitruvian-find", labels, part, resume=True, settings=QUICK)
    assert done.model.read_bytes() == (part / "model.onnx").read_bytes()

    # From an earlier run.
    again = train(
        str(whole), labels, tmp_path / "again", settings=[*QUICK, "epochs=1", "precision=bf16"]
    )
    assert "| started from | whole |" in (again.folder / "README.md").read_text()


def test_people_the_boxes_lead_to_are_found(labels, tmp_path):
    """White boxes, that no released weights know."""
    recipe = finder.FinderRecipe(epochs=25, batch=4, rate=1e-3, warmup=10, ema=0.9, resamples=0)
    data = labelled.read_data(labels, boxes=True)
    progress = fit(
        finder.FinderTask(recipe, "vitruvian-find", data), tmp_path / "run", say=lambda _: None
    )
    first, last = progress.lines[0], progress.lines[-1]
    assert last["losses"]["loss"] < first["losses"]["loss"]
    assert last["figures"]["AP50"][0] > 0.9


def test_what_is_no_data_for_a_detector_is_one_clear_line(labels, tmp_path):
    words = ("train", "--model", "vitruvian-find", "--out", tmp_path / "r", "--data")
    one_line(command(*words, labels, "--set", "batch=64"), "want at least one batch of 64")
    said = json.loads(labels.read_text())
    for row in said["annotations"]:
        row["iscrowd"] = 1
    (tmp_path / "crowds.json").write_text(json.dumps(said))
    one_line(command(*words, tmp_path / "crowds.json"), "all are crowds")
    said["categories"] = [{"id": 1, "name": "cat"}]
    (tmp_path / "cats.json").write_text(json.dumps(said))
    one_line(command(*words, tmp_path / "cats.json"), "has keypoints")
    with pytest.raises(VitruvianError, match="has keypoints"):
        labelled.read_data(labels)
