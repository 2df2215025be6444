"""What networks are trained with: losses and gradients by hand, ways to look at a person."""

import numpy as np
import pytest

from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.decode import heatmap

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.training import losses  # noqa: E402
from vitruvian.training.data import augment  # noqa: E402


def test_the_symmetric_gradient_is_that_of_the_worked_example():
    # specs/alphapose.md, 3: p = [.1, .2, .4, .2, .1] has mean 2, and gradient -2 -2 2 2 2.
    p = torch.tensor([0.1, 0.2, 0.4, 0.2, 0.1], requires_grad=True)
    mean = losses.SymmetricExpectation.apply(p, 2.0)
    mean.backward()
    assert mean.item() == pytest.approx(2, abs=1e-6)
    assert p.grad.tolist() == [-2, -2, 2, 2, 2]


@pytest.mark.parametrize("amplitude", [1.0, 2.0, 6.0])
def test_the_symmetric_gradient_is_upstream_times_side_times_amplitude(amplitude):
    rng = np.random.default_rng(0)
    p = torch.tensor(rng.dirichlet(np.ones(48), (3, 5)), requires_grad=True)
    upstream = torch.tensor(rng.normal(size=(3, 5)))
    losses.SymmetricExpectation.apply(p, amplitude).backward(upstream)
    mean = (p.detach().numpy() * np.arange(48)).sum(-1)
    side = np.where(np.arange(48) < mean[..., None], -1.0, 1.0)
    np.testing.assert_allclose(p.grad, upstream.numpy()[..., None] * side * amplitude, rtol=1e-12)


def test_without_an_amplitude_the_gradient_is_the_true_one():
    maps = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    # `expectation` computes in float32, which finite differences cannot follow to more than this.
    assert torch.autograd.gradcheck(
        lambda x: losses.expected_position(x, None), (maps,), eps=1e-2, atol=2e-3, rtol=1e-2
    )


def test_the_expectation_is_what_inference_reads():
    maps = np.random.default_rng(1).normal(size=(3, 4, 16, 12)).astype(np.float32) * 3
    xy, _ = heatmap.integral(maps)
    np.testing.assert_allclose(losses.expected_position(torch.tensor(maps)), xy, atol=1e-4)


def test_joint_regression_is_the_weighted_sum_of_fractions():
    xy, target = torch.tensor([[[12.0, 16.0], [1, 1]]]), torch.tensor([[[0.0, 0.0], [9, 9]]])
    loss = losses.coordinate_l1_loss(xy, target, torch.tensor([[1.0, 0.0]]), (48, 64))
    assert float(loss) == pytest.approx(12 / 48 + 16 / 64)


def test_the_squared_loss_is_half_the_mean_over_all_cells_with_weights_on_both():
    maps, target = torch.full((1, 2, 3, 4), 3.0), torch.ones(1, 2, 3, 4)
    loss = losses.heatmap_mse_loss(maps, target, torch.tensor([[1.0, 0.0]]))
    assert float(loss) == pytest.approx(0.5 * 4 / 2)


def test_cross_entropy_is_nothing_for_a_perfect_map_and_grows_with_the_difference():
    target = torch.rand(2, 3, 5, 4) * 0.9 + 0.05
    weight = torch.ones(2, 3)
    assert float(losses.heatmap_bce_loss(torch.logit(target), target, weight)) < 1e-4
    near, far = (
        float(losses.heatmap_bce_loss(torch.logit(target) + d, target, weight)) for d in (1, 2)
    )
    assert 0 < near < far


def test_cross_entropy_leaves_out_what_has_no_weight():
    maps, target = torch.randn(1, 2, 5, 4), torch.rand(1, 2, 5, 4)
    both = losses.heatmap_bce_loss(maps, target, torch.tensor([[1.0, 0.0]]))
    one = losses.heatmap_bce_loss(maps[:, :1], target[:, :1], torch.ones(1, 1))
    assert float(both) == pytest.approx(float(one))
    assert float(losses.heatmap_bce_loss(maps, target, torch.zeros(1, 2))) == 0


def test_the_combined_loss_is_its_two_parts():
    maps, target = torch.randn(2, 7, 8, 6), torch.rand(2, 7, 8, 6)
    xy, weight = torch.rand(2, 7, 2) * 5, torch.ones(2, 7)
    loss = losses.whole_body_loss(maps, target, xy, weight, tail=3)
    heat = losses.heatmap_mse_loss(maps[:, :4], target[:, :4], weight[:, :4])
    points = losses.coordinate_l1_loss(
        losses.expected_position(maps[:, 4:]), xy[:, 4:], weight[:, 4:], (6, 8)
    )
    assert float(loss) == pytest.approx(float(100 * heat + 0.01 * points))


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    maps = torch.randn(2, 3, 8, 6) * 3
    xy = losses.expected_position(maps)
    assert float(losses.distillation_loss(maps, xy, maps, xy, torch.ones(2, 3))) < 1e-4


