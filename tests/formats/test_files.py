"""Files of other programs: what is written comes back, and real ones can be read."""

import json
from dataclasses import replace

import numpy as np
import pytest

import vitruvian as vit
from bodies import LEFT, UP, body, rotation_about, seen_as, turned
from conftest import TOY, need, refused
from recordings import one_track, recorded
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import (
    BLAZEPOSE33,
    COCO17,
    COCO19,
    H36M17,
    HALPE26,
    HOLISTIC,
    SKELETONS,
    SMPL24,
    WHOLEBODY133,
)
from vitruvian.body.track import Track, tracks
from vitruvian.formats import bvh, c3d, libraries, mot, openpose, trc


def moving(skeleton=BLAZEPOSE33, steps: int = 20) -> Track:
    """Somebody who walks, five metres from the camera, at 30 frames a second."""
    poses = []
    for i in range(steps):
        angles = {"left_hip": 20 * np.sin(i / 5), "right_knee": 30.0 + i, "elbow": 20.0}
        xyz = turned(body(skeleton, **angles), "up", 40) + np.array([0.03 * i, 0, 5])
        poses.append(seen_as(skeleton, xyz))
    return one_track(poses)


def same_metres(got: Track, want: Track, atol: float) -> None:
    assert got.skeleton.keypoints == want.skeleton.keypoints
    assert got.xyz is not None
    assert want.xyz is not None
    np.testing.assert_allclose(got.xyz, want.xyz, atol=atol)
    np.testing.assert_allclose(got.seconds, want.seconds, atol=1e-4)


# TRC and C3D


def test_trc_comes_back_with_its_gaps(tmp_path):
    """It has six decimals."""
    track = moving()
    assert track.xyz is not None
    track.xyz[5, 3] = np.nan
    trc.write_trc(track, tmp_path / "walk.trc")
    back = trc.read_trc(tmp_path / "walk.trc")
    same_metres(back, track, 1e-6)
    assert back.skeleton is BLAZEPOSE33
    assert back.index.tolist() == track.index.tolist()
    assert back.score[5, 3] == 0
    assert back.present.all()


def test_trc_has_up_above_as_opensim_wants_it(tmp_path):
    trc.write_trc(moving(), tmp_path / "walk.trc")
    lines = (tmp_path / "walk.trc").read_text().splitlines()
    names, values = lines[3].split("\t")[2::3], [float(v) for v in lines[6].split("\t")[2:]]
    assert lines[5] == ""  # as OpenSim writes it
    height = dict(zip([name for name in names if name], values[1::3], strict=True))
    assert height["nose"] > height["left_hip"] > height["left_ankle"]
    assert lines[2].split("\t")[:5] == ["30", "30", "20", "33", "m"]


@pytest.mark.shared
def test_a_trc_of_pose2sim_is_read(shared):
    """Somebody balances on a beam: 100 frames at 60 a second, 21 markers, a metre and a half up."""
    (path,) = (shared / "data" / "pose2sim").glob("*/trc/*_0-100.trc")
    track = trc.read_trc(path)
    assert (len(track), len(track.skeleton)) == (100, 21)
    assert track.seconds[1] - track.seconds[0] == pytest.approx(1 / 60)
    knee, head = track["RKnee"].xyz, track["Head"].xyz
    assert knee is not None
    assert head is not None
    assert ((knee - head)[:, 1] > 0.5).all()  # y is down here


@pytest.mark.parametrize("text", ["", "a\nb\nc\n", "PathFileType\n\n\n\n\n1\t2\n"])
def test_what_is_no_trc_is_refused(tmp_path, text):
    (tmp_path / "a.trc").write_text(text)
    with refused("a.trc", "not a TRC"):
        trc.read_trc(tmp_path / "a.trc")


