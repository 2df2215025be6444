"""MeTRAbs from boxes to poses: people whose place is known, the authors' numbers, files."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import command
from conftest import TOY, refused
from metrabs_files import arrays, authors, files, made, pack, small, tensors_file
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import SMPL24
from vitruvian.decode import absolute, heatmap
from vitruvian.decode.volume import Volume
from vitruvian.frame import Frame
from vitruvian.geometry.camera import UP, Camera, rotation_matrix
from vitruvian.geometry.regions import Regions
from vitruvian.models.load import family_of, load
from vitruvian.models.metrabs import FAMILY, Bodies, HeadSpec, Options, views_at_test_time
from vitruvian.models.ready import converted
from vitruvian.models.top_down import TopDown
from vitruvian.models.zoo import CATALOGUE, entry
from vitruvian.verbs.export import export as export_file
from vitruvian.weights import packages

SIZE = (1280, 960)
# A person of 1.7 metres who stands, arms a little apart: SMPL24, metres from the pelvis, seen from
# in front (the subject's left is on the right).
BODY = np.array([
    (0, 0, 0), (0.08, 0.08, 0), (-0.08, 0.08, 0), (0, -0.11, 0), (0.10, 0.47, 0.02),
    (-0.10, 0.46, -0.04), (0, -0.24, 0), (0.11, 0.87, 0.06), (-0.11, 0.87, 0), (0, -0.3, 0),
    (0.12, 0.92, -0.06), (-0.13, 0.93, -0.1), (0, -0.5, 0), (0.08, -0.42, 0), (-0.08, -0.42, 0),
    (0, -0.58, -0.05), (0.18, -0.43, 0), (-0.18, -0.43, 0), (0.35, -0.22, 0.03),
    (-0.33, -0.2, 0.05), (0.45, 0.0, -0.08), (-0.45, 0.0, -0.02), (0.47, 0.07, -0.1),
    (-0.47, 0.07, -0.05),
])  # fmt: skip
MIRROR = SMPL24.mirror
SPEC = HeadSpec(Volume(), MIRROR, SMPL24, np.eye(24, dtype=np.float32))
BENT = np.array([-0.2, 0.05, 1e-3, -2e-3, 0.01])


def rolled() -> Camera:
    """Thirty degrees about its axis, looking down, two metres up in a world whose z is up."""
    turn = rotation_matrix(np.array([0, 0, 0.52])) @ rotation_matrix(np.array([0.3, 0, 0]))
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = turn @ [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    extrinsics[:3, 3] = turn @ [0.4, 2.0, 0.1]
    matrix = np.array([[1010.0, 0, 655], [0, 1000, 470], [0, 0, 1]])
    return Camera(matrix, SIZE, BENT).placed(extrinsics, (0, 0, 1))


CAMERAS = {"55 degrees": None, "rolled, bent and placed": rolled()}


def people(number: int, camera: Camera | None, seed: int = 0) -> np.ndarray:
    """(N, 24, 3) metres from the camera, turned a little, 2.5 to 4.5 metres away."""
    rng = np.random.default_rng(seed)
    there, up = [], UP if camera is None else camera.up
    for _ in range(number):
        turn = rotation_matrix(-np.asarray(up) * rng.uniform(-0.4, 0.4))
        if camera is not None:  # standing as the world's up says
            turn = turn @ camera.upright(np.zeros(2)).T
        place = np.array([rng.uniform(-0.5, 0.5), rng.uniform(-0.2, 0.2), rng.uniform(2.5, 4.5)])
        there.append(BODY @ turn.T + place)
    return np.reshape(there, (-1, 24, 3))


def around(xy: np.ndarray, margin: float = 0.12) -> Regions:
    """Boxes around people's (N, K, 2) pixels, larger by a part of their sides."""
    low, high = xy.min(axis=1), xy.max(axis=1)
    more = margin * (high - low)
    box = np.concatenate([low - more, high + more], axis=1).astype(np.float32)
    return Regions.boxes(box, np.linspace(0.9, 0.6, len(box)).astype(np.float32))


def between(place: np.ndarray, cells: int) -> np.ndarray:
    """(..., cells) logits whose softmax has its mean at (...) 0..1 and uses two cells at most."""
    at = np.clip(place, 0, 1)[..., None] * (cells - 1)
    return np.log(np.maximum(1 - np.abs(np.arange(cells) - at), 1e-30))


