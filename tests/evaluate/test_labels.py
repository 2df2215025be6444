"""Labels as labelling tools write them, what is assumed of them, and why AP would be 0."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from commands import command
from conftest import refused
from labelled import Known, annotations, body, found_by, poses
from vitruvian.body.skeletons import COCO17
from vitruvian.evaluate import truth
from vitruvian.evaluate.coco import results_to_people
from vitruvian.models.load import unnamed_keypoints
from vitruvian.sources.path_index import PathIndex, find_below, path_parts
from vitruvian.verbs.outputs import open_sink
from vitruvian.verbs.val.val import Validation, val

K, SIZE = len(COCO17), (640, 480)
POINTS = [v for i in range(K) for v in (100.0 + 7 * i, 100.0 + (i * 37) % 200, 2)]
ROW = {"image_id": 1, "category_id": 1, "keypoints": POINTS, "bbox": [100, 100, 120, 200]}
ROW |= {"area": 12000.0, "iscrowd": 0}
RESULT = {"image_id": 1, "category_id": 1, "keypoints": POINTS, "score": 0.9}


def labels(*rows: dict[str, Any], **change: Any) -> dict[str, Any]:
    """COCO's annotations of one image, of these rows with their `id`s."""
    people = [{**row, "id": i} for i, row in enumerate(rows or (ROW,), 1)]
    image = {"id": 1, "file_name": "a.jpg", "width": SIZE[0], "height": SIZE[1]}
    person = {"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}
    return {"images": [image], "annotations": people, "categories": [person], **change}


def without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}


@pytest.fixture
def scored(tmp_path: Path):
    def run(said: Any, results: Any = (RESULT,), **options: Any) -> Validation:
        (tmp_path / "truth.json").write_text(json.dumps(said), encoding="utf-8")
        (tmp_path / "results.json").write_text(json.dumps(list(results)))
        files = {"results": [tmp_path / "results.json"], **options}
        return val(tmp_path / "truth.json", resamples=0, **files)

    return run


def ap(result: Validation) -> float:
    return round(result.scores[0].overall["AP"].value, 9)


def said(result: Validation, *words: str) -> None:
    """Assert that a note has all of these words."""
    assert any(all(word in note for word in words) for note in result.notes), result.notes


# Odd rows of COCO's annotations


def test_labels_as_they_should_be_need_no_words(scored):
    result = scored(labels())
    assert ap(result) == 1
    assert result.notes == []


@pytest.mark.parametrize("area", [0, None, -1, "x", "-"])
def test_people_without_an_area_have_that_of_their_boxes(scored, area):
    row = without(ROW, "area") if area == "-" else {**ROW, "area": area}
    near = [v + 3 if i % 3 < 2 else v for i, v in enumerate(POINTS)]
    result = scored(labels(row), [{**RESULT, "keypoints": near}])
    as_said = scored(labels({**ROW, "area": 0.53 * 120 * 200}), [{**RESULT, "keypoints": near}])
    assert ap(result) == ap(as_said) > 0.5
    said(result, "1 rows (first: annotation 1)", "without an area", "0.53 of the box")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (without(ROW, "keypoints"), "without keypoints"),
        ({**ROW, "keypoints": []}, "without keypoints"),
        ({**ROW, "keypoints": None}, "without keypoints"),
        ({**ROW, "keypoints": POINTS[:-3]}, "48 values, want 51"),
        ({**ROW, "keypoints": ["x"] * 51}, "not numbers, want 51"),
        (
            {**ROW, "keypoints": [0 if i % 3 == 2 else v for i, v in enumerate(POINTS)]},
            "have v = 0",
        ),
        ({**without(ROW, "keypoints"), "bbox": None}, "no bounding box and no keypoints"),
        ({**ROW, "image_id": 7}, "not listed"),
        ({**ROW, "category_id": 2}, "category 2 are ignored"),
        (None, "not JSON objects"),
    ],
)
def test_an_odd_row_is_left_out_and_said_and_not_the_file(scored, row, words):
    rows = labels(ROW)
    rows["annotations"].append(row if row is None else {**row, "id": 2})
    result = scored(rows)
    assert ap(result) == 1
    assert result.scores[0].groups[0].people == 1
    said(result, words)