def test_metres_are_needed(tmp_path, people, frame):
    (track,) = tracks([(frame(), people(1, SMPL24))])
    for write in (trc.write_trc, bvh.write_bvh):
        with refused("3D coordinates", "person 1"):
            write(track, tmp_path / "a")
    with refused("nothing.trc", "No such file"):
        trc.read_trc(tmp_path / "nothing.trc")


def test_c3d_comes_back_with_its_gaps(tmp_path):
    """float32 of five metres."""
    need("ezc3d")
    track = moving()
    assert track.xyz is not None
    track.xyz[5, 3] = np.nan
    c3d.write_c3d(track, tmp_path / "walk.c3d")
    back = c3d.read_c3d(tmp_path / "walk.c3d")
    same_metres(back, track, 1e-5)
    assert back.skeleton is BLAZEPOSE33
    with refused("nothing.c3d"):
        c3d.read_c3d(tmp_path / "nothing.c3d")


# BVH


@pytest.mark.parametrize("skeleton", [SMPL24, H36M17, COCO19], ids=lambda s: s.name)
def test_bvh_comes_back_if_bones_keep_their_lengths(tmp_path, skeleton):
    """Joints with several children are rigid there: turned, not bent. Six decimals of degrees."""
    rng, up = np.random.default_rng(4), bvh.parents(skeleton)
    offsets = rng.normal(0, 0.2, (len(skeleton), 3))
    poses = []
    for _ in range(12):
        xyz, turns = np.zeros((len(skeleton), 3)), {}
        for k in bvh._depth_first(up, up.index(-1)):
            axis = rng.normal(size=3)
            own = rotation_about(axis / np.linalg.norm(axis), rng.uniform(0, 60))
            turns[k] = own if up[k] < 0 else turns[up[k]] @ own
            xyz[k] = (0.3, 0.2, 4) if up[k] < 0 else xyz[up[k]] + turns[up[k]] @ offsets[k]
        poses.append(seen_as(skeleton, xyz))
    track = one_track(poses)
    bvh.write_bvh(track, tmp_path / "a.bvh")
    back = bvh.read_bvh(tmp_path / "a.bvh")
    same_metres(back, track, 1e-4)
    assert back.skeleton is skeleton


def test_bvh_keeps_bone_lengths_of_a_real_body_and_comes_near(tmp_path):
    track = moving(SMPL24)
    bvh.write_bvh(track, tmp_path / "a.bvh")
    same_metres(bvh.read_bvh(tmp_path / "a.bvh"), track, 0.02)


def test_bvh_holds_the_last_pose_where_somebody_is_missing(tmp_path):
    track = moving(SMPL24)
    assert track.xyz is not None
    track.xyz[7:9, 4] = np.nan
    bvh.write_bvh(track, tmp_path / "a.bvh")
    back = bvh.read_bvh(tmp_path / "a.bvh").xyz
    assert back is not None
    np.testing.assert_allclose(back[8], back[6], atol=1e-5)
    assert np.abs(back[9] - back[8]).max() > 0.01


@pytest.mark.parametrize("name", ["coco17", "blazepose33", "halpe26", "body_25b"])
def test_bvh_of_a_body_whose_bones_are_no_tree_begins_between_its_hips(tmp_path, name):
    track = moving(SKELETONS[name])
    bvh.write_bvh(track, tmp_path / "a.bvh")
    back = bvh.read_bvh(tmp_path / "a.bvh")
    assert back.skeleton.keypoints[0] == "mid_hip"
    assert {"neck", "nose", "left_wrist", "right_ankle"} < set(back.skeleton.keypoints)
    assert back.xyz is not None
    assert track.xyz is not None
    places = track.skeleton.places
    hips = [k for side in ("left", "right") for k in places[f"{side}_hip"]]
    if name != "halpe26":  # has a middle of its own
        np.testing.assert_allclose(back.xyz[:, 0], track.xyz[:, hips].mean(1), atol=1e-4)
    for part in ("left_knee", "right_elbow"):
        (own,), (there,) = places[part], back.skeleton.places[part]
        assert np.median(np.linalg.norm(back.xyz[:, there] - track.xyz[:, own], axis=-1)) < 0.1


