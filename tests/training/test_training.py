"""Training vitruvian-2d, on a few people made of coloured blocks."""

import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.alphapose import Joints
from vitruvian.models.load import load
from vitruvian.network.openvino import OpenVino

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.exports.networks.vitruvian2d import Vitruvian2D  # noqa: E402
from vitruvian.training import losses, schedule  # noqa: E402
from vitruvian.training.data import labelled, people  # noqa: E402
from vitruvian.training.data.augment import (  # noqa: E402
    Augment,
    person_crop,
    random_crop,
    upper_body,
)
from vitruvian.training.fit import fit  # noqa: E402
from vitruvian.training.tasks import crops, refinement, starts2d, vitruvian2d  # noqa: E402


@pytest.fixture
def folder(tmp_path, rng):
    """Eight people to train on and four to validate with."""
    (tmp_path / "crops").mkdir()
    rows = []
    for i in range(12):
        rgb = rng.integers(0, 60, (120, 90, 3), np.uint8)
        xy = rng.uniform(20, 70, (17, 2)).round(1)
        for k, (x, y) in enumerate(xy):
            cv2.circle(rgb, (int(x), int(y)), 3, (15 * k, 255 - 15 * k, 128), -1)
        cv2.imwrite(str(tmp_path / "crops" / f"{i}.png"), rgb)
        points = np.concatenate([xy, np.full((17, 1), 2.0)], axis=1)
        points[16] = 0  # nobody labelled the last one
        split = "train" if i < 8 else "val"
        rows.append(
            {
                "file": f"{i}.png",
                "split": split,
                "box": [10, 10, 70, 100],
                "area": 3000,
                "keypoints": points.tolist(),
            }
        )
    (tmp_path / "people.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return tmp_path


def test_people_are_read_by_split(folder):
    some = people.read(folder, "train")
    assert len(some) == 8
    assert some[0].rgb.shape == (120, 90, 3)
    assert some[0].seen.tolist() == [True] * 16 + [False]
    np.testing.assert_array_equal(some[0].box, [10, 10, 80, 110])


def test_a_folder_without_people_is_refused(tmp_path, folder):
    with pytest.raises(VitruvianError, match="cannot read people of"):
        people.read(tmp_path / "nowhere", "train")
    with pytest.raises(VitruvianError, match="no person of the split 'test'"):
        people.read(folder, "test")


def test_keypoints_go_with_the_pixels(folder):
    """A dot painted at a keypoint is at that keypoint of the crop, also mirrored and turned."""
    person = people.read(folder, "train")[0]
    dot = np.zeros((120, 90, 3), np.uint8)
    at = np.array([40, 60])
    dot[at[1], at[0]] = 255
    xy = np.tile(at.astype(np.float32), (17, 1))
    marked = people.Person2D(dot, person.box, person.area, xy, person.seen, "")
    for seed in range(12):
        look = Augment(half_body=0, proposal=0)
        rng = np.random.default_rng(seed)
        upper = upper_body(COCO17)
        rng.random()  # whether the frame ends within the person
        crop, mirror = random_crop(marked.box, xy, marked.seen, (192, 256), look, rng, upper)
        rng = np.random.default_rng(seed)
        made = people.training_sample(marked, (192, 256), 4, look, rng, COCO17, plain=True)
        grey = made.rgb.sum(axis=-1).astype(float)
        rows, columns = np.mgrid[:256, :192]
        middle = np.array([(grey * columns).sum(), (grey * rows).sum()]) / grey.sum()
        np.testing.assert_allclose(made.xy[0] * 4, middle, atol=0.1)
        assert crop.size == (192, 256)
        assert made.weight[15] == (not mirror or person.seen[COCO17.mirror[15]])


def still(person: people.Person2D) -> people.CropSample:
    """The crop of a person without augmentation."""
    size = vitruvian2d.SIZE
    return people.training_sample(person, size, 4, None, np.random.default_rng(0), COCO17)


def test_targets_are_empty_outside_and_unknown_where_nobody_labelled(folder):
    person = people.read(folder, "train")[0]
    xy = person.xy.copy()
    xy[3] = 5000
    away = people.Person2D(person.rgb, person.box, person.area, xy, person.seen, "")
    made = people.collate_crops([still(away)], crops.CELLS, 2.0)
    assert made["weight"][0].tolist() == [1, 1, 1, 0, *[1] * 12, 0]
    assert made["known"][0].tolist() == [1] * 16 + [0]
    assert not made["maps"][0, 3].any()
    assert made["maps"][0, 4].max() > 0.9


def test_people_of_a_data_set_are_those_of_its_folder(folder):
    """In large pictures a part is kept, which shows the same crop."""
    truth = labelled.read_data(folder).training
    some, read = people.PeopleOfPictures(truth, 1.0), people.read(folder, "train")
    assert len(some) == len(read) == 8
    for a, b in zip(some, read, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.xy[a.seen], b.xy[b.seen])
        np.testing.assert_array_equal(a.box, b.box)


@pytest.mark.parametrize("cache_gb", [1.0, 0.0])
def test_a_part_of_a_large_picture_shows_the_same_crop(tmp_path, rng, cache_gb):
    rgb = cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (2400, 1800))
    cv2.imwrite(str(tmp_path / "a.png"), rgb)
    xy = rng.uniform((700, 300), (1000, 1100), (17, 2))
    box = np.array([[650.0, 200, 400, 1100]])
    one, nobody = np.ones(1), np.zeros(1, bool)
    picture = LabelledPicture(
        *(1, tmp_path / "a.png", xy[None], np.ones((1, 17), bool), box, 1e5 * one, nobody, one),
        size=(2400, 1800),
    )
    truth = GroundTruth("", COCO17, [picture], "")
    (part,) = people.PeopleOfPictures(truth, cache_gb)
    whole = people.Person2D(
        Frame.read(tmp_path / "a.png").rgb,
        np.array([650, 200, 1050, 1300], np.float32),
        1e5,
        xy.astype(np.float32),
        np.ones(17, bool),
        "",
    )
    assert max(part.rgb.shape) <= 1200
    a, b = still(part), still(whole)
    np.testing.assert_allclose(a.xy, b.xy, atol=1e-3)
    assert np.abs(a.rgb.astype(int) - b.rgb).mean() < 1


