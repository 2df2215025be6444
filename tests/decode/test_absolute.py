"""Where people stand: the reference's numbers, known truths, what cannot be, and the torch twin."""

import numpy as np
import pytest

from vitruvian.decode import absolute as decode
from vitruvian.geometry.camera import Camera, rotation_matrix

CENTRED = decode.view_limits(256)


@pytest.fixture(scope="module")
def golden(shared) -> dict[str, np.ndarray]:
    read = np.load(shared / "golden" / "metrabs_centered.npz")
    names = [name for name in read.files if "/bn/" not in name and "feature" not in name]
    return {name.removeprefix("centered/"): read[name] for name in names if "logits" not in name}


def rays_of(xy: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    cameras = [Camera(matrix, (256, 256)) for matrix in matrices]
    return np.stack([c.rays(p.astype(np.float64)) for c, p in zip(cameras, xy, strict=True)])


def problem(golden, kind: str):
    """Rays, 3D in millimetres and the view mask of two people of the network, or of four made up.

    The reference counts pixels from (0, 0), here 0.5 is added; rays do not care.
    """
    names = {
        "network": ("coords2d_px", "coords3d_rel_mm", "intrinsics"),
        "made up": ("geo/coords2d", "geo/coords3d_rel", "geo/K"),
    }
    xy, xyz, matrices = (golden[name] for name in names[kind])
    return rays_of(xy, matrices), xyz, decode.within_view(xy + np.float32(0.5), CENTRED)


WANT = {
    "network": ("in_fov", "ref_full", "coords3d_abs_mm"),
    "made up": ("geo/in_fov", "geo/ref_full", "geo/abs"),
}


@pytest.mark.shared
@pytest.mark.parametrize("kind", WANT)
def test_people_stand_where_the_reference_puts_them(golden, kind):
    """0.005 mm: it solves in float32, which resolves 0.0005 mm at 6 m. The spec allows 0.05 mm."""
    rays, xyz, inside = problem(golden, kind)
    in_view, away, want = (golden[name] for name in WANT[kind])
    np.testing.assert_array_equal(inside, in_view)
    np.testing.assert_allclose(decode.shift(rays, xyz, inside, batch_rms=True), away, atol=5e-3)
    got = decode.absolute_pose(rays, xyz, inside, batch_rms=True)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=5e-3)


@pytest.mark.shared
def test_a_person_alone_is_as_the_reference_s_alone(golden):
    """0.02 mm: the spec allows 0.05."""
    rays, xyz, inside = problem(golden, "network")
    got = decode.absolute_pose(rays, xyz, inside)
    for i in (0, 1):
        np.testing.assert_allclose(got[i], golden[f"coords3d_abs_mm_item{i}_alone"][0], atol=0.02)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "mix"), [("None", 0.0), ("0.0", 0.0), ("1.0", 1.0)])
def test_mixing_is_the_reference_s(golden, name, mix):
    rays, xyz, inside = problem(golden, "network")
    got = decode.absolute_pose(rays, xyz, inside, mix=mix, batch_rms=True)
    np.testing.assert_allclose(got, golden[f"coords3d_abs_mm_mix_{name}"], atol=5e-3)


@pytest.mark.shared
def test_in_a_batch_a_person_s_depth_depends_on_the_others_only_if_asked(golden):
    """The spec measured 11.7 mm between the two ways for the most truncated of the four."""
    rays, xyz, inside = problem(golden, "made up")
    alone = np.concatenate(
        [decode.shift(*(part[i : i + 1] for part in (rays, xyz, inside))) for i in range(4)]
    )
    np.testing.assert_allclose(decode.shift(rays, xyz, inside), alone, atol=1e-9)
    off = np.abs(decode.shift(rays, xyz, inside, batch_rms=True) - alone)
    assert 11 < off.max() < 12


# Known truths


def bodies(rng, n: int = 6, k: int = 17) -> np.ndarray:
    """(N, K, 3) metres from somewhere in the body: about 0.5 x 1.7 x 0.4 m."""
    return rng.normal(0, (0.15, 0.5, 0.12), (n, k, 3))


