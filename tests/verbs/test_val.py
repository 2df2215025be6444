"""Validation: the numbers against COCO's evaluator and closed forms, and what a user sees of it."""

import contextlib
import io
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands import command
from conftest import TOY, absent, refused
from labelled import K, Known, annotations, body, found_by, poses
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, HALPE26
from vitruvian.errors import VitruvianError
from vitruvian.evaluate import oks, scores, truth
from vitruvian.evaluate.coco import coco_average_precision, read_results, results_to_people
from vitruvian.evaluate.scores import PredictedPeople, score_people
from vitruvian.formats import records
from vitruvian.geometry.camera import Camera
from vitruvian.verbs.outputs import open_sink
from vitruvian.verbs.val import show
from vitruvian.verbs.val.val import val


@pytest.fixture
def data(tmp_path, rng, picture) -> tuple[Path, dict[str, np.ndarray]]:
    """Three images of 2, 1 and 3 people: the annotation file, and where everybody is."""
    people = {f"{name}.png": body(rng, n) for name, n in (("a", 2), ("b", 1), ("c", 3))}
    for name in people:
        picture(f"images/{name}", np.full((480, 640, 3), 90, np.uint8))
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(annotations(people)))
    return file, people


# Average precision


def oracle(said: dict[str, Any], results: list[dict[str, Any]]) -> np.ndarray:
    """The ten numbers of pycocotools."""
    pytest.importorskip("pycocotools", reason="pycocotools is not installed (the test extra)")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        gt: Any = COCO()
        gt.dataset = json.loads(json.dumps(said))
        gt.createIndex()
        found = COCOeval(gt, gt.loadRes(json.loads(json.dumps(results))), "keypoints")
        found.evaluate()
        found.accumulate()
        found.summarize()
    return np.array(found.stats)


def ours(said: dict[str, Any], results: list[dict[str, Any]]) -> np.ndarray:
    """The same ten, in its order."""
    known = truth.parse_coco(said, Path("said.json"))
    got = score_people("x", known, results_to_people(results, known, "x"), [True] * K, resamples=0)
    groups = {group.name: group.numbers for group in got.groups}
    numbers = []
    for kind in ("AP", "AR"):
        numbers += [got.overall[f"{kind}{at}"].value for at in ("", "50", "75")]
        numbers += [groups[size][kind].value for size in ("medium", "large")]
    return np.array(numbers)


@pytest.mark.shared
def test_the_golden_has_the_numbers_of_cocos_evaluator(shared):
    folder = shared / "golden/coco_evaluator"
    said = json.loads((folder / "val_subset.json").read_text())
    results = json.loads((folder / "detections.json").read_text())
    want = json.loads((folder / "expected_pycocotools_eval.json").read_text())["stats"]
    got = ours(said, results)
    np.testing.assert_allclose(got, list(want.values()), atol=5e-7)  # six decimals are given
    np.testing.assert_allclose(got, oracle(said, results), atol=1e-9)


def test_chance_has_the_numbers_of_cocos_evaluator(rng):
    """Crowds, people without labels, of every size, ties, too many found, images with nobody."""
    for trial in range(6):
        people = {f"{i}.jpg": body(rng, int(rng.integers(0, 6))) for i in range(12)}
        if trial == 5:
            people = {name: xy[:0] for name, xy in people.items()} | {"9.jpg": body(rng, 1)}
        said = annotations(people)
        results = []
        for row in said["annotations"]:
            points = np.reshape(row["keypoints"], (K, 3))
            kind = rng.integers(6)
            points[rng.random(K) < 0.4, 2] = 0
            if kind == 0:
                points[:] = 0
            row |= {"keypoints": points.ravel().tolist(), "iscrowd": int(kind == 1)}
            row |= {"num_keypoints": int((points[:, 2] > 0).sum())}
            row["area"] *= float(rng.choice([0.05, 0.5, 1]))
            for _ in range(int(rng.integers(0, 3))):
                off = rng.normal(0, float(rng.choice([1, 8, 40])), (K, 2))
                guess = np.column_stack([points[:, :2] + off, np.ones(K)])
                line = {"image_id": row["image_id"], "category_id": 1}
                line |= {"keypoints": guess.ravel().tolist()}
                results.append({**line, "score": float(rng.integers(1, 5)) / 4})
        for _ in range(30):  # more than 20 in the first image
            guess = np.column_stack([body(rng, 1)[0], np.ones(K)]).ravel().tolist()
            line = {"image_id": 1, "category_id": 1, "keypoints": guess}
            results.append({**line, "score": float(rng.random())})
        got, want = ours(said, results), oracle(said, results)
        np.testing.assert_allclose(np.nan_to_num(got, nan=-1), want, atol=1e-9)


