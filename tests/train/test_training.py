"""Training vitruvian-2d, on a few people made of coloured blocks."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.alphapose import Joints

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.train.data import people  # noqa: E402
from vitruvian.train.data.augment import Augment, person_crop, random_crop  # noqa: E402
from vitruvian.train.tasks import vitruvian2d  # noqa: E402

STILL = Augment(scale=0, turn_deg=0, turn=0, half_body=0, proposal=0, mirror=0)


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
        crop, mirror = random_crop(marked.box, xy, marked.seen, (192, 256), look, rng)
        rgb, cells, seen = people.training_sample(
            marked, (192, 256), 4, look, np.random.default_rng(seed), plain=True
        )
        grey = rgb.sum(axis=-1).astype(float)
        rows, columns = np.mgrid[:256, :192]
        middle = np.array([(grey * columns).sum(), (grey * rows).sum()]) / grey.sum()
        np.testing.assert_allclose(cells[0] * 4, middle, atol=0.1)
        assert crop.size == (192, 256)
        assert seen[15] == (not mirror or person.seen[COCO17.mirror[15]])


def test_targets_are_empty_outside_and_unknown_where_nobody_labelled(folder):
    person = people.read(folder, "train")[0]
    xy = person.xy.copy()
    xy[3] = 5000
    away = people.Person2D(person.rgb, person.box, person.area, xy, person.seen, "")
    made = people.collate_2d([away], vitruvian2d.SIZE, 4, None, np.random.default_rng(0))
    assert made.weight[0].tolist() == [1, 1, 1, 0, *[1] * 12, 0]
    assert made.known[0].tolist() == [1] * 16 + [0]
    assert not made.maps[0, 3].any()
    assert made.maps[0, 4].max() > 0.9


def test_every_person_comes_once_and_the_same_seed_gives_the_same(folder):
    some = people.read(folder, "train")

    def crops(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        made = people.shuffled_batches(some, 4, vitruvian2d.SIZE, 4, STILL, rng)
        return np.concatenate([batch.xy for batch in made])

    assert len(np.unique(crops(0)[:, 0], axis=0)) == 8
    np.testing.assert_array_equal(crops(0), crops(0))


def test_a_fault_while_people_are_made_ready_is_not_waited_for(folder):
    broken = [replace(person, xy=None) for person in people.read(folder, "train")]
    with pytest.raises((TypeError, AttributeError, ValueError)):
        list(
            people.shuffled_batches(broken, 4, vitruvian2d.SIZE, 4, STILL, np.random.default_rng(0))
        )


def test_training_looks_at_a_box_as_inference_does():
    box = np.array([[30, 20, 90, 220], [5, 50, 300, 90]], np.float32)
    head = Joints(lambda rows: (rows,))
    frame = Frame(np.zeros((1, 1, 3), np.uint8))
    looks = head.crops(frame, Regions.boxes(box, np.ones(2, np.float32)))
    for row, look in zip(box, looks, strict=True):
        np.testing.assert_allclose(
            person_crop(row, head.size).from_input, look.from_input, atol=1e-4
        )


def test_a_recipe_says_what_it_does_not_know(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("epochs = 3\nsigma = 1.5\n")
    assert vitruvian2d.Recipe2D.read(path).epochs == 3
    path.write_text("epoch = 3")
    with pytest.raises(VitruvianError, match=r"no entry of a recipe named 'epoch'.*'epochs'"):
        vitruvian2d.Recipe2D.read(path)
    path.write_text("epochs = 'three'")
    with pytest.raises(VitruvianError, match="epochs is 'three', want int"):
        vitruvian2d.Recipe2D.read(path)


@pytest.mark.weights
def test_a_run_goes_on_where_it_was_interrupted(folder, tmp_path, blazepose):
    blazepose("full")
    recipe = vitruvian2d.Recipe2D(batch=4, head_epochs=1, epochs=2, refine_epochs=1)
    out = tmp_path / "run"
    vitruvian2d.train_2d(recipe, folder, out, minutes=0)
    lines = (out / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1]
    assert vitruvian2d.Recipe2D.read(out / "recipe.toml") == recipe
    ap = vitruvian2d.train_2d(recipe, folder, out)
    lines = (out / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert 0 <= ap <= 1
    before, after = vitruvian2d.train_refinement(recipe, folder, out)
    assert before > 0
    assert after > 0

    taught = vitruvian2d.Recipe2D(batch=4, head_epochs=0, epochs=1, teacher=str(out / "weights.pt"))
    assert 0 <= vitruvian2d.train_2d(taught, folder, tmp_path / "student") <= 1


@pytest.mark.weights
def test_the_frozen_layers_stay_as_they_were(folder, tmp_path, blazepose):
    blazepose("full")
    recipe = vitruvian2d.Recipe2D(batch=4, head_epochs=0, epochs=1)
    vitruvian2d.train_2d(recipe, folder, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    fresh = vitruvian2d.initial_network_2d().state_dict()
    same = {name: torch.equal(state[name], fresh[name]) for name in fresh if "backbone" in name}
    assert same["backbone.stem.weight"]
    assert same["backbone.blocks.2.expand.weight"]
    assert not same["backbone.blocks.5.expand.weight"]
