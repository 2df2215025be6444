"""Stories: what a user types, what is printed, what is written, and the exit code."""

import csv
import importlib.util
import io
import json
import shutil
import signal
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import vitruvian as vit
from commands import PREDICT, Done, command, one_line, process, started
from conftest import absent
from pictures import opened
from vitruvian.models.zoo import CATALOGUE, FINDERS, entry
from vitruvian.weights import download

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def weights_here(blazepose) -> None:
    """The weights of the default model are in the cache, for the processes that run offline."""
    blazepose("full")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("missing.jpg",), ("cannot read 'missing.jpg': no such file",)),
        (("x" * 300,), ("File name too long",)),
        (("x" * 300 + ".jpg",), ("File name too long",)),
        (("sample", "--model", "x" * 300 + ".onnx"), ("File name too long",)),
        (("sample", "--out", "x" * 300 + ".jsonl"), ("File name too long",)),
        (("*.nothing",), ("nothing matches '*.nothing'",)),
        ((".",), ("no images or videos in '.'",)),
        (("camera:front",), ("'camera:front' is not a camera; the first is camera:0",)),
        (("sample", "--model", "blazepose-ful"), ("did you mean 'blazepose-full'",)),
        (("sample", "--conf", "1.5"), ("conf is 1.5",)),
        (("sample", "--num-poses", "0"), ("num_poses is 0",)),
        (("sample", "--stride", "0"), ("stride is 0",)),
        (("sample", "--start", "1"), ("select a part of a video, but there are only images",)),
        (("sample", "--model", "blazepose-full,refine_window=4"), ("refine_window is 4",)),
        (("sample", "--model", "blazepose-full,refine"), ("'refine' is not an option; write",)),
        (("sample", "--out", "a.mp4"), ("'a.mp4' holds one video",)),
        (("sample", "--fov-deg", "60", "--focal", "900"), ("fov_deg and focal", "give one")),
        (("sample", "--fov-deg", "0"), ("a field of view of 0 degrees",)),
        (("sample", "--focal-mm", "-1"), ("focal_mm is -1",)),
        (("sample", "--camera", "rig.toml"), ("cannot read 'rig.toml'",)),
        (("sample", "--out", "a_3d.mp4"), ("'a_3d.mp4' holds one video",)),
        (("sample", "--out", "a_3d.gif"), ("'a_3d.gif' holds one video",)),
        (("sample", "sample", "--out", "a.html"), ("'a.html' holds one image or video",)),
        (("sample", "--save", "nothing"), ("no format to save named 'nothing'", "video")),
        (("sample", "--save", "csv", "--out", "a.csv"), ("'a.csv' is one file", "--save csv")),
        (("sample", "--model", "vitruvian-2d,flip=maybe"), ("flip is 'maybe'",)),
        (
            ("sample", "--model", "yolov8n-pose", "--save", "html"),
            ("2D keypoints only", "blazepose-full"),
        ),
        (
            ("sample", "--model", "yolov8n-pose", "--save", "plot"),
            ("2D keypoints only", "blazepose-full"),
        ),
        (("sample", "--model", "vitruvian-2d", "--out", "a.html"), ("2D keypoints only",)),
        (("sample", "--save", ","), ("nothing would be",)),
        (
            ("sample", "--save-csv"),
            (
                "no option --save-csv",
                "--save csv, or with others",
            ),
        ),
        (("sample", "--flip"), ("no option --flip", "--model NAME,flip=VALUE")),
        (("sample", "--no-flip"), ("no option --no-flip", "--model NAME,flip=VALUE")),
        (("sample", "--option", "flip=true"), ("no option --option", "--model NAME,option=VALUE")),
    ],
)
def test_what_the_user_got_wrong_is_one_line(words, parts):
    one_line(command(*PREDICT, *words), *parts)
    assert not any(Path().iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predcit", "sample"), "no command 'predcit'; did you mean predict? see vitruvian --help"),
        (("models", "get"), "models: no command 'get'; see vitruvian models --help"),
        (("--verion",), "no option --verion; did you mean --version? see vitruvian --help"),
        (
            ("predict", "a.jpg", "--strid", "2"),
            "predict: no option --strid; did you mean --stride? see vitruvian predict --help",
        ),
        (("predict",), "predict: missing argument 'SOURCE'; see vitruvian predict --help"),
        (("predict", "a.jpg", "-m"), "predict: option '-m' requires an argument; see "),
        (("predict", "a.jpg", "--resume=1"), "predict: option '--resume' does not take a value; "),
        (("predict", "a.jpg", "--stride", "2.5"), "--stride is '2.5', want a whole number"),
        (("predict", "a.jpg", "--end", "nan"), "--end is 'nan', want a number"),
        (("trace", "a.jpg", "--frame", "9" * 5000), "--frame is '999"),
    ],
)
def test_words_that_no_command_has_are_one_line(words, said):
    done = command(*words)
    one_line(done)
    assert done.stderr.startswith(f"vitruvian: {said}")