def test_drawing_pictures_anew_is_the_same_as_writing_them_down_as_often(rng):
    """Weights of 0, 1, 2 and 3 against annotations in which images stand that often."""
    people = {f"{i}.jpg": body(rng, 2) for i in range(8)}
    said = annotations(people)
    known = truth.parse_coco(said, Path("said.json"))
    found = {
        p.number: PredictedPeople(p.xy + rng.normal(0, 6, p.xy.shape), rng.random(2))
        for p in known.pictures
    }
    often = np.array([0, 1, 2, 3, 1, 0, 2, 1])
    pairs, points = [], []
    for picture in known.pictures:
        order = np.argsort(-found[picture.number].score)
        alike = oks.object_keypoint_similarity(
            *(found[picture.number].xy[order], picture.xy, picture.labelled),
            *(picture.box, picture.area, known.sigmas),
        )
        none = np.zeros((1, 2), bool)
        pairs.append(oks.match_people(alike, none, none[0], none))
        points.append(found[picture.number].score[order])
    weighed = oks.PrecisionRecall(pairs, points, [np.array([2])] * 8).curves(often.astype(float))
    rows = np.repeat(np.arange(8), often)
    written = oks.PrecisionRecall(
        [pairs[i] for i in rows], [points[i] for i in rows], [np.array([2])] * len(rows)
    ).curves()
    for a, b in zip(weighed, written, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    assert 0.1 < weighed[0].mean() < 0.99


def test_an_interval_holds_the_number_and_shrinks_with_more_pictures(rng):
    wide = {}
    for n in (20, 180):
        people = {f"{i}.jpg": body(rng, 1) for i in range(n)}
        known = truth.parse_coco(annotations(people), Path("said.json"))
        found = {
            p.number: PredictedPeople(
                p.xy + rng.normal(0, rng.choice([2, 20]), p.xy.shape), np.ones(1)
            )
            for p in known.pictures
        }
        got = score_people("x", known, found, [True] * K)
        for name in ("AP", "AR", "PCK"):
            number = got.overall[name]
            assert number.low < number.value < number.high
        wide[n] = got.overall["AR"].high - got.overall["AR"].low
        again = score_people("x", known, found, [True] * K)
        assert again.overall["AR"] == got.overall["AR"]  # chance has a seed
    assert wide[180] < 0.6 * wide[20]  # a third is expected


# Distances


def test_pck_counts_joints_within_a_tenth_of_the_box(rng):
    said = annotations({"a.jpg": body(rng, 1)})
    known = truth.parse_coco(said, Path("said.json"))
    (picture,) = known.pictures
    long = picture.box[0, 2:].max()
    off = np.zeros((1, K, 2))
    off[0, :5, 0], off[0, 5:9, 0] = 0.099 * long, 0.101 * long
    found: dict[int | str, PredictedPeople] = {1: PredictedPeople(picture.xy + off, np.ones(1))}
    got = score_people("x", known, found, [True] * K, 0)
    assert got.overall["PCK"].value == pytest.approx((K - 4) / K)
    assert got.joints["nose"]["PCK"] == 1
    assert got.joints["left_shoulder"]["PCK"] == 0
    assert math.isnan(got.overall["PCKh"].value)  # nobody knows how large the head is


def test_pckh_counts_joints_within_half_a_head(rng):
    xy = body(rng, 1, len(HALPE26))
    xy[0, HALPE26["head_top"]], xy[0, HALPE26["neck"]] = (200, 100), (200, 160)
    said = annotations({"a.jpg": xy}, HALPE26.keypoints)
    said["annotations"][0]["bbox_head"] = [170, 100, 60, 80]  # 0.6 times its diagonal: 60 pixels
    known = truth.parse_coco(said, Path("said.json"))
    assert known.pictures[0].head == pytest.approx(60)
    off = np.zeros_like(xy)
    off[0, :10, 1], off[0, 10:13, 1] = 29.9, 30.1
    got = score_people("x", known, {1: PredictedPeople(xy + off, np.ones(1))}, [True] * 26, 0)
    assert got.overall["PCKh"].value == pytest.approx(23 / 26)


def test_who_is_not_found_is_missed_in_shares_and_left_out_of_means(rng):
    people = body(rng, 2)
    people[1] += 1000
    known = truth.parse_coco(annotations({"a.jpg": people}), Path("said.json"))
    got = score_people("x", known, {1: PredictedPeople(people[:1], np.ones(1))}, [True] * K, 0)
    assert got.overall["found"].value == 0.5
    assert got.overall["PCK"].value == 0.5
    assert got.pictures[0]["OKS"] == 0.5
    assert got.overall["AR"].value == 0.5


def test_groups_are_by_size_and_by_people_in_the_picture(rng):
    people = {f"{i}.jpg": body(rng, n) for i, n in enumerate((1, 2, 4, 7, 0))}
    said = annotations(people)
    for row, area in zip(said["annotations"], [900, 5000, 1e4] * 5, strict=False):
        row["area"] = area
    known = truth.parse_coco(said, Path("said.json"))
    found = {p.number: PredictedPeople(p.xy, np.ones(len(p))) for p in known.pictures}
    got = score_people("x", known, found, [True] * K, 0)
    counts = {(g.of, g.name): (g.people, g.pictures) for g in got.groups}
    assert counts["all", "all"] == (14, 4)
    assert [counts["size", name][0] for name in ("small", "medium", "large")] == [5, 5, 4]
    where = {name: counts["people in the image", name] for name in scores.PEOPLE}
    assert where == {"1": (1, 1), "2": (2, 1), "3 to 5": (4, 1), "6 or more": (7, 1)}
    assert all(group.numbers["AP"].value == pytest.approx(1) for group in got.groups)


# Skeletons


def test_skeletons_meet_by_the_names_of_keypoints(data):
    file, people = data
    blaze = {}
    for name, xy in people.items():
        wide = np.full((len(xy), 33, 2), 5.0)
        wide[:, [BLAZEPOSE33[joint] for joint in COCO17.keypoints]] = xy
        blaze[name] = poses(wide, table=BLAZEPOSE33)
    result = val(file, [Known(blaze, BLAZEPOSE33)])
    assert result.scores[0].overall["AP"].value == pytest.approx(1)
    assert result.scores[0].lacks == ()


def test_keypoints_a_model_lacks_do_not_count_and_are_said(data, rng):
    """Known to `toy` are the nose, and hands that COCO has not: it is right about the nose."""
    file, people = data
    noses = {}
    for name, xy in people.items():
        three = np.full((len(xy), 3, 2), 7.0)
        three[:, 0] = xy[:, 0]
        noses[name] = poses(three, table=TOY)
    toy = Known(noses, TOY)
    result = val(file, [toy, found_by(people)])
    first, second = result.scores
    assert first.keypoints == ("nose",)
    assert len(first.lacks) == 16
    assert first.overall["AP"].value == pytest.approx(1)
    assert any("known is scored on 1 of 17 keypoints, without left_eye" in n for n in result.notes)
    assert any("cannot be compared" in note for note in result.notes)
    both = val(file, [toy, found_by(people)], common=True)
    assert [each.keypoints for each in both.scores] == [("nose",), ("nose",)]
    assert second.name == "known_2"


def test_without_a_keypoint_in_common_it_is_refused(data, rng):
    file, people = data
    from vitruvian.body.skeleton import Skeleton

    tail = Skeleton.table("tails", "here", ("tip", "", 0.1))
    model = Known({name: poses(body(rng, 1, 1), table=tail) for name in people}, tail)
    with refused("known (tails)", "no keypoint in common"):
        val(file, [model])


# Data


def test_yolo_labels_are_the_same_as_cocos(tmp_path, data, picture):
    """One data set written both ways is the same truth, but for areas, which YOLO has none of."""
    file, people = data
    labels = tmp_path / "labels"
    labels.mkdir()
    for name, xy in people.items():
        lines = []
        for one in xy:
            low, size = one.min(axis=0), np.ptp(one, axis=0)
            middle = (low + size / 2) / (640, 480)
            points = np.column_stack([one / (640, 480), np.full(K, 2)])
            row = [0, *middle, *(size / (640, 480)), *points.ravel()]
            lines.append(" ".join(f"{value:.8g}" for value in row))
        (labels / name).with_suffix(".txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "data.yaml").write_text(
        "# a data set\npath: .\nval: images\nkpt_shape: [17, 3]  # x y v\nflip_idx: [0, 2, 1]\n"
        "names:\n  0: person\n"
    )
    coco = truth.read(file)
    for source in (tmp_path / "data.yaml", tmp_path):
        yolo = truth.read(source)
        assert yolo.skeleton is COCO17
        for a, b in zip(yolo.pictures, coco.pictures, strict=True):
            assert a.path == b.path
            np.testing.assert_allclose(a.xy, b.xy, atol=1e-4)
            np.testing.assert_allclose(a.box, b.box, atol=1e-4)
            assert a.labelled.all()
            np.testing.assert_allclose(a.area, 0.53 * np.prod(b.box[:, 2:], axis=1), rtol=1e-5)
    result = val(tmp_path, [found_by(people)], resamples=0)
    assert result.scores[0].overall["AP"].value == pytest.approx(1)
    with refused("17 keypoints", "halpe26 has 26", "--skeleton"):
        truth.read(tmp_path, skeleton="halpe26")
    with refused("has no split 'test'", "--split"):
        truth.read(tmp_path / "data.yaml", split="test")
    some = [(labels / name).with_suffix(".txt") for name in people]
    for file in some:
        file.write_text("0 0.5 0.5 0.1 0.1 0.5 0.5 2\n")
    with refused("'a.txt', line 1 has 8 numbers", "want 56", "3 of 3 lines"):
        truth.read(tmp_path / "data.yaml")


def test_names_of_keypoints_in_a_yaml_are_taken(tmp_path, picture):
    picture("images/val/a.png")
    (tmp_path / "labels/val").mkdir(parents=True)
    (tmp_path / "labels/val/a.txt").write_text("0 0.5 0.5 0.5 0.5 0.25 0.5 0 0\n")
    (tmp_path / "data.yaml").write_text(
        "val: images/val\nkpt_shape:\n- 2\n- 2\nkpt_names:\n  0:\n    - nose\n    - tail\n"
    )
    read = truth.read(tmp_path)
    assert read.skeleton.keypoints == ("nose", "tail")
    assert read.pictures[0].labelled.tolist() == [[True, False]]
    np.testing.assert_allclose(read.pictures[0].xy[0, 0], (2, 3))  # of 8 x 6 pixels
    assert any("sigmas for tail" in note for note in read.notes)


SIZE = (640, 480)


def in_metres(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Camera]:
    """(n, 17, 3) metres of people side by side, and the camera."""
    xyz = rng.normal(0, 0.25, (n, K, 3)) + np.array([0, 0, 4.0])
    xyz[:, :, 0] += np.linspace(-1, 1, n)[:, None] if n > 1 else 0
    return xyz, Camera.with_focal(SIZE, 500)


@pytest.fixture
def metres(tmp_path, rng, picture) -> tuple[Path, dict[str, np.ndarray], Camera]:
    """Two images of 1 and 2 people in metres: the file, everybody's joints, and the camera."""
    people, camera = {}, Camera.with_focal(SIZE, 500)
    rows = []
    for name, n in (("a.png", 1), ("b.png", 2)):
        picture(name, np.full((480, 640, 3), 90, np.uint8))
        people[name] = in_metres(rng, n)[0]
        row = {"file": name, "size": SIZE, "camera": camera.matrix.tolist()}
        rows.append({**row, "people": [{"xyz": xyz.tolist()} for xyz in people[name]]})
    file = tmp_path / "metres.json"
    file.write_text(json.dumps({"skeleton": "coco17", "pictures": rows}))
    return file, people, camera


def solid(people: dict[str, np.ndarray], camera: Camera, **change: Any) -> Known:
    """A model that puts everybody where they are, but for a shift, turn or size."""
    told = {}
    for name, xyz in people.items():
        put = xyz * change.get("size", 1) + np.array(change.get("shift", (0, 0, 0)))
        xy = camera.project(xyz)
        told[name] = poses(xy, xyz=put.astype(np.float32), origin="camera")
    return Known(told)


def test_metres_are_compared_as_the_field_does(metres):
    file, people, camera = metres
    numbers = val(file, [solid(people, camera, shift=(0, 0, 0.3))], resamples=0).scores[0].overall
    assert numbers["absolute MPJPE"].value == pytest.approx(0.3, abs=1e-5)
    for name in ("MPJPE", "PA-MPJPE", "N-MPJPE"):
        assert numbers[name].value == pytest.approx(0, abs=1e-5)
    assert numbers["PCK3D"].value == 1
    larger = val(file, [solid(people, camera, size=1.2)], resamples=0).scores[0].overall
    assert larger["MPJPE"].value > 0.02
    assert larger["N-MPJPE"].value == pytest.approx(0, abs=1e-5)
    assert larger["AP"].value == pytest.approx(1)  # in pixels it is where it should be


def test_frames_come_with_the_camera_of_the_data(metres):
    file, people, camera = metres
    model, seen = solid(people, camera), []
    plain = model.__class__.__call__

    class Looking(Known):
        def __call__(self, frames, look=None):
            seen.extend(frame.camera.matrix[0, 0] for frame in frames)
            return plain(self, frames, look)

    model.__class__ = Looking
    val(file, [model], resamples=0)
    assert seen == [500, 500]


def test_metres_are_refused_to_models_of_pixels(metres):
    file, _, _ = metres
    with refused("vitruvian-2d gives 2D keypoints only", "leave it out", "vitruvian-3d"):
        val(file, ["vitruvian-2d"])


def test_synthetic_people_are_read_with_their_split(tmp_path, rng, picture):
    xyz, camera = in_metres(rng, 1)
    whole = np.zeros((26, 3))
    whole[[HALPE26[name] for name in COCO17.keypoints]] = xyz[0]
    whole[17:] = xyz[0, :9]
    rows = []
    for i, split in enumerate(("train", "val")):
        picture(f"crops/{i}.png", np.full((480, 640, 3), 90, np.uint8))
        row = {"file": f"{i}.png", "split": split, "size": SIZE, "box": [200, 100, 200, 300]}
        row |= {"skeleton": "halpe26", "xyz": whole.tolist(), "camera": camera.matrix.tolist()}
        rows.append(row)
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (only,) = truth.read(tmp_path).pictures
    assert only.path.name == "1.png"
    np.testing.assert_allclose(only.xy[0], camera.project(whole), atol=1e-3)
    assert only.area[0] == pytest.approx(0.53 * 200 * 300)
    with refused("no split 'test'", "train, val"):
        truth.read(tmp_path, split="test")


def test_what_is_wrong_with_data_is_one_line(tmp_path, data):
    file, people = data
    said = json.loads(file.read_text())

    def write(**change: Any) -> Path:
        changed = tmp_path / "changed.json"
        changed.write_text(json.dumps({**said, **change}))
        return changed

    model = found_by(people)
    with refused("cannot read", "No such file"):
        val(tmp_path / "nothing.json", [model])
    with refused("no category", "person_keypoints"):
        val(write(categories=[{"id": 1, "name": "person"}]), [model])
    with refused("no annotations of person"):
        val(write(annotations=[]), [model])
    with refused("no labelled people", "image_id 1", "not listed"):
        val(write(images=[]), [model])
    with refused("a.png", "3 of the 3 images", "--images"):
        val(file, [model], images=tmp_path / "elsewhere")
    with refused("is not valid JSON"):
        (tmp_path / "changed.json").write_text("{")
        val(tmp_path / "changed.json", [model])
    with refused("want COCO's annotations"):
        (tmp_path / "changed.json").write_text("[]")
        val(tmp_path / "changed.json", [model])
    with refused("nothing to evaluate"):
        val(file)


# Results of others


def test_results_of_others_stand_beside_models(tmp_path, data, rng):
    file, people = data
    rows = [
        {
            "image_id": i,
            "category_id": 1,
            "score": float(rng.random()),
            "keypoints": np.column_stack([one + rng.normal(0, 5, (K, 2)), np.ones(K)])
            .ravel()
            .tolist(),
        }
        for i, xy in enumerate(people.values(), 1)
        for one in xy
    ]
    theirs = tmp_path / "theirs.json"
    theirs.write_text(json.dumps(rows))
    result = val(file, [found_by(people)], results=[theirs])
    assert [each.name for each in result.scores] == ["known", "theirs"]
    want = coco_average_precision(json.loads(file.read_text()), rows)
    assert result.scores[1].overall["AP"].value == pytest.approx(want["AP"], abs=1e-12)
    assert want["AP"] == pytest.approx(oracle(json.loads(file.read_text()), rows)[0], abs=1e-9)
    known = truth.read(file)
    theirs.write_text(json.dumps([{**row, "image_id": 99} for row in rows]))
    with refused("refers to other images"):
        read_results(theirs, known)
    theirs.write_text(json.dumps([{**row, "keypoints": [1, 2, 3]} for row in rows]))
    with refused("has 1 keypoints a person", "has 17"):
        read_results(theirs, known)
    theirs.write_text(json.dumps({"annotations": rows}))
    with refused("want COCO results"):
        read_results(theirs, known)


def test_records_of_others_are_scored_as_the_model_that_made_them(tmp_path, data):
    file, people = data
    first = val(file, [found_by(people)], out=tmp_path / "first")
    record = tmp_path / "theirs.jsonl"
    pairs = list(records.read(next((tmp_path / "first").glob("*.jsonl"))))
    pairs.append((replace(pairs[0][0], source="another.jpg"), pairs[0][1]))
    with open_sink(record) as sink:
        for frame, poses in pairs:
            sink.write(frame, poses)
    second = val(file, results=[record])
    for name, number in first.scores[0].overall.items():
        assert second.scores[0].overall[name] == pytest.approx(number, nan_ok=True), name
    assert any("1 other images" in note for note in second.notes)
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0], lines[-1]]) + "\n")
    with refused("refers to other images"):
        val(file, results=[record])


