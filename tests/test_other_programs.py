"""Files that are written are read by the programs they are for: by their real packages.

Each package reads in a process of its own, so that what it imports, prints and warns of stays
there. They come with the `programs` extra; without them the tests are skipped, and counted.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import vitruvian as vit
from conftest import absent
from recordings import DOT, WHOLE, track
from vitruvian.body.skeletons import HALPE26, SMPL24
from vitruvian.body.track import Track
from vitruvian.formats.bvh import write_bvh
from vitruvian.formats.c3d import write_c3d
from vitruvian.formats.trc import write_trc

# What is missing: (frames, keypoints).
GAPS = {
    "nothing": WHOLE,
    "the first keypoint": (2, 0),
    "one in the middle": (2, 3),
    "the last keypoint": (2, -1),
    "the last keypoint at the end": (-1, -1),
    "everybody in a frame": (2, slice(None)),
    "everybody at the end": (-1, slice(None)),
    "a keypoint always": (slice(None), 5),
    "the last keypoint always": (slice(None), -1),
}


STORIES = {
    **{gap: track(gap=where) for gap, where in GAPS.items()},
    "one frame": track(frames=1),
    "one keypoint": track(DOT),
    "one keypoint that is gone": track(DOT, gap=(2, 0)),
    "one keypoint in one frame": track(DOT, frames=1),
}


def read_by(package: str, code: str, *words: object) -> list:
    """What a package says of files: `code` prints JSON; what it warns of is its own affair."""
    if find_spec(package) is None:
        absent(f"{package} is not installed")
    line = [sys.executable, "-W", "ignore", "-c", code, *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def written(folder: Path, write, suffix: str, stories: dict[str, Track]) -> list[Path]:
    paths = [folder / f"{i}{suffix}" for i in range(len(stories))]
    for path, each in zip(paths, stories.values(), strict=True):
        write(each, path)
    return paths


def upright(each: Track) -> np.ndarray:
    """(T, K, 3) metres with y up."""
    assert each.xyz is not None
    return each.xyz * (1, -1, -1)


OPENSIM_TRC = """
import json, sys, opensim
opensim.Logger.setLevelString("off")
said = []
for path in sys.argv[1:]:
    table, data = opensim.TimeSeriesTableVec3(path), opensim.MarkerData(path)
    xyz = [[[table.getRowAtIndex(t).getElt(0, k)[a] for a in range(3)]
            for k in range(table.getNumColumns())] for t in range(table.getNumRows())]
    said.append([list(table.getColumnLabels()), list(table.getIndependentColumn()), xyz,
                 data.getNumFrames(), data.getNumMarkers(), data.getDataRate()])
print(json.dumps(said))
"""


def test_opensim_reads_our_trc(tmp_path):
    """OpenSim 4.6, its TimeSeriesTableVec3 and its MarkerData: also when the last one is gone."""
    paths = written(tmp_path, write_trc, ".trc", STORIES)
    for (name, each), said in zip(
        STORIES.items(), read_by("opensim", OPENSIM_TRC, *paths), strict=True
    ):
        labels, seconds, xyz, frames, markers, rate = said
        assert labels == list(each.skeleton.keypoints), name
        np.testing.assert_allclose(seconds, each.seconds, atol=1e-6)
        np.testing.assert_allclose(np.array(xyz, float), upright(each), atol=1e-5, err_msg=name)
        assert (frames, markers) == (len(each), len(each.skeleton)), name
        assert len(each) == 1 or rate == pytest.approx(30)


C3D = """
import json, sys, ezc3d
said = []
for path in sys.argv[1:]:
    file = ezc3d.c3d(path)
    point = file["parameters"]["POINT"]
    said.append([point["LABELS"]["value"], point["RATE"]["value"].tolist(), point["UNITS"]["value"],
                 point["Y_SCREEN"]["value"], file["data"]["points"].tolist(),
                 file["data"]["meta_points"]["residuals"].tolist()])
print(json.dumps(said))
"""
C3D_0_6 = """
import json, sys, c3d
said = []
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        reader = c3d.Reader(file)
        frames = [points.tolist() for _, points, _ in reader.read_frames()]
        said.append([[label.strip() for label in reader.point_labels], float(reader.point_rate),
                     frames])
