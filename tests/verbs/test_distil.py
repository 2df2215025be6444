"""`vitruvian distil`: what a teacher finds becomes labels, and the student learns them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import command, one_line
from conftest import TOY, refused
from labelled import Known, annotations, body, found_by, poses
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.errors import pip_install
from vitruvian.evaluate import truth
from vitruvian.formats.records import Record
from vitruvian.frame import Frame
from vitruvian.sources.open import open_source
from vitruvian.sources.video import Span
from vitruvian.verbs.pseudo_labels import (
    DistinctFrames,
    PseudoLabels,
    pseudo_labels,
    record_teacher,
)

SIZE = (640, 480)


def scored(xy: np.ndarray, score: Any, table=COCO17) -> Poses:
    """People with these scores of keypoints."""
    return replace(poses(xy, 0.9, table), score=np.broadcast_to(np.float32(score), xy.shape[:2]))


def labels_of(
    model: Known, data: Any, folder: Path, *, sure: float = 0.5, validate: bool = False, **how: Any
) -> PseudoLabels:
    """The teacher's labels of some sources."""
    given = {"table": COCO17, "resume": False, "stride": 1, "say": lambda line: None, **how}
    sources = open_source(data, Span(stride=given["stride"]))
    of = {"data": [str(data)]}
    record_teacher(model, sources, folder, of=of, resume=given["resume"], say=given["say"])
    return pseudo_labels(folder, given["table"], sure, validate=validate)


@pytest.fixture
def images(picture):
    """Twenty images and the people in each."""
    rng = np.random.default_rng(0)
    for i in range(20):
        grey = np.full((SIZE[1], SIZE[0], 3), 10 * i, np.uint8)
        picture(f"images/{i}.png", grey)
    return {f"{i}.png": body(rng, 2) for i in range(20)}


