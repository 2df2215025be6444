"""Poses of one person."""

import numpy as np
import pytest

from vitruvian.body.poses import Poses
from vitruvian.body.similar import each_once, same_head
from vitruvian.body.skeletons import COCO17, SKELETONS
from vitruvian.geometry.regions import Regions

FIELDS = ("xy", "score", "box", "box_score", "person")
FACE = np.array([[0, 0], [4, -4], [-4, -4], [10, 0], [-10, 0]], float)  # 20 wide, 4 high


def people(*at: tuple[float, float], scale: float = 1.0) -> Poses:
    """People whose noses are there; their bodies are far from each other."""
    xy = np.empty((len(at), 17, 2), np.float32)
    for i, place in enumerate(at):
        xy[i, :5] = np.array(place) + FACE * (scale if i else 1)
        down = np.array([0, 400 * (-1) ** i])
        xy[i, 5:] = np.array(place) + down + np.mgrid[:12, :1].reshape(2, -1).T
    box = np.tile(np.array([0, 0, 50, 50], np.float32), (len(at), 1))
    box += 1000 * np.arange(len(at), dtype=np.float32)[:, None]
    score = np.linspace(1, 0.5, len(at)).astype(np.float32)
    return Poses(
        COCO17,
        xy=xy,
        score=np.ones((len(at), 17), np.float32),
        box=box,
        box_score=score,
        person=np.full(len(at), -1),
        look=Regions.boxes(box, score),
    )


def test_a_head_is_one_person_s():
    # Its size is the diagonal from ear to ear and from eyes to nose: 20.4.
    same = same_head(people((100, 100), (110, 100), (140, 100)), 0.6)
    np.testing.assert_array_equal(
        same, [[True, True, False], [True, True, False], [False, False, True]]
    )
    small = same_head(people((100, 100), (110, 100), scale=0.1), 0.6)
    assert small.all()  # a head in a head


def test_of_poses_with_one_head_the_first_is_kept():
    three = people((100, 100), (108, 100), (300, 100))
    kept = each_once(three, 0.9, head=0.5)
    np.testing.assert_allclose(kept.xy[:, 0, 0], [100, 300])
    turned = each_once(three, 0.9, np.array([1, 0, 2]), head=0.5)
    np.testing.assert_allclose(turned.xy[:, 0, 0], [108, 300])
    assert len(each_once(three, 0.9)) == 3  # not looked at


@pytest.mark.parametrize("unknown", [True, False])
def test_without_a_face_nothing_is_said(unknown: bool):
    two = people((100, 100), (100, 100))
    if unknown:
        two.xy[1, 0] = np.nan
        assert not same_head(two, 0.5)[0, 1]
    else:
        h36m = SKELETONS["h36m_17"]
        bare = Poses(h36m, **{n: getattr(two, n) for n in FIELDS})
        assert not same_head(bare, 0.5).any()
    assert same_head(two.take(slice(0)), 0.5).shape == (0, 0)