print(json.dumps(said))
"""


def test_ezc3d_reads_our_c3d(tmp_path):
    """And knows by the residual what is gone."""
    pytest.importorskip("ezc3d", reason="ezc3d is not installed (the c3d extra)")
    paths = written(tmp_path, write_c3d, ".c3d", STORIES)
    for (name, each), said in zip(STORIES.items(), read_by("ezc3d", C3D, *paths), strict=True):
        labels, rate, units, up, points, residuals = said
        assert labels == list(each.skeleton.keypoints), name
        assert (units, up) == (["mm"], ["+Y"])
        assert len(each) == 1 or rate == [pytest.approx(30)]
        xyz = np.moveaxis(np.array(points)[:3], (0, 1, 2), (2, 1, 0)) / 1000
        gone = np.array(residuals)[0].T < 0
        assert xyz.shape[:2] == gone.shape == (len(each), len(each.skeleton)), name
        np.testing.assert_array_equal(gone, np.isnan(upright(each)).any(axis=-1), err_msg=name)
        np.testing.assert_allclose(xyz[~gone], upright(each)[~gone], atol=1e-5, err_msg=name)


def test_the_c3d_package_reads_our_c3d(tmp_path):
    """Version 0.6, another reader than ezc3d, which wrote them."""
    pytest.importorskip("ezc3d", reason="ezc3d is not installed (the c3d extra)")
    paths = written(tmp_path, write_c3d, ".c3d", STORIES)
    for (name, each), said in zip(STORIES.items(), read_by("c3d", C3D_0_6, *paths), strict=True):
        labels, rate, frames = said
        assert labels == list(each.skeleton.keypoints), name
        assert len(each) == 1 or rate == pytest.approx(30)
        points = np.array(frames)
        gone = points[..., 3] < 0
        np.testing.assert_array_equal(gone, np.isnan(upright(each)).any(axis=-1), err_msg=name)
        np.testing.assert_allclose(points[..., :3][~gone] / 1000, upright(each)[~gone], atol=1e-5)


BVH = """
import json, sys, pybvh
said = []
for path in sys.argv[1:]:
    read = pybvh.read_bvh_file(path)
    said.append([[node.name for node in read.nodes if not node.is_end_site()], read.frame_count,
                 read.frame_time])
print(json.dumps(said))
"""


def test_pybvh_reads_our_bvh(tmp_path):
    """It, 0.9, wants three rotations of every joint, also of one at the end of a limb."""
    stories = {
        "whole": track(SMPL24),
        "gaps": track(SMPL24, gap=(2, -1)),
        "nobody": track(SMPL24, gap=(slice(1, 3), slice(None))),
        "one frame": track(SMPL24, frames=1),
        "one keypoint": track(DOT),
    }
    paths = written(tmp_path, write_bvh, ".bvh", stories)
    for each, (names, frames, step) in zip(
        stories.values(), read_by("pybvh", BVH, *paths), strict=True
    ):
        assert sorted(names) == sorted(each.skeleton.keypoints)
        assert frames == len(each)
        assert len(each) == 1 or step == pytest.approx(1 / 30)


def numbered_people(people, frame) -> list:
    """Two people, one of whom is away in between, one frame with nobody, one found in part."""
    pairs = []
    for i, who in enumerate([[1, 2], [1], [], [2, 1], [1, 2]]):
        poses = people(len(who), HALPE26, person=np.array(who, np.int64))
        if i == 3:
            poses.xy[0, -1] = np.nan
        if i == 4:
            poses.xy[1, :] = np.nan
        pairs.append((frame(i, i / 25), poses))
    return pairs


MOT = """
import json, sys, motmetrics
table = motmetrics.io.loadtxt(sys.argv[1], fmt="mot15-2D", min_confidence=-1)
print(json.dumps([[list(map(int, at)) for at in table.index],
                  table[["X", "Y", "Width", "Height"]].values.tolist()]))