def maps(xy: np.ndarray, xyz: np.ndarray, volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """What a network without any error gives: logits of (M, P, 2) pixels and (M, P, 3) metres."""
    cells = volume.side // volume.stride
    flat = (xy - volume.start - 0.5) / volume.span
    deep = (xyz / volume.box * volume.side - volume.start) / volume.span
    deep[..., 2] = xyz[..., 2] / volume.box
    assert ((deep >= 0) & (deep <= 1)).all()
    x, y = (between(flat[..., i], cells) for i in (0, 1))
    u, v, w = (between(deep[..., i], n) for i, n in ((0, cells), (1, cells), (2, volume.depth)))
    solid = w[..., :, None, None] + v[..., None, :, None] + u[..., None, None, :]
    return (y[..., :, None] + x[..., None, :]).astype("f4"), solid.astype("f4")


def seen(
    head: Bodies, frame: Frame, truth: np.ndarray, look: Regions
) -> tuple[np.ndarray, np.ndarray]:
    """The maps of a network that sees (N, P, 3) people as they are."""
    views, count = head.views(frame, look), len(head.looks)
    pixels, metres = [], []
    for i, view in enumerate(views):
        xyz = truth[i // count] @ view.rotation.T
        if head.looks[i % count].mirror:  # what is called left is on the left of the image
            xyz = xyz[head.spec.mirror]
        pixels.append(view.camera.project(xyz))
        metres.append(xyz - (xyz.min(axis=0) + xyz.max(axis=0)) / 2 + 1.1)
    shape = (len(views), truth.shape[1])
    xy, xyz = np.reshape(pixels, (*shape, 2)), np.reshape(metres, (*shape, 3))
    return maps(xy, xyz, head.spec.volume)


def blank(camera: Camera | None = None) -> Frame:
    return Frame(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), camera=camera)


def head(spec: HeadSpec = SPEC, **options: object) -> Bodies:
    return Bodies(lambda rows: (rows,), Options.of(**options), spec)


def decoded(
    truth: np.ndarray,
    camera: Camera | None = None,
    look: Regions | None = None,
    spec: HeadSpec = SPEC,
    **options: object,
) -> Poses:
    """What is made of people whom the network sees as they are."""
    read, frame = head(spec, **options), blank(camera)
    if look is None:
        look = around(Bodies.camera(frame).project(truth))
    outputs = seen(read, frame, truth, look)
    return read.decode(frame, outputs, read.crops(frame, look), look)


# Looks


def test_five_looks_are_the_reference_s():
    """specs/metrabs.md 5.4."""
    five = views_at_test_time(5)
    np.testing.assert_allclose([each.gamma for each in five], [0.6, 0.7, 0.8, 0.9, 1])
    rolls = np.degrees([each.roll for each in five])
    np.testing.assert_allclose(rolls, [-25, -12.5, 0, 12.5, 25], atol=1e-12)
    np.testing.assert_allclose([each.scale for each in five], [0.8, 0.9, 1, 1.05, 1.1])
    assert [each.mirror for each in five] == [False, True, False, True, False]
    (one,) = views_at_test_time(1)
    assert (one.roll, one.scale, one.mirror, one.gamma) == (0, 1, False, 0.8)
    assert [(each.scale, each.mirror) for each in views_at_test_time(2)] == [
        (0.8, True),
        (1.0, False),
    ]


@pytest.fixture
def unbiased(monkeypatch) -> None:
    """The least squares without their ridge: what is left is float32."""
    monkeypatch.setattr(absolute, "RIDGE", 0.0)


def is_there(poses: Poses, truth: np.ndarray, camera: Camera, metres: float, pixels: float) -> None:
    """Assert that people are within some metres, of one metre away, and some pixels."""
    assert poses.xyz is not None
    away = np.linalg.norm(poses.xyz - truth, axis=-1) / truth[..., 2]
    assert away.max(initial=0) < metres
    assert np.linalg.norm(poses.xy - camera.project(truth), axis=-1).max(initial=0) < pixels


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=list(CAMERAS))
@pytest.mark.parametrize("num_aug", [1, 5])
def test_people_without_noise_stand_where_they_are(camera, num_aug):
    """To a thousandth of their distance: the ridge of the least squares draws people toward the
    camera, by 0.01 of 0.01 + 2 for each joint in view, and by more where those are off the middle.
    In pixels that is a thousandth of how far a joint is from the middle of the crop.
    """
    truth = people(3, camera)
    poses = decoded(truth, camera, num_aug=num_aug)
    is_there(poses, truth, Bodies.camera(blank(camera)), metres=1e-3, pixels=0.6)
    assert poses.xyz is not None
    assert poses.origin == "camera"
    assert (poses.xyz.dtype, poses.xy.dtype, poses.score.dtype) == (np.dtype("f4"),) * 3
    if camera is None:
        assert poses.world is None
    else:
        assert poses.world is not None
        np.testing.assert_allclose(poses.world, camera.to_world(poses.xyz), atol=1e-5)


@pytest.mark.usefixtures("unbiased")
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=list(CAMERAS))
@pytest.mark.parametrize("average", [True, False])
def test_without_the_ridge_all_five_looks_are_exact(camera, average):
    """0.05 mm a metre and 0.01 px, of the five together and of each by itself."""
    truth = people(2, camera, seed=3)
    poses = decoded(truth, camera, num_aug=5, average=average)
    assert len(poses) == (2 if average else 10)
    want = truth if average else np.repeat(truth, 5, axis=0)
    is_there(poses, want, Bodies.camera(blank(camera)), metres=5e-5, pixels=0.01)
    assert poses.error is not None
    assert poses.error.max() < 0.01
    assert poses.look is not None
    assert len(poses.look) == len(poses)
    if camera is not None:
        assert poses.world is not None
        np.testing.assert_allclose(poses.world, camera.to_world(want), atol=2e-4)


@pytest.mark.usefixtures("unbiased")
@pytest.mark.parametrize("spec", [
    replace(SPEC, volume=Volume(centered=False, legacy=True)),
    replace(SPEC, volume=Volume(side=384)),
], ids=["legacy", "384"])  # fmt: skip
def test_the_published_variants_are_read_each_in_its_way(spec):
    """The legacy one believes what lies further left and up, and sees the same."""
    truth = people(2, None, seed=5)
    poses = decoded(truth, spec=spec, num_aug=5)
    is_there(poses, truth, Bodies.camera(blank()), metres=5e-5, pixels=0.01)