def test_without_noise_and_ridge_the_truth_comes_back(rng, monkeypatch):
    monkeypatch.setattr(decode, "RIDGE", 0.0)
    monkeypatch.setattr(decode, "LEAST", 0.0)
    xyz, away = bodies(rng), rng.uniform((-2, -1, 2), (2, 1, 9), (6, 3))
    there = xyz + away[:, None]
    rays = there[..., :2] / there[..., 2:]
    np.testing.assert_allclose(decode.shift(rays, xyz, np.ones((6, 17))), away, atol=1e-9)
    # Half of them out of view and of no use.
    weight = (np.arange(17) < 8) * np.ones((6, 1))
    rays[:, 8:] = 99
    np.testing.assert_allclose(decode.shift(rays, xyz, weight), away, atol=1e-9)


def test_the_ridge_pulls_a_person_on_the_axis_by_less_than_a_thousandth(rng):
    xyz, away = bodies(rng), np.array([0, 0, 4.0])
    there = xyz + away
    rays = there[..., :2] / there[..., 2:]
    got = decode.shift(rays, xyz, np.ones((6, 17)))
    np.testing.assert_allclose(got, np.tile(away, (6, 1)), atol=4e-3)
    assert (got[:, 2] < 4).all()


def test_metres_and_millimetres_are_the_same(rng):
    xyz = bodies(rng)
    rays = (xyz + np.array([0.3, 0, 3]))[..., :2] / 3
    weight = rng.uniform(0, 1, xyz.shape[:2])
    in_mm = decode.shift(rays, 1000 * xyz, weight)
    np.testing.assert_allclose(in_mm, 1000 * decode.shift(rays, xyz, weight), rtol=1e-9)


def test_joints_in_view_are_mixed_and_others_are_not(rng):
    xyz = bodies(rng)
    there = xyz + np.array([0.2, 0.1, 3])
    rays = there[..., :2] / there[..., 2:] + rng.normal(0, 0.01, (6, 17, 2))
    inside = rng.random((6, 17)) < 0.7
    solid = decode.absolute_pose(rays, xyz, inside, mix=1)
    onto = decode.absolute_pose(rays, xyz, inside, mix=0)
    half = decode.absolute_pose(rays, xyz, inside)
    np.testing.assert_allclose(half, (solid + onto) / 2, atol=1e-6)
    np.testing.assert_array_equal(onto[~inside], solid[~inside])
    np.testing.assert_allclose((onto[..., :2] / onto[..., 2:])[inside], rays[inside], atol=1e-5)
    # A body that is only shifted keeps its bones.
    np.testing.assert_allclose(solid - solid[:, :1], xyz - xyz[:, :1], atol=1e-5)


def test_a_flat_body_stands_where_its_size_says(rng):
    xyz = bodies(rng)
    xyz[..., 2] = 0
    away = np.array([0.5, -0.3, 4])
    rays = (xyz + away)[..., :2] / 4
    inside = np.ones((6, 17), bool)
    # 1e-10 is added to squares of about 0.1 m and 0.02: to 2e-6 of the depth.
    np.testing.assert_allclose(
        decode.weak_shift(rays, xyz, inside), np.tile(away, (6, 1)), rtol=1e-4
    )
    inside[:, 5:] = False
    rays[:, 5:] = 99
    got = decode.absolute_pose(rays, xyz, inside, weak=True, mix=1)
    np.testing.assert_allclose(got, xyz + away, atol=1e-3)
    inside[0] = False
    inside[0, 0] = True
    assert np.isnan(decode.weak_shift(rays, xyz, inside)[0]).all()


def test_a_joint_that_is_missing_says_nothing_and_a_person_without_joints_is_nowhere(rng):
    xyz = bodies(rng)
    there = xyz + np.array([0.3, 0, 3])
    rays = there[..., :2] / there[..., 2:]
    weight = np.ones((6, 17))
    want = decode.shift(rays[:, 2:], xyz[:, 2:], weight[:, 2:])
    rays[:, 0], xyz[:, 1] = np.nan, np.nan
    np.testing.assert_allclose(decode.shift(rays, xyz, weight), want, atol=1e-12)
    got = decode.absolute_pose(rays, xyz, weight > 0)
    assert np.isnan(got[:, 1]).all()
    assert np.isfinite(got[:, 2:]).all()
    rays[3] = np.nan
    np.testing.assert_array_equal(
        np.isnan(decode.shift(rays, xyz, weight)[:, 0]), np.arange(6) == 3
    )
    together = decode.shift(rays, xyz, weight, batch_rms=True)
    np.testing.assert_array_equal(np.isnan(together[:, 0]), np.arange(6) == 3)