def test_training_looks_at_a_box_as_inference_does():
    box = np.array([[30, 20, 90, 220], [5, 50, 300, 90]], np.float32)
    head = Joints(lambda rows: (rows,))
    frame = Frame(np.zeros((1, 1, 3), np.uint8))
    looks = head.crops(frame, Regions.boxes(box, np.ones(2, np.float32)))
    for row, look in zip(box, looks, strict=True):
        np.testing.assert_allclose(
            person_crop(row, head.size).from_input, look.from_input, atol=1e-4
        )


def test_data_without_splits_keep_some_pictures_apart(folder, tmp_path):
    whole = labelled.read_data(folder)
    file = tmp_path / "labels.json"
    labelled.write_coco(whole.training, file)
    read = labelled.read_data(file)
    names = [{p.path.name for p in truth.pictures} for truth in read]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 8
    assert names[1]
    report = labelled.data_report(read)
    assert any("kept apart" in line for line in report.suspicious)
    assert any("few labels of" in line for line in report.suspicious)
    with pytest.raises(VitruvianError, match="no labelled people to learn from"):
        labelled.read_data(file, file)


def test_several_data_sets_are_learned_from_together(folder, tmp_path):
    whole = labelled.read_data(folder)
    file = tmp_path / "labels.json"
    labelled.write_coco(whole.training, file)
    both = labelled.read_data([folder, file], folder)
    assert len(both.training.pictures) == len(whole.training.pictures)  # the same ones
    assert any("also before it" in note for note in both.training.notes)
    assert len({picture.number for picture in both.training.pictures}) == len(
        both.training.pictures
    )
    assert both.training.sha256 not in (whole.training.sha256, labelled.read_data(file).training)
    split = labelled.read_data([file, folder])
    names = [{p.path.resolve() for p in truth.pictures} for truth in split]
    assert not names[0] & names[1]
    assert names[1] > {p.path.resolve() for p in whole.validation.pictures}
    said = json.loads(file.read_text())
    said["categories"][0]["keypoints"][0] = "beak"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(said))
    with pytest.raises(VitruvianError, match="use the same for all"):
        labelled.read_data([folder, other])