@pytest.mark.parametrize("box", [None, [], [0, 0, 0, 0], [1, 2], "x", [1, 2, -3, 4]])
def test_a_box_that_is_missing_is_drawn_around_the_keypoints(scored, box):
    result = scored(labels({**ROW, "bbox": box}))
    xy = np.reshape(POINTS, (K, 3))[:, :2]
    (got,) = result.truth.pictures[0].box
    np.testing.assert_allclose(got, [*xy.min(axis=0), *np.ptp(xy, axis=0)])
    said(result, "without a bounding box")


def test_keypoints_in_pairs_and_null_are_read(scored):
    nested = [[*POINTS[i : i + 3]] for i in range(0, 51, 3)]
    blank = [None if i < 2 else 0 if i == 2 else v for i, v in enumerate(POINTS)]
    assert ap(scored(labels({**ROW, "keypoints": nested}))) == 1
    result = scored(labels({**ROW, "keypoints": blank}))
    assert result.truth.pictures[0].labelled.sum() == K - 1


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(labels()), encoding="utf-8-sig")
    assert len(truth.read(tmp_path / "a.json").pictures) == 1


def test_labels_of_nobody_are_refused_with_the_reason(scored):
    hidden = [0 if i % 3 == 2 else v for i, v in enumerate(POINTS)]
    with refused("no people to evaluate", "all keypoints have v = 0"):
        scored(labels({**ROW, "keypoints": hidden}))
    with refused("no people to evaluate", "crowds"):
        scored(labels({**ROW, "iscrowd": 1}))


# Categories


@pytest.mark.parametrize(("theirs", "ours"), [(0, 1), (1, 0), (7, 1), ("1", 1), (None, 3)])
def test_the_number_of_the_category_of_people_matters_not(scored, theirs, ours):
    rows = labels({**ROW, "category_id": ours})
    rows["categories"][0]["id"] = ours
    result = scored(rows, [{**RESULT, "category_id": theirs}])
    assert ap(result) == 1
    if theirs in (0, 7) or (theirs, ours) == (1, 0):
        said(result, f"category {theirs} in the results and {ours} in the ground truth")


def test_cars_beside_people_are_left_out(scored):
    person = {"id": 2, "name": "person", "keypoints": list(COCO17.keypoints)}
    car = {"id": 1, "name": "car", "keypoints": ["front", "back"]}
    rows = [{**ROW, "category_id": 2}, {**ROW, "category_id": 1, "keypoints": [1, 2, 2] * 2}]
    for each in (car, without(car, "keypoints")):
        result = scored(labels(*rows, categories=[each, person]))
        assert ap(result) == 1
        said(result, "car are ignored")
    with refused("2 categories", "cat, dog", "person"):
        pets = [{**person, "name": "cat"}, {**car, "name": "dog"}]
        scored(labels(*rows, categories=pets))
    players = [{**person, "id": i, "name": f"team {i}"} for i in (1, 2)]
    result = scored(labels(rows[0], ROW, categories=players))
    assert result.scores[0].groups[0].people == 2
    said(result, "team 1, team 2", "treated as people")


def test_results_of_several_categories_none_of_people_are_refused(scored):
    with refused("categories 5, 6", "people", "are 1"):
        scored(labels(), [{**RESULT, "category_id": i} for i in (5, 6)])


# Which image


def test_path_parts_never_lead_out():
    assert path_parts("../../etc/passwd") == ("etc", "passwd")
    assert path_parts("a/../../b.jpg") == ("b.jpg",)
    assert path_parts("C:\\d\\.\\b.jpg") == ("C:", "d", "b.jpg")
    assert path_parts("https://x.org:80/a/b%20c.jpg?d=/e#f") == ("a", "b c.jpg")
    assert path_parts("u\N{COMBINING DIAERESIS}.jpg") == (
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}.jpg",
    )
    assert path_parts("a\0b") == path_parts("\ud800") == path_parts("../..") == ()


def test_a_path_of_elsewhere_is_found_inside_the_folder_alone(tmp_path):
    folder = tmp_path / "images"
    (folder / "s1").mkdir(parents=True)
    (folder / "s1/a.jpg").touch()
    (tmp_path / "secret.jpg").touch()
    for name in ("s1/a.jpg", "s1\\a.jpg", "/mnt/x/s1/a.jpg", "D:\\s1\\a.jpg", "../images/s1/a.jpg"):
        assert find_below(folder, name) == folder / "s1/a.jpg"
    assert find_below(folder, "../secret.jpg") == folder / "secret.jpg"
    assert find_below(folder, "x" * 5000) == folder / ("x" * 5000)
    with refused("is not a file name"):
        find_below(folder, "..")