"""


def test_motmetrics_reads_our_mot(tmp_path, people, frame):
    pairs = numbered_people(people, frame)
    with vit.open_sink(tmp_path / "a.txt") as sink:
        for pair in pairs:
            sink.write(*pair)
    at, boxes = read_by("motmetrics", MOT, tmp_path / "a.txt")
    want = {
        (frame.index + 1, int(who)): box
        for frame, poses in pairs
        for who, box in zip(poses.person, poses.box, strict=True)
    }
    assert {tuple(each) for each in at} == set(want)
    for each, (x, y, width, height) in zip(at, boxes, strict=True):  # it counts from 0
        np.testing.assert_allclose([x, y, x + width, y + height], want[tuple(each)], atol=0.02)


MOVEMENT = """
import json, sys
import sleap_io, xarray
from importlib.metadata import version
from movement.io import load_poses, save_poses
from movement.kinematics import compute_velocity
from movement.filtering import interpolate_over_time
from pathlib import Path
from pynwb import NWBHDF5IO
folder = Path(sys.argv[1])
data = xarray.open_dataset(folder / version("movement")[:4]).load()
save_poses.to_sleap_analysis_file(data, folder / "a.h5")
save_poses.to_dlc_file(data, folder / "a.csv", split_individuals=False)
file = save_poses.to_nwb_file(data.isel({data.position.dims[3]: [0]}))
with NWBHDF5IO(folder / "a.nwb", "w") as opened:
    opened.write(file)
labels = sleap_io.load_file(folder / "a.h5")
labels.replace_videos(new_videos=[sleap_io.Video.from_filename(str(folder / "match.mp4"))])
sleap_io.save_file(labels, str(folder / "a.slp"))
for name, back in {
    "slp": load_poses.from_sleap_file(folder / "a.slp", fps=25),
    "sleap": load_poses.from_sleap_file(folder / "a.h5", fps=25),
    "dlc": load_poses.from_dlc_file(folder / "a.csv", fps=25),
    "nwb": load_poses.from_nwb_file(folder / "a.nwb"),
}.items():
    back.attrs = {key: str(value) for key, value in back.attrs.items()}
    back.to_netcdf(folder / f"{name}.nc", engine="scipy")
print(json.dumps([
    list(compute_velocity(data.position).shape),
    int(interpolate_over_time(data.position).isnull().sum()),
    [node.name for node in labels.skeleton.nodes], [track.name for track in labels.tracks],
    len(labels),
]))
"""


def test_our_xarray_comes_back_from_movement_sleap_deeplabcut_and_nwb(tmp_path, people, frame):
    """Movement's kinematics and writers take it, sleap-io reads them; what is read is as it was."""
    for package in ("xarray", "movement", "sleap_io", "ndx_pose"):
        if find_spec(package) is None:
            absent(f"{package} is not installed")
    import xarray

    pairs = numbered_people(people, frame)
    for version in ("0.15", "0.16", "0.17"):
        data = vit.to_xarray(pairs, movement=version)
        data.to_netcdf(tmp_path / version, engine="scipy")
    shape, _, nodes, tracks, frames = read_by("movement", MOVEMENT, tmp_path)
    assert shape == [5, 2, len(HALPE26), 2]
    assert nodes == list(HALPE26.keypoints)
    assert tracks == ["id_1", "id_2"]
    assert frames >= 4
    for name in ("slp", "sleap", "dlc", "nwb"):
        with xarray.open_dataset(tmp_path / f"{name}.nc", engine="scipy") as file:
            back = dict(enumerate(poses for _, poses in vit.from_xarray(file)))
        for i, (_, want) in enumerate(pairs):
            for at, who in enumerate(want.person):
                if np.isnan(want.xy[at]).all() or (name == "nwb" and who == 2):
                    continue  # nobody is found with no keypoint; an NWB file has one individual
                found = back[i].person == (1 if name == "nwb" else who)
                assert back[i].skeleton == HALPE26, name
                np.testing.assert_allclose(
                    back[i].xy[found][0], want.xy[at], atol=1e-3, err_msg=f"{name} {i} {who}"
                )
                seen = np.isfinite(want.xy[at]).all(axis=-1)
                score = back[i].score[found][0]
                np.testing.assert_allclose(score[seen], want.score[at][seen], atol=1e-3)