def test_bvh_of_what_is_no_tree_and_has_no_hips_is_refused(tmp_path):
    table = SKELETONS["coco17"]
    upper = table.only([k for k, name in enumerate(table.keypoints) if "hip" not in name], "upper")
    with refused("BVH needs a tree of bones, or a body with hips and shoulders", "upper"):
        bvh.write_bvh(moving(upper), tmp_path / "a.bvh")


def test_euler_angles_come_back(rng):
    """Also where two of the three axes are one."""
    turns = [rotation_about(axis / np.linalg.norm(axis), 170) for axis in rng.normal(size=(50, 3))]
    for turn in [
        *turns,
        rotation_about(LEFT, 90),
        rotation_about(-LEFT, 90),
        rotation_about(UP, 180),
    ]:
        z, x, y = bvh._euler_deg(turn)
        back = bvh._about(2, z) @ bvh._about(0, x) @ bvh._about(1, y)
        np.testing.assert_allclose(back, turn, atol=1e-6)


def test_what_is_no_bvh_is_refused(tmp_path):
    (tmp_path / "a.bvh").write_text("HIERARCHY\nROOT a {")
    with refused("a.bvh", "not a BVH"):
        bvh.read_bvh(tmp_path / "a.bvh")


# MOT


def test_mot_text_comes_back_and_counts_from_one(tmp_path, people, frame):
    path = tmp_path / "a.txt"
    before = [people(3, person=np.array([4, -1, 2])), people(0), people(1)]
    with mot.mot(path) as sink:
        for i, poses in enumerate(before):
            sink.write(frame(i, i / 30), poses)
    first = path.read_text().splitlines()[0].split(",")
    assert first[:2] == ["1", "4"]
    assert float(first[2]) == pytest.approx(before[0].box[0, 0] + 1, abs=0.01)
    found = list(mot.read_mot(path))
    assert [index for index, *_ in found] == [0, 2]
    _, numbers, boxes, scores = found[0]
    assert numbers.tolist() == [4, 2]
    np.testing.assert_allclose(boxes, before[0].box[[0, 2]], atol=0.02)
    np.testing.assert_allclose(scores, before[0].box_score[[0, 2]], atol=1e-4)


def test_what_is_no_mot_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("1,2,3\n")
    with refused("a.txt", "line 1 has 3 numbers"):
        list(mot.read_mot(tmp_path / "a.txt"))


# OpenPose


def written(folder, pairs) -> list:
    with openpose.OpenPose(folder) as sink:
        for pair in pairs:
            sink.write(*pair)
    return sorted(folder.iterdir())


@pytest.mark.parametrize(
    "skeleton", [COCO17, BLAZEPOSE33, HALPE26, WHOLEBODY133], ids=lambda s: s.name
)
def test_openpose_files_come_back(skeleton, tmp_path, people, frame):
    """Four decimals."""
    before = [people(2, skeleton), people(0, skeleton), people(1, skeleton)]
    before[0].xy[0, skeleton["left_knee"]] = np.nan
    files = written(tmp_path / "o", [(frame(i, i / 25), p) for i, p in enumerate(before)])
    assert files[2].name == "clip_000000000002_keypoints.json"
    back = list(openpose.read_openpose(tmp_path / "o"))
    assert [(at.index, at.seconds, at.size) for at, _ in back][2] == (2, 0.08, (64, 48))
    for (_, poses), was in zip(back, before, strict=True):
        assert poses.person.tolist() == was.person.tolist()
        for name in ("nose", "left_knee", "right_ankle", "left_ear"):
            np.testing.assert_allclose(poses[name].xy, was[name].xy, atol=1e-3)
    assert np.isnan(back[0][1]["left_knee"].xy[0]).all()