def test_the_loss_is_that_of_heat_maps_and_coordinates(folder):
    """As before the loop was everybody's: a mean over known maps, and one over people."""
    data = labelled.read_data(folder)
    recipe = vitruvian2d.Recipe2D(start="backbone", point_weight=2.0)
    task = vitruvian2d.Vitruvian2DTask(recipe, "vitruvian-2d", data)
    batch = task.collate([task.sample(i, 0) for i in range(4)])
    torch.manual_seed(0)
    network = Vitruvian2D().eval()
    terms = task.loss(network, batch)
    found = {name: (term.total / term.number).item() for name, term in terms.items()}
    maps = network(batch["crops"].float() / 255).maps
    heat = losses.heatmap_bce_loss(maps, batch["maps"], batch["known"])
    xy = losses.expected_position(maps)
    points = losses.coordinate_l1_loss(xy, batch["xy"], batch["weight"], (48, 64))
    assert found == pytest.approx({"heat": heat.item(), "points": 2 * points.item()}, rel=1e-5)


@pytest.mark.weights
def test_released_weights_give_the_released_answer(rng):
    """Also in training, where batch norms use the batch they were made again with."""
    colours = rng.integers(0, 255, (3, 8, 6, 3), np.uint8)
    crops = np.stack([cv2.resize(each, vitruvian2d.SIZE) for each in colours])
    (maps,) = OpenVino(starts2d.released_file(), outputs=[0])(crops)
    network = starts2d.with_released_weights(COCO17, starts2d.images(crops))
    for training, atol in ((False, 1e-3), (True, 0.02)):
        network.train(training)
        with torch.no_grad():
            found = network(starts2d.images(crops)).maps.numpy()
        np.testing.assert_allclose(found, maps, atol=atol)
    some = Skeleton.table("some", "", ("left_elbow", "", 0.1), ("tail", "", 0.1), ("nose", "", 0.1))
    network = starts2d.with_released_weights(some, starts2d.images(crops))
    with torch.no_grad():
        found = network(starts2d.images(crops)).maps.numpy()
    np.testing.assert_allclose(found[:, 0], maps[:, COCO17["left_elbow"]], atol=1e-3)
    np.testing.assert_allclose(found[:, 2], maps[:, 0], atol=1e-3)


@pytest.mark.weights
def test_frozen_layers_stay_as_they_were_and_a_run_is_refined(folder, tmp_path, blazepose):
    blazepose("full")
    data, run = labelled.read_data(folder), tmp_path / "run"
    recipe = vitruvian2d.Recipe2D(start="backbone", batch=4, head_epochs=1, epochs=2, resamples=0)
    fit(vitruvian2d.Vitruvian2DTask(recipe, "vitruvian-2d", data), run, say=lambda _: None)
    state = torch.load(run / "weights.pt", weights_only=True)
    fresh = starts2d.with_official_backbone(17).state_dict()
    same = {name: torch.equal(state[name], fresh[name]) for name in fresh if "backbone" in name}
    assert same["backbone.stem.weight"]
    assert same["backbone.blocks.2.expand.weight"]
    assert not same["backbone.blocks.5.expand.weight"]

    more = refinement.RefinementRecipe(of=str(run), batch=4, epochs=1, precision="bf16")
    task = refinement.RefinementTask(more, "vitruvian-2d-pga", data)
    progress = fit(task, tmp_path / "refined", say=lambda _: None)
    assert set(progress.lines[0]["figures"]) == {"cells", "cells before"}
    model = load(str(run), refine="pga")
    assert model.name == "run"
    taught = replace(recipe, teacher=str(run / "weights.pt"), epochs=1, start=str(run / "best.pt"))
    taught = replace(taught, precision="bf16")
    task = vitruvian2d.Vitruvian2DTask(taught, "vitruvian-2d", data)
    progress = fit(task, tmp_path / "student", say=lambda _: None)
    assert set(progress.lines[0]["losses"]) == {"loss", "heat", "points", "taught"}