# Stopping, going on, and images that are broken


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path, data):
    file, people = data
    model, out, said = found_by(people), tmp_path / "out", []
    model.stop_at = "c.png"
    with pytest.raises(KeyboardInterrupt):
        val(file, [model], out=out, say=said.append)
    assert any("stopped at 2 of 3 images" in line for line in said)
    kept = out / "known.jsonl"
    kept.write_text(kept.read_text() + '{"source": "c.png", "ind')  # it was being written
    again = found_by(people)
    result = val(file, [again], out=out, resume=True, say=said.append)
    assert again.seen == ["c.png"]
    assert any("2 of 3 images done" in line for line in said)
    whole = val(file, [found_by(people)], out=tmp_path / "other")
    assert show.validation_to_dict(result)["models"] == show.validation_to_dict(whole)["models"]
    done = found_by(people)
    val(file, [done], out=out, resume=True)
    assert done.seen == []
    kept.write_text(kept.read_text().split("\n")[0] + "\n")  # stopped before the first image
    val(file, [done], out=out, resume=True)
    assert len(done.seen) == 3


def test_other_settings_are_refused_in_the_same_folder(tmp_path, data):
    file, people = data
    out = tmp_path / "out"
    val(file, [found_by(people, conf=0.5, threads=1)], out=out)
    val(file, [found_by(people, conf=0.5, threads=2)], out=out, resume=True)  # that changes nothing
    with refused("exists", "--resume", "--overwrite"):
        val(file, [found_by(people, conf=0.5)], out=out)
    with refused("was made with conf 0.5, and not 0.25", "--overwrite"):
        val(file, [found_by(people, conf=0.25)], out=out, resume=True)
    os.utime(tmp_path / "images/b.png", (1, 1))  # changed
    some = found_by(people, conf=0.5)
    val(file, [some], out=out, resume=True)
    assert some.seen == ["b.png"]
    val(file, [some], out=out, resume=True)
    assert some.seen == ["b.png"]
    anew = found_by(people, conf=0.25)
    val(file, [anew], out=out, overwrite=True)
    assert len(anew.seen) == 3
    said = json.loads(file.read_text())
    said["annotations"][0]["keypoints"][0] += 1
    file.write_text(json.dumps(said))
    with refused("was made with different data", "--overwrite"):
        val(file, [found_by(people, conf=0.25)], out=out, resume=True)