@pytest.mark.parametrize("batch_rms", [False, True])
def test_nobody_is_an_ordinary_answer(batch_rms):
    rays, xyz, inside = np.zeros((0, 17, 2)), np.zeros((0, 17, 3)), np.zeros((0, 17), bool)
    got = decode.absolute_pose(rays, xyz, inside, batch_rms=batch_rms)
    assert got.shape == (0, 17, 3)
    assert decode.absolute_pose(rays, xyz, inside, weak=True).shape == (0, 17, 3)
    placed = decode.place_body(Camera.view((640, 480)), rays, xyz, np.zeros((0, 17)))
    assert placed.xyz.shape == (0, 17, 3)
    assert placed.error.shape == (0,)


def test_a_network_that_strides_beside_its_middles_sees_half_a_stride_less():
    """specs/metrabs.md, 2: [24, 232], [8, 216], [24, 360], and half a pixel for how we count."""
    assert CENTRED == (24.5, 232.5)
    assert decode.view_limits(256, centred=False) == (8.5, 216.5)
    assert decode.view_limits(384) == (24.5, 360.5)
    seen = decode.within_view(
        np.array([[24.5, 232.5], [24.4, 100], [100, 233], [np.nan, 9]]), CENTRED
    )
    np.testing.assert_array_equal(seen, [True, False, False, False])


# Any model with metres


@pytest.mark.parametrize("lens", [[], [-0.25, 0.06, 1e-3, 1e-3, 0]], ids=["straight", "bent"])
@pytest.mark.parametrize("along_ray", [True, False])
def test_bodies_from_the_hips_are_placed_where_they_are_seen(rng, lens, along_ray):
    """Within 0.3 % of the distance, which is the ridge's; and they project onto what was seen.

    Along the ray, the axes also depend on where the middle of the body is seen to be: to 1 %.
    """
    camera = Camera(Camera.view((1280, 720), 70).matrix, (1280, 720), np.array(lens))
    middle = camera.back_project(rng.uniform((200, 200), (1080, 520), (6, 2)), rng.uniform(3, 8, 6))
    xyz = bodies(rng)
    xyz -= xyz.mean(axis=1, keepdims=True)
    turned = xyz
    if along_ray:
        # The shortest turn of the axis onto the ray, by its vector: across both, by their angle.
        rays = middle / np.linalg.norm(middle, axis=1, keepdims=True)
        across = np.cross((0, 0, 1), rays)
        across *= np.arccos(rays[:, 2:]) / np.linalg.norm(across, axis=1, keepdims=True)
        turned = np.stack([x @ rotation_matrix(v).T for x, v in zip(xyz, across, strict=True)])
    there = turned + middle[:, None]
    xy = camera.project(there)
    placed = decode.place_body(camera, xy, xyz, np.full((6, 17), 0.9), along_ray=along_ray)
    off = np.linalg.norm(placed.xyz - there, axis=-1).max(axis=1) / middle[:, 2]
    assert off.max() < (0.01 if along_ray else 0.003)
    assert placed.error.max() < (3 if along_ray else 1)
    assert placed.xyz.dtype == placed.error.dtype == np.float32