def test_a_picture_with_an_absolute_path_is_found(tmp_path):
    """Also where another of the same name lies beside the labels; --images comes first."""
    for folder in ("far", "near", "images"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (640, 480)).save(tmp_path / folder / "a.png")
    said = labels(ROW)
    said["images"][0]["file_name"] = str(tmp_path / "far" / "a.png")
    file = tmp_path / "near" / "labels.json"
    file.write_text(json.dumps(said))
    assert truth.read(file).pictures[0].path == tmp_path / "far" / "a.png"
    given = truth.read(file, images=tmp_path / "images")
    assert given.pictures[0].path == tmp_path / "images" / "a.png"
    (tmp_path / "far" / "a.png").unlink()
    assert truth.read(file).pictures[0].path == tmp_path / "near" / "a.png"


def test_weights_of_keypoints_are_numbers_from_0_to_1(tmp_path):
    file = tmp_path / "labels.json"
    for weights, want in (([0.5] * 17, 0.5), ([0.5] * 16, 1), ([2] * 17, 1), ("no", 1)):
        file.write_text(json.dumps(labels({**ROW, "keypoint_weights": weights})))
        read = truth.read(file)
        assert (read.pictures[0].weight == want).all()
        assert any("keypoint_weights are not 17" in note for note in read.notes) == (want == 1)


def test_the_longest_end_of_a_path_that_is_unique_says_which_it_is():
    index = PathIndex(["/d/s0/1.jpg", "/d/s1/1.jpg", "/d/s1/2.jpg"])
    assert index.find("elsewhere/s1/1.jpg") == 1
    assert index.find("2.jpg") == index.find("flat/2.jpg") == 2
    assert index.find("s0/2.jpg") is None  # s0 is one of the folders, and has no 2.jpg
    assert index.find("3.jpg") is index.find("") is None
    with refused("'1.jpg' is ambiguous", "s0/1.jpg", "s1/1.jpg"):
        index.find("1.jpg")
    assert index.short() == ["s0/1.jpg", "s1/1.jpg", "2.jpg"]
    assert index.assign(["x/s1/2.jpg", "y/2.jpg"]) == [2, None]
    with refused("'x/2.jpg' and 'y/2.jpg' would both be"):
        index.assign(["x/2.jpg", "y/2.jpg"])
    with refused("'a.jpg' occurs twice"):
        PathIndex(["a.jpg", "a.jpg"]).find("a.jpg")


@pytest.mark.parametrize(
    "number", ["1", 1.0, "a.jpg", "a", "x/a.jpg", "C:\\x\\a.jpg", "https://x.org/a.jpg?b=c"]
)
def test_results_name_their_picture_by_number_text_or_name(scored, number):
    assert ap(scored(labels(), [{**RESULT, "image_id": number}])) == 1


def test_ids_of_pictures_may_be_text(scored):
    rows = labels({**ROW, "image_id": "f_1"})
    rows["images"][0]["id"] = "f_1"
    rows["images"].append({"id": 3, "file_name": "b.jpg"})
    assert ap(scored(rows, [{**RESULT, "image_id": "f_1"}])) == 1


def test_the_name_of_a_picture_counts_more_than_its_number(scored):
    """Our own results count images from 0, COCO's annotations mostly from 1."""
    rows = labels(ROW, {**ROW, "image_id": 2, "keypoints": POINTS[::-1]})
    rows["images"].append({"id": 2, "file_name": "b.jpg"})
    results = [{**RESULT, "image_id": 0, "file_name": "a.jpg"}]
    results += [{**RESULT, "image_id": 1, "file_name": "b.jpg", "keypoints": POINTS[::-1]}]
    result = scored(rows, results)
    assert result.scores[0].overall["found"].value == 1
    said(result, "1 rows refer to different images", "file_name is used")


def test_two_pictures_of_one_id_or_one_file_are_refused(tmp_path, scored, picture):
    rows = labels()
    rows["images"].append({"id": 1, "file_name": "b.jpg"})
    with refused("have the id 1", "a.jpg", "b.jpg"):
        scored(rows)
    rows["images"][1] = {"id": 2, "file_name": "x/a.jpg"}
    picture("images/a.jpg")
    (tmp_path / "truth.json").write_text(json.dumps(rows))
    with refused("two images", "1 and 2, would both be"):
        val(tmp_path / "truth.json", [Known({})], images=tmp_path / "images", resamples=0)
    assert ap(scored(rows)) == 1  # by numbers, as COCO's evaluator has it


