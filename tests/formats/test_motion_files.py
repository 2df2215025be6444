"""Files of markers as other programs write them: their headers, units, axes, gaps and names."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import vitruvian as vit
from bodies import named, turned
from conftest import need, refused
from recordings import DOT, track
from samples import ARMS, SPACES, VARIANTS, trc_text
from vitruvian.analysis.angles import angle_names as angle_names
from vitruvian.analysis.angles import angles_deg
from vitruvian.body.mapping import Mapping
from vitruvian.body.names import known_as, places
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BODY25, BODY25B, BODY135, COCO17, COCO18, HALPE26, SMPL24
from vitruvian.cli.app import app
from vitruvian.formats import c3d
from vitruvian.formats.bvh import read_bvh, write_bvh
from vitruvian.formats.c3d import read_c3d, write_c3d
from vitruvian.formats.markers import numbered, with_hips
from vitruvian.formats.table import Reading
from vitruvian.formats.trc import read_trc, write_trc
from vitruvian.verbs.convert import convert


@pytest.mark.parametrize("variant", VARIANTS)
def test_trc_files_of_other_programs_say_the_same(variant, tmp_path):
    (tmp_path / "a.trc").write_bytes(VARIANTS[variant].encode())
    track = read_trc(tmp_path / "a.trc")
    assert track.skeleton.keypoints == ("RASI", "LASI")
    assert track.index.tolist() == [0, 1, 2]
    np.testing.assert_allclose(track.seconds, [0, 0.01, 0.02])
    assert track.xyz is not None
    np.testing.assert_allclose(track.xyz[:, 0] * (1, -1, -1), [[1, 2, 3], [1.5, 2, 3], [1, 2, 3]])
    np.testing.assert_allclose(track.xyz[0, 1] * (1, -1, -1), [4, 5, 6])
    assert np.isnan(track.xyz[1, 1]).all()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_path_in_a_trc_header_may_be_in_another_code_page(encoding, tmp_path):
    text = trc_text().replace("a.trc", "C:\\Müller\\a.trc")
    (tmp_path / "a.trc").write_bytes(text.encode(encoding))
    assert read_trc(tmp_path / "a.trc").skeleton.keypoints == ("RASI", "LASI")


@pytest.mark.parametrize(("units", "metres"), [("mm", 0.001), ("cm", 0.01), ("m", 1.0)])
def test_units_of_a_trc(units, metres, tmp_path):
    (tmp_path / "a.trc").write_text(trc_text(units=units))
    xyz = read_trc(tmp_path / "a.trc").xyz
    assert xyz is not None
    np.testing.assert_allclose(xyz[0, 0] * (1, -1, -1), np.array([1, 2, 3]) * metres, rtol=1e-6)
    with refused("a.trc", "Units", "inch"):
        (tmp_path / "a.trc").write_text(trc_text(units="inch"))
        read_trc(tmp_path / "a.trc")


def rows(frames, times, at=(1.0, 2.0, 3.0)):
    return [[frame, time, *at] for frame, time in zip(frames, times, strict=True)]


@pytest.mark.parametrize(
    ("frames", "times", "index", "seconds", "said"),
    [
        ((100, 101, 102), (0.99, 1.0, 1.01), [99, 100, 101], [0.99, 1, 1.01], ""),
        ((0, 1, 2), (0, 0.01, 0.02), [0, 1, 2], [0, 0.01, 0.02], ""),  # as Pose2Sim counts
        ((1, 2, 3), (1, 2, 3), [0, 1, 2], [0.01, 0.02, 0.03], "holds frame numbers"),
        ((1, 2, 3), (0, 10, 20), [0, 1, 2], [0, 0.01, 0.02], "milliseconds"),
        ((1, 2, 3), (0, 0.0, 0.0), [0, 1, 2], [0, 0.01, 0.02], "do not increase"),
        (
            (1, 2, 3),
            (0, 0.02, 0.04),
            [0, 1, 2],
            [0, 0.02, 0.04],
            "50 frames per second, its header 100",
        ),
        ((7, 7, 7), (0, 0.01, 0.02), [0, 1, 2], [0, 0.01, 0.02], "renumbered from 1"),
    ],
)
def test_frames_and_times_of_a_trc(frames, times, index, seconds, said, tmp_path):
    (tmp_path / "a.trc").write_text(trc_text(rows(frames, times), names=("a",)))
    notes: list[str] = []
    track = read_trc(tmp_path / "a.trc", note=notes.append)
    assert track.index.tolist() == index
    np.testing.assert_allclose(track.seconds, seconds, atol=1e-9)
    assert not said or any(said in note for note in notes), notes


def test_what_a_trc_claims_and_does_not_hold_is_said(tmp_path):
    text = trc_text().replace("\t3\t2\tm", "\t1000000000\t30\tm")
    (tmp_path / "a.trc").write_text(text)
    notes: list[str] = []
    assert len(read_trc(tmp_path / "a.trc", note=notes.append)) == 3
    assert "its header says 30 markers, it has 2" in notes
    assert "its header says 1000000000 frames, it has 3" in notes


def test_zeros_of_a_marker_that_is_elsewhere_are_a_gap(tmp_path):
    """And the origin is a place for a marker that stays there, as a pelvis does."""
    text = trc_text([[1, 0, 1, 1, 1, 0, 0, 0], [2, 0.01, 0, 0, 0, 0, 0, 0]])
    (tmp_path / "a.trc").write_text(text)
    notes: list[str] = []
    track = read_trc(tmp_path / "a.trc", note=notes.append)
    assert track.score.tolist() == [[1, 1], [0, 1]]
    assert any("0 0 0 of RASI" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (trc_text([[1, 0, "inf", 2, 3, 4, 5, 6]]), "line 7 has inf"),
        (trc_text([[1, 0, 1, 2, 3, 4, 5, 6, 7]]), "line 7 has 9 values, want 8"),
        (trc_text([[1, 0, 1, 2, 3, 4, 5, 6], [2, 0.1, 1, 2, 3, 4]]), "line 8 is truncated"),
        (trc_text([[1, 0, "x", 2, 3, 4, 5, 6]]), "line 7"),
        (trc_text([[1, 0, 1e300, 2, 3, 4, 5, 6]]), "1e+300 m away"),
        (trc_text(names=()), "no marker names"),
        (SPACES.replace("nan nan nan", ""), "space-separated values cannot be empty"),
        ("\n".join(trc_text().splitlines()[3:]), "Units"),
    ],
)
def test_what_cannot_be_a_trc_is_refused_with_its_line(text, said, tmp_path):
    (tmp_path / "a.trc").write_text(text)
    with refused("a.trc", said):
        read_trc(tmp_path / "a.trc")


# Names that are there twice


def test_names_that_are_there_twice_are_numbered(tmp_path):
    assert numbered(["a", "a", "a_2", "a", "b"]) == ["a", "a_3", "a_2", "a_4", "b"]
    (tmp_path / "a.trc").write_text(trc_text(names=("thigh", "thigh")))
    notes: list[str] = []
    track = read_trc(tmp_path / "a.trc", note=notes.append)
    assert track.skeleton.keypoints == ("thigh", "thigh_2")
    assert track.xyz is not None
    np.testing.assert_allclose(track.xyz[0, :, 0], [1, 4])
    assert any("thigh_2" in note for note in notes)


def test_a_name_of_a_bvh_is_the_rest_of_its_line(tmp_path):
    for text in (ARMS, ARMS.replace("\n", "\r\n")):
        (tmp_path / "a.bvh").write_bytes(text.encode())
        track = read_bvh(tmp_path / "a.bvh")
        assert track.skeleton.keypoints == ("Hips", "Left Arm", "Left Leg")
        assert track.xyz is not None
        np.testing.assert_allclose(track.xyz[0, :, 0], [0, 0.4, -0.4], atol=1e-6)
    (tmp_path / "a.bvh").write_text(ARMS.replace("Left Leg", "Left Arm"))
    assert read_bvh(tmp_path / "a.bvh").skeleton.keypoints == ("Hips", "Left Arm", "Left Arm_2")


def test_names_with_spaces_are_written_for_readers_that_end_them_there(tmp_path):
    table = Skeleton("two", "", ("a b", "a\tc"), ((0, 1),), np.full(2, np.nan, np.float32))
    write_bvh(track(table), tmp_path / "a.bvh")
    assert read_bvh(tmp_path / "a.bvh").skeleton.keypoints == ("a_b", "a_c")
    write_trc(track(table), tmp_path / "a.trc")
    assert read_trc(tmp_path / "a.trc").skeleton.keypoints == ("a b", "a_c")


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("Frames: 1", "Frames: -1", "number of frames is -1"),
        ("Frames: 1", "Frames: x", "number of frames is x"),
        ("Frame Time: 0.04", "Frame Time: nan", "last nan s"),
        ("0 0 0 0", "0 0 0 inf", "out of range for angles"),
        ("0 0 0 0", "0 0 0", "not a multiple"),
        ("OFFSET 0.4 0.4 0", "OFFSET 0.4 0.4", "three numbers"),
        ("OFFSET 0.4 0.4 0", "OFFSET nan 0.4 0", "three numbers"),
        ("CHANNELS 3 z", "CHANNELS 4 z", "a count"),
        ("zrotation", "Qrotation", "Qrotation"),
        ("MOTION", "", "MOTION"),
        ("HIERARCHY", "", "HIERARCHY"),
    ],
)
def test_what_cannot_be_a_bvh_is_refused(was, now, said, tmp_path):
    (tmp_path / "a.bvh").write_text(ARMS.replace(was, now, 1))
    with refused("a.bvh", "not a BVH", said):
        read_bvh(tmp_path / "a.bvh")


def test_a_bvh_whose_count_of_frames_is_wrong_has_those_that_are_there(tmp_path):
    (tmp_path / "a.bvh").write_text(ARMS.replace("Frames: 1", f"Frames: {10**9}"))
    notes: list[str] = []
    assert len(read_bvh(tmp_path / "a.bvh", note=notes.append)) == 1
    assert "its header says 1000000000 frames, it has 1" in notes


def test_a_skeleton_whose_bones_run_in_a_circle_is_no_bvh(tmp_path):
    table = Skeleton("ring", "", ("a", "b", "c"), ((1, 2), (2, 1)), np.full(3, np.nan, np.float32))
    with refused("BVH needs a tree of bones", "cycle"):
        write_bvh(track(table), tmp_path / "a.bvh")


def test_somebody_who_is_away_for_years_is_no_file_at_even_times(tmp_path):
    need("ezc3d")
    long = track(DOT, frames=4)
    long.seconds[-1] = 1e9
    for write, name in ((write_c3d, "a.c3d"), (write_bvh, "a.bvh")):
        with refused("too many", ".trc"):
            write(long, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# C3D


def c3d_file(path: Path, labels, points=None, first=0, unit="mm", rate=100.0, **parameters) -> None:
    """A C3D file that ezc3d writes; `GROUP__NAME=[...]` are parameters."""
    need("ezc3d")
    import ezc3d  # pyright: ignore[reportMissingImports]

    file = ezc3d.c3d()
    point = file["parameters"]["POINT"]
    point["RATE"]["value"], point["LABELS"]["value"] = [rate], list(labels)
    point["UNITS"]["value"] = [unit] if unit else []
    if points is None:
        points = np.arange(4 * len(labels) * 3).reshape(4, len(labels), 3) + 1000.0
    file["data"]["points"] = points
    file["header"]["points"]["first_frame"] = first
    file["header"]["points"]["last_frame"] = first + points.shape[2] - 1
    for name, value in parameters.items():
        group, _, own = name.partition("__")
        file.add_parameter(group, own, value)
    file.write(str(path))


@pytest.mark.parametrize("count", [255, 256, 300, 543])
def test_a_c3d_has_all_its_markers(count, tmp_path):
    """Lists of more than 255 are cut: LABELS, LABELS2 ..."""
    c3d_file(tmp_path / "a.c3d", [f"m{k}" for k in range(count)])
    back = read_c3d(tmp_path / "a.c3d")
    assert back.skeleton.keypoints == tuple(f"m{k}" for k in range(count))
    write_c3d(track(Skeleton.table("many", "", *((f"m{k}", "", np.nan) for k in range(count)))),
              tmp_path / "b.c3d")  # fmt: skip
    assert len(read_c3d(tmp_path / "b.c3d").skeleton) == count


def test_angles_and_forces_of_a_c3d_are_no_places(tmp_path):
    notes: list[str] = []
    c3d_file(tmp_path / "a.c3d", ["RASI", "LKneeAngles", "Twist", "LASI", "LHipMoment"],
             POINT__ANGLES=["LKneeAngles", "Twist"])  # fmt: skip
    back = read_c3d(tmp_path / "a.c3d", note=notes.append)
    assert back.skeleton.keypoints == ("RASI", "LASI")
    assert any("3 points that are not positions" in note for note in notes)
    assert back.xyz is not None
    np.testing.assert_allclose(back.xyz[0, 1, 0], 1.009, rtol=1e-6)


@pytest.mark.parametrize(("said", "up"), [("+Y", "y"), ("Y", "y"), ("+Z", "z"), ("Z", "z")])
def test_a_c3d_says_which_axis_points_up(said, up, tmp_path):
    notes: list[str] = []
    c3d_file(tmp_path / "a.c3d", ["a"], POINT__X_SCREEN=["+X"], POINT__Y_SCREEN=[said])
    got = read_c3d(tmp_path / "a.c3d", note=notes.append).xyz
    want = read_c3d(tmp_path / "a.c3d", up=up).xyz
    assert got is not None
    assert want is not None
    np.testing.assert_array_equal(got, want)
    assert notes == ["1 of 1 marker names are unknown: a"]


def test_a_c3d_that_says_no_axis_is_taken_to_have_y_up_and_that_is_said(tmp_path):
    notes: list[str] = []
    c3d_file(tmp_path / "a.c3d", ["a"])
    read_c3d(tmp_path / "a.c3d", note=notes.append)
    assert any("up axis assumed to be y" in note and "--from-up z" in note for note in notes)
    c3d_file(tmp_path / "b.c3d", ["a"], POINT__Y_SCREEN=["-X"])
    with refused("b.c3d", "Y_SCREEN", "-X", "--from-up"):
        read_c3d(tmp_path / "b.c3d")


@pytest.mark.parametrize(("unit", "metres"), [("mm", 1.0), ("m", 1000.0), ("cm", 10.0), ("", 1.0)])
def test_units_of_a_c3d(unit, metres, tmp_path):
    c3d_file(tmp_path / "a.c3d", ["a"], unit=unit)
    xyz = read_c3d(tmp_path / "a.c3d").xyz
    assert xyz is not None
    np.testing.assert_allclose(xyz[0, 0, 0], metres, rtol=1e-6)
    c3d_file(tmp_path / "a.c3d", ["a"], unit="inch")
    with refused("a.c3d", "inch"):
        read_c3d(tmp_path / "a.c3d")


def test_a_c3d_begins_at_its_first_frame(tmp_path):
    c3d_file(tmp_path / "a.c3d", ["a"], first=99, unit="mm", rate=50.0)
    back = read_c3d(tmp_path / "a.c3d")
    assert back.index.tolist() == [99, 100, 101]
    np.testing.assert_allclose(back.seconds, [1.98, 2.0, 2.02])
    c3d_file(tmp_path / "b.c3d", ["a"], TRIAL__ACTUAL_START_FIELD=[4, 1],
             TRIAL__ACTUAL_END_FIELD=[6, 1])  # fmt: skip
    assert read_c3d(tmp_path / "b.c3d").index[0] == 65539
    c3d_file(tmp_path / "c.c3d", ["a"], TRIAL__ACTUAL_START_FIELD=[1, 0],
             TRIAL__ACTUAL_END_FIELD=[0, 2])  # fmt: skip
    with refused("c.c3d", "65535 frames or more"):
        read_c3d(tmp_path / "c.c3d")


def test_headers_of_c3d_are_held_against_the_size_of_the_file(tmp_path):
    write = tmp_path / "a.c3d"
    c3d_file(write, ["a"])
    data = write.read_bytes()
    damaged = {
        "not a C3D": b"\x02\x51" + data[2:],
        "truncated": data[:-600],
        "name no processor": data[:515] + b"\x07" + data[516:],
        "has frames": data[:6] + b"\x09\x00\x01\x00" + data[10:],
        "claims markers": data[:2] + b"\xff\xff" + data[4:],
        "overlap its parameters": data[:16] + b"\x01\x00" + data[18:],
        "magic bytes": b"\x02\x50",
    }
    for name, each in damaged.items():
        write.write_bytes(each)
        with refused("a.c3d", "truncated" if name == "claims markers" else name):
            read_c3d(write)


def test_a_crash_of_ezc3d_is_not_ours(tmp_path, monkeypatch):
    """It runs in a process of its own, for so long and no longer."""
    c3d_file(tmp_path / "a.c3d", ["a"])
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -SEGV $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(c3d.sys, "executable", str(python))
    with refused("a.c3d", "ezc3d crashed"):
        read_c3d(tmp_path / "a.c3d")
    python.write_text("#!/bin/sh\necho first >&2\necho last >&2\nexit 3\n")
    with refused("a.c3d", "last"):
        read_c3d(tmp_path / "a.c3d")
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(c3d, "PATIENCE", 0.2)
    with refused("a.c3d", "not finish within"):
        read_c3d(tmp_path / "a.c3d")


@pytest.mark.parametrize("stored", [0, 600, 1200, 2000])
def test_a_c3d_that_was_not_stored_whole_is_no_success(stored, tmp_path, monkeypatch):
    """ezc3d 1.7.2 says nothing of a full disk; findings/ezc3d-full-disk.sh."""
    need("ezc3d")
    import ezc3d  # pyright: ignore[reportMissingImports]

    write = ezc3d.c3d.write

    def short(self, path):
        write(self, path)
        file = Path(f"{path}.c3d")
        file.write_bytes(file.read_bytes()[:stored])

    monkeypatch.setattr(ezc3d.c3d, "write", short)
    with refused("a.c3d", "cannot write", "disk"):
        write_c3d(track(), tmp_path / "a.c3d")
    assert list(tmp_path.iterdir()) == []


# Names


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *(("RHip", "right_hip"), ("LKnee", "left_knee"), ("CHip", "mid_hip"), ("Neck", "neck")),
        *(("LBigToe", "left_big_toe"), ("RSmallToe", "right_small_toe"), ("Nose", "nose")),
        *(("r.ASIS", "right_asis"), ("R.Knee.Lat", "right_knee_lateral"), ("V.Sacral", "sacrum")),
        *(("Subject:RASI", "right_asis"), ("LKNE", "left_knee_lateral"), ("RTOE", "right_toe")),
        *(("r_knee_study", "right_knee_lateral"), ("L_mankle_study", "left_ankle_medial")),
        *(("RHJC_study", "right_hip"), ("hip_l", "left_hip"), ("KneeRight", "right_knee")),
        *(("left knee", "left_knee"), ("LEFT-ANKLE", "left_ankle"), ("Rt.Heel", "right_heel")),
        *(("R_FLE", "right_knee_lateral"), ("R_TAM", "right_ankle_medial"), ("MidHip", "mid_hip")),
        *(("UpperNeck", "neck"), ("HeadTop", "head_top"), ("LFootIndex", "left_foot_index")),
        *(("right_hip", "right_hip"), ("REar", "right_ear"), ("RShoulder", "right_shoulder")),
        *(("rear", ""), ("leg", ""), ("tail", ""), ("T10", ""), ("", ""), (":", ""), ("L", "")),
    ],
)
def test_names_of_other_programs_are_known(name, ours):
    assert known_as(name) == ours


def test_every_keypoint_of_ours_of_a_body_is_known_by_its_own_name_and_side():
    for table in (COCO17, HALPE26, SMPL24, BODY25, COCO18, BODY25B, BODY135):
        assert all(table.places[name] == (k,) for k, name in enumerate(table.keypoints))
        for k, side in enumerate(table.sides):
            assert not side or table.sides[table.mirror[k]] == {"left": "right"}.get(side, "left")


def test_a_joint_with_markers_on_both_sides_is_between_them():
    own = places(["R.Knee.Lat", "R.Knee.Med", "LKNE", "LWRA", "LWRB"])
    assert own["right_knee"] == (0, 1)
    assert own["left_knee"] == (2,)
    assert own["left_wrist"] == (3, 4)
    assert "right_wrist" not in own


def test_bones_of_animation_are_called_by_where_they_begin():
    """LeftShoulder is a collar bone there, and LeftArm begins at the shoulder."""
    names = ["Hips", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftShoulder", "LeftArm", "LeftForeArm"]
    own = places(["mixamorig:" + name for name in names])
    want = ("mid_hip", "left_hip", "left_knee", "left_ankle", "left_collar", "left_shoulder")
    assert [own[name] for name in (*want, "left_elbow")] == [(k,) for k in range(7)]
    assert places(["LeftShoulder"])["left_shoulder"] == (0,)


POSE2SIM = [f"{side}{part}" for side in "RL" for part in ("Hip", "Knee", "Ankle", "BigToe", "Heel",
            "Shoulder", "Elbow", "Wrist")] + ["Neck", "Head", "Nose"]  # fmt: skip


def marked(names: list[str], at: dict[str, np.ndarray], ours: dict[str, str]) -> Poses:
    """Somebody with markers of these names, at the places of ours."""
    table = Skeleton.table("file", "", *((name, "", np.nan) for name in names))
    xyz = np.array([at[ours[name]] for name in names], np.float32)[None]
    nowhere, one = np.full((1, len(names), 2), np.nan, np.float32), np.ones(1, np.float32)
    score = np.ones((1, len(names)), np.float32)
    box, person = np.full((1, 4), np.nan, np.float32), np.array([1])
    return Poses(table, nowhere, score, box, one, person, xyz=xyz, origin="camera")


def test_angles_of_pose2sim_s_markers_are_those_of_the_same_body():
    angles = {"left_knee": 50.0, "right_knee": 20.0, "elbow": 30.0, "trunk": 10.0, "hip": 15.0}
    at = named(**angles)
    words = {"bigtoe": "toe"}
    ours = {}
    for name in POSE2SIM:
        part = words.get(name[1:].lower(), name[1:].lower())
        ours[name] = f"{'right' if name[0] == 'R' else 'left'}_{part}"
    ours |= {"Neck": "mid_shoulder", "Head": "mid_ear", "Nose": "nose"}
    got = dict(zip(angle_names("3d"), angles_deg(marked(POSE2SIM, at, ours), "3d")[0], strict=True))
    assert got["left_knee_flexion"] == pytest.approx(50, abs=0.01)
    assert got["right_knee_flexion"] == pytest.approx(20, abs=0.01)
    assert got["left_elbow_flexion"] == pytest.approx(30, abs=0.01)
    assert got["left_ankle_dorsiflexion"] == pytest.approx(0, abs=0.01)
    assert got["trunk_lean"] == pytest.approx(10, abs=0.01)
    assert np.isfinite([*got.values()]).sum() >= 30


def test_hips_are_worked_out_from_the_markers_of_a_pelvis():
    """A pelvis 0.25 m wide and 0.15 m deep, and the equations of Harrington et al. 2007 by hand."""
    w, d = 0.25, 0.15
    flat = {
        "LASI": (w / 2, 0, -d),
        "RASI": (-w / 2, 0, -d),
        "LPSI": (0.05, 0, 0),
        "RPSI": (-0.05, 0, 0),
    }
    at = np.array([*flat.values()])  # x to the left, y down, z backward, as who faces the camera
    want = np.array([-d + 0.24 * d + 0.0099, 0.30 * w + 0.0109, 0.33 * w + 0.0073])
    for angle in (0, 70):
        notes: list[str] = []
        names, xyz = with_hips([*flat], turned(at, "left", angle)[None] + (1, 2, 3), notes.append)
        assert names == [*flat, "left_hip", "right_hip"]
        back = turned(xyz[0] - (1, 2, 3), "left", -angle)
        np.testing.assert_allclose(back[4], (want[2], want[1], want[0]), atol=1e-9)
        np.testing.assert_allclose(back[5], (-want[2], want[1], want[0]), atol=1e-9)
        assert any("Harrington" in note for note in notes)
    for fewer in (["LASI", "RASI"], [*flat, "LHJC"]):
        some = np.zeros((1, len(fewer), 3))
        assert with_hips(fewer, some, notes.append)[0] == fewer


def test_markers_of_plug_in_gait_give_angles_and_body_25_with_what_is_missing_said(tmp_path):
    """A file in millimetres with z up, as Vicon writes it; names stay, hips are added."""
    at = named(left_knee=40.0, right_knee=10.0)
    pelvis = {"LASI": (0.12, -0.08, -0.1), "RASI": (-0.12, -0.08, -0.1)}
    pelvis |= {"LPSI": (0.05, -0.08, 0.05), "RPSI": (-0.05, -0.08, 0.05)}
    parts = {"KNE": "knee", "ANK": "ankle", "HEE": "heel", "TOE": "toe", "SHO": "shoulder"}
    markers = {f"Anna:{name}": np.array(place) for name, place in pelvis.items()}
    for letter, side in (("L", "left"), ("R", "right")):
        markers |= {f"Anna:{letter}{m}": at[f"{side}_{part}"] for m, part in parts.items()}
    markers["Anna:T10"] = at["mid_shoulder"]
    up = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    xyz = np.array([*markers.values()]) @ up.T * 1000
    points = np.ones((4, len(markers), 3))
    points[:3] = xyz.T[..., None]
    c3d_file(tmp_path / "a.c3d", markers, points, POINT__Y_SCREEN=["+Z"])
    done = convert(tmp_path / "a.c3d", tmp_path / "a.jsonl")
    assert any("Harrington" in note for note in done.notes)
    assert any("Anna:T10" in note for note in done.notes)
    (_, poses), *_ = vit.read(tmp_path / "a.jsonl")
    assert poses.skeleton.keypoints == (*markers, "left_hip", "right_hip")
    got = dict(zip(angle_names("3d"), angles_deg(poses, "3d")[0], strict=True))
    assert got["left_knee_flexion"] - got["right_knee_flexion"] == pytest.approx(30, abs=8)
    done = convert(tmp_path / "a.jsonl", tmp_path / "b.jsonl", skeleton=BODY25)
    assert "right_elbow" in done.missing
    assert "left_knee" not in done.missing
    assert {"neck", "mid_hip"} <= {*done.derived}


def test_a_skeleton_with_nothing_that_is_known_is_refused():
    with refused("no keypoint", "tail"):
        Mapping.of(Skeleton.table("toy", "", ("tail", "", 0.1)), COCO17)


def test_who_lies_because_another_axis_is_up_is_noticed(tmp_path):
    write_trc(track(HALPE26), tmp_path / "a.trc", up="z")
    for up, said in (("y", True), ("z", False)):
        notes: list[str] = []
        read_trc(tmp_path / "a.trc", up, notes.append)
        assert any("check the up axis" in note for note in notes) is said


# OpenPose


def someone(k: int, at: float = 100.0) -> dict:
    return {"person_id": [-1], "pose_keypoints_2d": [at, 200.0, 0.9] * k}


def folder(path: Path, files: dict[str, list]) -> Path:
    path.mkdir()
    for name, people in files.items():
        (path / name).write_text(json.dumps({"version": 1.3, "people": people}))
    return path


@pytest.mark.parametrize(
    ("names", "index"),
    [
        ([f"v_{i:012}_keypoints.json" for i in (120, 121, 125)], [120, 121, 125]),
        ([f"v_{i}_keypoints.json" for i in (10, 1, 2)], [1, 2, 10]),
        ([f"cam1_{i:06}.json" for i in (0, 1)], [0, 1]),  # Pose2Sim's names
        ([f"{i}.json" for i in (10, 9)], [9, 10]),
        (["v_0007_keypoints.json", "config.json"], [7]),
    ],
)
def test_frames_of_a_folder_have_the_numbers_of_their_files(names, index, tmp_path):
    numbers = [
        int("".join(filter(str.isdecimal, name.removeprefix("cam1_"))) or 0) for name in names
    ]
    files = {name: [someone(25, 100.0 + n)] for name, n in zip(names, numbers, strict=True)}
    pairs = list(vit.read(folder(tmp_path / "o", files), fps=30))
    assert [frame.index for frame, _ in pairs] == index
    np.testing.assert_allclose([frame.seconds for frame, _ in pairs], np.array(index) / 30)
    assert [poses.xy[0, 0, 0] for _, poses in pairs] == [100 + i for i in index]


def test_two_cameras_in_a_folder_are_not_one_film(tmp_path):
    files = {f"cam{c}_{i:012}_keypoints.json": [someone(25)] for c in (1, 2) for i in (0, 1)}
    with refused("several recordings", "cam1, cam2", "own folder"):
        list(vit.read(folder(tmp_path / "o", files), fps=30))
    files = {"v_1_keypoints.json": [], "v_01_keypoints.json": []}
    with refused("two files for frame 1"):
        list(vit.read(folder(tmp_path / "p", files), fps=30))
    files = {"beach_keypoints.json": [someone(25)], "IMG_7_keypoints.json": []}
    pairs = list(vit.read(folder(tmp_path / "q", files), fps=30))
    assert [(frame.source, frame.index) for frame, _ in pairs] == [("IMG", 0), ("beach", 0)]


def test_our_own_folder_of_several_sources_is_read_as_such(tmp_path, people, frame):
    """Also of two files of one name in different folders."""
    from vitruvian.formats.openpose import OpenPose

    sources = ("a/v.mp4", "b/v.mp4", "w.mp4")
    with OpenPose(tmp_path / "o") as sink:
        for source in sources:
            for i in range(2):
                sink.write(frame(i, i / 10, source=source), people(1, COCO17))
    pairs = list(vit.read(tmp_path / "o"))
    assert sorted((frame.source, frame.index) for frame, _ in pairs) == [
        (source, i) for source in sources for i in range(2)
    ]


@pytest.mark.parametrize(
    ("k", "table"),
    [(17, COCO17), (18, COCO18), (25, BODY25), (26, HALPE26), (135, BODY135)],
)
def test_keypoints_of_a_folder_are_told_by_their_number_and_that_is_said(k, table, tmp_path):
    reading = vit.read(folder(tmp_path / "o", {"v_0_keypoints.json": [someone(k)]}), fps=30)
    ((_, poses),) = reading
    assert poses.skeleton is table
    assert isinstance(reading, Reading)
    assert any(str(k) in note and "--from-skeleton" in note for note in reading.notes)


def test_an_unknown_number_of_keypoints_is_asked_for(tmp_path):
    path = folder(tmp_path / "o", {"v_0_keypoints.json": [someone(23)]})
    with refused("23", "--from-skeleton"):
        list(vit.read(path, fps=30))
    table = Skeleton.table("mine", "", *((f"k{i}", "", np.nan) for i in range(23)))
    ((_, poses),) = vit.read(path, fps=30, skeleton=table)
    assert poses.skeleton is table


def posed(table: Skeleton) -> list[float]:
    """Somebody seen from the front, as a file of that skeleton has it."""
    at = named()
    places = {"mid_hip": "mid_hip", "neck": "mid_shoulder", "head_top": "mid_ear"}
    values = []
    for name in table.keypoints:
        part = name.replace("big_toe", "toe").replace("small_toe", "toe")
        x, y, _ = at[places.get(name, part)]
        values += [300 + 200 * x, 300 + 200 * y, 0.9]
    return values


def test_body_25b_is_not_read_as_body_25(tmp_path):
    """Both have 25; eyes and ears are near the nose. Without them BODY_25 is taken, and said."""
    for table in (BODY25, BODY25B):
        person = {"person_id": [-1], "pose_keypoints_2d": posed(table)}
        reading = vit.read(folder(tmp_path / table.name, {"v_0_keypoints.json": [person]}), fps=30)
        ((_, poses),) = reading
        assert poses.skeleton is table
        assert isinstance(reading, Reading)
        assert any(f"read as {table.name}," in note for note in reading.notes)
    reading = vit.read(tmp_path / "body_25b", fps=30, skeleton=BODY25B)
    ((_, poses),) = reading
    assert poses.skeleton is BODY25B
    assert isinstance(reading, Reading)
    assert not any("25 keypoints" in note for note in reading.notes)


def test_who_has_a_face_and_no_body_is_left_out_and_that_is_said(tmp_path):
    face = {"person_id": [-1], "pose_keypoints_2d": [], "face_keypoints_2d": [1, 2, 0.5]}
    files = {"v_0_keypoints.json": [face], "v_1_keypoints.json": [face, someone(25)]}
    reading = vit.read(folder(tmp_path / "o", files), fps=30)
    assert [len(poses) for _, poses in reading] == [0, 1]
    assert isinstance(reading, Reading)
    assert "2 with a face or hands but no body are ignored" in reading.notes


def test_files_are_read_some_at_once(tmp_path, monkeypatch):
    counts = [2, 0, 1, 3, 1]
    files = {f"v_{i}_keypoints.json": [someone(25)] * n for i, n in enumerate(counts)}
    whole = list(vit.read(folder(tmp_path / "o", files), fps=30))
    monkeypatch.setattr("vitruvian.formats.openpose.AT_ONCE", 2)
    some = list(vit.read(tmp_path / "o", fps=30))
    assert [(frame.index, len(poses)) for frame, poses in some] == list(enumerate(counts))
    for (_, one), (_, other) in zip(whole, some, strict=True):
        for name in ("xy", "score", "box", "box_score"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ([{"pose_keypoints_2d": ["x"] * 75}], "x, y, score"),
        ([{"pose_keypoints_2d": [None] * 75}], "x, y, score"),
        ([{"pose_keypoints_2d": {}}], "x, y, score"),
        ([{"pose_keypoints_2d": [1e300] * 75}], "1e+300"),
        ([{"pose_keypoints_2d": [10**400] * 75}], "1000"),
        ([{"pose_keypoints_2d": [0.1, 0.2, 0.9] * 25}], "between 0 and 1"),
        ([someone(25), someone(26)], "26 keypoints"),
        ([{**someone(25), "person_id": ["x"]}], "person_id"),
        ([{**someone(25), "person_id": [1e300]}], "person_id"),
        ([1], "people"),
        (3, "people"),
    ],
)
def test_what_is_no_file_of_openpose_is_refused(people, said, tmp_path):
    with refused("v_0_keypoints.json", said):
        list(vit.read(folder(tmp_path / "o", {"v_0_keypoints.json": people}), fps=30))


@pytest.mark.parametrize(
    "ours",
    [
        *({"time": "x"}, {"time": 0, "size": ["x", 3]}, {"time": 0, "size": 3}),
        *({"time": 0, "source": 1}, {"time": 0, "index": 0.5}, {"time": 0, "index": -1}, 3),
        *({"time": 0, "derived": 3}, {"time": 0, "index": 1 << 63}, {"index": 10**400}),
    ],
)
def test_what_is_said_of_a_frame_must_be_of_a_frame(ours, tmp_path):
    (tmp_path / "v_0_keypoints.json").write_text(
        json.dumps({"people": [someone(25)], "vitruvian": ours})
    )
    with refused("v_0_keypoints.json", "vitruvian"):
        list(vit.read(tmp_path))


def test_the_command_says_what_it_assumed_and_left_out(tmp_path):
    path = folder(tmp_path / "o", {"v_0_keypoints.json": [someone(26)]})
    run = CliRunner()
    words = ["convert", str(path), str(tmp_path / "a.json"), "--skeleton", "coco17", "--fps", "30"]
    said = run.invoke(app, words, catch_exceptions=False).output
    assert "note: 26 keypoints are read as halpe26" in said
    assert "left out: head_top, neck, mid_hip" in said
    words = ["convert", str(path), str(tmp_path / "b.csv"), "--from-skeleton", "halpe26"]
    said = run.invoke(app, [*words, "--fps", "30"], catch_exceptions=False).output
    assert "note" not in said
    with refused("leave skeleton out"):
        vit.read(tmp_path / "b.csv", skeleton=HALPE26)
