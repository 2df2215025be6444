"""From one file of poses to another: what the table says is kept is kept, the rest is refused."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

import vitruvian as vit
from bodies import body, turned
from commands import command, one_line
from conftest import TOY, need, refused
from vitruvian.body.mapping import Mapping
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import (
    BLAZEPOSE33,
    BODY25,
    BOXES,
    COCO17,
    COCO19,
    H36M17,
    MPI_INF_3DHP17,
    SMPL24,
)
from vitruvian.body.track import Track
from vitruvian.cli.app import app
from vitruvian.formats import c3d, openpose, table
from vitruvian.formats.table import FORMATS
from vitruvian.formats.trc import named
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import box_around
from vitruvian.verbs.convert import convert

Pairs = list[tuple[Frame, Poses]]
# Somebody comes back after three seconds, longer than a track lasts.
STORIES = {
    "alone": [[1]] * 5,
    "comes back": [[1]] * 3 + [[]] * 30 + [[1]] * 3,
    "one frame": [[1]],
    "nobody": [[]] * 4,
    "two": [[1], [1, 2], [1, 2], [2], [1, 2]],
}


def story(
    name: str, skeleton: Skeleton = COCO19, *, flat: bool = False, gaps: bool = False
) -> Pairs:
    """Frames at ten a second, with pixels and, unless `flat`, metres from the camera."""
    rng, pairs = np.random.default_rng(3), []
    for i, present in enumerate(STORIES[name]):
        bodies = [
            turned(body(skeleton, elbow=20.0, knee=10.0 + i), "up", 10 * i)
            + np.array([0.1 * i, who, 5])
            for who in present
        ]
        n, k = len(present), len(skeleton)
        xyz = np.array(bodies, np.float32).reshape(n, k, 3)
        xy = (300 + 80 * xyz[..., :2]).astype(np.float32)
        score = rng.uniform(0.5, 1, (n, k)).astype(np.float32)
        if gaps and i == 2:
            xyz[:, 3], xy[:, 3] = np.nan, np.nan
        depth = {} if flat else {"xyz": xyz, "origin": "camera"}
        person, sure = np.array(present, np.int64), np.full(n, 0.75, np.float32)
        poses = Poses(skeleton, xy, score, box_around(xy), sure, person, **depth)
        pairs.append((Frame(None, i, i / 10, "walk.mp4", size=(640, 480)), poses))
    return pairs


def recorded(path: Path, pairs: Pairs) -> Path:
    with vit.open_sink(path) as sink:
        for pair in pairs:
            sink.write(*pair)
    return path


def place(folder: Path, form: str) -> Path:
    """Where a file of that kind goes."""
    need_for(form)
    return folder / f"walk{FORMATS[form].suffix}"


def need_for(form: str) -> None:
    if form in ("c3d", "parquet"):
        need({"c3d": "ezc3d", "parquet": "pyarrow"}[form])


def read(path: Path, form: str) -> Pairs:
    return list(vit.read(path, form, fps=10 if form in ("coco", "mot") else None))


def by_time(pairs: Pairs) -> dict[float, Poses]:
    return {round(frame.seconds, 3): poses for frame, poses in pairs if len(poses)}


def same(got: Pairs, want: Pairs, holds: set[str]) -> None:
    """Assert that of people in both, what is in `holds` is equal."""
    here, there = by_time(got), by_time(want)
    assert here.keys() == there.keys()
    for seconds, poses in there.items():
        back = here[seconds]
        if "numbers" in holds:
            assert back.person.tolist() == poses.person.tolist()
        assert len(back) == len(poses)
        for k, name in enumerate(poses.skeleton.keypoints):
            if name not in back.skeleton.keypoints:
                continue
            one = back[name]
            if "pixels" in holds:
                np.testing.assert_allclose(one.xy, poses.xy[:, k], atol=1e-3)
            if "scores" in holds and np.isfinite(poses.xy[:, k]).all():
                np.testing.assert_allclose(one.score, poses.score[:, k], atol=1e-3)
            if "metres" in holds:
                assert poses.xyz is not None
                assert one.xyz is not None
                np.testing.assert_allclose(one.xyz, poses.xyz[:, k], atol=holds_to(holds))
        if "boxes" in holds:
            np.testing.assert_allclose(back.box, poses.box, atol=0.02)


def holds_to(holds: set[str]) -> float:
    """Metres: BVH has bones of one length each, and the body is not rigid; others have 6 digits."""
    return 1e-5 if "gaps" in holds else 0.02


# The table


OF_VIDEOS = [name for name in FORMATS if name != "labels"]  # COCO annotations are of images


@pytest.mark.parametrize(("source", "target"), list(product(OF_VIDEOS, OF_VIDEOS)))
def test_what_the_table_says_is_kept_is_kept_and_the_rest_is_refused(source, target, tmp_path):
    pairs = story("alone")
    first = recorded(tmp_path / "first.jsonl", pairs)
    (tmp_path / "from").mkdir()
    start, end = place(tmp_path / "from", source), place(tmp_path / "to", target)
    convert(first, start)
    fps = 10.0 if source in ("coco", "mot") else None
    if why := table.refusal(FORMATS[source], FORMATS[target]):
        with refused(start.name, end.name, why):
            convert(start, end, fps=fps)
        assert not end.exists()
        return
    done = convert(start, end, fps=fps)
    kept = {*FORMATS[source].holds} & {*FORMATS[target].holds}
    same(read(end, target), read(start, source), kept)
    assert done.paths
    gone = {table.HOLDS[part] for part in table.lost(FORMATS[source], FORMATS[target])}
    assert {*done.lost} <= gone


@pytest.mark.parametrize("source", OF_VIDEOS)
def test_a_video_has_no_coco_annotations(source, tmp_path):
    start, end = place(tmp_path, source), tmp_path / "to" / "walk_labels.json"
    convert(recorded(tmp_path / "first.jsonl", story("alone")), start, overwrite=True)
    with refused("walk_labels.json"):
        convert(start, end, fps=10.0 if source in ("coco", "mot") else None)
    assert not end.exists()


def test_records_lose_nothing_that_was_there(tmp_path):
    assert table.lost(FORMATS["coco"], FORMATS["json"]) == []
    done = convert(recorded(tmp_path / "a.jsonl", story("alone", flat=True)), tmp_path / "b.csv")
    assert "metres" not in done.lost
    assert "boxes" in done.lost


# What happens to people


@pytest.mark.parametrize("name", ["comes back", "one frame", "two"])
@pytest.mark.parametrize("form", ["json", "csv", "parquet", "coco", "openpose", "mot"])
def test_people_come_back_from_files_of_everybody(form, name, tmp_path):
    pairs = story(name, gaps=True)
    out = place(tmp_path, form)
    convert(recorded(tmp_path / "first.jsonl", pairs), out, overwrite=True)
    back = read(out, form)
    same(back, pairs, {*FORMATS[form].holds} - {"metres"} if form != "json" else {"metres", "gaps"})
    if "nobody" in FORMATS[form].holds:
        assert len(back) == len(pairs)


@pytest.mark.parametrize("form", ["trc", "c3d", "bvh"])
def test_who_comes_back_is_in_one_file_with_nothing_in_between(form, tmp_path):
    pairs = story("comes back", gaps=form != "bvh")
    out = place(tmp_path, form)
    convert(recorded(tmp_path / "first.jsonl", pairs), out)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == out.suffix] == [out.name]
    back = read(out, form)
    assert len(back) == 36
    if form == "bvh":  # it has no word for nobody: the last pose stays
        held, last = back[20][1].xyz, back[2][1].xyz
        assert held is not None
        assert last is not None
        np.testing.assert_allclose(held, last, atol=1e-4)
    else:
        same(back, pairs, {"metres", "gaps"})


@pytest.mark.parametrize("form", ["trc", "c3d", "bvh"])
def test_of_several_people_each_has_a_file(form, tmp_path):
    pairs = story("two")
    first, out = recorded(tmp_path / "first.jsonl", pairs), place(tmp_path, form)
    done = convert(first, out)
    assert [path.name for path in done.paths] == [f"walk_1{out.suffix}", f"walk_2{out.suffix}"]
    assert not out.exists()
    one = convert(first, tmp_path / f"one{out.suffix}", person=2)
    assert one.paths == [tmp_path / f"one{out.suffix}"]
    second = read(one.paths[0], form)
    assert len(second) == 4
    start = second[0][0].seconds
    assert start == pytest.approx(0 if form == "bvh" else 0.1)
    with refused(f"walk_1{out.suffix}", "--overwrite"):
        convert(first, out)
    assert len(convert(first, out, overwrite=True).paths) == 2
    with refused("no person 7", "1, 2"):
        convert(first, tmp_path / f"seven{out.suffix}", person=7)


@pytest.mark.parametrize("form", OF_VIDEOS)
def test_nobody_at_all(form, tmp_path):
    """Files of everybody say so; those of one person are not written."""
    pairs = story("nobody")
    first, out = recorded(tmp_path / "first.jsonl", pairs), place(tmp_path / "to", form)
    if form in ("trc", "c3d", "bvh"):
        with refused("nobody", "nothing was written"):
            convert(first, out)
        assert not out.parent.exists()
        return
    convert(first, out)
    back = read(out, form)
    assert [len(poses) for _, poses in back] == [0] * (4 if form in ("json", "openpose") else 0)
    if not back:
        with refused("nobody in"):
            convert(out, tmp_path / "again.jsonl")


def test_a_picture_gives_a_file_though_people_have_no_numbers(tmp_path):
    (frame, poses), *_ = story("two")
    joined = Poses.join(poses, story("two")[1][1])
    joined.person[:] = -1
    recorded(tmp_path / "photo.trc", [(frame, joined)])
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        f"photo_{i}.trc" for i in (1, 2, 3)
    ]


# Metres, axes, times


@pytest.mark.parametrize("form", ["trc", "c3d", "bvh"])
def test_the_axis_that_points_up_is_chosen_and_undone(form, tmp_path):
    pairs = story("alone")
    first, out = recorded(tmp_path / "first.jsonl", pairs), place(tmp_path, form)
    convert(first, out, up="z")
    back = list(vit.read(out, up="z"))
    same(back, pairs, {"metres", *(["gaps"] if form != "bvh" else [])})
    wrong = next(iter(vit.read(out, up="y")))[1]
    assert wrong.xyz is not None
    head, foot = (wrong.xyz[0, COCO19[name]] for name in ("nose", "left_ankle"))
    height = head - foot
    assert abs(height[2]) > 1  # read as y up, who stands lies
    convert(out, tmp_path / f"again{out.suffix}", from_up="z", up="y")
    same(read(tmp_path / f"again{out.suffix}", form), pairs, {"metres"})
    with refused("up is 'x'", "y or z"):
        vit.open_sink(tmp_path / f"b{out.suffix}", up="x")


def test_an_axis_is_not_asked_of_files_that_have_none(tmp_path):
    first = recorded(tmp_path / "first.jsonl", story("alone"))
    with refused("a.csv", "leave --up out"):
        convert(first, tmp_path / "a.csv", up="z")
    with refused("first.jsonl", "y down"):
        convert(first, tmp_path / "a.csv", form="json", from_up="z")


def test_pixels_alone_are_no_markers_and_a_way_out_is_named(tmp_path):
    first = recorded(tmp_path / "first.jsonl", story("alone", flat=True))
    for name in ("a.trc", "a.bvh"):
        with refused("metres", "pixels only", "blazepose-full"):
            convert(first, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["first.jsonl"]
    convert(first, tmp_path / "a.json")
    with refused("a.json", "metres", "a 3D model"):
        convert(tmp_path / "a.json", tmp_path / "a.trc", fps=10)


def test_c3d_is_in_millimetres(tmp_path):
    need("ezc3d")
    import ezc3d  # pyright: ignore[reportMissingImports]

    pairs = story("alone")
    recorded(tmp_path / "a.c3d", pairs)
    file = ezc3d.c3d(str(tmp_path / "a.c3d"))
    assert list(file["parameters"]["POINT"]["UNITS"]["value"]) == ["mm"]
    xyz = pairs[0][1].xyz
    assert xyz is not None
    want = xyz[0, 0] * (1000, -1000, -1000)
    np.testing.assert_allclose(file["data"]["points"][:3, 0, 0], want, rtol=1e-5)


@pytest.mark.parametrize("start", [0, 7])
def test_c3d_has_the_times_of_frames_also_of_every_third(start, tmp_path):
    need("ezc3d")
    pairs = [
        (Frame(None, 3 * (i + start), 3 * (i + start) / 30, "walk.mp4", size=(640, 480)), poses)
        for i, (_, poses) in enumerate(story("alone"))
    ]
    recorded(tmp_path / "a.c3d", pairs)
    same(read(tmp_path / "a.c3d", "c3d"), pairs, {"metres", "gaps"})


def test_frames_that_are_not_at_even_times_are_put_there(tmp_path):
    """The third of five comes a third of a step late: it is put back along the line."""
    need("ezc3d")
    pairs = story("alone")
    late = [0.0, 0.1, 0.2 + 0.1 / 3, 0.3, 0.4]
    pairs = [
        (Frame(None, f.index, at, f.source, size=f.size), poses)
        for (f, poses), at in zip(pairs, late, strict=True)
    ]
    recorded(tmp_path / "a.c3d", pairs)
    back = read(tmp_path / "a.c3d", "c3d")
    assert [round(frame.seconds, 4) for frame, _ in back] == [0, 0.1, 0.2, 0.3, 0.4]
    before, at = pairs[1][1].xyz, pairs[2][1].xyz
    got = back[2][1].xyz
    assert before is not None
    assert at is not None
    assert got is not None
    np.testing.assert_allclose(got, before + 0.75 * (at - before), atol=1e-5)


def test_a_trc_keeps_uneven_times(tmp_path):
    pairs = story("alone")
    late = [0.0, 0.1, 0.25, 0.3, 0.4]
    pairs = [
        (Frame(None, f.index, at, f.source), p) for (f, p), at in zip(pairs, late, strict=True)
    ]
    recorded(tmp_path / "a.trc", pairs)
    assert [frame.seconds for frame, _ in vit.read(tmp_path / "a.trc")] == late


@pytest.mark.parametrize(
    ("first", "frames", "fits"), [(0, 65534, True), (0, 65535, False), (65530, 9, False)]
)
def test_a_c3d_has_no_more_frames_than_its_header_can_count(first, frames, fits, tmp_path):
    """Sixteen bits; two hours at 30 frames a second have 216 000."""
    need("ezc3d")
    table = Skeleton.table("dot", "here", ("dot", "", 0.1))
    nowhere = np.full((frames, 1, 2), np.nan)
    index = first + np.arange(frames)
    xyz = np.repeat(index[:, None, None] / 1000, 3, axis=2)
    box, score = np.full((frames, 4), np.nan), np.ones((frames, 1))
    track = Track(
        table, 1, index / 50, index, nowhere, score, box, xyz, "camera", source="long.mp4"
    )
    if not fits:
        with refused("65535", "long.mp4", ".trc"):
            c3d.write_c3d(track, tmp_path / "a.c3d")
        return
    c3d.write_c3d(track, tmp_path / "a.c3d")
    back = c3d.read_c3d(tmp_path / "a.c3d")
    assert len(back) == frames
    assert back.seconds[-1] == pytest.approx((frames - 1) / 50)
    assert back.xyz is not None
    assert back.xyz[-1] == pytest.approx((frames - 1) / 1000, abs=1e-4)


def test_files_without_times_need_a_rate(tmp_path):
    first = recorded(tmp_path / "first.jsonl", story("alone"))
    for name in ("walk.json", "walk.txt"):
        convert(first, tmp_path / name)
        with refused(name, "no times", "--fps"):
            convert(tmp_path / name, tmp_path / "c.jsonl")
        convert(tmp_path / name, tmp_path / "b.jsonl", fps=5, overwrite=True)
        assert [frame.seconds for frame, _ in vit.read(tmp_path / "b.jsonl")] == [
            0,
            0.2,
            0.4,
            0.6,
            0.8,
        ]
    with refused("its own timestamps"):
        convert(tmp_path / "b.jsonl", tmp_path / "c.csv", form="json", fps=5)
    with refused("fps is 0"):
        convert(tmp_path / "walk.txt", tmp_path / "c.jsonl", fps=0)


def test_people_of_boxes_have_no_keypoints(tmp_path):
    convert(recorded(tmp_path / "a.jsonl", story("two")), tmp_path / "a.txt")
    convert(tmp_path / "a.txt", tmp_path / "b.jsonl", fps=10)
    frames = list(vit.read(tmp_path / "b.jsonl"))
    assert {poses.skeleton for _, poses in frames} == {BOXES}
    assert [poses.person.tolist() for _, poses in frames] == STORIES["two"]
    with refused("a.txt", "pixels or metres"):
        convert(tmp_path / "a.txt", tmp_path / "b.csv", fps=10)


# Skeletons


def test_a_skeleton_is_given_by_name_or_file_or_as_it_is(tmp_path):
    first = recorded(tmp_path / "a.jsonl", story("alone", BLAZEPOSE33))
    own = tmp_path / "own.toml"
    rows = ", ".join(f'["{name}", ""]' for name in COCO17.keypoints)
    own.write_text(f'name = "own"\nkeypoints = [{rows}]\n')
    for i, one in enumerate((COCO17, "coco17", own, str(own))):
        convert(first, tmp_path / f"{i}.jsonl", skeleton=one)
        (_, poses), *_ = vit.read(tmp_path / f"{i}.jsonl")
        assert poses.skeleton.keypoints == COCO17.keypoints
    convert(first, tmp_path / "folder")
    assert len(list(vit.read(tmp_path / "folder", fps=10, skeleton="body_25")))
    assert convert(
        tmp_path / "folder", tmp_path / "b.jsonl", fps=10, from_skeleton="body_25"
    ).frames
    with refused("no skeleton named 'coco71'", "did you mean 'coco17'"):
        convert(first, tmp_path / "c.jsonl", skeleton="coco71")
    with refused("no skeleton named 'coco71'"):
        convert(tmp_path / "folder", tmp_path / "c.jsonl", from_skeleton="coco71")
    with refused("no skeleton named 'coco71'"):
        vit.read(tmp_path / "folder", fps=10, skeleton="coco71")
    with refused("no skeleton named '17'"):
        convert(first, tmp_path / "c.jsonl", skeleton=17)  # pyright: ignore[reportArgumentType]


def test_blazepose_becomes_coco_and_then_body_25_with_what_is_derived_named(tmp_path):
    first = recorded(tmp_path / "a.jsonl", story("alone", BLAZEPOSE33))
    as_coco = convert(first, tmp_path / "b.jsonl", skeleton=COCO17)
    assert (as_coco.derived, as_coco.missing) == ([], [])
    as_body = convert(tmp_path / "b.jsonl", tmp_path / "c", skeleton=BODY25)
    feet = [name for name in BODY25.keypoints if "toe" in name or "heel" in name]
    assert as_body.derived == ["neck", "mid_hip"]
    assert as_body.missing == feet
    read = json.loads(next(iter(sorted((tmp_path / "c").iterdir()))).read_text())
    assert read["vitruvian"]["derived"] == ["neck", "mid_hip"]
    convert(tmp_path / "c", tmp_path / "d.jsonl")
    record = vit.read(tmp_path / "d.jsonl")
    assert record.header["options"]["derived"] == ["neck", "mid_hip"]
    before, after = story("alone", BLAZEPOSE33)[0][1], next(iter(record))[1]
    middle = (before["left_hip"].xy + before["right_hip"].xy) / 2
    np.testing.assert_allclose(after["mid_hip"].xy, middle, atol=1e-3)
    np.testing.assert_allclose(after["left_knee"].xy, before["left_knee"].xy, atol=1e-3)
    assert np.isnan(after["left_heel"].xy).all()
    # What is derived is still that, and said, on the way to a file that marks it.
    convert(tmp_path / "d.jsonl", tmp_path / "e")
    again = json.loads(next(iter(sorted((tmp_path / "e").iterdir()))).read_text())
    assert again["vitruvian"]["derived"] == ["neck", "mid_hip"]


def test_names_that_are_alike_are_the_same_place():
    way = Mapping.of(BLAZEPOSE33, BODY25)
    assert way.derived == ["neck", "mid_hip"]
    assert way.missing == ["left_small_toe", "right_small_toe"]
    assert way.parts[BODY25["left_big_toe"]] == (BLAZEPOSE33["left_foot_index"],)
    assert Mapping.of(SMPL24, BODY25).parts[BODY25["mid_hip"]] == (SMPL24["pelvis"],)


def test_all_places_of_a_body_are_mapped_and_a_derived_point_has_the_lower_score(people):
    poses = people(2, COCO17, xyz=np.ones((2, 17, 3), np.float32), origin="hips")
    way = Mapping.of(COCO17, H36M17)
    there = way(poses)
    assert there.xyz is not None
    assert np.isnan(there.xyz[:, H36M17["head_top"]]).all()
    assert (there.score[:, H36M17["head_top"]] == 0).all()
    np.testing.assert_array_equal(there.xyz[:, H36M17["pelvis"]], 1)
    hips = np.minimum(poses["left_hip"].score, poses["right_hip"].score)
    np.testing.assert_array_equal(there["pelvis"].score, hips)
    assert way(Poses.nobody(COCO17)).xy.shape == (0, 17, 2)
    with refused("toy", "no keypoint"):
        Mapping.of(Skeleton.table("toy", "", ("tail", "", 0.1)), COCO17)


def test_coco_results_of_fewer_keypoints_are_asked_for(tmp_path):
    first = recorded(tmp_path / "a.jsonl", story("alone", SMPL24))
    with refused("smpl_24", "--skeleton coco17"):
        convert(first, tmp_path / "a.json")
    done = convert(first, tmp_path / "a.json", skeleton=COCO17)
    assert done.missing == ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]
    (entry, *_) = json.loads((tmp_path / "a.json").read_text())
    assert entry["keypoints"][:15] == [0] * 15
    assert entry["keypoints"][15:] != [0] * 36


def test_a_skeleton_of_ones_own_is_read_again_from_its_record(tmp_path, people, frame):
    """Also one that is called like one of ours."""
    for own in (TOY, Skeleton.table("coco17", "mine", ("a", "", 0.1), ("b", "a", np.nan))):
        path = recorded(tmp_path / f"{own.name}.jsonl", [(frame(), people(2, own))] * 2)
        back = [poses.skeleton for _, poses in vit.read(path)]
        assert back[0] is back[1]
        assert back[0].to_json() == own.to_json()
    with refused("b.jsonl", "toy", "coco17"), vit.open_sink(tmp_path / "b.jsonl") as sink:
        sink.write(frame(), people(1, TOY))
        sink.write(frame(1), people(1, own))


def test_a_record_from_before_skeletons_were_described_is_read(tmp_path):
    path = recorded(tmp_path / "a.jsonl", story("alone"))
    first, *rest = path.read_text().splitlines()
    header = json.loads(first)
    del header["skeleton"]
    path.write_text("\n".join([json.dumps(header), *rest]))
    assert {poses.skeleton for _, poses in vit.read(path)} == {COCO19}
    header["skeleton"] = {"name": "mine", "keypoints": ["a"], "bones": [[0, 5]], "sigmas": [0.1]}
    path.write_text("\n".join([json.dumps(header), *rest]))
    with refused("a.jsonl", "has no valid skeleton"):
        vit.read(path)


def test_two_skeletons_of_the_same_names_are_told_apart_by_order_or_bones():
    assert {*H36M17.keypoints} == {*MPI_INF_3DHP17.keypoints}
    assert named("a", list(H36M17.keypoints)) is H36M17
    assert named("a", list(MPI_INF_3DHP17.keypoints)) is MPI_INF_3DHP17
    mixed = sorted(H36M17.keypoints)
    assert named("a", mixed).bones == ()
    assert named("a", list(reversed(COCO17.keypoints))) is COCO17


def test_a_bvh_keeps_the_bones_of_a_skeleton_that_is_none_of_ours(tmp_path, people, frame):
    table = Skeleton.table(
        "limb", "here", ("root", "", np.nan), ("mid", "root", np.nan), ("tip", "mid", np.nan)
    )
    poses = people(
        1, table, xyz=np.arange(9, dtype=np.float32).reshape(1, 3, 3) / 5, origin="camera"
    )
    recorded(tmp_path / "a.bvh", [(frame(), poses)])
    (_, back), *_ = vit.read(tmp_path / "a.bvh")
    assert back.skeleton.keypoints == table.keypoints
    assert back.skeleton.bones == table.bones


def test_rotations_of_a_bvh_are_in_the_order_of_its_channels(tmp_path):
    text = """HIERARCHY