def test_records_of_pictures_of_one_name_are_told_apart(tmp_path, rng):
    people = {f"s{i}/000001.png": body(rng, 1) for i in range(3)}
    for name in people:
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((480, 640, 3), np.uint8))
    (tmp_path / "truth.json").write_text(json.dumps(annotations(people)))
    from vitruvian.frame import Frame

    with open_sink(tmp_path / "r.jsonl") as sink:
        for i, (name, xy) in enumerate(people.items()):
            source = f"D:\\work\\{name}".replace("/", "\\")
            sink.write(Frame(None, i, 0.0, source, size=SIZE), poses(xy))
    result = val(tmp_path / "truth.json", results=[tmp_path / "r.jsonl"], resamples=0)
    assert ap(result) == pytest.approx(1)
    assert [row["file"] for row in result.scores[0].pictures] == list(people)
    with open_sink(tmp_path / "r.jsonl", overwrite=True) as sink:
        sink.write(Frame(None, 0, 0.0, "000001.png", size=SIZE), poses(body(rng, 1)))
    with refused("'000001.png' is ambiguous"):
        val(tmp_path / "truth.json", results=[tmp_path / "r.jsonl"], resamples=0)


# Images that are not as they were labelled


@pytest.fixture
def changed(tmp_path, rng):
    """A image of 64 x 48 on disk whose file says another size; labels by a map from there."""

    def make(declared, move, orientation=1, size=(64, 48)):
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", size).save(folder / "a.jpg", exif=exif.tobytes())
        seen = rng.uniform((20, 10), (40, 40), (1, K, 2))  # in the image as it is read
        rows = annotations({"a.jpg": move(seen)})
        rows["images"][0] |= {"width": declared[0], "height": declared[1]}
        (tmp_path / "truth.json").write_text(json.dumps(rows))
        model = Known({"a.jpg": poses(seen)})
        return val(tmp_path / "truth.json", [model], images=folder, resamples=0)

    return make


def test_labels_of_a_picture_that_was_resized_are_scaled(changed):
    result = changed((128, 96), lambda xy: xy * 2)
    assert ap(result) == pytest.approx(1)
    said(result, "64 x 48, labelled 128 x 96", "scaled")


# How stored pixels are to be moved, inverse of what EXIF says, for a stored image of 48 x 64.
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (5, lambda xy: xy[..., ::-1]),
        (6, lambda xy: np.stack([xy[..., 1], 64 - xy[..., 0]], axis=-1)),
        (7, lambda xy: np.stack([48 - xy[..., 1], 64 - xy[..., 0]], axis=-1)),
        (8, lambda xy: np.stack([48 - xy[..., 1], xy[..., 0]], axis=-1)),
    ],
)
def test_labels_made_before_turning_are_turned(changed, orientation, stored):
    result = changed((48, 64), stored, orientation, size=(48, 64))
    assert ap(result) == pytest.approx(1)
    said(result, "64 x 48, labelled 48 x 64", "rotated by EXIF orientation")


def test_a_size_that_labels_contradict_is_not_believed(changed):
    result = changed((32, 24), lambda xy: xy)
    assert ap(result) == pytest.approx(1)
    said(result, "used unchanged")


def test_pictures_of_another_shape_are_refused(changed):
    with refused("is 64 x 48, labelled as 640 x 100"):
        changed((640, 100), lambda xy: xy)
    with refused("is 64 x 48, labelled as 48 x 64"):
        changed((48, 64), lambda xy: xy)


def test_results_are_compared_in_the_pixels_that_were_labelled(tmp_path, changed):
    """Pictures were resized since; the results of others are of the labels, as COCO has it."""
    assert ap(changed((128, 96), lambda xy: xy * 2)) == pytest.approx(1)
    rows = json.loads((tmp_path / "truth.json").read_text())
    (tmp_path / "r.json").write_text(
        json.dumps([{**RESULT, "keypoints": rows["annotations"][0]["keypoints"]}])
    )
    given = {"results": [tmp_path / "r.json"], "images": tmp_path / "images", "resamples": 0}
    model = Known({"a.jpg": poses(np.full((1, K, 2), 1.0))})
    for models in ([], [model]):
        result = val(tmp_path / "truth.json", models, **given)
        assert result.scores[-1].overall["AP"].value == pytest.approx(1)


# Why average precision is 0


def exchanged(order):
    return lambda xy: xy[:, order]


