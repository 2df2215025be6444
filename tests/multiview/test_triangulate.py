"""Several cameras: points, people, sides, clocks; made-up people whose places are known."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rigs
import vitruvian as vit
from commands import process
from vitruvian.body.skeletons import COCO17, SKELETONS
from vitruvian.errors import VitruvianError
from vitruvian.formats.trc import read_trc
from vitruvian.geometry import calibration_files
from vitruvian.geometry.camera import Camera, rotation_matrix
from vitruvian.multiview.recording import CameraView, Options, triangulated
from vitruvian.multiview.triangulation import Rig, triangulate_points, undistorted
from vitruvian.verbs.outputs import SAVED
from vitruvian.verbs.triangulate import report

SECONDS = np.arange(90) / 30


def views_of(people, cameras, seconds=SECONDS, noise=2.0, seed=0, **more):
    rng = np.random.default_rng(seed)
    return [
        rigs.seen(camera, f"cam{i}", people, seconds, rng, noise=noise, **more)
        for i, camera in enumerate(cameras)
    ]


def off(person, truth):
    """(T, 17) metres."""
    return np.linalg.norm(person.world - truth, axis=-1)


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_points_are_exact_without_noise(count):
    cameras = rigs.cameras(count)
    lens = np.array([-0.1, 0.02, 0.001, -0.001])
    cameras = [replace(camera, distortion=lens) for camera in cameras]
    points = rigs.walker(SECONDS[:3]).reshape(-1, 3)
    xy = np.stack([camera.project(camera.from_world(points)) for camera in cameras])
    at = undistorted(cameras, xy).transpose(1, 0, 2)
    found = triangulate_points(
        Rig.of(cameras), at, np.ones(at.shape[:2]), np.full(len(cameras), 5.0)
    )
    np.testing.assert_allclose(found.world, points, atol=1e-6)
    assert found.error.max() < 1e-3


def test_the_error_is_that_of_least_squares_and_is_told():
    """Within a few percent of the bound of Cramer and Rao, also what the result says itself."""
    cameras, truth = rigs.cameras(4), rigs.walker(SECONDS)
    (person,) = triangulated(views_of(truth[None], cameras)).people
    rig, points = Rig.of(cameras), truth.reshape(-1, 3)
    seen = np.einsum("vij,mj->mvi", rig.rotation, points) + rig.shift
    flat = seen[..., :2] / seen[..., 2:]
    slope = rig.rotation[:, :2] - flat[..., None] * rig.rotation[:, None, 2]
    slope = slope * (rig.focal / seen[..., 2:])[..., None]
    normal = np.einsum("mvij,mvik->mjk", slope, slope)
    bound = np.sqrt(4 * np.trace(np.linalg.inv(normal), axis1=1, axis2=2).mean())
    error = np.sqrt((off(person, truth) ** 2).mean())
    assert error < 1.05 * bound
    assert np.sqrt((person.uncertainty**2).mean()) == pytest.approx(error, rel=0.1)


def test_a_wrong_view_is_left_out_of_a_keypoint():
    cameras, truth = rigs.cameras(4), rigs.walker(SECONDS)
    views = views_of(truth[None], cameras)
    wrist = COCO17["left_wrist"]
    for _, poses in views[1].pairs[20:40]:
        poses.xy[0, wrist] += (150, -90)
    (person,) = triangulated(views).people
    assert not person.used[20:40, 1, wrist].any()
    assert person.used[20:40][:, [0, 2, 3], wrist].all()
    assert off(person, truth)[20:40, wrist].max() < 0.06


def test_what_one_view_alone_sees_is_missing():
    cameras, truth = rigs.cameras(3), rigs.walker(SECONDS)
    views = views_of(truth[None], cameras)
    knee = COCO17["right_knee"]
    for view in views[:2]:
        for _, poses in view.pairs[10:20]:
            poses.xy[0, knee], poses.score[0, knee] = np.nan, 0
    found = triangulated(views)
    assert np.isnan(found.people[0].world[10:20, knee]).all()
    poses = found.poses(15)
    assert poses.world is not None
    assert poses.views is not None
    assert np.isnan(poses.world[0, knee]).all()
    assert poses.views[0, knee] == 0
    assert np.isfinite(np.delete(poses.world[0], knee, axis=0)).all()


@pytest.mark.parametrize("names", [(), ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")])
def test_exchanged_sides_of_a_view_are_mended(names):
    cameras, truth = rigs.cameras(4), rigs.walker(SECONDS)
    views = views_of(truth[None], cameras)
    views[2] = rigs.swap_sides(views[2], slice(30, 60), names)
    mended = triangulated(views).people[0]
    assert mended.swapped[30:60, 2].mean() > 0.95
    assert mended.swapped[:, [0, 1, 3]].mean() < 0.02
    assert np.nanmedian(off(mended, truth)[30:60]) < 0.012
    assert np.nanmax(off(mended, truth)[30:60]) < 0.12
    left = triangulated(views, Options(mend_sides=False)).people[0]
    assert left.used[30:60, 2].mean() < mended.used[30:60, 2].mean() - 0.1


def test_two_people_keep_their_numbers_though_a_view_exchanges_them():
    cameras = rigs.cameras(3)
    truth = np.stack([rigs.walker(SECONDS), rigs.walker(SECONDS, 1.0, 2.5)])
    ids = np.repeat([[0], [1]], len(SECONDS), axis=1)
    ids[:, 45:] = ids[::-1, 45:]
    third = rigs.seen(cameras[2], "cam2", truth, SECONDS, np.random.default_rng(5), ids=ids)
    views = [*views_of(truth, cameras[:2]), third]
    found = triangulated(views)
    assert len(found.people) == 2
    order = [int(np.argmin([np.nanmedian(off(p, t)) for t in truth])) for p in found.people]
    assert sorted(order) == [0, 1]
    for person, which in zip(found.people, order, strict=True):
        assert np.nanmedian(off(person, truth[which])) < 0.02
        assert np.isfinite(person.world).all(axis=(1, 2)).mean() > 0.9


@pytest.mark.parametrize(
    ("count", "views"), [(4, (1, 2, 3)), (4, (0, 1, 2, 3)), (2, (1,)), (2, (0,))]
)
def test_ids_that_most_views_exchange_at_once_change_nobody(count, views):
    """Nobody jumps by a metre from one frame to the next, and nothing is missing at that time."""
    cameras = rigs.cameras(count)
    angle = 1.0 * SECONDS
    place = 0.45 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    truth = np.stack([
        rigs.body(SECONDS, place, angle), rigs.body(SECONDS, -place, angle + np.pi, 1.0)
    ])  # fmt: skip
    ids = np.repeat([[1], [2]], len(SECONDS), axis=1)
    changed = ids.copy()
    changed[:, 40:] = ids[::-1, 40:]
    rng = np.random.default_rng(5)
    seen = [
        rigs.seen(camera, f"cam{v}", truth, SECONDS, rng, ids=changed if v in views else ids)
        for v, camera in enumerate(cameras)
    ]
    found = triangulated(seen)
    assert len(found.people) == 2
    who = [int(np.argmin([np.nanmedian(off(p, t)) for t in truth])) for p in found.people]
    assert sorted(who) == [0, 1]
    for person, n in zip(found.people, who, strict=True):
        far = off(person, truth[n])
        assert np.nanmedian(far) < 0.03
        assert (np.nanmedian(far, axis=1) < 0.2).mean() > 0.97
        assert np.isfinite(far).mean() > 0.9


def test_somebody_in_one_view_only_is_told_not_guessed():
    cameras = rigs.cameras(3)
    two = np.stack([rigs.walker(SECONDS), rigs.walker(SECONDS, 1.0, 2.5)])
    views = views_of(two[:1], cameras[:2]) + views_of(two, cameras[2:])
    views[2] = replace(views[2], name="third")
    found = triangulated(views)
    assert len(found.people) == 1
    assert found.alone == {("third", 1): len(SECONDS)}


@pytest.mark.parametrize("legs", [0.9, 0.4])
@pytest.mark.parametrize("swing", [0.3, 1.0])
def test_exchanged_sides_of_two_cameras_at_one_height_are_mended(legs, swing):
    """Level epipolar lines cannot tell; the bones can, and the arms tell the view of the legs."""
    ahead = np.full(len(SECONDS), 0.9 - np.pi / 2)  # between the cameras
    truth = rigs.body(SECONDS, np.zeros((len(SECONDS), 2)), ahead, swing=swing)
    views = views_of(truth[None], rigs.cameras(2))
    pairs = []
    for frame, poses in views[0].pairs:
        score = poses.score.copy()
        score[:, 11:] = legs  # hips, knees, ankles
        pairs.append((frame, replace(poses, score=score)))
    views = [replace(views[0], pairs=pairs), rigs.swap_sides(views[1], slice(30, 60))]
    (person,) = triangulated(views).people
    assert person.swapped[30:60, 1].mean() > 0.95
    assert person.swapped[:, 0].mean() < 0.04
    assert np.nanmean(off(person, truth)) < 0.025  # 0.08 as they are


@pytest.mark.parametrize("late", [0.1, -0.73, 1.9])
def test_a_camera_that_starts_later_is_found(late):
    """To 0.2 frames; its frame rate differs, too."""
    cameras, views = rigs.cameras(3), []
    rng = np.random.default_rng(2)
    for i, camera in enumerate(cameras):
        own = np.arange(200) / (25 if i == 1 else 30)
        body = rigs.walker(own + (late if i == 1 else 0))[None]
        views.append(rigs.seen(camera, f"cam{i}", body, own, rng))
    found = triangulated(views, find_offsets=4.0)
    assert found.offsets[1] is not None
    assert found.offsets[2] is not None
    assert found.offsets[1].seconds == pytest.approx(late, abs=0.2 / 25)
    assert found.offsets[2].seconds == pytest.approx(0, abs=0.2 / 30)
    truth = rigs.walker(np.arange(200) / 30)
    assert np.nanmedian(off(found.people[0], truth)) < 0.02


def test_all_at_once():
    """Two people, a view whose sides are exchanged for a while, and another that starts 0.1 s late.

    Both people are found, nobody is exchanged, the offset is known to 0.2 frames, and the error is
    that of the noise.
    """
    cameras, rng = rigs.cameras(4), np.random.default_rng(4)

    def two(seconds):
        return np.stack([rigs.walker(seconds), rigs.walker(seconds, 1.0, 2.5)])

    views = [
        rigs.seen(camera, f"cam{i}", two(SECONDS + 0.1 * (i == 3)), SECONDS, rng)
        for i, camera in enumerate(cameras)
    ]
    views[1] = rigs.swap_sides(views[1], slice(30, 60))
    found, truth = triangulated(views, find_offsets=1.0), two(SECONDS)
    assert found.offsets[3] is not None
    assert found.offsets[3].seconds == pytest.approx(0.1, abs=0.2 / 30)
    assert len(found.people) == 2
    who = [int(np.argmin([np.nanmedian(off(p, t)) for t in truth])) for p in found.people]
    assert sorted(who) == [0, 1]
    for person, n in zip(found.people, who, strict=True):
        assert np.nanmedian(off(person, truth[n])) < 0.012
        assert np.nanpercentile(off(person, truth[n]), 99) < 0.15
        assert person.swapped[30:60, 1].mean() > 0.95


def test_an_offset_that_cannot_be_known_is_not_made_up():
    """Somebody who stands still."""
    cameras = rigs.cameras(3)
    still = np.repeat(rigs.walker(np.zeros(1)), len(SECONDS), axis=0)[None]
    found = triangulated(views_of(still, cameras), find_offsets=2.0)
    assert found.offsets[1] is None
    assert np.nanmedian(off(found.people[0], still[0])) < 0.02


def test_bones_of_one_length():
    cameras, truth = rigs.cameras(3), rigs.walker(SECONDS)
    views = views_of(truth[None], cameras, noise=6.0)

    def spread(bones):
        world = triangulated(views, Options(bones=bones)).people[0].world
        shin = world[:, COCO17["left_knee"]] - world[:, COCO17["left_ankle"]]
        return float(np.nanstd(np.linalg.norm(shin, axis=-1)))

    assert spread(True) < 0.3 * spread(False)


@pytest.mark.parametrize(
    ("count", "turned", "line"),
    [
        (4, 0.0, None),
        (4, 0.5, r"^c does not fit the others: .*: a \d, b \d, d \d; calibrate the rig again"),
        (3, 0.5, r"^c does not fit the others: .*: a \d, b \d; "),
        (2, 0.5, r"^cameras do not fit each other: .*: a and c 8; "),
    ],
)
def test_a_camera_that_does_not_fit_is_named(count, turned, line):
    """Tilted by half a degree, 8 pixels; without that, noise alone is not told."""
    cameras, truth = rigs.cameras(count), rigs.walker(SECONDS)
    views, wrong = views_of(truth[None], cameras), min(2, count - 1)
    extrinsics = cameras[wrong].extrinsics
    assert extrinsics is not None
    tilted = extrinsics.copy()
    tilted[:3] = rotation_matrix(np.radians([turned, 0, 0])) @ extrinsics[:3]
    views[wrong] = replace(views[wrong], camera=cameras[wrong].placed(tilted, (0, 0, 1)))
    found = triangulated(views)
    offset = found.people[0].beside.offset
    right = np.delete(np.delete(offset, wrong, 0), wrong, 1)
    assert np.nan_to_num(right).max() < 0.3
    # 900 px times 0.5 degrees in the middle; up to a fifth more where the image is seen aslant.
    assert np.nanmax(offset) == pytest.approx(1.1 * 900 * np.radians(turned), rel=0.1, abs=0.3)
    names = ["a", "c"] if count == 2 else list("abcd")[:count]
    lines = [each for each in report(found, names) if "fit" in each]
    assert len(lines) == (line is not None)
    if line:
        assert re.search(line, lines[0])


def test_a_keypoint_on_which_two_views_agree_by_chance_is_left_out():
    """A wrist a metre away from the forearm; what it is joined to stays."""
    rng, wrist = np.random.default_rng(0), COCO17.keypoints.index("left_wrist")
    truth = rigs.walker(SECONDS)[None]
    wrong = truth.copy()
    wrong[0, 30:35, wrist] += (0.7, 0.7, 0.2)
    views = [
        rigs.seen(camera, f"cam{i}", wrong if i < 2 else truth, SECONDS, rng)
        for i, camera in enumerate(rigs.cameras(3))
    ]
    (person,) = triangulated(views).people
    off = np.linalg.norm(person.world - truth[0], axis=-1)
    assert np.isnan(off[30:35, wrist]).all()
    assert not person.used[30:35, :, wrist].any()
    assert np.isnan(person.uncertainty[30:35, wrist]).all()
    assert np.isnan(off).sum() == 5
    assert np.nanmax(off) < 0.1


def test_a_camera_without_a_place_is_refused():
    camera = Camera.with_focal(rigs.SIZE, 900)
    with pytest.raises(VitruvianError, match="position of a camera is unknown"):
        Rig.of([camera, camera])


# The verb and the command


@pytest.fixture
def recorded(tmp_path):
    """Records of three cameras and their rig, as Pose2Sim writes it; the truth."""
    truth = rigs.write(tmp_path, 3, SECONDS)
    return tmp_path, truth


def test_records_become_metres(recorded):
    folder, truth = recorded
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    lines = []
    done = vit.triangulate(
        sources, folder / "rig.toml", out=folder / "out", save="json,trc,html", say=lines.append
    )
    assert [path.name for path in done.files] == [
        "triangulated.jsonl", "triangulated.trc", "triangulated_3d.html"
    ]  # fmt: skip
    pairs = list(vit.read(done.files[0]))
    world = np.stack([poses.world[0] for _, poses in pairs if poses.world is not None])
    assert np.median(np.linalg.norm(world - truth, axis=-1)) < 0.015
    frame, poses = pairs[10]
    assert poses.person.tolist() == [1]
    assert poses.origin == "camera"
    assert frame.camera is not None
    assert frame.camera.extrinsics is not None
    assert poses.xyz is not None
    assert poses.world is not None
    np.testing.assert_allclose(frame.camera.to_world(poses.xyz), poses.world, atol=1e-4)
    assert poses.views is not None
    assert poses.uncertainty is not None
    assert poses.reprojection is not None
    assert poses.views.min() >= 2
    assert 0.001 < poses.uncertainty.mean() < 0.03
    assert 0.5 < poses.reprojection.mean() < 5
    # y up: x, z, -y of a world with z up.
    track = read_trc(done.files[1])
    y_down = truth[..., [0, 2, 1]] * (1, -1, 1)
    assert np.median(np.linalg.norm(track.xyz - y_down, axis=-1)) < 0.015
    assert any("person 1: 0.0 to 3.0 s, 100 %" in line for line in lines)


def test_views_that_do_not_tell_their_size_have_that_of_their_cameras(recorded):
    """As OpenPose files: what was written could not be read, its images were 0 x 0 pixels."""
    folder, truth = recorded
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    for source in sources:
        source.write_text(
            source.read_text().replace(
                f'"size":{json.dumps(rigs.SIZE, separators=(",", ":"))}', '"size":[0,0]'
            )
        )
        assert next(iter(vit.read(source)))[0].size == (0, 0)
    (path,) = vit.triangulate(sources, folder / "rig.toml", out=folder / "walk.jsonl").files
    pairs = list(vit.read(path))
    assert pairs[0][0].size == tuple(rigs.SIZE)
    world = np.stack([poses.world[0] for _, poses in pairs if poses.world is not None])
    assert np.median(np.linalg.norm(world - truth, axis=-1)) < 0.015


def test_views_of_vicon_are_found_by_the_device_in_their_names(recorded):
    """As Nexus names videos: Walk.2101.20250703161100.avi is of the camera with DEVICEID 2101."""
    from scipy.spatial.transform import Rotation

    folder, truth = recorded
    nodes, sources = [], []
    for i, camera in enumerate(rigs.cameras(3), 1):
        assert camera.extrinsics is not None
        turned = Rotation.from_matrix(camera.extrinsics[:3, :3]).as_quat()
        size, centre, place, turned = (
            " ".join(str(number) for number in each)
            for each in (camera.size, camera.matrix[:2, 2] - 0.5, 1000 * camera.centre, turned)
        )
        nodes.append(
            f'<Camera DEVICEID="210{i}" SENSOR_SIZE="{size}"><KeyFrames><KeyFrame '
            f'FOCAL_LENGTH="900" ORIENTATION="{turned}" POSITION="{place}" '
            f'PRINCIPAL_POINT="{centre}"/></KeyFrames></Camera>'
        )
        sources.append(folder / f"Walk.210{i}.20250703161100.jsonl")
        (folder / f"cam0{i}.jsonl").rename(sources[-1])
    rig = folder / "Walk.xcp"
    rig.write_text(f"<Cameras>{''.join(nodes)}</Cameras>")
    (path,) = vit.triangulate(sources[::-1], rig, out=folder / "walk.jsonl").files
    world = np.stack([poses.world[0] for _, poses in vit.read(path) if poses.world is not None])
    assert np.median(np.linalg.norm(world - truth, axis=-1)) < 0.015


def test_a_format_that_cannot_hold_the_skeleton_is_refused_before_anything_is_written(
    recorded, monkeypatch
):
    folder, _ = recorded
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]

    def no_hips(skeleton):
        raise VitruvianError(f"BVH needs hips, {skeleton.name} has none")

    monkeypatch.setitem(SAVED, "bvh", replace(SAVED["bvh"], check=no_hips))
    with pytest.raises(VitruvianError, match="BVH needs hips, coco17 has none"):
        vit.triangulate(sources, folder / "rig.toml", out=folder / "out", save="json,bvh,html")
    assert not (folder / "out").exists()


def test_what_several_cameras_tell_comes_along_to_another_skeleton(recorded):
    """The larger error, and the fewer views, of two keypoints whose middle is taken."""
    folder, _ = recorded
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    vit.triangulate(sources, folder / "rig.toml", out=folder / "out", save="json,bvh")
    assert (folder / "out" / "triangulated.bvh").stat().st_size > 10_000
    there = folder / "h36m.jsonl"
    vit.convert(folder / "out" / "triangulated.jsonl", there, skeleton=SKELETONS["h36m_17"])
    pairs = zip(vit.read(folder / "out" / "triangulated.jsonl"), vit.read(there), strict=True)
    for (_, before), (_, poses) in pairs:
        hips = [before.skeleton.keypoints.index(f"{side}_hip") for side in ("left", "right")]
        pelvis, knee = (poses.skeleton.keypoints.index(name) for name in ("pelvis", "left_knee"))
        own = before.skeleton.keypoints.index("left_knee")
        for name, join in (("uncertainty", np.max), ("reprojection", np.max), ("views", np.min)):
            values, others = getattr(poses, name)[0], getattr(before, name)[0]
            assert values[knee] == others[own]
            assert values[pelvis] == join(others[hips])
        spine = poses.skeleton.keypoints.index("spine")
        assert poses.uncertainty is not None
        assert poses.views is not None
        assert np.isnan(poses.uncertainty[0, spine])
        assert poses.views[0, spine] == 0


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_has_how_well_keypoints_are_known(recorded, form):
    folder, _ = recorded
    if form == "parquet":
        pytest.importorskip("pyarrow")
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    done = vit.triangulate(sources, folder / "rig.toml", out=folder / f"walk.{form}")
    again = [poses for _, poses in vit.read(done.files[0])]
    for i in (0, 40):
        poses = done.recording.poses(i)
        for name, digits in (("reprojection", 1e-2), ("uncertainty", 1e-4), ("views", 0)):
            want, got = getattr(poses, name), getattr(again[i], name)
            np.testing.assert_allclose(got, want, atol=digits)
        views = again[i].views
        assert views is not None
        assert views.dtype == np.int64
    if form == "csv":
        head, row = (folder / "walk.csv").read_text().splitlines()[:2]
        at = head.split(",").index("views")
        assert head.split(",")[at - 2 : at] == ["reprojection_px", "uncertainty_m"]
        assert row.split(",")[at] == "3"


def test_z_up_is_the_world_of_the_rig(recorded):
    folder, truth = recorded
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    vit.triangulate(sources, folder / "rig.toml", up="z", out=folder / "walk.trc")
    lines = (folder / "walk.trc").read_text().splitlines()
    first = np.array(lines[6].split("\t")[2:5], float)
    np.testing.assert_allclose(first, truth[0, 0], atol=0.04)


def test_the_command(recorded):
    folder, _ = recorded
    sources = [str(folder / f"cam0{i}.jsonl") for i in (1, 2, 3)]
    rig = ["--rig", str(folder / "rig.toml")]
    done = process(
        "triangulate", *sources, *rig, "--sync", "movement", "--out", str(folder / "a.trc")
    )
    assert done.returncode == 0, done.stderr
    assert "cam02.jsonl: offset" in done.stdout
    assert "a.trc" in done.stdout
    again = process("triangulate", *sources, *rig, "--out", str(folder / "a.trc"))
    assert again.returncode == 1
    assert "exists; pass --overwrite" in again.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": "cam_01,cam_02"}, "2 cameras named for 3 views"),
        ({"cameras": "cam_01,cam_02,left"}, "left"),
        ({"cameras": "cam_01,cam_01,cam_02"}, "given for two views"),
        ({"sync": "soon"}, "sync is 'soon', want no, movement, or seconds of 3 views"),
        ({"sync": "0,0.1"}, "seconds of 3 views"),
        ({"max_error": 0}, "max_error is 0, want pixels above 0"),
        ({"out": "walk.mp4"}, "cannot be written as video"),
        ({"up": "x"}, "up is 'x', want y or z"),
    ],
)
def test_wrong_words(recorded, change, message):
    folder, _ = recorded
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    words = {"out": folder / "x.jsonl", **change}
    with pytest.raises(VitruvianError, match=message):
        vit.triangulate(sources, folder / "rig.toml", **words)
    assert not (folder / "x.jsonl").exists()


def _rewritten(path, change):
    """The record with each of its frames changed."""
    first, *rows = path.read_text().splitlines()
    rows = [json.loads(row) for row in rows]
    for row in rows:
        change(row)
    path.write_text("\n".join([first, *map(json.dumps, rows)]) + "\n")


def _mirrored(row):
    for person in row["people"]:
        xy = person["xy"]
        person["xy"] = [[rigs.SIZE[0] - xy[k][0], xy[k][1]] for k in COCO17.mirror]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_mirrored, "the people in cam03.jsonl are nobody whom the others see: is it of camera"),
        (lambda row: row.update(people=[]), "nobody is found in cam03.jsonl"),
        (lambda row: row.update(time=row["time"] + 20), "cam03.jsonl runs from 20.0 to 23.0 s"),
    ],
)
def test_a_view_that_does_not_belong_is_told(recorded, change, line):
    folder, truth = recorded
    _rewritten(folder / "cam03.jsonl", change)
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    lines = []
    done = vit.triangulate(sources, folder / "rig.toml", out=folder / "x.trc", say=lines.append)
    assert [each for each in lines if each.startswith("warning: ")] == [
        each for each in lines if f"warning: {line}" in each
    ]
    assert any(line in each for each in lines)
    (person,) = done.recording.people
    assert np.nanmedian(off(person, truth)) < 0.02


def test_one_view_given_twice_is_refused(recorded):
    folder, _ = recorded
    one, copy = folder / "cam01.jsonl", folder / "cam02.jsonl"
    words = {"cameras": "cam_01,cam_02", "out": folder / "y.trc"}
    with pytest.raises(VitruvianError, match=r"cam01\.jsonl' is given for two views"):
        vit.triangulate([one, one], folder / "rig.toml", **words)
    copy.write_bytes(one.read_bytes())
    with pytest.raises(VitruvianError, match=r"'cam01\.jsonl' and 'cam02\.jsonl' have the very"):
        vit.triangulate([one, copy], folder / "rig.toml", **words)


@pytest.mark.parametrize(
    ("factor", "message"),
    [(1000, r"person \d is \d{4} m in size: the cameras are .* metres\?"),
     (0.001, r"nobody is seen .* the cameras are 0\.00\d+ m apart at most; .* metres\?")],
)  # fmt: skip
def test_a_rig_in_other_units_is_refused(recorded, factor, message):
    folder, _ = recorded
    lines = (folder / "rig.toml").read_text().splitlines()
    for i, line in enumerate(lines):
        if line.startswith("translation"):
            lines[i] = f"translation = {(factor * np.array(json.loads(line[14:]))).tolist()}"
    (folder / "rig.toml").write_text("\n".join(lines))
    sources = [folder / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    with pytest.raises(VitruvianError, match=message):
        vit.triangulate(sources, folder / "rig.toml", out=folder / "y.trc")
    assert not (folder / "y.trc").exists()


@pytest.mark.shared
@pytest.mark.weights
def test_of_a_video_that_is_cut_short_what_was_read_is_used(shared, tmp_path, blazepose):
    """All others would be lost with it."""
    folder = shared / "data" / "pose2sim"
    one, two = (folder / "single_balancing" / "videos" / f"cam0{i}.mp4" for i in (1, 2))
    cut = tmp_path / "cam02.mp4"
    cut.write_bytes(two.read_bytes()[:400_000])
    words = {"rig": folder / "calibration" / "Calib_qualisys.toml", "model": blazepose("lite")}
    faults, lines = [], []
    done = vit.triangulate(
        [one, cut], out=tmp_path / "a.trc", **words, say=lines.append, on_error=faults.append
    )
    assert [str(each) for each in faults] == [str(each) for each in done.faults]
    assert "cam02.mp4' is cut short or damaged" in str(faults[0])
    assert "warning: cam02.mp4 runs from 0.0 to 1.0 s, the first view from 0.0 to 1.6 s" in lines
    there = np.isfinite(done.recording.people[0].world[..., 0]).any(axis=1)
    assert 50 < there.sum() < 65
    with pytest.raises(VitruvianError, match="is cut short or damaged"):
        vit.triangulate([one, cut], out=tmp_path / "b.trc", **words)
    assert (tmp_path / "b.trc").read_text()[200:] == (tmp_path / "a.trc").read_text()[200:]


@pytest.mark.shared
def test_a_video_of_another_shape_than_its_camera_is_refused_before_models_run(shared, tmp_path):
    folder = shared / "data" / "pose2sim"
    videos = [folder / "single_balancing" / "videos" / "cam01.mp4"]
    videos.append(shared / "data" / "videos" / "sports2d_demo.mp4")
    rig = folder / "calibration" / "Calib_qualisys.toml"
    words = {"cameras": "cam_01,cam_02", "out": tmp_path / "a.trc"}
    with pytest.raises(VitruvianError, match=r"'sports2d_demo\.mp4': the camera is calibrated for"):
        vit.triangulate(videos, rig, "no-such-model", **words)
    videos[1] = videos[0].with_name("cam0[23].mp4")  # of a shell that leaves patterns as they are
    with pytest.raises(VitruvianError, match="3 videos for 2 names of files; name each"):
        vit.triangulate(videos, rig, "no-such-model", **words)


def test_views_without_a_camera_in_their_names(recorded):
    folder, _ = recorded
    for i, name in enumerate(("left", "middle"), 1):
        (folder / f"cam0{i}.jsonl").rename(folder / f"{name}.jsonl")
    sources = [folder / "left.jsonl", folder / "middle.jsonl"]
    with pytest.raises(VitruvianError, match=r"which camera is 'left\.jsonl'"):
        vit.triangulate(sources, folder / "rig.toml", out=folder / "x.trc")
    done = vit.triangulate(
        sources, folder / "rig.toml", cameras="cam_01,cam_02", out=folder / "x.trc"
    )
    assert len(done.recording.people) == 1


@pytest.mark.shared
def test_pose2sim_s_own_files(shared):
    """From the very OpenPose files: within 10 mm (median) of its triangulated markers."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import triangulate as benchmark  # pyright: ignore[reportMissingImports]

    folder = shared / "data" / "pose2sim"
    truth = benchmark.markers(folder)
    placed = list(calibration_files.read(folder / "calibration" / "Calib_qualisys.toml").values())
    files = benchmark.openpose(folder / "single_balancing" / "openpose_body25b")
    views = [CameraView(f"cam0{v + 1}", placed[v], files[v]) for v in range(4)]
    found = triangulated(views)
    (person,) = found.people
    names = found.skeleton.keypoints
    far = [
        np.linalg.norm(person.world[:, names.index(name)] - xyz, axis=-1)
        for name, xyz in truth.items()
        if name in names
    ]
    assert np.nanmedian(far) < 0.010
    # Without cam_03, no two cameras are more than 7 pixels beside each other's lines; with it, 23.
    # Two other networks see the same on the videos (docs/several-cameras.md).
    (line,) = [each for each in report(found, list("1234")) if "fit" in each]
    assert line.startswith("3 does not fit the others")