@pytest.mark.usefixtures("unbiased")
def test_half_a_person_is_placed_by_the_half_that_is_seen():
    """The box ends at the hips: what is below is nowhere on the 2D maps, and yet has a place."""
    truth = people(1, None)
    xy = Bodies.camera(blank()).project(truth)
    look = around(xy[:, [0, 3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]])
    poses = decoded(truth, look=look)
    is_there(poses, truth, Bodies.camera(blank()), metres=5e-4, pixels=0.1)  # few are in view
    legs = [SMPL24[f"{side}_{name}"] for side in ("left", "right") for name in ("knee", "ankle")]
    assert (poses.score[0, legs] < 0.5).all()
    assert (poses.score[0, [SMPL24["neck"], SMPL24["pelvis"]]] > 0.9).all()


def test_joints_beyond_the_picture_stay_where_they_are_and_have_low_scores():
    truth = (BODY + np.array([0.5 * 3, 0, 3]))[None]
    xy = Bodies.camera(blank()).project(truth)
    out = xy[0, :, 0] > SIZE[0]
    assert 5 < out.sum() < 19
    poses = decoded(truth, look=around(xy))
    assert np.linalg.norm(poses.xy - xy, axis=-1).max() < 0.6
    assert (poses.score[0, out] < 0.5).all()
    assert (poses.score[0, ~out] > 0.5).all()
    assert poses.box[0, 2] == SIZE[0]


def test_what_would_be_behind_the_camera_has_no_pixels():
    truth = people(1, None)
    xy = Bodies.camera(blank()).project(truth)
    read, look = head(), around(xy)
    flat, deep = seen(read, blank(), truth, look)
    mirror_in_depth = deep[:, :, ::-1, ::-1, ::-1]  # a body that fits what is seen from behind
    views = read.crops(blank(), look)
    poses = read.decode(blank(), (flat, np.ascontiguousarray(mirror_in_depth)), views, look)
    assert poses.xyz is not None
    behind = poses.xyz[..., 2] <= 0
    assert behind.any()
    assert np.isnan(poses.xy[behind]).all()
    assert (poses.score[behind] == 0).all()
    assert poses.plausible is not None
    assert not poses.plausible.any()


# Scores, errors, what cannot be


def test_a_place_is_certain_and_no_hill_is_not(rng):
    place = rng.uniform(0, 1, (2, 5, 2))
    sharp = between(place[..., 1], 8)[..., :, None] + between(place[..., 0], 12)[..., None, :]
    np.testing.assert_allclose(heatmap.concentration(sharp.astype("f4")), 1, atol=2e-3)
    flat = np.zeros((1, 1, 8, 8), np.float32)
    np.testing.assert_allclose(heatmap.concentration(flat), 0, atol=1e-6)
    two = np.full((1, 1, 8, 8), -90, np.float32)
    two[0, 0, 0, 0] = two[0, 0, 7, 7] = 0  # worse than no hill
    assert heatmap.concentration(two)[0, 0] == 0
    assert heatmap.concentration(np.zeros((0, 3, 8, 8), np.float32)).shape == (0, 3)
    # A hill of standard deviation s among many cells: 1 - s / (n / sqrt(12)).
    cells = np.arange(101)
    for s in (3.0, 10.0):
        bell = -((cells - 50) ** 2) / (2 * s**2)
        hill = (bell[:, None] + bell).astype("f4")[None, None]
        want = 1 - s / np.sqrt((101**2 - 1) / 12)
        np.testing.assert_allclose(heatmap.concentration(hill), want, atol=1e-3)


@pytest.mark.usefixtures("unbiased")
def test_the_error_says_how_far_2d_and_3d_disagree():
    """2D that is moved as a whole is another place; 2D that is of another pose is a fault."""
    truth = people(1, None)
    read, frame = head(), blank()
    look = around(Bodies.camera(frame).project(truth))
    crops = read.crops(frame, look)
    flat, deep = seen(read, frame, truth, look)
    other = truth.copy()
    other[0, SMPL24["left_wrist"]] += (0.0, -0.2, 0)
    moved, _ = seen(read, frame, other, look)
    fine, off = (read.decode(frame, (part, deep), crops, look) for part in (flat, moved))
    assert fine.error is not None
    assert off.error is not None
    assert fine.error[0] < 0.01
    # The same by way of the crop.
    (view,) = read.views(frame, look)
    said = read.read((moved, deep), [view.camera])
    ways = crops[0].to_frame(view.camera.project(said.xyz[0])), crops[0].to_frame(said.xy[0])
    apart = np.linalg.norm(ways[0] - ways[1], axis=-1)[said.inside[0]]
    assert off.error[0] == pytest.approx(apart.mean(), rel=1e-3)
    assert off.error[0] > 1


def test_those_who_cannot_be_so_are_told_and_left_out_where_asked_for():
    truth = people(3, None, seed=1)
    truth[1, SMPL24["left_ankle"]] = truth[1, SMPL24["left_knee"]] + (0, 0, 1.5)  # three shanks
    found = Bodies.camera(blank()).project(truth)
    low, high = found.min(axis=1), found.max(axis=1)
    more = np.array([[0.1], [0.1], [0.5]]) * (high - low)  # the third box is four times as large
    box = np.concatenate([low - more, high + more], axis=1).astype(np.float32)
    look = Regions.boxes(box, np.ones(3, np.float32))
    poses = decoded(truth, look=look, num_aug=5)
    assert poses.plausible is not None
    assert poses.plausible.tolist() == [True, False, False]
    kept = decoded(truth, look=look, num_aug=5, suppress_implausible=True)
    assert len(kept) == 1
    np.testing.assert_array_equal(kept.xy, poses.xy[:1])