SIDES = [COCO17.mirror.tolist().index(i) for i in range(K)]
MISTAKES = {
    "x and y were swapped": lambda xy: xy[..., ::-1],
    "pixels; they are in normalized": lambda xy: xy / SIZE,
    "rotated by 180": lambda xy: np.array(SIZE) - xy,
    "rotated by 90 degrees": lambda xy: np.stack([xy[..., 1], 640 - xy[..., 0]], axis=-1),
    "mirrored": lambda xy: np.stack([640 - xy[..., 0], xy[..., 1]], axis=-1),
    "2 times as large": lambda xy: xy / 2,
    "0.33 times as large": lambda xy: xy * 3,
    "left and right": exchanged(SIDES),
    "another order": exchanged([*range(5, K), *range(5)]),
}


@pytest.mark.parametrize("words", list(MISTAKES))
def test_the_probable_reason_for_no_match_is_said(rng, scored, words):
    people = {f"{i}.jpg": body(rng, 1) * (1, 0.8) for i in range(6)}
    rows = annotations(people)
    for image in rows["images"]:
        image |= {"width": SIZE[0], "height": SIZE[1]}
    results = []
    for i, xy in enumerate(people.values(), 1):
        off = MISTAKES[words](xy + rng.normal(0, 0.5, xy.shape))[0]
        points = np.column_stack([off, np.ones(K)]).ravel().tolist()
        results.append({**RESULT, "image_id": i, "keypoints": points})
    said(scored(rows, results), "AP is 0.0", "would be about", words)


def test_pictures_that_are_numbered_from_0_are_said(rng, scored):
    people = {f"{i}.jpg": body(rng, 1) for i in range(6)}
    results = [
        {
            **RESULT,
            "image_id": i,
            "keypoints": np.column_stack([xy[0], np.ones(K)]).ravel().tolist(),
        }
        for i, xy in enumerate(people.values())
        if i
    ]
    said(scored(annotations(people), results), "image_id is off by one")


def test_no_match_without_a_reason_is_said(scored):
    said(scored(labels(), []), "no person was detected in any of 1 image")
    far = [{**RESULT, "keypoints": [1.0, 900.0, 1] * K}]
    said(scored(labels(), far), "of 1 person, 0%", "see the worst images")


def test_labels_in_shares_are_refused(scored):
    shares = [v / 1000 if i % 3 < 2 else v for i, v in enumerate(POINTS)]
    with refused("normalized coordinates, want pixels"):
        scored(labels({**ROW, "keypoints": shares, "bbox": [0.1, 0.1, 0.1, 0.2]}))


def test_shares_of_pictures_that_were_turned_since_are_said(rng, yolo, tmp_path):
    """YOLO's labels have no size that could tell; a person of 40 x 30 in a stored 64 x 48."""
    stored = rng.uniform((12, 9), (52, 39), (K, 2))
    points = " ".join(f"{x / 64} {y / 48} 2" for x, y in stored)
    yolo("val: images/val\n" + SHAPE, f"0 .5 .5 .6 .6 {points}")
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images/val/a.png").unlink()
    Image.new("RGB", (64, 48)).save(tmp_path / "images/val/a.jpg", exif=exif.tobytes())
    seen = np.stack([48 - stored[:, 1], stored[:, 0]], axis=-1)[None]
    result = val(tmp_path / "data.yaml", [Known({"a.jpg": poses(seen)})], resamples=0)
    said(result, "would be about", "rotated by 90 degrees", "EXIF orientation")


def test_odd_boxes_areas_and_places_are_said(scored):
    said(scored(labels({**ROW, "bbox": [0.1, 0.2, 0.1, 0.2]})), "do not contain their keypoints")
    said(scored(labels({**ROW, "bbox": [100, 100, 220, 300]})), "look like x0 y0 x1 y1")
    said(scored(labels({**ROW, "area": 1})), "the areas are 4.2e-05 of the box areas")
    out = [v + 600 if i % 3 == 0 else v for i, v in enumerate(POINTS)]
    result = scored(labels({**ROW, "keypoints": out, "bbox": [700, 100, 120, 200]}))
    said(result, "17 of 17 labelled keypoints outside")


# YOLO


LINE = "0 0.5 0.5 0.8 0.8 " + " ".join(["0.5 0.5 2"] * K)
SHAPE = "kpt_shape: [17, 3]\n"


