"""Skeletons: what follows from the names of their keypoints."""

import pytest

from vitruvian.body.mapping import Mapping
from vitruvian.body.names import known_names
from vitruvian.body.skeletons import COCO17, HALPE136, SKELETONS, find_skeleton
from vitruvian.errors import VitruvianError


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("coco17", {"body": 17}),
        ("halpe26", {"body": 20, "feet": 6}),
        ("halpe68", {"body": 20, "feet": 6, "left_hand": 21, "right_hand": 21}),
        ("halpe136", {"body": 20, "feet": 6, "face": 68, "left_hand": 21, "right_hand": 21}),
        ("wholebody133", {"body": 17, "feet": 6, "face": 68, "left_hand": 21, "right_hand": 21}),
        ("body_135", {"body": 19, "feet": 6, "face": 70, "left_hand": 20, "right_hand": 20}),
        ("hand21", {"hand": 21}),
        ("blazepose33", {"body": 29, "feet": 4}),
        ("smpl_24", {"body": 22, "feet": 2}),
    ],
)
def test_the_parts_of_a_body_follow_from_the_names(name, sizes):
    table = SKELETONS[name]
    assert {part: len(numbers) for part, numbers in table.parts.items()} == sizes
    assert sorted(k for numbers in table.parts.values() for k in numbers) == [*range(len(table))]


def test_a_hand_is_the_subjects_own():
    hand = [HALPE136.keypoints[k] for k in HALPE136.parts["left_hand"]]
    assert hand[:2] == ["left_hand", "left_thumb_1"]
    assert all(keypoint.startswith("left_") for keypoint in hand)


@pytest.mark.parametrize("suffix", [".xml", ".osim"])
def test_markers_of_an_opensim_model_are_found_among_keypoints(tmp_path, suffix):
    """As in Pose2Sim 0.10.49 (findings/pose2sim_coco17_right_hip.sh), RHJC as in Rajagopal's."""
    names = ("Nose", "Neck", "LHip", "RHJC", "Hip", "LBigToe", "RKNE")
    markers = "".join(
        f'<Marker name="{name}"><location>0 0 0</location></Marker>' for name in names
    )
    path = tmp_path / f"Markers_few{suffix}"
    path.write_text(f"<OpenSimDocument><MarkerSet>{markers}</MarkerSet></OpenSimDocument>")
    few = find_skeleton(str(path))
    assert (few.name, few.keypoints, few.bones) == ("Markers_few", names, ())
    way = Mapping.of(COCO17, few)
    own = [[COCO17.keypoints[k] for k in each] for each in way.parts]
    assert own == [
        ["nose"], ["left_shoulder", "right_shoulder"], ["left_hip"], ["right_hip"],
        ["left_hip", "right_hip"], [], [],
    ]  # fmt: skip
    assert (way.derived, way.missing) == (["Neck", "Hip"], ["LBigToe", "RKNE"])
    assert Mapping.of(SKELETONS["blazepose33"], few).missing == ["RKNE"]
    path.write_text("<OpenSimDocument><MarkerSet/></OpenSimDocument>")
    with pytest.raises(VitruvianError, match="want <Marker name="):
        find_skeleton(str(path))


@pytest.mark.parametrize("table", SKELETONS.values(), ids=lambda table: table.name)
def test_our_own_names_mean_themselves(table):
    assert known_names(table.keypoints) == list(table.keypoints)