ROOT hip
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Yrotation Xrotation Zrotation
  JOINT knee
  {
    OFFSET 0 -0.4 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    End Site
    {
      OFFSET 0 -0.4 0
    }
  }
}
MOTION
Frames: 1
Frame Time: 0.1
1 2 3 90 90 0 0 0 0
"""
    (tmp_path / "a.bvh").write_text(text)
    ((_, poses),) = vit.read(tmp_path / "a.bvh")
    # Down, turned about x by 90 degrees, is -z; then about y, -x. Up in the file is -y here.
    assert poses.xyz is not None
    np.testing.assert_allclose(poses.xyz[0], [[1, -2, -3], [0.6, -2, -3]], atol=1e-6)
    (tmp_path / "a.bvh").write_text(text.replace("0.4", "40"))
    with refused("a.bvh", "40", "want metres"):
        list(vit.read(tmp_path / "a.bvh"))


# COCO annotations, and files of others


def test_coco_annotations_are_read_with_their_skeleton_and_pictures(tmp_path):
    points = [[10, 20, 2], [30, 40, 1], [0, 0, 0]]
    data = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 64, "height": 48},
            {"id": 9, "file_name": "b.jpg", "width": 80, "height": 60},
        ],
        "annotations": [
            {
                "image_id": 7,
                "keypoints": np.ravel(points).tolist(),
                "bbox": [5, 6, 30, 40],
                "iscrowd": 0,
            },
            {"image_id": 9, "keypoints": [0] * 9, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
        "categories": [{"id": 1, "keypoints": ["snout", "tail", "paw"], "skeleton": [[1, 2]]}],
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    (frame, poses), (other, nobody) = vit.read(tmp_path / "a.json")
    assert (frame.source, frame.size, frame.index) == ("a.jpg", (64, 48), 7)
    assert (poses.skeleton.keypoints, poses.skeleton.bones) == (("snout", "tail", "paw"), ((0, 1),))
    np.testing.assert_array_equal(poses.xy[0], [[10, 20], [30, 40], [np.nan, np.nan]])
    np.testing.assert_allclose(poses.score[0], [1, 0.4, 0])
    np.testing.assert_array_equal(poses.box[0], [5, 6, 35, 46])
    assert (other.source, len(nobody)) == ("b.jpg", 0)
    names = list(COCO17.keypoints)
    data["annotations"], data["categories"] = [], [{"keypoints": names, "skeleton": [[16, 14]]}]
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert next(iter(vit.read(tmp_path / "a.json")))[1].skeleton is COCO17


def test_coco_results_of_others_have_no_names(tmp_path):
    entry = {"image_id": 139, "category_id": 1, "keypoints": [1.0, 2.0, 0.5] * 17, "score": 0.9}
    (tmp_path / "a.json").write_text(json.dumps([entry, entry, {**entry, "image_id": 12}]))
    (first, poses), (second, _) = vit.read(tmp_path / "a.json")
    assert (first.source, second.source) == ("000000000139", "000000000012")
    assert len(poses) == 2
    np.testing.assert_array_equal(poses.box[0], [1, 2, 1, 2])
    convert(tmp_path / "a.json", tmp_path / "b.json")
    back = json.loads((tmp_path / "b.json").read_text())
    assert [each["image_id"] for each in back] == [139, 139, 12]


@pytest.mark.parametrize("text", ["{}", "[1]", "[{}]", "3", '{"annotations": [], "images": []}'])
def test_what_is_no_coco_file_is_refused(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with refused("a.json", "not COCO keypoint results or annotations"):
        list(vit.read(tmp_path / "a.json"))


def test_openpose_of_others_has_no_times(tmp_path):
    people = [{"person_id": [-1], "pose_keypoints_2d": [10, 20, 0.5] * 25}]
    for i in range(2):
        name = tmp_path / f"v_{i:012}_keypoints.json"
        name.write_text(json.dumps({"version": 1.3, "people": people}))
    with refused("v_000000000000", "--fps"):
        list(vit.read(tmp_path))
    assert [frame.seconds for frame, _ in vit.read(tmp_path, fps=4)] == [0, 0.25]
    with refused("one OpenPose frame", str(tmp_path)):
        vit.read(tmp_path / "v_000000000000_keypoints.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column 'source'"),
        (
            "source,index,time,person,keypoint,x,y,score\na,one,0,1,nose,1,2,1\n",
            "not a table of poses",
        ),
        (
            "source,index,time,person,keypoint,x,y,score\n"
            "a,0,0,1,nose,1,2,1\na,0,0,1,tail,1,2,1\na,0,0,1,nose,1,2,1\n",
            "row 4 repeats nose of person 1 in frame 0",
        ),
    ],
)
def test_what_is_no_table_of_poses_is_refused(text, said, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with refused("a.csv", said):
        list(vit.read(tmp_path / "a.csv"))


def test_tables_keep_all_that_they_have_columns_for(tmp_path, people, frame):
    """Two sources, people without numbers, metres in the world, and what is believed of them."""
    everyone = people(3, COCO17, everything=True, person=np.array([-1, -1, 4]))
    pairs = [(frame(source="a.jpg"), everyone), (frame(source="b.jpg"), people(1, COCO17))]
    for name in ("a.csv", "a.parquet"):
        need("pyarrow")
        recorded(tmp_path / name, pairs)
        (first, poses), (second, flat) = vit.read(tmp_path / name)
        assert (first.source, second.source) == ("a.jpg", "b.jpg")
        assert poses.person.tolist() == [-1, -1, 4]
        assert (poses.origin, flat.origin) == ("hips", None)
        for part in ("xy", "xyz", "world", "error", "score"):
            np.testing.assert_allclose(getattr(poses, part), getattr(everyone, part), atol=1e-4)
        assert poses.plausible is not None
        assert poses.plausible.tolist() == [True, False, True]
        assert flat.xyz is None
        assert flat.plausible is None


# Files


def test_what_it_is_may_be_said(tmp_path):
    convert(recorded(tmp_path / "a.jsonl", story("two")), tmp_path / "a.txt")
    (tmp_path / "gt.mot").write_bytes((tmp_path / "a.txt").read_bytes())
    with refused("gt.mot", "OpenSim", "--from mot"):
        vit.read(tmp_path / "gt.mot")
    assert len(list(vit.read(tmp_path / "gt.mot", "mot", fps=10))) == 5
    with refused("no format named 'mott'", "mot"):
        vit.read(tmp_path / "gt.mot", "mott")
    (tmp_path / "walk").write_text("")
    with refused("no extension", "--from"):
        vit.read(tmp_path / "walk")
    with refused("a.docx", ".trc"):
        convert(tmp_path / "a.jsonl", tmp_path / "a.docx")
    with refused("nothing.trc", "No such file"):
        vit.read(tmp_path / "nothing.trc")


def test_what_exists_is_kept_unless_it_may_be_replaced(tmp_path):
    first = recorded(tmp_path / "a.jsonl", story("alone"))
    (tmp_path / "b.csv").write_text("mine")
    with refused("b.csv", "--overwrite"):
        convert(first, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == "mine"
    with refused("is the input"):
        convert(first, first, overwrite=True)
    convert(first, tmp_path / "o")
    with refused("'" + str(tmp_path / "o") + "' exists"):
        convert(first, tmp_path / "o")
    (tmp_path / "o" / "mine.txt").write_text("mine")
    one = recorded(tmp_path / "one.jsonl", story("one frame"))
    convert(one, tmp_path / "o", overwrite=True)  # no frame of before is left among the new
    assert [path.name for path in sorted((tmp_path / "o").iterdir())] == [
        "mine.txt",
        "walk_000000000000_keypoints.json",
    ]
    with refused("is a file"):
        (tmp_path / "p").write_text("")
        convert(first, tmp_path / "p", overwrite=True)
    with refused("is a folder"):
        (tmp_path / "q.csv").mkdir()
        convert(first, tmp_path / "q.csv", overwrite=True)


@pytest.mark.parametrize("name", ["b.csv", "b.jsonl", "b.trc", "o", "new/b.txt"])
def test_nothing_is_left_of_what_could_not_be_read_to_its_end(name, tmp_path):
    first = recorded(tmp_path / "a.jsonl", story("alone"))
    lines = first.read_text().splitlines()
    first.write_text("\n".join([*lines[:3], "{}", *lines[4:]]))
    with refused("a.jsonl", "line 4"):
        convert(first, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_file_of_one_person_is_of_one_recording(tmp_path):
    (frame, poses), (second, _), *_ = story("alone")
    other = Frame(None, 1, 0.1, "other.mp4")
    with refused("one recording", "other.mp4"), vit.open_sink(tmp_path / "a.trc") as sink:
        sink.write(frame, poses)
        sink.write(other, poses)
    with refused("increasing timestamps"), vit.open_sink(tmp_path / "b.trc") as sink:
        sink.write(second, poses)
        sink.write(frame, poses)


# The command line


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_says_what_it_did_and_what_is_lost(tmp_path):
    first = recorded(tmp_path / "a.jsonl", story("two"))
    said = run("convert", first, tmp_path / "a.trc")
    assert f"frames 5, people 1, 2 -> {tmp_path / 'a_1.trc'}, {tmp_path / 'a_2.trc'}" in said
    assert "lost: pixels" in said
    said = run("convert", first, tmp_path / "o", "--person", 1, "--skeleton", "body_25")
    assert "people 1 ->" in said
    assert "missing: left_big_toe" in said
    (tmp_path / "toy.toml").write_text('name = "two"\nkeypoints = [["nose", ""], ["neck", "nose"]]')
    run("convert", first, tmp_path / "b.csv", "--skeleton", tmp_path / "toy.toml")
    assert next(iter(vit.read(tmp_path / "b.csv")))[1].skeleton.keypoints == ("nose", "neck")


def test_a_fault_is_one_line_and_exit_code_1(tmp_path):
    done = command("convert", "nothing.trc", "a.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "vitruvian: cannot read 'nothing.trc': No such file or directory"
    ]


@pytest.mark.weights
@pytest.mark.parametrize("save", ["", "trc, bvh,openpose"])
def test_predict_writes_files_of_other_programs(
    save, tmp_path, blazepose: Callable[..., object], monkeypatch
):
    blazepose("full")
    if save:
        run("predict", "sample", "--out", tmp_path / "out", "--save", save)
        names = {path.name for path in (tmp_path / "out").iterdir()}
        assert {"grace_hopper.trc", "grace_hopper.bvh", "grace_hopper_openpose"} <= names
        with refused("no format to save named 'mp5'"):
            run("predict", "sample", "--out", tmp_path / "out", "--save", "mp5", "--overwrite")
    else:
        said = run("predict", "sample", "--out", tmp_path / "a.trc")
        assert "1 person" in said
        assert str(tmp_path / "a.trc") in said
        ((_, poses),) = vit.read(tmp_path / "a.trc")
        assert poses.skeleton is BLAZEPOSE33
        with refused("yolov8n-pose", "2D keypoints only"):
            run("predict", "sample", "--model", "yolov8n-pose", "--out", tmp_path / "b.trc")
        with refused("for other sources give a folder"):
            run("predict", "sample", "sample", "--out", tmp_path / "b.trc")


def test_openpose_files_are_a_sink_of_their_own(tmp_path):
    with openpose.OpenPose(tmp_path / "o") as sink:
        for pair in story("two"):
            sink.write(*pair)
    assert len(list(vit.read(tmp_path / "o"))) == 5


@pytest.mark.parametrize(
    ("how", "words"),
    [({"fps": 30}, "its own timestamps"), ({"up": "z"}, "y down"), ({"skeleton": COCO17}, "names")],
)
def test_what_a_record_says_itself_cannot_be_said_otherwise(how, words, tmp_path):
    with refused("a.jsonl", words):
        vit.read(tmp_path / "a.jsonl", **how)


# What is to be looked at


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.csv", "--fps", "0"), "--fps is 0, want more than 0"),
        (("a.csv", "--fps", "25"), "has its own timestamps; leave --fps out"),
        (("a.csv", "--up", "q"), "--up is 'q', want y or z"),
        (("a.csv", "--from-up", "q"), "--from-up is 'q', want y or z"),
        (("a.csv", "--from-up", "z"), "leave --from-up out"),
        (("a.csv", "--person", "-1"), "--person is -1, want a track id"),
        (("a_heatmaps",), "heatmaps"),
    ],
)
def test_a_wrong_value_is_said_before_the_file_is_read(words, said, tmp_path):
    (tmp_path / "a.jsonl").write_text("no record")
    done = command("convert", "a.jsonl", *words, cwd=tmp_path)
    one_line(done, said)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("name", "said"), [("b", "so it is written as a folder of OpenPose"), ("b_openpose", "")]
)
def test_a_name_without_an_extension_is_openpose_and_said(name, said, tmp_path):
    recorded(tmp_path / "a.jsonl", story("alone"))
    done = command("convert", "a.jsonl", name, cwd=tmp_path)
    assert f"-> {name} (5 files)" in done.stdout
    assert ("has no extension" in done.stdout) == bool(said)
    assert said in done.stdout


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_film_of_a_table_has_the_frames_without_people_as_well(form, tmp_path, people, video):
    """Before, between and after those that have rows."""
    need_for(form)
    clip = video("clip.mp4", np.arange(8) / 30, size=(64, 48))
    pairs = [
        (Frame(None, i, i / 30, str(clip), size=(64, 48)), people(1, COCO17)) for i in (1, 2, 5)
    ]
    done = convert(recorded(tmp_path / f"a.{form}", pairs), tmp_path / "b.mp4")
    assert any("5 frames of 'clip.mp4' have no rows" in line for line in done.notes)
    with av.open(str(tmp_path / "b.mp4")) as film:
        times = [float(frame.time or 0) for frame in film.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(8) / 30, atol=1e-3)


def of_video(path: Path, clip: Path | str, people, everything=True) -> Path:
    """A record of six frames of a video, of 64 x 48."""
    with vit.open_sink(path) as sink:
        for i in range(6):
            one = people(1, BLAZEPOSE33, person=np.array([3]), everything=everything)
            sink.write(Frame(None, i, i / 30, str(clip), size=(64, 48)), one)
    return path


@pytest.mark.parametrize("name", ["b.html", "b_3d.mp4", "b_3d.gif", "b.trc", "b.csv", "b_openpose"])
def test_a_record_becomes_whatever_needs_no_pictures(name, tmp_path, people):
    done = convert(of_video(tmp_path / "a.jsonl", "gone.mp4", people), tmp_path / name)
    assert done.frames == 6
    assert all(path.stat().st_size > 100 for path in done.paths)


def test_a_record_is_drawn_on_its_video_where_that_is_beside_it(tmp_path, people, video):
    clip = video("other.mp4", np.arange(6) / 30, size=(64, 48))
    record = of_video(tmp_path / "a.jsonl", "elsewhere/clip.mp4", people)
    with refused("elsewhere/clip.mp4", "does not exist", "put it next to 'a.jsonl'"):
        convert(record, tmp_path / "b.mp4")
    clip.rename(tmp_path / "clip.mp4")
    assert convert(record, tmp_path / "b.mp4").frames == 6
    table = convert(record, tmp_path / "a.csv").paths[0]  # has no sizes of frames
    assert convert(table, tmp_path / "c.mp4").frames == 6
    with refused("is a video", "'b.mp4'"):
        convert(record, tmp_path / "b.jpg")


def test_markers_are_shown_in_3d_without_a_camera(tmp_path, people):
    markers = convert(of_video(tmp_path / "a.jsonl", "a.mp4", people), tmp_path / "a.trc").paths[0]
    assert convert(markers, tmp_path / "b.html").frames == 6
    with refused("b.mp4", ".mp4 needs pixels, which .trc lacks"):
        convert(markers, tmp_path / "b.mp4")


@pytest.mark.parametrize(("name", "names"), [
    ("b.jpg", ["b_x.jpg", "b_y.jpg"]),
    ("b_3d.png", ["b_x_3d.png", "b_y_3d.png"]),
    ("b.html", ["b_x.html", "b_y.html"]),
    ("b.csv", ["b.csv"]),
])  # fmt: skip
def test_each_of_several_pictures_has_a_file_of_its_own(name, names, tmp_path, people, picture):
    out = tmp_path / "out"
    out.mkdir()
    with vit.open_sink(tmp_path / "a.jsonl") as sink:
        for i, stem in enumerate("xy"):
            path = picture(f"{stem}.png", np.zeros((48, 64, 3), np.uint8))
            one = people(1, BLAZEPOSE33, everything=True)
            sink.write(Frame(None, i, 0, str(path), size=(64, 48)), one)
    done = convert(tmp_path / "a.jsonl", out / name)
    assert [path.name for path in done.paths] == names == sorted(p.name for p in out.iterdir())
    if len(names) > 1:
        with refused(names[0], "exists", "--overwrite"):
            convert(tmp_path / "a.jsonl", out / name)
        assert convert(tmp_path / "a.jsonl", out / name, overwrite=True).paths == done.paths
    with refused("is an image", "_3d.png"):
        convert(tmp_path / "a.jsonl", out / "c_3d.mp4")