@pytest.fixture
def yolo(tmp_path):
    def make(yaml: str, lines: str = LINE, part: str = "images/val") -> truth.GroundTruth:
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
        folder = tmp_path / part.replace("images", "labels")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / part / "a.png"), np.zeros((48, 64, 3), np.uint8))
        (folder / "a.txt").write_bytes(lines.encode())
        (tmp_path / "data.yaml").write_text(yaml)
        return truth.read(tmp_path / "data.yaml")

    return make


@pytest.mark.parametrize(
    ("yaml", "part"),
    [
        ("train: ../train/images\nval: ../valid/images\n" + SHAPE, "valid/images"),  # Roboflow
        ("path: .\nval: [images/val]\n" + SHAPE, "images/val"),
        ("val:\n  - images/val\n" + SHAPE, "images/val"),
        ("val: images/val\nkpt_shape: '[17, 3]'\n", "images/val"),
        ("val: images/val\nkpt_shape: (17, 3)\n", "images/val"),
        ("val : images/val\n" + SHAPE, "images/val"),
        ("val: images\\val\n" + SHAPE, "images/val"),
        ("path: C:\\data\nval: images\\val\n" + SHAPE, "images/val"),
        ("path: /content/datasets/x\nval: valid/images\n" + SHAPE, "valid/images"),
        ("val: /content/datasets/x/valid/images\n" + SHAPE, "valid/images"),
        ("valid: valid/images\n" + SHAPE, "valid/images"),
        ("val: images/val\nnames: {0: person}\nflip_idx: [0, 2, 1]\nnc: 1\n" + SHAPE, "images/val"),
        (f"# a\nval: 'images/val'  # b\n{SHAPE}names: ['person']\n", "images/val"),
    ],
)
def test_a_data_yaml_as_tools_write_it_is_read(yolo, yaml, part):
    read = yolo(yaml, part=part)
    assert [p.path.name for p in read.pictures] == ["a.png"]
    assert read.pictures[0].labelled.all()


def test_a_list_of_pictures_is_read(yolo, tmp_path):
    for line in (
        "./images/val/a.png",
        "images/val/a.png",
        "/x/y/images/val/a.png",
        "images\\val\\a.png",
    ):
        (tmp_path / "val.txt").write_text(f"{line}\r\n\r\n")
        assert yolo("val: val.txt\n" + SHAPE).pictures[0].path.is_file()
    for line in ("/", "images/val"):
        (tmp_path / "val.txt").write_text(line)
        with refused("val.txt", f"'{line}' is a folder, not an image"):
            yolo("val: val.txt\n" + SHAPE)
    (tmp_path / "val.txt").write_text("x" * 300 + ".png\n./images/val/a.png")
    read = yolo("val: val.txt\n" + SHAPE)
    assert (len(read.pictures), len(read.faults)) == (1, 1)


def test_names_of_keypoints_in_one_line_are_read(yolo):
    two = "val: images/val\nkpt_shape: [2, 3]\n"
    for names in ("[nose, tail]", "{0: [nose, tail]}", "{person: [nose, tail]}"):
        read = yolo(f"{two}kpt_names: {names}\n", "0 .5 .5 .8 .8 .5 .5 2 .6 .6 2")
        assert read.skeleton.keypoints == ("nose", "tail")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 .1 .1 .2 .1 .2 .2 .1 .2", "want 56 numbers"),  # a polygon
        ("0 .5 .5", "fewer than a class"),
        ("0 x .5 .5 .5", "want a class and numbers"),
        ("0 nan .5 .5 .5", "want a class and numbers"),
        ("0 .5 .5 .5 .5", "a bounding box without keypoints"),
        ("1 .5 .5 .5 .5", "1 labels of other classes (car) are ignored"),
        ("0 300 200 50 80", "bounding box outside 0..1"),
    ],
)
def test_an_odd_line_is_left_out_and_said(yolo, line, words):
    yaml = "val: images/val\nnames: [person, car]\n" + SHAPE
    read = yolo(yaml, f"{LINE}\r\n\r\n  {LINE}  \r\n{line}\r\n")
    assert read.pictures[0].counts.sum() == 2
    assert any(words in note for note in read.notes), read.notes


def test_labels_slightly_outside_of_the_picture_are_kept(yolo):
    read = yolo("val: images/val\n" + SHAPE, LINE.replace("0.5 0.5 2", "1.001 -0.002 2", 1))
    assert read.pictures[0].labelled.all()
    np.testing.assert_allclose(read.pictures[0].xy[0, 0], (64.064, -0.096))