def test_sure_keypoints_become_labels_weighted_by_their_score(picture, tmp_path, rng):
    file = picture("a.png", np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    xy = body(rng, 3)
    xy[0, 5] = (700, 100)  # outside of the image
    score = np.full((3, 17), 0.75)
    score[1, 10:] = 0.4
    score[2, 2:] = 0.4  # two sure keypoints: too few
    model = Known({"a.png": scored(xy, score)})
    made = labels_of(model, file, tmp_path / "teacher")
    (labels,) = made.train.pictures
    assert labels.path == file
    want = score >= 0.5
    want[0, 5] = False
    want[2] = False
    np.testing.assert_array_equal(labels.labelled, want)
    np.testing.assert_allclose(labels.xy[want], xy[want], atol=1e-3)
    assert labels.weight is not None
    np.testing.assert_allclose(labels.weight[want], 0.75)
    assert (labels.box[:, 2:] > 0).all()
    assert (labels.box[0, :2] + labels.box[0, 2:] <= SIZE).all()
    text = " / ".join(made.train.notes)
    assert "known found 3 people in 1 of 1 image; 0 without people" in text
    kept = int(want.sum())
    assert f"{kept} keypoints of 51 kept, {51 - kept} thrown away" in text
    assert "1 person with fewer than 3 sure keypoints: bounding boxes only" in text


def test_keypoints_are_matched_by_name(picture, tmp_path, rng):
    file = picture("a.png", np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    xy = body(rng, 1, 33)
    model = Known({"a.png": scored(xy, 0.9, BLAZEPOSE33)}, BLAZEPOSE33)
    (labels,) = labels_of(model, file, tmp_path / "a").train.pictures
    where = [BLAZEPOSE33[name] for name in COCO17.keypoints]
    np.testing.assert_allclose(labels.xy[0], xy[0, where], atol=1e-3)
    made = labels_of(model, file, tmp_path / "b", table=TOY, sure=0.0)
    assert made.train.skeleton is TOY
    assert "known does not have left_hand, right_hand" in " ".join(made.train.notes)


def test_some_images_are_kept_apart_and_it_is_said_against_what(images, tmp_path):
    made = labels_of(found_by(images), tmp_path / "images", tmp_path / "teacher", validate=True)
    names = [{picture.path.name for picture in part.pictures} for part in made]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 20
    assert 1 <= len(names[1]) <= 6
    assert "validation is on" in made.train.notes[-1]
    assert "against what known found there" in made.train.notes[-1]
    assert made.val.notes == ["the keypoints are what known found, not labels"]


def blob(x: int, y: int, seed: int = 0) -> np.ndarray:
    """A noisy frame with a bright square."""
    rgb = 60 + np.random.default_rng(seed).integers(0, 6, (48, 64, 3)).astype(np.uint8)
    rgb[y : y + 12, x : x + 6] = 220
    return rgb


class Everywhere(Known):
    """A teacher that finds one person in every n-th frame."""

    every = 2

    def __call__(self, frames, look=None):
        self.seen += [f"{frame.index}" for frame in frames]
        xy = np.random.default_rng(0).uniform(5, 40, (1, 17, 2))
        one = scored(xy, 0.9)
        return [one if frame.index % self.every == 0 else one.take([]) for frame in frames]


def test_frames_that_are_nearly_the_same_are_skipped(video, tmp_path):
    """Noise is no difference, a limb that moves is; of a film every n-th frame is looked at."""
    pictures = [blob(10, 10, i) for i in range(5)] + [blob(10 + 3 * i, 10, i) for i in range(1, 6)]
    film = video("a.mkv", [i / 10 for i in range(10)], pictures=pictures)
    (source,) = open_source(film)
    frames = DistinctFrames(source)
    assert [frame.index for frame in frames if isinstance(frame, Frame)] == [0, 5, 6, 7, 8, 9]
    assert frames.skipped == 4
    said = list[str]()
    model, folder = Everywhere({}), tmp_path / "teacher"
    made = labels_of(model, film, folder, stride=2, say=said.append)
    assert model.seen == ["0", "6", "8"]
    assert said == ["a.mkv: 2 near-duplicate frames skipped"]
    names = [picture.path.name for picture in made.train.pictures]
    assert names == ["1_a_000000.jpg", "1_a_000006.jpg", "1_a_000008.jpg"]
    rgb = Frame.read(folder / "frames" / names[1]).rgb.astype(int)
    assert abs(rgb - pictures[6]).mean() < 6


def test_the_end_of_a_video_is_kept_apart(video, tmp_path):
    model, film = Everywhere({}), video("a.mkv", [i / 10 for i in range(80)])
    model.every = 4
    made = labels_of(model, film, tmp_path / "teacher", stride=2, validate=True)
    names = [[picture.path.name for picture in part.pictures] for part in made]
    assert len(names[0]) == 18  # of 20 with a person
    assert names[1] == ["1_a_000072.jpg", "1_a_000076.jpg"]
    assert "20 without people" in made.train.notes[0]


def test_a_teacher_that_was_stopped_goes_on(images, tmp_path):
    """As after kill -9: the last line is incomplete; what is there is not looked at again."""
    folder, model = tmp_path / "teacher", found_by(images)
    whole = labels_of(found_by(images), tmp_path / "images", tmp_path / "whole")
    model.stop_at = "7.png"
    with pytest.raises(KeyboardInterrupt):
        labels_of(model, tmp_path / "images", folder)
    done = len(list(Record(folder / "poses.jsonl")))
    assert 0 < done < 20
    with (folder / "poses.jsonl").open("a") as file:
        file.write('{"source":"half a li')
    model.stop_at, before = None, len(model.seen)
    made = labels_of(model, tmp_path / "images", folder, resume=True)
    assert len(model.seen) == before + 20 - done
    for a, b in zip(whole.train.pictures, made.train.pictures, strict=True):
        assert a.path == b.path
        np.testing.assert_array_equal(a.xy, b.xy)
    (folder / "train.json").write_text("{}")  # the teacher is done
    labels_of(model, tmp_path / "images", folder, resume=True)
    assert len(model.seen) == before + 20 - done
    other = found_by(images)
    other.name = "another"
    with refused("is of another model: known, not another", "resume it with its own"):
        labels_of(other, tmp_path / "images", folder, resume=True)
    with refused("is of another data"):
        labels_of(model, tmp_path / "images" / "3.png", folder, resume=True)


def test_each_image_is_on_disk_before_the_next(images, tmp_path):
    """So kill -9 loses one; and another machine, or tuples as JSON has them, are no other data."""
    file, lines = tmp_path / "teacher" / "poses.jsonl", list[int]()

    class Watching(Known):
        def __call__(self, frames, look=None):
            lines.append(len(file.read_text().splitlines()))
            return super().__call__(frames, look)

    known = found_by(images).poses
    labels_of(Watching(known, scales=(1.0,), threads=2), tmp_path / "images", file.parent)
    assert lines == [*range(1, 21)]
    other = Watching(known, scales=(1.0,), threads=8)
    labels_of(other, tmp_path / "images", file.parent, resume=True)
    assert len(lines) == 20
    with refused("is of another scales: [1.0], not [0.5]"):
        labels_of(Watching(known, scales=(0.5,)), tmp_path / "images", file.parent, resume=True)


def test_what_no_student_can_learn_from_is_said(images, tmp_path, rng):
    folder = tmp_path / "images"
    nobody = {name: poses(body(rng, 0)) for name in images}
    with refused("known found nobody in 20 images", "--teacher known,conf=0.1"):
        labels_of(Known(nobody), folder, tmp_path / "a")
    unsure = {name: scored(xy, 0.3) for name, xy in images.items()}
    with refused("known found 40 people, but no keypoint with a score from 0.5", "lower --sure"):
        labels_of(Known(unsure), folder, tmp_path / "b")
    with refused("only one image has sure people", "--val"):
        labels_of(found_by(images), folder / "3.png", tmp_path / "c", validate=True)


# With PyTorch


def distil(*words: Any, **options: Any) -> Any:
    """The verb."""
    pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
    from vitruvian.verbs.distil import distil as learn

    return learn(*words, **options)


SETTINGS = ("start=scratch", "imgsz=64", "epochs=1", "batch=2", "auto=false", "accumulate=1")


def test_a_student_learns_from_labels_and_from_a_teacher(images, tmp_path):
    """yolov8n-pose, from random weights; what the teacher found, and whose run it is, is said."""
    said, names = list[str](), COCO17.keypoints
    few = {name: images[name] for name in ("0.png", "1.png")}
    (tmp_path / "few.json").write_text(json.dumps(annotations(few, names)))
    run, model = tmp_path / "run", found_by({**images, "0.png": images["5.png"]})
    how: dict[str, Any] = {"labels": tmp_path / "few.json", "settings": SETTINGS}
    done = distil(model, "yolov8n-pose", tmp_path / "images", run, **how, say=said.append)
    assert done.model.is_file()
    assert len(model.seen) == 20
    card = (run / "README.md").read_text()
    assert "known found 40 people in 20 of 20 images; 0 without people" in card
    assert "validation is on" in card
    assert any("known found 40 people" in line for line in said)
    assert "the keypoints are what known found, not labels" in (run / "validation.json").read_text()
    read = truth.read(run / "teacher" / "train.json")
    assert read.pictures[0].path.parent == tmp_path / "images"
    with refused("has a run already", "--resume"):
        distil(model, "yolov8n-pose", tmp_path / "images", run, **how)
    again = distil(model, "yolov8n-pose", tmp_path / "images", run, resume=True, **how)
    assert again.figures == done.figures
    assert len(model.seen) == 20


def test_what_cannot_be_distilled_is_said_before_the_teacher_runs(images, tmp_path, rng):
    run, model = tmp_path / "run", found_by(images)
    toy = Known({}, TOY)
    folder = tmp_path / "images"
    (tmp_path / "empty").mkdir()
    for words, options, why in (
        ((model, "vitruvian-3d", folder), {}, "vitruvian-3d does not learn from keypoints alone"),
        ((model, "osnet", folder), {}, "no model named 'osnet'"),
        ((model, "vitruvian-2d", tmp_path / "empty"), {}, "no images or videos in"),
        ((model, "vitruvian-2d", "camera:0"), {}, "is live; record it to a file"),
        ((model, "vitruvian-2d", folder), {"sure": 2}, "sure is 2, want a score from 0 to 1"),
        ((model, "vitruvian-2d", folder), {"settings": ["epoch=1"]}, "no entry of a recipe"),
        ((toy, "vitruvian-2d", folder), {"skeleton": "hand21"}, "have no keypoint in common"),
    ):
        with refused(why):
            distil(*words, run, **options)
        assert not run.exists()
    assert not model.seen


def test_the_command_says_in_one_line_what_is_wrong(images, tmp_path):
    pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
    words = ("distil", "--student", "vitruvian-2d-lite", "--out", tmp_path / "run")
    one_line(
        command(*words, "--teacher", "yolo", "--data", tmp_path / "images"),
        "no model named 'yolo'",
    )
    one_line(
        command(*words, "--teacher", "vitruvian-2d", "--data", tmp_path / "none"),
        "no such file or folder",
    )
    assert not (tmp_path / "run").exists()


def test_without_torch_the_extra_is_named():
    code = "import sys; sys.modules['torch'] = None\n"
    code += "import vitruvian as vit\nvit.distil('vitruvian-2d', 'vitruvian-2d', 'a.jpg', 'b')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"training needs torch; install it with: {pip_install('train')}" in done.stderr


def test_heat_maps_are_learned_from_a_teacher_of_the_same_keypoints():
    pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
    from vitruvian.training.tasks.starts2d import (
        images,
        released_file,
        teacher_network,
        weights_of_maps,
    )

    assert weights_of_maps("vitruvian-2d,conf=0.5", COCO17) == "vitruvian-2d"
    assert weights_of_maps("vitruvian-2d", TOY) == ""
    assert weights_of_maps("yolov8n-pose", COCO17) == ""
    assert weights_of_maps(Known({}), COCO17) == ""
    from vitruvian.network.openvino import OpenVino

    crops = np.random.default_rng(0).integers(0, 255, (2, 256, 192, 3), np.uint8)
    maps = teacher_network("vitruvian-2d")(images(crops)).maps.numpy()
    np.testing.assert_allclose(maps, OpenVino(released_file())(crops)[0], atol=1e-3)