def test_points_that_openpose_has_and_we_do_not_are_derived_and_named(tmp_path, people, frame):
    poses = people(1, COCO17)
    (path,) = written(tmp_path / "o", [(frame(), poses)])
    read = json.loads(path.read_text())
    assert read["vitruvian"]["derived"] == ["neck", "mid_hip"]
    points = np.reshape(read["people"][0]["pose_keypoints_2d"], (25, 3))
    shoulders = [poses[f"{side}_shoulder"] for side in ("left", "right")]
    np.testing.assert_allclose(points[1, :2], (shoulders[0].xy + shoulders[1].xy)[0] / 2, atol=1e-3)
    assert points[1, 2] == pytest.approx(min(each.score[0] for each in shoulders), abs=1e-4)
    assert (points[19:] == 0).all()  # COCO has no feet
    halpe = json.loads(written(tmp_path / "h", [(frame(), people(1, HALPE26))])[0].read_text())
    assert halpe["vitruvian"]["derived"] == []


def test_an_empty_folder_is_refused(tmp_path):
    with refused("no files named"):
        list(openpose.read_openpose(tmp_path))
    (tmp_path / "a_keypoints.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2]}]}')
    with refused("a_keypoints.json", "not OpenPose JSON"):
        list(openpose.read_openpose(tmp_path))


# Other libraries


def test_a_data_frame_has_a_row_for_each_keypoint(people, frame):
    need("pandas")
    table = libraries.to_pandas([(frame(i, i / 10), people(2, COCO17)) for i in range(3)])
    assert len(table) == 3 * 2 * 17
    assert set(table["keypoint"]) == set(COCO17.keypoints)


@pytest.mark.parametrize("space", ["2d", "3d"])
def test_a_data_set_is_laid_out_as_movement_has_it(people, frame, space):
    need("xarray")
    present = [people(2, everything=True), people(1, everything=True), people(2, everything=True)]
    pairs = [(frame(i, i / 10), poses) for i, poses in enumerate(present)]
    data = libraries.to_xarray(pairs, space)
    assert data["position"].dims == ("time", "space", "keypoints", "individuals")
    assert data["confidence"].dims == ("time", "keypoints", "individuals")
    assert data.attrs["fps"] == pytest.approx(10)
    values = present[2].xy if space == "2d" else present[2].xyz
    assert values is not None
    one = data["position"].sel(individuals="id_2", keypoints="left_hand").isel(time=2)
    np.testing.assert_array_equal(one.values, values[1, 1])
    assert data["position"].sel(individuals="id_2").isel(time=1).isnull().all()
    with refused("no track ids"):
        libraries.to_xarray([])
    with refused("no 3D coordinates"):
        libraries.to_xarray([(frame(), people(1))], "3d")


def test_movement_has_other_names_of_dimensions_since_0_17(people, frame):
    need("xarray")
    pairs = [(frame(i, i / 10), people(2, everything=True)) for i in range(3)]
    for space in ("2d", "3d"):
        for movement in ("0.15", "0.17.0", "1.0"):
            data = libraries.to_xarray(pairs, space, movement=movement)
            last = ("keypoints", "individuals") if movement == "0.15" else libraries.LATER
            assert data["position"].dims[2:] == last
            back = list(libraries.from_xarray(data))
            for (frame_back, got), (frame_there, want) in zip(back, pairs, strict=True):
                assert frame_back.seconds == pytest.approx(frame_there.seconds)
                assert (got.skeleton.keypoints, got.origin) == (
                    TOY.keypoints,
                    "camera" if space == "3d" else None,
                )
                np.testing.assert_array_equal(got.person, want.person)
                np.testing.assert_array_equal(got.score, want.score)
                if space == "2d":
                    np.testing.assert_array_equal(got.xy, want.xy)
                else:
                    np.testing.assert_array_equal(got.xyz, want.xyz)
    with refused("want a data set of movement"):
        list(libraries.from_xarray(data.rename(time="frame")))


def test_key_points_of_supervision_have_numbers(people):
    need("supervision")
    poses = people(2, COCO17)
    poses.xy[0, 3] = np.nan
    found = libraries.to_supervision(poses)
    assert found.xy.shape == (2, 17, 2)
    assert found.xy[0, 3].tolist() == [0, 0]
    assert found.data["tracker_id"].tolist() == [1, 2]
    np.testing.assert_array_equal(found.xy[1], poses.xy[1])
    nobody = libraries.to_supervision(Poses.nobody(COCO17))
    assert len(nobody) == len(libraries.from_supervision(nobody)) == 0


def test_key_points_of_supervision_come_back_without_metres(people):
    need("supervision")
    poses = people(2, COCO17, everything=True)
    poses.xy[0, 3] = np.nan
    found = libraries.to_supervision(poses)
    back = libraries.from_supervision(found)
    assert back.xyz is None
    assert np.isnan(back.xy[0, 3]).all()
    assert back.score[0, 3] == 0
    np.testing.assert_array_equal(back.xy, poses.xy)
    np.testing.assert_array_equal(back.person, poses.person)
    np.testing.assert_array_equal(back.box_score, poses.box_score)
    found.keypoint_confidence = None
    del found.data["tracker_id"]
    assert libraries.from_supervision(found).person.tolist() == [-1, -1]
    assert libraries.from_supervision(found).score[0, :4].tolist() == [1, 1, 1, 0]
    with refused("KeyPoints have 17 keypoints, halpe26 has 26"):
        libraries.from_supervision(found, "halpe26")
    with refused("no skeleton named 'coco18'"):
        libraries.from_supervision(found, "coco18")


def test_polars_reads_and_writes_our_tables(tmp_path, people, frame):
    need("polars")
    import polars

    pairs = [(frame(i, i / 10), people(2, COCO17, everything=True)) for i in range(3)]
    for suffix in ("parquet", "csv"):
        file, again = tmp_path / f"a.{suffix}", tmp_path / f"again.{suffix}"
        with vit.open_sink(file) as sink:
            for pair in pairs:
                sink.write(*pair)
        table = getattr(polars, f"read_{suffix}")(file)
        assert table.height == 3 * 2 * 17
        getattr(table, f"write_{suffix}")(again)
        for (_, want), (_, got) in zip(vit.read(file), vit.read(again), strict=True):
            for part in ("xy", "score", "xyz", "error", "plausible", "person"):
                np.testing.assert_array_equal(getattr(got, part), getattr(want, part))


# Hands and faces


def handed(frames: int = 12, lost: range = range(0)) -> list[Poses]:
    """Somebody with two hands whose fingers bend, and a face without metres."""
    skeleton, poses = HOLISTIC[True, 468], []
    for i in range(frames):
        xyz = body(skeleton, elbow=30.0 + 2 * i)
        for side in ("left", "right"):
            own, root = list(skeleton.parts[f"{side}_hand"]), xyz[skeleton[f"{side}_wrist"]]
            hand = np.zeros((21, 3))
            for finger in range(5):
                along = rotation_about(LEFT, -5.0 * i) @ np.array([0.02 * (finger - 2), 0.08, 0])
                for joint in range(4):
                    hand[1 + 4 * finger + joint] = along * (0.4 + 0.3 * joint)
            xyz[own] = root + 0.005 + hand
            if side == "right" and i in lost:
                xyz[own] = np.nan
        xyz[list(skeleton.parts["face"])] = np.nan
        poses.append(seen_as(skeleton, xyz))
    return poses


FINGERTIPS = [f"{side}_{finger}_4" for side in ("left", "right") for finger in ("thumb", "pinky")]


@pytest.mark.parametrize("kind", ["trc", "c3d", "bvh"])
def test_fingers_come_back_from_files_in_metres_and_a_face_without_metres_is_left_out(
    kind, tmp_path
):
    if kind == "c3d":
        need("ezc3d")
    before = one_track(handed())
    path = recorded(tmp_path / f"a.{kind}", handed())
    (after,) = tracks(vit.read(path))
    assert after.xyz is not None
    assert before.xyz is not None
    assert not [name for name in after.skeleton.keypoints if name.startswith("face_")]
    for name in (*FINGERTIPS, "left_index_2", "right_hand", "left_wrist", "right_knee"):
        got, want = after[name].xyz, before[name].xyz
        assert got is not None
        assert want is not None
        np.testing.assert_allclose(got, want, atol=1e-3 if kind != "bvh" else 0.02, err_msg=name)


def test_a_hand_that_is_lost_moves_on_with_its_wrist_in_a_bvh(tmp_path):
    before = one_track(handed(lost=range(4, 8)))
    bvh.write_bvh(before, tmp_path / "a.bvh")
    back = bvh.read_bvh(tmp_path / "a.bvh")
    tip, wrist = (back[f"right_{name}"].xyz for name in ("pinky_4", "wrist"))
    assert tip is not None
    assert wrist is not None
    np.testing.assert_allclose((tip - wrist)[5], (tip - wrist)[3], atol=0.02)
    assert np.linalg.norm(wrist[7] - wrist[3]) > 0.01
    never = one_track(handed(lost=range(12)))
    bvh.write_bvh(never, tmp_path / "b.bvh")
    names = bvh.read_bvh(tmp_path / "b.bvh").skeleton.keypoints
    assert "left_pinky_4" in names
    assert "right_pinky_4" not in names
    assert "right_wrist" in names


def test_hands_and_faces_of_openpose_come_back(tmp_path, people, frame):
    before = people(2, HOLISTIC[True, 478])
    score = before.score.copy()
    score[1, list(before.skeleton.parts["right_hand"])] = 0
    xy = before.xy.copy()
    xy[1, list(before.skeleton.parts["right_hand"])] = np.nan
    before = replace(before, score=score, xy=xy)
    written(tmp_path / "o", [(frame(), before)])
    ((_, after),) = openpose.read_openpose(tmp_path / "o")
    assert after.skeleton.name == "body_25_hands_face"
    assert len(after.skeleton) == 137
    for name in FINGERTIPS:
        np.testing.assert_allclose(after[name].xy, before[name].xy, atol=1e-3)
    for name, mesh in (("right_pupil", "face_468"), ("chin", "face_152")):
        np.testing.assert_allclose(after[name].xy, before[mesh].xy, atol=1e-3)
    assert np.isnan(after.part("right_hand").xy[1]).all()
    again = written(tmp_path / "p", [(frame(), after)])[0].read_text()
    assert (
        json.loads(again)["people"]
        == json.loads((tmp_path / "o" / "clip_000000000000_keypoints.json").read_text())["people"]
    )


def test_hands_of_openpose_itself_are_read_and_what_does_not_fit_is_refused(tmp_path):
    hand = [v for k in range(21) for v in (100.0 + k, 200.0, 0.5)]
    person = {"person_id": [-1], "pose_keypoints_2d": [10.0, 20.0, 0.9] * 25}
    person |= {"hand_left_keypoints_2d": hand, "hand_right_keypoints_2d": [0.0] * 63}
    (tmp_path / "v_0_keypoints.json").write_text(json.dumps({"people": [person]}))
    ((_, poses),) = openpose.read_openpose(tmp_path, fps=30)
    assert poses.skeleton.name == "body_25_hands"
    assert poses["left_thumb_4"].xy.tolist() == [[104.0, 200.0]]
    assert (poses.part("right_hand").score == 0).all()
    (tmp_path / "v_0_keypoints.json").write_text(
        json.dumps({"people": [{**person, "hand_left_keypoints_2d": hand[:-3]}]})
    )
    with refused("hand_left_keypoints_2d has 20 keypoints, want 21"):
        list(openpose.read_openpose(tmp_path, fps=30))