def test_the_reprojection_error_is_what_does_not_fit(rng):
    camera = Camera.view((1280, 720))
    xyz = bodies(rng)
    xy = camera.project(xyz + np.array([0.2, 0.1, 4]))

    def error(xy: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return decode.place_body(camera, xy, xyz, weight, along_ray=False).error

    ones = np.ones((6, 17))
    fits = error(xy, ones)
    assert fits.max() < 0.5
    # The mean length of a two-dimensional normal deviate is 1.25 of its deviation; 17 of them
    # have a mean within 0.16 of it, and a little is taken up by the shift.
    np.testing.assert_allclose(error(xy + rng.normal(0, 10, xy.shape), ones), 12, atol=4)
    # A joint of no weight is not held against anyone.
    wild = xy.copy()
    wild[:, 3] += 500
    weight = (np.arange(17) != 3) * np.ones((6, 1))
    np.testing.assert_allclose(error(wild, weight), fits, atol=0.1)


def test_mixing_draws_joints_to_where_they_are_seen(rng):
    camera = Camera.view((1280, 720))
    xyz = bodies(rng)
    xy = camera.project(xyz + np.array([0.2, 0.1, 4])) + rng.normal(0, 10, (6, 17, 2))
    weight = np.ones((6, 17))
    weight[:, 0] = 0
    solid, onto = (decode.place_body(camera, xy, xyz, weight, mix=mix) for mix in (1, 0))
    np.testing.assert_allclose(camera.project(onto.xyz)[:, 1:], xy[:, 1:], atol=0.01)
    np.testing.assert_allclose(onto.xyz[:, 0], solid.xyz[:, 0], atol=1e-6)
    np.testing.assert_array_equal(onto.error, solid.error)


def test_who_cannot_be_placed_is_nowhere(rng):
    camera = Camera.view((1280, 720))
    xyz = bodies(rng, 3)
    xy = camera.project(xyz + np.array([0.2, 0.1, 4]))
    xy[0] = np.nan
    xy[1] = 1280 - xy[1]  # turned by 180 degrees: only a body behind the camera looks so
    placed = decode.place_body(camera, xy, xyz, np.ones((3, 17)))
    np.testing.assert_array_equal(np.isnan(placed.xyz[:, 0, 0]), [True, True, False])
    np.testing.assert_array_equal(np.isnan(placed.error), [True, True, False])


# What cannot be


def test_a_bone_three_times_too_long_or_a_tenth_is_impossible_if_it_is_far_off():
    xyz = np.zeros((5, 3, 3))
    xyz[:, 1, 0], xyz[:, 2, 0] = [0.45, 1.4, 0.04, 0.5, np.nan], -0.1
    length = np.array([0.45, 0.1])
    fit = decode.bones_fit(xyz, ((0, 1), (0, 2)), length)
    np.testing.assert_array_equal(fit, [True, False, False, True, True])
    # Four times too long, but not by 0.3 m: fingers are short.
    xyz[:, 2, 0] = 0.39
    np.testing.assert_array_equal(decode.bones_fit(xyz, ((0, 2),), np.array([0.1])), [True] * 5)
    xyz[:, 2, 0] = 0.41
    np.testing.assert_array_equal(decode.bones_fit(xyz, ((0, 2),), np.array([0.1])), [False] * 5)
    assert decode.bones_fit(xyz[:0], ((0, 2),), np.array([0.1])).shape == (0,)


def test_looks_agree_unless_most_joints_stray(rng):
    there = bodies(rng, 3, 16) + np.array([0, 0, 4])
    looks = np.stack([there] * 4)
    looks[:, 1] += rng.normal(0, 0.5, (4, 16, 3))
    # Four joints of 16 agree: it must be more than a quarter.
    looks[:, 2, 4:] += rng.normal(0, 0.5, (4, 12, 3))
    np.testing.assert_array_equal(decode.views_agree(looks), [True, False, False])
    # All farther away in one look is no disagreement.
    looks = np.stack([there, 1.3 * there])
    assert decode.views_agree(looks).all()
    assert decode.views_agree(there[None]).all()
    assert decode.views_agree(looks[:, :0]).shape == (0,)


def test_a_body_must_cover_half_of_its_box():
    xy = np.array(
        [[(0.0, 0), (10, 6)], [(0, 0), (10, 4)], [(-90, -90), (10, 6)], [(np.nan,) * 2] * 2]
    )
    box = np.tile([0.0, 0, 10, 10], (4, 1))
    np.testing.assert_array_equal(decode.in_box(xy, box), [True, False, True, False])
    assert decode.in_box(xy[:0], box[:0]).shape == (0,)


# The torch twin


def made(rng):
    """Rays, 3D, in view, and where the bodies are."""
    there = bodies(rng) + rng.uniform((-1, -0.5, 2), (1, 0.5, 7), (6, 1, 3))
    rays = there[..., :2] / there[..., 2:] + rng.normal(0, 0.005, (6, 17, 2))
    xyz = (
        there
        - there.mean(axis=1, keepdims=True)
        + rng.normal(0, 0.02, (6, 17, 3))
        + np.array([0, 0, 1])
    )
    return rays, xyz, rng.random((6, 17)) < 0.8


@pytest.mark.parametrize("how", [{}, {"batch_rms": True}, {"weak": True}, {"mix": 0.2}])
def test_the_one_that_is_trained_through_is_the_one_that_is_used(rng, how):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
    from vitruvian.training import reconstruction as train

    rays, xyz, inside = made(rng)
    got = train.reconstruct_absolute(*(torch.tensor(part) for part in (rays, xyz, inside)), **how)
    want = decode.absolute_pose(rays, xyz, inside, **how)
    np.testing.assert_allclose(got, want, atol=2e-6)  # the NumPy one answers in float32
    got = train.reconstruct_absolute(
        torch.tensor(rays).float(), torch.tensor(xyz).float(), torch.tensor(inside), **how
    )
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_its_rays_and_pixels_are_the_camera_s(rng):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
    from vitruvian.training import reconstruction as train

    matrix = np.array([[500.0, 3, 120], [0, 520, 130], [0, 0, 1]])
    camera, xy = Camera(matrix, (256, 256)), rng.uniform(0, 256, (2, 5, 2))
    both = torch.tensor(np.stack([matrix, matrix]))
    np.testing.assert_allclose(
        train.camera_rays(torch.tensor(xy), both), camera.rays(xy), atol=1e-12
    )
    xyz = rng.uniform((-1, -1, 1), (1, 1, 4), (2, 5, 3))
    np.testing.assert_allclose(
        train.project_points(torch.tensor(xyz), both), camera.project(xyz), atol=1e-9
    )
    behind = train.project_points(torch.tensor([[[0.1, 0.1, -2.0]]], dtype=torch.double), both[:1])
    assert torch.isfinite(behind).all()


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
def test_its_gradient_is_that_of_finite_differences(rng, weak, mix):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
    from vitruvian.training import reconstruction as train

    rays, xyz, inside = (torch.tensor(part[:2, :5]) for part in made(rng))
    inside[:, 0] = True
    inside[:, 1] = False
    both = rays.requires_grad_(), xyz.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda n, x: train.reconstruct_absolute(n, x, inside, mix=mix, weak=weak), both, atol=1e-5
    )


