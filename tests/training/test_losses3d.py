"""Losses of networks with 3D: each by hand, and what must not count does not, nor its gradient."""

from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.training import losses3d as losses  # noqa: E402
from vitruvian.training import reconstruction as recover  # noqa: E402

SIDE = 256
# A pixel is a metre wide at 300 m: at 3 m, 0.01 m. The axis meets the middle of pixel 128.
MATRIX = torch.tensor([[[300.0, 0, 128.5], [0, 300, 128.5], [0, 0, 1]]])


def value(loss: Any) -> float:
    return float(loss.detach())


def pose(*joints: tuple[float, float, float]) -> Any:
    """(1, K, 3) metres; gradients wanted."""
    return torch.tensor([joints], requires_grad=True)


def valid(*which: bool | int) -> Any:
    return torch.tensor([which], dtype=torch.bool)


TRUTH = ((0.0, 0.0, 3.0), (0.3, 0.6, 3.0), (-0.3, -0.6, 3.0))


def test_a_shifted_body_has_no_relative_loss():
    found = torch.tensor([TRUTH]) + torch.tensor([0.5, -0.2, 1])
    assert value(
        losses.root_relative_loss(found, torch.tensor([TRUTH]), valid(1, 1, 1))
    ) == pytest.approx(0, abs=1e-6)


def test_the_relative_loss_is_the_mean_difference_from_the_mean_of_valid_joints():
    # Of two valid joints one is 0.2 off in x: 0.1 each from their mean, a third of it a coordinate.
    found = pose((0.2, 0, 3), (0.3, 0.6, 3), (9, 9, 9))
    loss = losses.root_relative_loss(found, torch.tensor([TRUTH]), valid(1, 1, 0))
    assert value(loss) == pytest.approx(0.1 / 3)
    loss.backward()
    assert not found.grad[0, 2].any()
    np.testing.assert_allclose(found.grad[0, :2].sum(0), 0, atol=1e-7)  # a shift changes nothing


def test_from_a_root_the_relative_loss_is_that_of_the_others_alone():
    found = pose((0.2, 0, 3), (0.3, 0.6, 3), (-0.3, -0.6, 3))
    truth = torch.tensor([TRUTH])
    assert value(losses.root_relative_loss(found, truth, valid(1, 1, 1), 0)) == pytest.approx(
        0.4 / 9
    )
    assert (
        value(losses.root_relative_loss(found, truth, valid(0, 1, 1), 0)) == 0
    )  # nobody knows the root


def test_the_absolute_loss_is_a_third_of_each_axis():
    found = pose((0.1, 0.2, 3.3), (9, 9, 9), (-0.3, -0.6, 3))
    loss = losses.absolute_loss(found, torch.tensor([TRUTH]), valid(1, 0, 1))
    assert value(loss) == pytest.approx((0.1 + 0.2 + 0.3) / 3 / 2)


def test_depth_counts_less_in_proportion_from_ten_metres_on():
    for distance, share in ((5.0, 1), (10.0, 1), (20.0, 0.5), (40.0, 0.25)):
        found, truth = pose((0, 0, distance + 1)), torch.tensor([[[0, 0, distance]]])
        assert value(losses.absolute_loss(found, truth, valid(1))) == pytest.approx(share / 3)


def test_joints_beside_the_camera_do_not_count():
    truth = torch.tensor([[[0.1, 0, 0.3], [0.1, 0, -1], [0, 0, 2]]])
    found = pose((1, 1, 1), (1, 1, 1), (0, 0, 2.3))
    assert value(losses.absolute_loss(found, truth, valid(1, 1, 1))) == pytest.approx(0.1)
    assert value(losses.projection_loss(found, truth, valid(1, 1, 0), MATRIX, SIDE)) == 0


def test_the_absolute_loss_begins_after_five_thousand_steps():
    assert losses.absolute_loss_weight(0) == losses.absolute_loss_weight(5000) == 0
    assert losses.absolute_loss_weight(5001) == 0.1


def test_a_pixel_is_2_2_m_by_the_side_of_the_crop():
    # 0.02 m at 3 m are two pixels in x; half of that is the mean over x and y.
    found = pose((0.02, 0, 3), (0.3, 0.6, 3), (-0.3, -0.6, 3))
    loss = losses.projection_loss(found, torch.tensor([TRUTH]), valid(1, 1, 1), MATRIX, SIDE)
    assert value(loss) == pytest.approx(2 / 2 / 3 * 2.2 / 256, rel=1e-5)


def test_depth_along_the_ray_is_not_seen():
    found = (torch.tensor([TRUTH]) * 1.5).requires_grad_()
    loss = losses.projection_loss(found, torch.tensor([TRUTH]), valid(1, 1, 1), MATRIX, SIDE)
    assert value(loss) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("x", "counts"),
    [
        (128.5 - 104.4, False),  # the network's 2D ends at 24.5
        (128.5 - 103.9, True),
        (232.4, True),
        (232.6, False),
    ],
)
def test_only_what_is_predicted_in_view_is_projected(x, counts):
    found = pose(((x - 128.5) / 100, 0, 3.0))
    truth = torch.tensor([[[0, 0, 3.0]]])
    assert bool(losses.projection_loss(found, truth, valid(1), MATRIX, SIDE) > 0) == counts
    flat = losses.projection_loss_2d(
        found, torch.tensor([[[128.5, 128.5]]]), valid(1), MATRIX, SIDE
    )
    assert bool(flat > 0) == counts