@pytest.mark.parametrize("pose_nms", [True, False])
def test_somebody_in_two_boxes_is_one_person(pose_nms):
    truth = people(2, None, seed=5)  # beside each other
    twice = np.concatenate([truth, truth[:1] * 1.1])  # a tenth farther away on the same rays
    found = Bodies.camera(blank()).project(twice)
    box = around(found).bounds()
    look = Regions.boxes(box, np.array([0.5, 0.9, 0.8], np.float32))
    poses = decoded(twice, look=look, pose_nms=pose_nms)
    assert poses.box_score.tolist() == pytest.approx([0.9, 0.8] if pose_nms else [0.5, 0.9, 0.8])


def test_looks_that_give_different_bodies_are_not_plausible(rng):
    truth = people(2, None)
    read, frame = head(num_aug=5), blank()
    look = around(Bodies.camera(frame).project(truth))
    flat, deep = seen(read, frame, truth, look)
    deep[5:] = rng.permuted(deep[5:], axis=1)  # the second one's joints, otherwise in each look
    poses = read.decode(frame, (flat, deep), read.crops(frame, look), look)
    assert poses.plausible is not None
    assert poses.plausible.tolist() == [True, False]


def test_limbs_are_known_by_the_names_of_their_ends():
    bones, length = absolute.limbs(SMPL24.keypoints)
    assert len(bones) == 8
    found = np.linalg.norm(BODY[bones[:, 0]] - BODY[bones[:, 1]], axis=1)
    np.testing.assert_allclose(found, length, rtol=0.2)
    bones, length = absolute.limbs(TOY.keypoints)
    assert (bones.shape, length.shape) == ((0, 2), (0,))
    assert absolute.bones_fit(np.zeros((2, 3, 3)), bones, length).all()


# Many and nobody


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=list(CAMERAS))
@pytest.mark.parametrize("average", [True, False])
def test_nobody_is_an_ordinary_answer(camera, average):
    poses = decoded(np.zeros((0, 24, 3)), camera, Regions.none(), num_aug=5, average=average)
    assert poses.xy.shape == (0, 24, 2)
    assert poses.xyz is not None
    assert poses.xyz.shape == (0, 24, 3)
    for name, shape in (("error", (0,)), ("plausible", (0,)), ("score", (0, 24)), ("box", (0, 4))):
        assert getattr(poses, name).shape == shape
    assert (poses.world is None) == (camera is None)
    assert poses.look is not None
    assert len(poses.look) == 0


