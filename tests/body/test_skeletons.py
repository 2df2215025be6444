"""Skeletons: what follows from the names of their keypoints."""

import pytest

from vitruvian.body.skeletons import HALPE136, SKELETONS


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