def test_true_joints_up_to_20_strides_beside_the_crop_count():
    found = pose((0, 0, 3.0))
    for x, counts in ((-639, True), (-640.6, False), (896, True), (897, False)):
        truth = torch.tensor([[[x, 100.0]]])
        assert bool(losses.projection_loss_2d(found, truth, valid(1), MATRIX, SIDE) > 0) == counts


def test_behind_the_camera_nothing_is_seen_and_nothing_breaks():
    found = pose((0.0, 0, -2), (0.0, 0, 0))
    truth = torch.tensor([[[0.1, 0, 3.0], [0.1, 0, 3]]])
    loss = losses.projection_loss(found, truth, valid(1, 1), MATRIX, SIDE)
    loss = loss + losses.projection_loss_2d(
        found, torch.full((1, 2, 2), 100.0), valid(1, 1), MATRIX, SIDE
    )
    loss.backward()
    assert value(loss) == 0
    assert torch.isfinite(found.grad).all()


def test_pictures_with_2d_only_compare_each_label_with_the_mean_of_its_keypoints():
    groups = losses.joint_groups(["lwri", "nose"], ["lwri_h36m", "nose", "lwri_coco"])
    np.testing.assert_array_equal(groups, [[0.5, 0, 0.5], [0, 1, 0]])
    # Wrists at 118.5 and 158.5: their mean is at 138.5, 10 px from the label in x.
    found = pose((-0.1, 0, 3), (0, 0.2, 3), (0.3, 0, 3))
    truth = torch.tensor([[[128.5, 128.5], [np.nan, np.nan]]])
    loss = losses.projection_loss_2d(found, truth, valid(1, 0), MATRIX, SIDE, groups)
    assert value(loss) == pytest.approx(10 / 2 * 2.2 / 256, rel=1e-5)
    loss.backward()
    assert torch.isfinite(found.grad).all()
    assert not found.grad[0, 1].any()
    with pytest.raises(ValueError, match="tail"):
        losses.joint_groups(["tail"], ["nose"])


def test_a_step_s_loss_is_the_weighted_sum():
    parts = [torch.tensor(value) for value in (1.0, 10.0, 100.0, 1000.0)]
    assert value(losses.metrabs_loss(*parts, step=5000)) == pytest.approx(1 + 100 + 200)
    assert value(losses.metrabs_loss(*parts, step=5001)) == pytest.approx(1 + 1 + 100 + 200)


def test_the_squared_loss_is_the_weighted_mean_of_squared_distances():
    found = pose((0.3, 0.4, 0), (1, 0, 0), (5, 5, 5))
    truth = torch.tensor([[[0.0, 0, 0], [0, 0, 0], [np.nan, 0, 0]]])
    loss = losses.squared_distance_loss(found, truth, torch.tensor([[1.0, 0.5, 0]]))
    assert value(loss) == pytest.approx((0.25 + 0.5) / 1.5)
    loss.backward()
    assert torch.isfinite(found.grad).all()
    assert not found.grad[0, 2].any()


def test_unknown_truths_are_nan_and_never_reach_the_gradient():
    found = pose((0.1, 0, 3), (0.2, 0.6, 3.1), (0.0, -0.6, 3))
    truth = torch.tensor([TRUTH])
    truth[0, 2] = float("nan")
    known = valid(1, 1, 0)
    loss = losses.root_relative_loss(found, truth, known) + losses.absolute_loss(
        found, truth, known
    )
    loss = loss + losses.projection_loss(found, truth, known, MATRIX, SIDE)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(found.grad).all()
    assert not found.grad[0, 2].any()


def test_nobody_costs_nothing():
    nobody, none = torch.zeros(0, 3, 3), torch.zeros(0, 3, dtype=torch.bool)
    matrix = MATRIX[:0]
    for loss in (
        losses.root_relative_loss(nobody, nobody, none),
        losses.root_relative_loss(nobody, nobody, none, 1),
        losses.absolute_loss(nobody, nobody, none),
        losses.projection_loss(nobody, nobody, none, matrix, SIDE),
        losses.projection_loss_2d(nobody, nobody[..., :2], none, matrix, SIDE),
        losses.squared_distance_loss(nobody, nobody, none.float()),
    ):
        assert value(loss) == 0


def test_a_few_steps_of_all_losses_bring_a_body_to_its_place():
    """What the losses are for: 2D and 3D heads, recovered, nearer the truth in place and shape."""
    rng = np.random.default_rng(5)
    truth = torch.tensor(rng.normal(0, (0.2, 0.5, 0.2), (2, 12, 3)) + np.array([0, 0, 8])).float()
    matrix = MATRIX.repeat(2, 1, 1)
    known = torch.ones(2, 12, dtype=torch.bool)
    xy = (
        recover.project_points(truth, matrix) + 6 * torch.tensor(rng.normal(size=(2, 12, 2)))
    ).float()
    xyz = (truth - truth[:, :1] + 0.1 * torch.tensor(rng.normal(size=(2, 12, 3)))).float()
    xy.requires_grad_()
    xyz.requires_grad_()
    optimiser = torch.optim.Adam([{"params": [xy], "lr": 0.1}, {"params": [xyz], "lr": 2e-3}])
    off = []
    for _ in range(150):
        rays = recover.camera_rays(xy, matrix)
        found = recover.reconstruct_absolute(rays, xyz, known, mix=torch.rand(2))
        parts = (
            losses.root_relative_loss(found, truth, known),
            losses.absolute_loss(found, truth, known),
            losses.projection_loss(found, truth, known, matrix, SIDE),
        )
        optimiser.zero_grad()
        losses.metrabs_loss(*parts, 0.0, step=6000).backward()
        optimiser.step()
        off.append(value((found - truth).norm(dim=-1).mean()))
    assert np.mean(off[-10:]) < 0.3 * off[0]