def model(truths: Sequence[np.ndarray], frames: Sequence[Frame], **options: Any) -> TopDown:
    """A whole model whose network sees the people of each frame as they are."""
    read = head(**options)
    finds = [around(Bodies.camera(f).project(t)) for f, t in zip(frames, truths, strict=True)]
    parts = [seen(read, *three) for three in zip(frames, truths, finds, strict=True)]
    outputs = [np.concatenate(part) for part in zip(*parts, strict=True)]
    done = [0]

    def network(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        start = done[0]
        done[0] += len(rows)
        return tuple(part[start : done[0]] for part in outputs)

    read.network = network
    return TopDown(lambda _: finds, read, 100, batch=64)


@pytest.mark.parametrize("num_aug", [1, 5])
def test_several_frames_of_twenty_one_and_no_people_in_one_call(num_aug):
    """More crops than go through the network at once, and cameras of their own."""
    frames = [blank(rolled()), blank(), blank(), blank(rolled())]
    truths = [people(n, frame.camera, n) for n, frame in zip((0, 20, 1, 3), frames, strict=True)]
    found = model(truths, frames, num_aug=num_aug, pose_nms=False)(frames)
    assert [len(poses) for poses in found] == [0, 20, 1, 3]
    for poses, truth, frame in zip(found, truths, frames, strict=True):
        is_there(poses, truth, Bodies.camera(frame), metres=1e-3, pixels=0.6)
        assert (poses.world is None) == (frame.camera is None)


def test_the_score_of_a_person_and_the_box_are_the_finder_s_and_the_next_region_is_around():
    truth = people(2, None)
    look = around(Bodies.camera(blank()).project(truth))
    poses = decoded(truth, look=look)
    np.testing.assert_array_equal(poses.box_score, look.score)
    np.testing.assert_allclose(poses.box, look.bounds())
    assert poses.look is not None
    low, high = poses.xy.min(axis=1), poses.xy.max(axis=1)
    np.testing.assert_allclose(poses.look.centre, (low + high) / 2, atol=1e-3)
    np.testing.assert_allclose(poses.look.size, 1.25 * (high - low), rtol=1e-5)


def test_a_turned_region_is_looked_at_as_the_upright_box_around_it():
    look = around(Bodies.camera(blank()).project(people(1, None)))
    turned = replace(look, angle=np.array([0.4], np.float32))
    box = Regions.boxes(turned.bounds(), look.score)
    for one, other in zip(head().crops(blank(), turned), head().crops(blank(), box), strict=True):
        np.testing.assert_allclose(one.from_input, other.from_input)


def test_with_batch_rms_a_person_depends_on_the_others_and_alone_is_the_same():
    truth = people(2, None) + np.array([[[0, 0, 0]], [[0, 0, 4]]])
    xy = Bodies.camera(blank()).project(truth)
    parts = {
        rms: (decoded(truth, batch_rms=rms), decoded(truth[:1], look=around(xy[:1]), batch_rms=rms))
        for rms in (False, True)
    }
    apart = {rms: np.abs(both.xyz[0] - one.xyz[0]).max() for rms, (both, one) in parts.items()}  # type: ignore[index]
    assert apart[False] < 1e-5
    assert apart[True] > 1e-5


# Points, joints and skeletons


def about(**other: object) -> dict[str, str]:
    """Metadata of a network of SMPL's points, with two skeletons of which one is made of pairs."""
    from vitruvian.weights.metadata import pack_matrix

    transform = np.concatenate([np.eye(24), np.zeros((24, 1))], axis=1).astype(np.float32)
    transform[[1, 2], 24] = 0.5  # the middle of the hips
    table = Skeleton("toy", "here", ("nose", "left_hand", "right_hand"), (), TOY.sigmas)
    said: dict[str, Any] = {
        "points": json.dumps(SMPL24.keypoints),
        "mirror": json.dumps(MIRROR.tolist()),
        "transform": pack_matrix(transform),
        "skeletons": json.dumps({
            "toy": {"indices": [24, 1, 2], "table": table.to_json()},
            "smpl_24": {"indices": list(range(24)), "table": SMPL24.to_json()},
        }),
        "mix": "null",
        "weak_perspective": "false",
        "volume": json.dumps({"side": 384}),
        "antialias": "2",
        "fill": "0.8",
    }  # fmt: skip
    said |= other
    return {name: text for name, text in said.items() if text is not None}


def test_a_file_says_how_it_is_read_and_smpl_is_what_is_given():
    read = HeadSpec.read(about())
    assert read.skeleton.name == "smpl_24"
    assert read.volume == Volume(side=384)
    assert (read.mix, read.weak, read.antialias, read.fill) == (0.0, False, 2, 0.8)
    assert head(read).antialias == 2
    assert head(read, antialias=4).antialias == 4
    assert head(read).mix == 0
    assert head(read, mix=0.25).mix == 0.25
    toys = json.loads(about()["skeletons"])
    del toys["smpl_24"]
    bare = HeadSpec.read(about(skeletons=json.dumps(toys), antialias=None, fill=None))
    assert (bare.skeleton.name, bare.antialias, bare.fill) == ("toy", 1, 1.0)
    with refused("no skeleton in the file named 'smpl_23'; did you mean 'smpl_24'?"):
        HeadSpec.read(about(), "smpl_23")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mirror", "[0, 1]"),
        ("mirror", json.dumps([99] * 24)),
        ("points", "[1]"),
        ("points", None),
        ("volume", '{"sides": 1}'),
        (
            "skeletons",
            '{"smpl_24": {"indices": [0], "table": ' + json.dumps(SMPL24.to_json()) + "}}",
        ),
        ("transform", "[]"),
        ("mix", "x"),
    ],
)
def test_a_file_that_says_something_else_is_refused(name, text):
    with pytest.raises((ValueError, TypeError, LookupError)):
        HeadSpec.read(about(**{name: text}))


@pytest.mark.usefixtures("unbiased")
def test_joints_that_are_made_of_points_are_made_of_them_in_space():
    """The middle of the hips, projected: not the mean of the hips' pixels, nor mirrored."""
    spec = HeadSpec.read(about(mix="0.5"), "toy")
    truth = people(2, rolled())
    poses = decoded(truth, rolled(), spec=spec, num_aug=5)
    assert poses.skeleton.keypoints == ("nose", "left_hand", "right_hand")
    want = np.stack([truth[:, 1:3].mean(axis=1), truth[:, 1], truth[:, 2]], axis=1)
    is_there(poses, want, rolled(), metres=5e-5, pixels=0.01)
    np.testing.assert_allclose(poses.score, 1, atol=0.02)


# Against the authors' numbers


@pytest.mark.shared
def test_the_authors_maps_become_the_authors_metres(metrabs_golden):
    """0.05 mm, as the spec says, from their logits; in their crops' own cameras."""
    cameras = []
    for matrix in metrabs_golden["intrinsics"].astype(float):
        matrix[:2, 2] += 0.5  # they count the centre of the first pixel as 0
        cameras.append(Camera(matrix, (256, 256)))
    outputs = authors(metrabs_golden)
    together = head(batch_rms=True).read(outputs, cameras)
    want = metrabs_golden["coords3d_abs_mm"]
    np.testing.assert_allclose(1000 * together.xyz, want, atol=0.05)
    np.testing.assert_allclose(together.xy - 0.5, metrabs_golden["coords2d_px"], atol=2e-3)
    np.testing.assert_array_equal(together.inside, metrabs_golden["in_fov"])
    alone = head().read(outputs, cameras)
    for i in (0, 1):
        want = metrabs_golden[f"coords3d_abs_mm_item{i}_alone"][0]
        np.testing.assert_allclose(1000 * alone.xyz[i], want, atol=0.05)
    for name, mix in (("0.0", 0), ("None", 0), ("1.0", 1)):
        mixed = head(batch_rms=True, mix=mix).read(outputs, cameras)
        want = metrabs_golden[f"coords3d_abs_mm_mix_{name}"]
        np.testing.assert_allclose(1000 * mixed.xyz, want, atol=0.05)