@pytest.mark.parametrize("group", [(), ("models",)])
def test_a_group_alone_shows_its_help(group):
    done = command(*group)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Commands:" in done.stdout


OF_MODELS = (("compare", "a.jpg"), ("val", "--data", "a.json"), ("benchmark", "a.jpg"))


@pytest.mark.parametrize("words", OF_MODELS)
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("wrong=1", "no BlazePose option named 'wrong'"),
        ("conf=2", "conf is 2, want a number from 0 to 1"),
        ("skeleton=coco17", "blazepose-full has the skeleton blazepose33"),
        (f"find={'x' * 300}.json", "File name too long"),
        ("find=vitruvian-2d", "find is 'vitruvian-2d', want a person detector"),
    ],
)
def test_options_of_every_model_are_checked_before_any_work(words, option, said):
    """Before the source, which is not there, is looked for."""
    models = ("-m", "blazepose-lite", "-m", f"blazepose-full,{option}")
    one_line(command(*words, *models), said)
    assert not any(Path().iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fov-deg", "200"), "a field of view of 200 degrees"),
        (("--threads", "0"), "threads is 0"),
        (("--find", "gone.json"), "cannot read 'gone.json'"),
        (("--out", "a.json", "--conf", "2"), "conf is 2.0"),
    ],
)
def test_a_wrong_value_is_said_before_the_weights_are_looked_for(words, said, cache):
    one_line(command(*PREDICT, "sample", *words), said)


def test_offline_without_weights_says_where_to_put_them(cache):
    done = command(*PREDICT, "sample")
    one_line(done, "pose_landmark_full.tflite", "VITRUVIAN_OFFLINE", str(cache))