def test_people_may_be_another_class(yolo):
    yaml = "val: images/val\n" + SHAPE
    for names, line in (
        ("names: [car, person]\n", LINE.replace("0", "1", 1)),
        ("", "3" + LINE[1:]),
    ):
        read = yolo(yaml + names, line)
        assert read.pictures[0].counts.all()
        assert any("people are class" in note for note in read.notes)


def test_pictures_without_a_file_of_labels_are_said(yolo, tmp_path):
    yolo("val: images/val\n" + SHAPE)
    cv2.imwrite(str(tmp_path / "images/val/b.png"), np.zeros((48, 64, 3), np.uint8))
    read = truth.read(tmp_path)
    assert any("1 images (first: b.png)" in note for note in read.notes)


@pytest.mark.parametrize(
    ("yaml", "line", "words"),
    [
        ("val: images/val\nkpt_shape: [99999999999, 3]", LINE, "kpt_shape is"),
        ("val: images/val\nkpt_shape: [100000, 3]", LINE, "at most 1000"),
        ("val: images/val\nkpt_shape: [-1, 3]", LINE, "kpt_shape is"),
        ("val: images/val\nkpt_shape: [x, 3]", LINE, "kpt_shape is"),
        ("val: images/val\nkpt_shape: [4, 3]", LINE, "check kpt_shape"),
        ("val: 3\n- 4", LINE, "not valid YAML"),
        ("val: {a: b}", LINE, "want folders"),
        ("val: nowhere\n" + SHAPE, LINE, "there is no 'nowhere'"),
        (f"val: {'a' * 5000}\n" + SHAPE, LINE, "there is no"),
        ('val: "a\\0b"\n' + SHAPE, LINE, "there is no"),
        (
            "val: images/val\nkpt_names: [a, a]\nkpt_shape: [2, 3]",
            "0 .1 .1 .1 .1 .1 .1 2 .1 .1 2",
            "two",
        ),
        ("val: images/val\n" + SHAPE, "0 .5 .5 .5 .5", "no people to evaluate"),
        ("val: images/val\n" + SHAPE, "0 300 200 50 80 " + "30 40 2 " * K, "pixels"),
        ("[" * 5000, LINE, "cannot read"),
    ],
)
def test_what_is_wrong_with_a_yolo_data_set_is_one_line(yolo, yaml, line, words):
    with refused(words):
        yolo(yaml, line)


def test_a_file_of_labels_that_is_no_text_leaves_out_its_picture(yolo, tmp_path):
    yolo("val: images/val\n" + SHAPE)
    cv2.imwrite(str(tmp_path / "images/val/b.png"), np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "labels/val/b.txt").write_bytes(b"\xff\xfe\x00")
    read = truth.read(tmp_path)
    assert len(read.pictures) == len(read.faults) == 1
    assert "b.txt" in str(read.faults[0])


# Keypoints of one's own


PAW = (
    'name = "paw"\nkeypoints = [["wrist", "", 0.1], ["tip", "wrist", 0.2], ["a", ""], ["b", ""]]\n'
)
CORNERS = np.array([[16.0, 12], [48, 12], [48, 36], [16, 36]])  # where the network sees all paws
INPUT = 64  # pixels