@pytest.fixture(scope="session")
def exported(tmp_path_factory, torch, metrabs, seeded) -> Path:
    """The golden network, S with 24 points, as a file of our own."""
    folder = tmp_path_factory.mktemp("golden")
    metrabs.save(metrabs.load(seeded), folder / "golden.pt", Volume(), SMPL24)
    export_file(str(folder / "golden.pt"), folder / "golden.onnx")
    return folder / "golden.onnx"


@pytest.mark.shared
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_the_authors_pictures_become_the_authors_metres(exported, metrabs_golden, runtime, written):
    """Through the exported network: medians to 0.2 mm, as the spec says of end to end. The largest
    is allowed 20 mm: the seeded network makes millimetres of rounding in its 100th layer.
    """
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    opened = load(str(exported), find=str(written([])), runtime=runtime, batch_rms=True)
    assert isinstance(opened, TopDown)
    assert isinstance(opened.head, Bodies)
    rows = np.moveaxis(metrabs_golden["image_u8"], 1, -1) / np.float32(255)
    outputs = opened.head.network(np.ascontiguousarray(rows))
    for got, want in zip(outputs, authors(metrabs_golden), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-2)
    matrices = metrabs_golden["intrinsics"].astype(float)
    matrices[:, :2, 2] += 0.5
    read = opened.head.read(outputs, [Camera(matrix, (256, 256)) for matrix in matrices])
    apart = np.abs(1000 * read.xyz - metrabs_golden["coords3d_abs_mm"])
    assert np.median(apart) < 0.2
    assert apart.max() < 20


@pytest.mark.shared
@pytest.mark.parametrize("num_aug", [1, 5])
def test_real_pictures_go_through_the_whole_model(exported, shared, num_aug):
    """What comes out means nothing; that it comes out, finite and of the right size, does."""
    opened = load(str(exported), num_aug=num_aug, conf=0.3)
    frames = [Frame.read(path) for path in sorted((shared / "data/images").glob("*.jpg"))]
    found = opened([*frames, blank()])
    assert [len(poses) > 0 for poses in found] == [True] * 3 + [False]
    for poses, frame in zip(found, frames, strict=False):
        assert poses.xyz is not None
        assert poses.error is not None
        assert poses.skeleton.keypoints == SMPL24.keypoints
        assert np.isfinite(poses.xyz).all()
        assert (poses.xyz[..., 2] < 100).all()
        front = poses.xyz[..., 2] > 0
        there = Bodies.camera(frame)
        if num_aug == 1:
            np.testing.assert_allclose(poses.xy[front], there.project(poses.xyz[front]), atol=0.01)
        assert ((poses.score >= 0) & (poses.score <= 1)).all()


@pytest.mark.shared
def test_both_runtimes_give_the_same_poses(exported, shared, written):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    frame = Frame.read(shared / "data/images/pose.jpg")
    rows = [{"image_id": "pose.jpg", "bbox": [100, 50, 300, 500], "score": 1.0}] * 3
    found = [
        load(str(exported), find=str(written(rows)), runtime=runtime)([frame])[0]
        for runtime in ("openvino", "onnxruntime")
    ]
    apart = np.abs(found[0].xyz - found[1].xyz)  # type: ignore[operator]
    assert np.median(apart) < 1e-3  # metres: seeded weights make millimetres of rounding
    np.testing.assert_allclose(found[0].score, found[1].score, atol=1e-3)


# Crops


class Part:
    """Pixels as a video has them: a part of the frame is given that begins at even pixels."""

    def __init__(self, rgb: np.ndarray) -> None:
        self.whole, self.size, self.asked = rgb, (rgb.shape[1], rgb.shape[0]), 0

    def rgb(self) -> np.ndarray:
        return self.whole

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        self.asked += 1
        low = np.clip(box[:2] - 2, 0, np.array(self.size) - 2).astype(int) // 2 * 2
        high = np.clip(box[2:] + 2, low + 2, self.size).astype(int)
        return self.whole[low[1] : high[1], low[0] : high[0]], (int(low[0]), int(low[1]))


@pytest.mark.parametrize("camera", [None, rolled()], ids=["straight", "bent"])
def test_crops_of_parts_of_a_frame_are_those_of_the_whole(camera, rng):
    """Also where the frame is halved two and three times first."""
    rgb = rng.integers(0, 256, (960, 1280, 3), np.uint8)
    boxes = [(430, 210, 560, 500), (11, 7, 950, 910), (700, 600, 1280, 960), (1200, 3, 1500, 99)]
    look = Regions.boxes(np.array(boxes, np.float32), np.ones(4, np.float32))
    for side in (256, 96):
        read = head(replace(SPEC, volume=Volume(side=side)), num_aug=5)
        pixels = Part(rgb)
        parts, whole = Frame(pixels, camera=camera), Frame(rgb, camera=camera)
        crops = read.crops(whole, look)
        # Which pixels meet is the same; the last digit may not be.
        np.testing.assert_allclose(
            read.prepare(parts, crops), read.prepare(whole, crops), atol=2e-7
        )
        assert pixels.asked == 20