@pytest.mark.parametrize("name", ["predict", "track", "models", "doctor"])
def test_every_command_has_help(name):
    done = command(name, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_the_version_is_said():
    assert command("--version").stdout == f"vitruvian {vit.__version__}\n"


@pytest.mark.parametrize("name", [*CATALOGUE, *FINDERS])
def test_models_are_listed_with_licence_and_hashes(name):
    assert name in command("models", "list").stdout
    told = command("models", "info", name).stdout
    for file in entry(name).files:
        assert (file.sha256 or "not published") in told
    assert entry(name).licence in told


def test_pulling_everything_goes_on_after_what_cannot_be_had(cache):
    done = command("models", "pull", "all", "--offline")
    assert done.returncode == 1
    complaints = [line for line in done.stderr.splitlines() if line.startswith("vitruvian: ")]
    shipped = {"vitruvian-2d", "vitruvian-3d", "vitruvian-find"}
    assert len(complaints) == len({**CATALOGUE, **FINDERS}) - len(shipped)


def test_verify_tells_a_damaged_file_from_one_that_is_not_there(cache):
    assert "not downloaded" in command("models", "verify").stdout
    cache.mkdir()
    (cache / "pose_landmark_full.tflite").write_bytes(b"something else")
    one_line(command("models", "verify"), "is not the published file", "delete it")
    one_line(command(*PREDICT, "sample"), "is not the published file", "delete it")


def test_doctor_has_a_way_out_of_each_problem(cache):
    cache.mkdir()
    (cache / "pose_landmark_full.tflite").write_bytes(b"something else")
    done = command("doctor")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    bad = [i for i, line in enumerate(lines) if line.startswith("BAD")]
    assert bad
    assert all(lines[i + 1].startswith("    -> ") for i in bad)


@pytest.mark.weights
def test_the_main_job_on_the_sample(weights_here):
    done = command(*PREDICT, "sample", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("grace_hopper.jpg: 1 image, 1 person, ")
    assert sorted(path.name for path in Path("out").glob("[!.]*")) == [
        "grace_hopper.jpg",
        "grace_hopper.jsonl",
        "grace_hopper_3d.png",
    ]
    record = vit.read("out/grace_hopper.jsonl")
    assert record.header["runs_on"] == "CPU"
    ((frame, poses),) = record
    assert frame.size == (512, 600)
    # The portrait: the nose is between the eyes and above the mouth; left is the subject's.
    nose, left, right = (poses[k].xy[0] for k in ("nose", "left_eye", "right_eye"))
    assert right[0] < nose[0] < left[0]
    assert poses["mouth_left"].xy[0, 1] > nose[1]
    drawn = opened("out/grace_hopper.jpg")
    original = opened(frame.source)
    assert drawn.shape == original.shape
    assert np.abs(drawn.astype(int) - original).max() > 100
    assert opened("out/grace_hopper_3d.png").std() > 10


@pytest.mark.weights
def test_what_exists_is_kept_unless_it_may_be_replaced(weights_here):
    out = Path("out.jsonl")
    out.write_text("mine")
    one_line(command(*PREDICT, "sample", "--out", out), "'out.jsonl' exists", "--overwrite")
    assert out.read_text() == "mine"
    assert command(*PREDICT, "sample", "--out", out, "--overwrite").returncode == 0
    assert len(list(vit.read(out))) == 1


@pytest.mark.weights
def test_an_input_is_never_replaced(weights_here, picture):
    path = picture("a.jpg")
    before = path.read_bytes()
    one_line(command(*PREDICT, path, "--out", path.parent, "--overwrite"), "is an input")
    assert path.read_bytes() == before


@pytest.mark.weights
def test_a_folder_with_one_bad_file_is_done_but_for_it(weights_here, tmp_path):
    folder = tmp_path / "a folder with spaces ü"
    folder.mkdir()
    sample = Path(next(iter(vit.open_source("sample"))).paths[0])  # type: ignore[attr-defined]
    for name in ("a.jpg", "c.jpg"):
        (folder / name).write_bytes(sample.read_bytes())
    (folder / "b.jpg").write_bytes(sample.read_bytes()[:5000])
    done = command(*PREDICT, folder, "--out", "out", "--save", "video,json,csv,coco")
    one_line(done, "b.jpg", "cut short")
    assert "2 images, 2 people" in done.stdout
    written = sorted(path.name for path in Path("out").glob("[!.]*"))
    assert written == ["a.jpg", "c.jpg", "poses.csv", "poses.json", "poses.jsonl"]
    assert len(json.loads(Path("out/poses.json").read_text())) == 2
    assert len(Path("out/poses.csv").read_text().splitlines()) == 1 + 2 * 33


@pytest.mark.weights
def test_paths_on_standard_input(weights_here):
    done = command(*PREDICT, "-", "--out", "p.csv", input="sample\n\nsample\n")
    assert done.returncode == 0, done.stderr
    assert "2 images" in done.stdout


@pytest.mark.weights
@pytest.mark.parametrize("rotation", [0, 90])
def test_a_video_keeps_its_times_and_its_orientation(weights_here, video, rotation):
    times = [0.0, 0.1, 0.5, 0.6]
    path = video("clip.mp4", size=(64, 48), times=times, clockwise_deg=rotation)
    done = command(*PREDICT, path, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "clip.mp4: 4 frames, 0 people" in done.stdout
    frames = [frame for frame, _ in vit.read("out/clip.jsonl")]
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=1e-3)
    assert frames[0].size == ((48, 64) if rotation else (64, 48))
    with av.open("out/clip.mp4") as container:
        drawn = list(container.decode(video=0))
    assert [picture.time for picture in drawn] == pytest.approx(times, abs=1e-3)
    assert (drawn[0].width, drawn[0].height) == frames[0].size


@pytest.mark.weights
def test_views_in_3d_of_a_picture_and_of_a_video(weights_here, video):
    done = command(*PREDICT, "sample", "--save", "video,json,html", "--out", "a")
    assert done.returncode == 0, done.stderr
    names = ["grace_hopper.jpg", "grace_hopper.jsonl", "grace_hopper_3d.html"]
    assert sorted(path.name for path in Path("a").glob("[!.]*")) == names
    photo = vit.Frame.read(Path("a/grace_hopper.jpg")).rgb
    clip = video("clip.mp4", [0.0, 0.04, 0.12], size=(512, 600), pictures=[photo] * 3)
    done = command(*PREDICT, clip, "--save", "json,html,plot", "--out", "b")
    assert done.returncode == 0, done.stderr
    names = ["clip.jsonl", "clip_3d.html", "clip_3d.mp4"]
    assert sorted(path.name for path in Path("b").glob("[!.]*")) == names
    with av.open("b/clip_3d.mp4") as container:
        times = [picture.time for picture in container.decode(video=0)]
    assert times == pytest.approx([0.0, 0.04, 0.12], abs=1e-3)
    done = command(*PREDICT, clip, "--out", "clip_3d.gif")
    assert "3 frames, 1 person" in done.stdout
    assert "-> clip_3d.gif" in done.stdout


@pytest.mark.weights
def test_a_recording_for_rerun_beside_nothing_else(weights_here):
    if importlib.util.find_spec("rerun") is None:
        absent("rerun is not installed (the rerun extra)")
    done = command(*PREDICT, "sample", "--out", "a.rrd")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("-> a.rrd\n")
    assert [path.name for path in Path().glob("[!.]*")] == ["a.rrd"]
    one_line(command(*PREDICT, "sample", "--out", "a.rrd"), "'a.rrd' exists")


@pytest.mark.weights
def test_heat_maps_are_of_models_that_have_them(blazepose, video):
    blazepose("lite")
    (frame,) = vit.open_source("sample")[0]
    photo = cv2.resize(frame.rgb, (256, 300))  # type: ignore[union-attr]
    clip = video("clip.mp4", [0, 0.1, 0.2], size=(256, 300), pictures=[photo] * 3)
    words = ("track", clip, "--offline", "--save", "heatmaps", "--out", "out", "-m")
    one_line(command(*words, "blazepose-lite"), "blazepose-lite has no heat maps")
    assert not Path("out").exists()
    done = command(*words, "vitruvian-2d,find=blazepose-lite")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in Path("out/clip_heatmaps").iterdir())
    assert names == [f"clip_00000{i}_1.png" for i in range(3)]


@pytest.mark.weights
def test_views_have_names_of_their_own(weights_here, video):
    """The view of one video must not take the place of another one's annotated copy."""
    clips = [video(name, [0.0, 0.1]) for name in ("a.mp4", "a_3d.mp4")]
    done = command(*PREDICT, *clips, "--save", "video,json,plot", "--out", "out")
    assert done.returncode == 0, done.stderr
    names = {"a.mp4", "a_3d.mp4", "a_3d_2.mp4", "a_3d_2_3d.mp4", "a.jsonl", "a_3d_2.jsonl"}
    assert {path.name for path in Path("out").glob("[!.]*")} == names


@pytest.mark.weights
@pytest.mark.shared
def test_control_c_leaves_valid_files_of_what_was_done(weights_here, shared):
    source = shared / "data" / "videos" / "intel_one_by_one_person.mp4"
    with started(*PREDICT, source, "--out", "out") as process:
        unfinished = Path("out/intel_one_by_one_person.mp4.part")
        while not unfinished.exists() or unfinished.stat().st_size < 20_000:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in said
    frames = list(vit.read("out/intel_one_by_one_person.jsonl"))
    with av.open("out/intel_one_by_one_person.mp4") as container:
        drawn = sum(1 for _ in container.decode(video=0))
    assert 0 < drawn == len(frames) < 1394
    assert not list(Path("out").glob("*.part"))


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize("name", ["o.jsonl", "o.mp4"])
def test_a_full_disk_is_one_line_and_keeps_what_was_written(weights_here, shared, name):
    """A limit on the size of files stands for the disk."""
    resource = pytest.importorskip("resource", reason="limits are set this way on Unix only")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    source = shared / "data" / "videos" / "sports2d_demo.mp4"
    done = process(
        *PREDICT, source, "--start", "2", "--max-frames", "40", "--out", name, preexec_fn=limit
    )
    one_line(done, f"cannot write to '{name}': File too large", ".part")
    assert not Path(name).exists()
    assert Path(name + ".part").stat().st_size > 10_000


@pytest.mark.weights
def test_a_truncated_video_gives_what_it_holds_and_an_error(weights_here, video):
    path = video("clip.mp4", size=(320, 240), times=[i / 10 for i in range(40)])
    path = faststart(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    done = command(*PREDICT, path, "--out", "o.jsonl")
    one_line(done, "clip", "cut short or damaged")
    assert 5 < len(list(vit.read("o.jsonl"))) < 40


def faststart(path: Path) -> Path:
    """The same video with its index in front: cut short, the others cannot be opened at all."""
    fast = path.with_name("clip_fast.mp4")
    with (
        av.open(str(path)) as old,
        av.open(str(fast), "w", options={"movflags": "faststart"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return fast


@pytest.mark.weights
def test_masks_and_several_people_reach_the_files(weights_here, tmp_path):
    sample = opened(str(vit.open_source("sample")[0].paths[0]))  # type: ignore[attr-defined]
    cv2.imwrite("two.png", np.hstack([sample, sample[:, ::-1]]))
    model = "blazepose-full,output_segmentation_masks=true"
    words = (*PREDICT, "two.png", "--num-poses", "2", "--model", model, "--out", "drawn.png")
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert "1 image, 2 people" in done.stdout
    changed = np.abs(opened("drawn.png").astype(int) - opened("two.png")).max(-1) > 10
    assert 0.2 < changed.mean() < 0.9


@pytest.mark.weights
def test_metres_from_a_camera_that_is_given(weights_here):
    line = (*PREDICT, "sample", "--absolute", "--fov-deg", "40", "--out")
    done = command(*line, "a.jsonl")
    assert done.returncode == 0, done.stderr
    ((frame, poses),) = vit.read("a.jsonl")
    assert frame.camera is not None
    assert frame.camera.known_by == "fov"
    assert poses.plausible is not None
    assert poses.error is not None
    assert (poses.origin, poses.plausible.tolist()) == ("camera", [True])
    # A portrait: somebody whose head is a third of an image of 40 degrees is about a metre away.
    nose = poses["nose"].xyz
    assert nose is not None
    assert 0.5 < nose[0, 2] < 2
    assert poses.error[0] < 0.05 * frame.size[1]
    table = csv.DictReader(io.StringIO(written(command(*line, "a.csv"), "a.csv")))
    assert {row["origin"] for row in table} == {"camera"}


def written(done: Done, path: str) -> str:
    """What a command that went well has written."""
    assert done.returncode == 0, done.stderr
    return Path(path).read_text()


@pytest.mark.weights
def test_pictures_of_another_shape_than_the_camera_s_are_left_out(weights_here, picture):
    for name, shape in (("a.png", (48, 64, 3)), ("b.png", (64, 48, 3)), ("c.png", (96, 128, 3))):
        picture(f"pictures/{name}", np.full(shape, 128, np.uint8))
    matrix = "[[60, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]"
    Path("camera.json").write_text(f'{{"camera_matrix": {matrix}, "image_size": [64, 48]}}')
    line = (*PREDICT, "pictures", "--camera", "camera.json", "--absolute", "--out", "a.jsonl")
    done = command(*line)
    one_line(done, "b.png", "calibrated for 64 x 48 pixels, the image has 48 x 64")
    assert "2 images, 0 people" in done.stdout
    cameras = [frame.camera for frame, _ in vit.read("a.jsonl")]
    assert [camera.matrix[0, 0] for camera in cameras if camera] == [60, 120]
    assert {camera.known_by for camera in cameras if camera} == {"file"}


@pytest.fixture(scope="module")
def yolo_here(shared: Path, blazepose, tmp_path_factory) -> dict[str, str]:
    """An environment in whose cache the real YOLOv8n checkpoint lies, put there by hand."""
    for name in ("torch", "onnx"):
        if importlib.util.find_spec(name) is None:
            absent(f"{name} is not installed (the train extra)")
    blazepose("full")
    folder = tmp_path_factory.mktemp("cache")
    for path in download.fetch(CATALOGUE["blazepose-full"].files):
        shutil.copy(path, folder)
    shutil.copy(shared / "weights" / "yolov8n-pose.pt", folder)
    return {"VITRUVIAN_CACHE": str(folder)}


@pytest.mark.weights
@pytest.mark.shared
def test_yolo_finds_everyone_and_is_converted_once(yolo_here, shared):
    bus = shared / "data" / "images" / "ultralytics_bus.jpg"
    line = (*PREDICT, bus, "--model", "yolov8n-pose")
    first = command(*line, "--out", "a.jsonl", env=yolo_here)
    assert first.returncode == 0, first.stderr
    assert "4 people" in first.stdout
    assert "converting" in first.stderr
    again = command(*line, "--out", "b.jsonl", env=yolo_here)
    assert "converting" not in again.stderr
    ((_, poses),) = vit.read("b.jsonl")
    assert poses.skeleton.name == "coco17"
    assert poses.xyz is None
    wrong = command(*line, "--model", "yolov8n-pose,masks=true", "--out", "c.jsonl", env=yolo_here)
    one_line(wrong, "'masks'")
    flat = command(*line, "--absolute", "--out", "d.jsonl", env=yolo_here)
    one_line(flat, "yolov8n-pose gives no 3D", "blazepose-full")
    assert not list(Path().glob("d.jsonl*"))


@pytest.mark.weights
@pytest.mark.shared
def test_yolo_finds_the_people_for_blazepose(yolo_here, shared):
    bus = shared / "data" / "images" / "ultralytics_bus.jpg"
    line = (*PREDICT, bus, "--find", "yolov8n-pose", "--num-poses", "6", "--out", "a.jsonl")
    done = command(*line, "--absolute", env=yolo_here)
    assert done.returncode == 0, done.stderr
    ((_, poses),) = vit.read("a.jsonl")
    assert len(poses) >= 2  # the two who are whole; BlazePose's own detector sees one of them
    assert poses.skeleton.name == "blazepose33"
    assert poses.origin == "camera"
    # Of those who are whole: each on the pavement, 3 to 10 m away, and none on top of another.
    hips = poses["left_hip"].xyz
    assert hips is not None
    assert poses.plausible is not None
    depth = hips[poses.plausible & (poses.box[:, 3] - poses.box[:, 1] > 300), 2]
    assert len(depth) >= 2
    assert ((depth > 3) & (depth < 10)).all()


@pytest.mark.weights
@pytest.mark.shared
def test_yolo_tells_two_people_of_a_video_apart(yolo_here, shared):
    """The second one comes in at 1.2 s; on some frames there are second boxes of somebody."""
    video = shared / "data" / "videos" / "sports2d_demo.mp4"
    line = (*PREDICT, video, "--model", "yolov8n-pose", "--start", "1", "--end", "2.5")
    done = command(*line, "--smooth", "one-euro", "--out", "a.jsonl", env=yolo_here)
    assert "45 frames, 2 people" in done.stdout, done.stderr
    assert next(poses.person.tolist() for _, poses in vit.read("a.jsonl")) == [1]
    for _, poses in vit.read("a.jsonl"):
        for person, box in zip(poses.person.tolist(), poses.box, strict=True):
            assert person in (-1, 1 if box[3] < 500 else 2)  # the first stands on a wall
    done = command(*line, "--no-track", "--out", "b.jsonl", env=yolo_here)
    assert done.returncode == 0, done.stderr
    assert all((poses.person == -1).all() for _, poses in vit.read("b.jsonl"))


@pytest.mark.weights
@pytest.mark.shared
def test_a_checkpoint_of_ones_own_is_exported_and_run(yolo_here, shared):
    checkpoint = shared / "weights" / "yolov8n-pose.pt"
    done = command("export", checkpoint, "--out", "mine.onnx", env=yolo_here)
    assert done.returncode == 0, done.stderr
    assert "maximum difference from PyTorch" in done.stdout
    one_line(command("export", checkpoint, "--out", "mine.onnx", env=yolo_here), "exists")
    one_line(
        command("export", "blazepose-full", "--out", "b.onnx", env=yolo_here), "not a checkpoint"
    )
    video = shared / "data" / "videos" / "mmpose_demo.mp4"
    done = command(*PREDICT, video, "--model", "mine.onnx", "--out", "a.csv", env=yolo_here)
    assert done.returncode == 0, done.stderr
    assert "mmpose_demo.mp4: 5 frames" in done.stdout


@pytest.mark.parametrize("name", ["gone.pt", "gone.onnx"])
def test_a_model_file_that_is_not_there_is_one_line(name):
    one_line(command(*PREDICT, "sample", "--model", name), f"cannot read '{name}': no such file")