def test_weights_of_a_copy_are_restored_and_the_original_learns_on():
    """PyTorch's `remove_parametrizations` would take them from the original as well (2.13.0)."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
    x = torch.ones(1, 3, 2, 2)
    before = network(x)
    schedule.rescale_weights(network)
    copied = copy.deepcopy(network)
    schedule.restore_weights(copied)
    assert set(dict(copied.named_parameters())) == {"0.weight", "0.bias"}
    torch.testing.assert_close(copied(x), before)
    network(x).sum().backward()
    learned = dict(network.named_parameters())
    assert all(each.grad is not None for each in learned.values())
    assert set(learned) == {f"0.parametrizations.{n}.original" for n in ("weight", "bias")}


def test_weights_of_keypoints_reach_the_losses(folder, tmp_path):
    """Written as COCO annotations, read again, mirrored with their keypoints."""
    truth = labelled.read_data(folder).training
    weight = np.linspace(0, 1, 17, dtype=np.float32)[None]
    truth = replace(truth, pictures=[replace(p, weight=weight) for p in truth.pictures])
    file = tmp_path / "labels.json"
    labelled.write_coco(truth, file)
    (tmp_path / "elsewhere").mkdir()
    file = file.rename(tmp_path / "elsewhere" / "labels.json")
    read = labelled.read_data(file).training
    person = people.PeopleOfPictures(read, 0.0)[0]
    np.testing.assert_allclose(person.weight, weight[0], atol=1e-4)
    made = people.collate_crops([still(person)], crops.CELLS, 2.0)
    np.testing.assert_allclose(made["known"][0], weight[0] * person.seen, atol=1e-4)
    np.testing.assert_array_equal(made["weight"], made["known"])
    mirrored = [
        people.training_sample(
            person, vitruvian2d.SIZE, 4, Augment(half_body=0), np.random.default_rng(seed), COCO17
        ).weight
        for seed in range(8)
    ]
    want = (weight[0] * person.seen)[COCO17.mirror]
    assert any(np.allclose(found, want, atol=1e-4) for found in mirrored)


def test_a_loss_without_weight_has_no_gradient(folder):
    data = labelled.read_data(folder)
    task = vitruvian2d.Vitruvian2DTask(vitruvian2d.Recipe2D(), "vitruvian-2d", data)
    batch = task.collate([task.sample(i, 0) for i in range(2)])
    for name in ("known", "weight"):
        batch[name][:, 3] = 0
    maps = torch.randn(2, 17, 64, 48, requires_grad=True)
    terms = task.loss(lambda _: SimpleNamespace(maps=maps), batch)
    torch.stack([term.total for term in terms.values()]).sum().backward()
    assert maps.grad is not None
    assert not maps.grad[:, 3].any()
    assert maps.grad[:, 4].any()


def test_the_lite_network_is_half_as_large_and_opens_as_the_other(tmp_path):
    from vitruvian.exports.export import export_checkpoint

    def parameters(network):
        return sum(p.numel() for p in network.parameters())

    network = Vitruvian2D(17, "lite")
    assert 0.4 < parameters(network) / parameters(Vitruvian2D()) < 0.5
    weights, file = tmp_path / "weights.pt", tmp_path / "lite.onnx"
    torch.save(network.state_dict(), weights)
    again = starts2d.load_trained(weights)
    assert again.backbone.size == network.backbone.size
    export_checkpoint(weights, file)
    model = load(str(file))
    assert model.skeleton == COCO17
    box = Regions.boxes(np.array([[0, 0, 64, 64]], np.float32), np.ones(1, np.float32))
    (poses,) = model([Frame(np.zeros((64, 64, 3), np.uint8))], [box])
    assert poses.skeleton == COCO17


def test_what_the_lite_network_cannot_start_from_is_refused(folder):
    data = labelled.read_data(folder)
    for size, why in (
        ("lite", "no released weights of size lite; start from BlazePose's"),
        ("small", "no size of vitruvian-2d named 'small'"),
    ):
        recipe = vitruvian2d.Recipe2D(size=size)
        task = vitruvian2d.Vitruvian2DTask(recipe, "vitruvian-2d", data)
        with pytest.raises(VitruvianError, match=why):
            task.network()