def test_a_gradient_reaches_joints_out_of_view_through_those_in_view(rng):
    """An error of one joint's depth moves the body: that is what the recovery is trained for."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
    from vitruvian.training import reconstruction as train

    rays, xyz, _ = (torch.tensor(part) for part in made(rng))
    inside = torch.zeros(6, 17, dtype=torch.bool)
    inside[:, :8] = True
    rays.requires_grad_()
    train.reconstruct_absolute(rays, xyz, inside, mix=torch.rand(6))[:, 12].sum().backward()
    assert (rays.grad[:, :8].abs() > 1e-3).any(-1).all()


def test_a_turned_camera_finds_people_in_the_same_place_of_the_world(rng):
    camera = Camera.view((1280, 720)).placed(np.eye(4))
    xyz = bodies(rng, 2)
    xy = camera.project(xyz + np.array([0.2, 0.1, 5]))
    here = decode.place_body(camera, xy, xyz, np.ones((2, 17)), along_ray=False)
    rotation = rotation_matrix(np.array([0.05, -0.1, 0.0]))
    turned = camera.turn(rotation, camera.matrix, camera.size)
    there = decode.place_body(
        turned,
        turned.project((xyz + np.array([0.2, 0.1, 5])) @ rotation.T),
        xyz @ rotation.T,
        np.ones((2, 17)),
        along_ray=False,
    )
    np.testing.assert_allclose(turned.to_world(there.xyz), here.xyz, atol=5e-3)


def test_everybody_stays_once(rng):
    """Found twice is one person however far away; side by side, or with a limb elsewhere, two."""
    (body,) = bodies(rng, 1)
    one = body + np.array([0, 0, 3])
    beside, other = one + np.array([0.5, 0, 0]), one.copy()
    other[:5] += np.array([0, 0.4, 0])
    everyone = np.stack([one, one * 1.2, beside, other, one + 0.02])
    score = np.array([0.5, 0.9, 0.4, 0.3, 0.2])
    assert decode.unique(everyone, score).tolist() == [1, 2, 3]
    assert decode.unique(everyone[:0], score[:0]).tolist() == []
    nowhere = np.full_like(one, np.nan)
    assert decode.unique(np.stack([one, nowhere, nowhere]), score[:3]).tolist() == [0, 1, 2]