def test_crops_are_as_bright_as_their_look_says_and_black_outside():
    frame = Frame(np.full((*SIZE[::-1], 3), 100, np.uint8))
    look = Regions.boxes(np.array([[-300, 100, 300, 700]], np.float32), np.ones(1, np.float32))
    read = head(num_aug=5)
    rows = read.prepare(frame, read.crops(frame, look))
    assert (rows.shape, rows.dtype) == ((5, 256, 256, 3), np.float32)
    for row, each in zip(rows, read.looks, strict=True):
        inner, outer = (-40, 40) if each.mirror is False else (40, -40)
        np.testing.assert_allclose(row[128, inner], (100 / 255) ** each.gamma, atol=1e-4)
        assert (row[128, outer] == 0).all()


# Options


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"num_augs": 5}, "no MeTRAbs option named 'num_augs'; did you mean 'num_aug'?"),
        ({"num_aug": 0}, "num_aug is 0, want a whole number from 1"),
        ({"num_aug": 2.0}, "num_aug is 2.0"),
        ({"antialias": 0}, "antialias is 0"),
        ({"mix": 2}, "mix is 2, want a number from 0 to 1"),
        ({"conf": "high"}, "conf is 'high'"),
        ({"average": 1}, "average is 1, want True or False"),
        ({"skeleton": 3}, "skeleton is 3, want a skeleton name of the file"),
        ({"skeleton": SMPL24}, "want a skeleton name of the file"),
        ({"runtime": "torch"}, "no runtime named 'torch'"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "use f32, or runtime openvino"),
    ],
)
def test_a_wrong_option_is_one_clear_line_before_anything_is_fetched(given, line, cache):
    with refused(line):
        load("metrabs-s", **given)
    assert not cache.exists()


# Files and commands


@pytest.fixture
def written(tmp_path: Path):
    def write(rows: object) -> Path:
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(rows))
        return path

    return write


@pytest.fixture(scope="session")
def own(tmp_path_factory, torch, metrabs) -> Path:
    """A checkpoint of our own: narrow, three points, crops of 128 pixels with two samples."""
    path = tmp_path_factory.mktemp("a folder with spaces ü") / "my metrabs.pt"
    network = made(torch, metrabs, "efficientnetv2")
    metrabs.save(network, path, Volume(side=128, depth=4), TOY, antialias=2, fill=0.8)
    return path


@pytest.fixture(scope="session")
def archive(tmp_path_factory, torch, metrabs) -> Path:
    """A narrow network as its authors pack it."""
    torch.manual_seed(0)
    network = metrabs.Metrabs(replace(small(metrabs, "efficientnetv2"), depth=8))
    path = tmp_path_factory.mktemp("archive") / "metrabs_toy_pytorch.tar.gz"
    return pack(path, files(tensors_file(torch, arrays(network))))


ROWS = [{"image_id": 1, "bbox": [20, 10, 60, 90], "score": 0.9}]


def test_a_checkpoint_and_an_archive_run_by_their_names(own, archive, written, cache, rng, capsys):
    """Each is converted once; what the file says of itself arrives."""
    boxes = str(written(ROWS))
    frame = Frame(rng.integers(0, 255, (120, 160, 3), np.uint8), source="1.jpg")
    assert family_of(str(own)) == family_of(str(archive)) == FAMILY
    first = load(str(own), find=boxes)
    assert isinstance(first, TopDown)
    assert isinstance(first.head, Bodies)
    assert (first.name, first.skeleton.keypoints) == ("my metrabs", TOY.keypoints)
    assert (first.head.antialias, first.head.spec.volume.side) == (2, 128)
    assert first.options["antialias"] == 2
    assert first.head.spec.fill == 0.8
    (poses,) = first([frame])
    assert len(poses) == 1
    assert poses.xyz is not None
    assert np.isfinite(poses.xyz).all()
    authors_own = load(str(archive), find=boxes, skeleton="toy_3")
    assert authors_own.skeleton.keypoints == ("pelvis", "right_hip", "left_hip")
    assert load(str(archive), find=boxes).skeleton.name == "all"  # no smpl_24 in it: the first
    with refused("no skeleton in the file named 'coco_19'"):
        load(str(archive), find=boxes, skeleton="coco_19")
    said = capsys.readouterr().err.splitlines()
    assert said == [f"converting {path.name} (once)" for path in (own, archive)]
    names = sorted(path.name for path in cache.iterdir() if path.is_file())
    assert len(names) == 2
    assert names[0].startswith("metrabs_toy_pytorch-")
    (file,) = (path for path in cache.iterdir() if path.name.startswith("my metrabs-"))
    assert family_of(str(file)) == FAMILY
    (again,) = load(str(file), find=boxes)([frame])
    np.testing.assert_array_equal(again.xy, poses.xy)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("points", "[]", "has no metadata of this package; export it again"),
        ("volume", '{"side": 256}', "has an input of (None, 128, 128, 3), want (N, 256, 256, 3)"),
    ],
)
def test_a_file_that_says_what_it_is_not_is_refused(own, cache, tmp_path, name, text, why):
    import onnx

    file = onnx.load(converted(own))
    (said,) = (prop for prop in file.metadata_props if prop.key == name)
    said.value = text
    onnx.save(file, tmp_path / "a.onnx")
    with refused(why):
        load(str(tmp_path / "a.onnx"))