def test_a_broken_picture_is_reported_and_left_out(tmp_path, data):
    file, people = data
    (tmp_path / "images/b.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    complaints: list[VitruvianError] = []
    result = val(file, [found_by(people)], out=tmp_path / "out", on_error=complaints.append)
    assert len(result.faults) == 1
    assert len(complaints) == 1
    assert "b.png" in str(complaints[0])
    assert len(result.scores[0].pictures) == 2
    assert result.scores[0].overall["AP"].value == pytest.approx(1)
    assert any("without 1 image that could not be read" in n for n in result.notes)


# What comes out


def test_everything_is_written_and_says_the_same(tmp_path, data):
    file, people = data
    result = val(file, [found_by(people)], out=tmp_path / "out")
    paths = show.write_validation(result, tmp_path / "out")
    names = {"val.json", "pictures.csv", "report.html", "worst_known.jpg"}
    assert {path.name for path in paths} == names
    said = json.loads((tmp_path / "out/val.json").read_text())
    (model,) = said["models"]
    assert model["groups"][0]["numbers"]["AP"]["value"] == pytest.approx(1)
    assert model["groups"][0]["numbers"]["PCKh"]["value"] is None
    assert said["pictures"] == 3
    rows = (tmp_path / "out/pictures.csv").read_text().splitlines()
    assert rows[0].startswith("model,number,file,people,found,OKS,PCK")
    assert rows[1].startswith("known,1,a.png,2,2,")
    assert len(rows) == 4
    page = (tmp_path / "out/report.html").read_text()
    assert "<svg" in page
    assert "data:image/jpeg;base64," in page
    assert "http" not in page.replace("http://www.w3.org", "")
    lines = show.validation_lines(result)
    assert any(line.startswith("known  1.000 (1.000 to 1.000)") for line in lines)
    image = cv2.imread(str(tmp_path / "out/worst_known.jpg"))
    assert image is not None
    assert image.shape[1] > 2 * 300


def test_the_worst_picture_comes_first(tmp_path, data, rng):
    file, people = data
    off = {name: xy + (400 if name == "c.png" else 0) for name, xy in people.items()}
    from vitruvian.verbs.val.sheet import worst

    result = val(file, [found_by(off)], resamples=0)
    assert worst(result.scores[0])[0]["file"] == "c.png"


# The command


@pytest.mark.shared
@pytest.mark.weights
def test_the_command_scores_vitruvian_2d_and_goes_on(tmp_path, shared):
    said = json.loads((shared / "data/coco/person_keypoints.json").read_text())
    chosen = said["images"][:3]
    numbers = {image["id"] for image in chosen}
    rows = [row for row in said["annotations"] if row["image_id"] in numbers]
    (tmp_path / "images").mkdir()
    for image in chosen:
        shutil.copy(shared / "data/coco/images" / image["file_name"], tmp_path / "images")
    file = tmp_path / "few.json"
    file.write_text(json.dumps({**said, "images": chosen, "annotations": rows}))
    words = ("--data", file, "-m", "vitruvian-2d", "--out", tmp_path / "out", "--offline")
    finder = ("--find", file, "--resamples", 0)
    done = command("val", *words, *finder)
    if "pose_detection.tflite" in done.stderr:
        absent("the detector of blazepose cannot be had")
    assert done.returncode == 0, done.stderr
    assert "vitruvian-2d" in done.stdout
    again = command("val", *words, *finder, "--resume")
    assert "3 of 3 images done" in again.stderr
    assert again.stdout == done.stdout
    broken = tmp_path / "images" / chosen[0]["file_name"]
    broken.write_bytes(b"no picture")
    done = command("val", *words, *finder, "--overwrite")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "vitruvian: cannot read" in line]


def test_the_command_without_a_model_is_one_line(tmp_path, data):
    done = command("val", "--data", data[0], "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == ("vitruvian: nothing to evaluate; give --model, or --results\n")


@pytest.mark.shared
@pytest.mark.weights
def test_yolov8n_has_the_average_precision_that_the_docs_say(shared, tmp_path):
    weights = shared / "weights/yolov8n-pose.pt"
    if not weights.exists():
        absent("../shared/weights/yolov8n-pose.pt is not here")
    pytest.importorskip("torch", reason="torch is not installed (the train extra)")
    file = shared / "data/coco/person_keypoints.json"
    result = val(file, [str(weights)], resamples=0, out=tmp_path)
    assert result.scores[0].overall["AP"].value == pytest.approx(0.5244, abs=5e-4)