@pytest.fixture
def paws(tmp_path) -> Path:
    """A network of four keypoints as Ultralytics exports it, a data set of them, and paw.toml."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (the train extra)")
    row = [32, 32, 32, 24, 0.9, *np.column_stack([CORNERS + np.array([0, 8]), np.ones(4)]).ravel()]
    value = np.array(row, np.float32).reshape(1, -1, 1)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    x = helper.make_tensor_value_info("images", kind, [1, 3, INPUT, INPUT])
    y = helper.make_tensor_value_info("output0", kind, value.shape)
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["m"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["m", "zero"], ["z"]),
        helper.make_node("Add", ["paw", "z"], ["output0"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(value, "paw"),
        onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(
        model, {"kpt_shape": "[4, 3]", "stride": "32", "imgsz": "[64, 64]", "task": "pose"}
    )
    onnx.save(model, tmp_path / "my.onnx")
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((48, 64, 3), 90, np.uint8))
    shares = " ".join(f"{x / 64} {y / 48} 2" for x, y in CORNERS)
    (tmp_path / "labels/a.txt").write_text(f"0 .5 .5 .5 .5 {shares}\n")
    (tmp_path / "data.yaml").write_text("val: images\nkpt_shape: [4, 3]\nnames: [paw]\n")
    (tmp_path / "paw.toml").write_text(PAW)
    return tmp_path


def test_a_network_of_ones_own_is_scored_with_its_own_keypoints(paws):
    with refused("4 keypoints", "--skeleton"):
        truth.read(paws / "data.yaml")
    data, model = paws / "data.yaml", str(paws / "my.onnx")
    result = val(data, [model], skeleton=str(paws / "paw.toml"), resamples=0)
    assert result.truth.skeleton.keypoints == ("wrist", "tip", "a", "b")
    np.testing.assert_allclose(result.truth.sigmas, [0.1, 0.2, 0.08, 0.08], rtol=0)
    assert ap(result) == pytest.approx(1)
    said(result, "sigmas for a, b: 0.08 is used")
    assert unnamed_keypoints(model) == {4}
    assert unnamed_keypoints("yolov8n-pose") == set()


def test_a_network_without_names_has_those_of_the_data(paws):
    data = paws / "data.yaml"
    data.write_text(
        data.read_text() + "kpt_names: [[w, x, y, z]]\n".replace("[[", "[").replace("]]", "]")
    )
    result = val(data, [str(paws / "my.onnx")], resamples=0)
    assert ap(result) == pytest.approx(1)
    said(result, "does not name its 4 keypoints: assumed to be those of the data")


def test_the_command_takes_a_skeleton(paws):
    words = [
        "val",
        "--data",
        "data.yaml",
        "-m",
        "my.onnx",
        "--skeleton",
        "paw.toml",
        "--out",
        "out",
    ]
    done = command(*words, "--resamples", "0", "--offline", cwd=paws)
    assert done.returncode == 0, done.stderr
    assert "my" in done.stdout
    assert "1.000" in done.stdout
    assert (paws / "out/report.html").is_file()


def test_coco_labels_take_a_skeleton_too(tmp_path, scored):
    (tmp_path / "paw.toml").write_text(PAW)
    row = {**ROW, "keypoints": POINTS[:12]}
    bare = labels(row, categories=[{"id": 1, "name": "paw"}])
    with refused("no category", "--skeleton"):
        scored(bare)
    result = scored(bare, [{**RESULT, "keypoints": POINTS[:12]}], skeleton=tmp_path / "paw.toml")
    assert result.scores[0].keypoints == ("wrist", "tip", "a", "b")
    assert ap(result) == 1


def test_names_of_keypoints_in_other_spellings_are_the_same():
    names = [name.title().replace("_", "") for name in COCO17.keypoints]
    rows = labels(categories=[{"id": 1, "name": "person", "keypoints": names}])
    assert truth.parse_coco(rows, Path("a.json")).skeleton is COCO17


# A full disk


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tmp_path, rng, picture, monkeypatch):
    from vitruvian.verbs.val import show
    from vitruvian.verbs.val import val as running

    people = {f"{name}.png": body(rng, 1) for name in "abc"}
    for name in people:
        picture(f"images/{name}", np.full((480, 640, 3), 90, np.uint8))
    (tmp_path / "truth.json").write_text(json.dumps(annotations(people)))
    out, dump = tmp_path / "out", running.dump

    def full(line):
        if line.get("source", "").endswith("c.png"):
            with (out / "known.jsonl").open("a") as file:
                file.write('{"source": "c.p')  # what is written of it
            raise OSError(28, "No space left on device")
        return dump(line)

    monkeypatch.setattr(running, "dump", full)
    with refused("known.jsonl", "No space left", "--resume continues there"):
        val(tmp_path / "truth.json", [found_by(people)], out=out, resamples=0)
    assert (out / "known.jsonl").read_text().count("\n") == 3
    assert (out / "known.jsonl").read_text().endswith("\n")
    monkeypatch.setattr(running, "dump", dump)
    again = found_by(people)
    result = val(tmp_path / "truth.json", [again], out=out, resume=True, resamples=0)
    assert again.seen == ["c.png"]

    def nothing(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as some:
        some.setattr(Path, "write_bytes", nothing)
        with refused("cannot write", "No space left"):
            show.write_validation(result, out)
    assert not list(out.glob("*.part"))
    assert sorted(path.name for path in out.iterdir()) == [".vitruvian", "known.jsonl"]


def test_odd_rows_of_results_are_left_out_and_said():
    known, notes = truth.parse_coco(labels(), Path("a.json")), list[str]()
    found = results_to_people([RESULT, {**RESULT, "score": None}, None], known, "x", notes)
    assert len(found[1].score) == 1
    assert "2 rows (first: row 2): ignored, want image_id" in notes[0]