def test_a_command_from_a_checkpoint_to_records(own, written, picture, tmp_path, cache):
    rng = np.random.default_rng(0)
    for name, size in (("in/1.png", (90, 120)), ("in/2.png", (1, 1)), ("in/3.png", (50, 50))):
        picture(name, rng.integers(0, 255, (*size, 3), np.uint8))
    rows = [
        {"image_id": 1, "bbox": [10, 10, 40, 70], "score": 0.9},
        {"image_id": 1, "bbox": [60, 10, 40, 70], "score": 0.8},
        {"image_id": 2, "bbox": [0, 0, 1, 1], "score": 0.8},
    ]
    words = ["predict", tmp_path / "in", "--offline", "--find", written(rows)]
    words += ["--model", f"{own},num_aug=5"]
    done = command(*words, "--skeleton", "toy", "--out", tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert "3 images, 3 people" in done.stdout
    header, *lines = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert [len(line["people"]) for line in lines] == [2, 1, 0]
    assert {(line["skeleton"], line["origin"]) for line in lines} == {("toy", "camera")}
    assert header["options"]["augment"] == 5
    again = command(*words, "--skeleton", "toys", "--out", tmp_path / "b.jsonl")
    assert again.returncode == 1
    assert "no skeleton in the file named 'toys'; did you mean 'toy'?" in again.stderr
    assert "converting" not in again.stderr


@pytest.mark.parametrize(
    ("name", "words", "option"),
    [
        ("metrabs-s", "flip=true", "flip"),
        ("metrabs-s", "scales=0.75,1", "scales"),
        ("metrabs-s", "decode=argmax", "decode"),
        ("metrabs-s", "masks=true", "masks"),
        ("yolov8n-pose", "num_aug=5", "num_aug"),
        ("alphapose-fastpose-r50", "num_aug=5", "num_aug"),
        ("blazepose-full", "num_aug=5", "num_aug"),
    ],
)
def test_options_of_other_families_are_refused(name, words, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("predict", "sample", "--offline", "--model", f"{name},{words}")
    assert done.returncode == 1
    assert f"named '{option}'" in done.stderr


PUBLISHED = [row.name for row in CATALOGUE.values() if row.licence.startswith("non-commercial")]


def test_the_published_networks_are_all_there():
    assert PUBLISHED == ["metrabs-s", "metrabs-s-256", "metrabs-l"]
    for name in PUBLISHED:
        row = entry(name)
        assert row.family == "metrabs"
        assert row.skeleton in {"smpl_24"}
        assert row.files[1].name.endswith("_pytorch.tar.gz")


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_licence_is_shown_when_they_are_fetched_and_they_are_converted_once(
    name, archive, cache, monkeypatch, capsys, written
):
    asked = []

    def url(package: packages.Package, folder: Path) -> Path:
        asked.append(package.name)
        (folder / "archive").write_bytes(archive.read_bytes())
        return folder / "archive"

    monkeypatch.setitem(packages._CLIENTS, "url", url)
    opened = load(name, find=str(written(ROWS)), skeleton="toy_3")
    assert (opened.name, opened.skeleton.name) == (name, "toy_3")
    first, second, third = capsys.readouterr().err.splitlines()
    assert f"the weights of {name} have the licence non-commercial use only" in first
    assert second.startswith("fetching https://bit.ly/metrabs_")
    assert third.startswith("converting metrabs_eff2")
    load(name, find=str(written(ROWS)))
    assert len(asked) == 1
    assert capsys.readouterr().err == ""


def test_an_archive_is_exported_by_its_model_s_name(archive, cache, tmp_path):
    row = entry("metrabs-l")
    cache.mkdir()
    (cache / row.files[1].name).write_bytes(archive.read_bytes())
    done = export_file("metrabs-l", tmp_path / "a.onnx")
    assert done.file.is_file()
    with refused("vitruvian-2d is not a checkpoint"):
        export_file("vitruvian-2d", tmp_path / "b.onnx")
    with refused("has no --skeleton; leave it out"):
        export_file("metrabs-l", tmp_path / "b.onnx", skeleton="coco17")


def test_a_box_takes_as_much_of_the_crop_as_in_training():
    """A person of 100 pixels before a crop of 256 that they are to fill by 0.8."""
    frame = Frame(np.zeros((400, 400, 3), np.uint8), source="a.jpg")
    around = Regions.boxes(np.array([[150, 150, 250, 250]], np.float32), np.ones(1, np.float32))
    sides = []
    for fill in ("1.0", "0.8"):
        (crop,) = head(HeadSpec.read(about(fill=fill))).crops(frame, around)
        corners = crop.from_frame(np.array([[150.0, 200.0], [250.0, 200.0]]))
        sides.append(corners[1, 0] - corners[0, 0])
    assert sides[1] / sides[0] == pytest.approx(0.8, abs=0.01)


def test_an_antialias_that_is_no_number_is_refused(own, tmp_path, torch, metrabs):
    read = torch.load(own, weights_only=True)
    torch.save(read | {"antialias": "much"}, tmp_path / "a.pt")
    with refused("antialias is 'much', want a whole number from 1"):
        export_file(str(tmp_path / "a.pt"), tmp_path / "a.onnx")
    torch.save(read | {"fill": 0.0}, tmp_path / "b.pt")
    with refused("fill is 0.0, want 0.1 to 2 of the crop side"):
        export_file(str(tmp_path / "b.pt"), tmp_path / "b.onnx")