def test_a_student_learns_from_its_teacher_and_the_teacher_from_nobody():
    student = torch.randn(2, 3, 8, 6, requires_grad=True)
    teacher = torch.randn(2, 3, 8, 6, requires_grad=True)
    at = losses.expected_position(teacher)
    xy = losses.expected_position(student)
    losses.distillation_loss(student, xy, teacher, at, torch.ones(2, 3)).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


UPPER = augment.upper_body(COCO17)
BOX = np.array([10.0, 20.0, 60.0, 120.0], np.float32)


def test_the_crop_of_a_box_is_that_of_the_worked_example():
    # specs/alphapose.md, 4.
    crop = augment.person_crop(np.array([100, 50, 200, 350], np.float32), (192, 256))
    np.testing.assert_allclose(crop.bounds(), [9.375, 12.5, 290.625, 387.5], atol=1e-4)


def test_a_proposal_is_a_box_near_the_true_one():
    rng = np.random.default_rng(0)
    boxes = np.array([augment.jitter_box(BOX, rng) for _ in range(2000)])
    assert np.all(boxes[:, 2:] > boxes[:, :2])
    away = (boxes - BOX) / np.tile(BOX[2:] - BOX[:2], 2)
    assert np.abs(away).max() < 0.8
    # Most of them are shaken edge by edge: their spread is that of the released code's numbers.
    inner = np.percentile(away, [25, 75], axis=0)
    np.testing.assert_allclose((inner[1] - inner[0]) / 1.35, [0.13, 0.09, 0.15, 0.09], atol=0.06)


def test_the_upper_body_ends_above_the_hips():
    assert UPPER.tolist() == [True] * 11 + [False] * 6
    assert augment.upper_body(BLAZEPOSE33).sum() == 23


def test_half_a_body_is_the_upper_or_the_lower_one():
    xy = np.stack([np.full(17, 50.0), np.arange(17) * 10.0], axis=1)
    seen = np.ones(17, bool)
    rng = np.random.default_rng(0)
    boxes = np.array([augment.half_body_box(xy, seen, rng, UPPER) for _ in range(300)])
    upper = boxes[:, 1] < 50
    assert 0.6 < upper.mean() < 0.78  # of normal numbers 69 in 100 are below 0.5
    assert np.allclose(boxes[upper], boxes[upper][0])
    np.testing.assert_allclose(boxes[upper][0][[1, 3]], [50 - 75, 50 + 75])


def test_half_of_too_little_is_nothing():
    seen = np.zeros(17, bool)
    seen[[0, 12]] = True
    assert augment.half_body_box(np.zeros((17, 2)), seen, np.random.default_rng(0), UPPER) is None


def test_no_augmentation_is_the_box_as_it_is():
    nothing = augment.Augment(scale=0, turn_deg=0, turn=0, half_body=0, proposal=0, mirror=0)
    xy, seen = np.zeros((17, 2)), np.ones(17, bool)
    rng = np.random.default_rng(0)
    crop, mirror = augment.random_crop(BOX, xy, seen, (192, 256), nothing, rng, UPPER)
    assert not mirror
    np.testing.assert_array_equal(crop.from_input, augment.person_crop(BOX, (192, 256)).from_input)


def test_a_person_cut_by_the_frame_keeps_what_is_left():
    rgb = np.full((100, 80, 3), 200, np.uint8)
    box, rng = np.array([10.0, 20, 70, 90]), np.random.default_rng(0)
    xy = np.stack([np.linspace(12, 68, 17), np.linspace(22, 88, 17)], 1).round()
    seen, changed = np.ones(17, bool), 0
    for _ in range(60):
        image, rest, left = augment.cut_person(rgb, box, xy, seen, rng)
        assert left.any()
        gone = image[:, :, 0] == 0
        inside = np.clip(xy.round().astype(int), 0, 99)
        np.testing.assert_array_equal(left, ~gone[inside[:, 1], inside[:, 0]])
        part = (rest[2:] - rest[:2]) / (box[2:] - box[:2])
        assert (np.isclose(part, 1).sum() == 1) == gone.any()  # one side is shorter
        assert part.min() > 0.28
        changed += bool(gone.any())
    assert changed > 50
    assert (rgb == 200).all()


def test_small_people_are_blurred_not_moved():
    rgb = np.zeros((256, 192, 3), np.uint8)
    rgb[120:136, 90:106] = 255
    for seed in range(5):
        image = augment.blur_small(rgb, np.random.default_rng(seed)).astype(float)
        assert image.shape == rgb.shape
        y, x = ((image[..., 0] * g).sum() / image[..., 0].sum() for g in np.mgrid[:256, :192])
        assert abs(y - 127.5) < 1.5
        assert abs(x - 97.5) < 1.5
        assert image.max() <= 255
        assert ((image > 5) & (image < 250)).any()


def test_colours_and_erasing_keep_the_picture_s_shape_and_leave_the_original_alone():
    rgb = np.full((40, 30, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    for change in (augment.jitter_colours, augment.random_erase):
        for _ in range(20):
            other = change(rgb, rng)
            assert other.shape == rgb.shape
            assert other.dtype == np.uint8
    assert np.all(rgb == 128)
