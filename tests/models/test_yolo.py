"""YOLOv8-pose: networks, export, letterbox, suppression, and the real weights on real images."""

import importlib.util
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SHARED, absent
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import iou, nms
from vitruvian.geometry.letterbox import Letterbox
from vitruvian.models import yolopose
from vitruvian.models.ready import converted
from vitruvian.models.yolopose import Options, YoloPose
from vitruvian.network.openvino import OpenVino
from vitruvian.network.threads import imap
from vitruvian.weights import checkpoint
from vitruvian.weights.checkpoint import Checkpoint

KEYS = sorted((SHARED / "specs/keys").glob("yolov8*_keys.txt"))
# Scale, p6, parameters before folding: specs/yolov8pose.md, 1.6.
SIZES = [
    ("n", False, 3_295_470),
    ("s", False, 11_626_046),
    ("m", False, 26_464_462),
    ("l", False, 44_489_196),
    ("x", False, 69_491_724),
    ("x", True, 99_182_640),
]
PAW = Skeleton.table("paw", "this test", ("wrist", "", 0.1), ("tip", "wrist", 0.2))


def shared(name: str) -> Path:
    """A file of ../shared; without it the test is skipped, or fails if weights are required."""
    file = SHARED / name
    if not file.exists():
        absent(f"../shared/{name} is not here")
    return file


@pytest.fixture(scope="session")
def yolo(torch: Any) -> Any:
    from vitruvian.exports.networks import yolo

    return yolo


def grey(width: int, height: int) -> Frame:
    return Frame(np.full((height, width, 3), 128, np.uint8))


class Fake:
    """A network that finds what it is told to, in pixels of its input."""

    runs_on = "a test"

    def __init__(self, *rows: list[float], shape: tuple[int | None, ...] = (None, 3, None, None)):
        self.rows, self.input_shape = np.array(rows, np.float32).T, shape
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        self.seen.append(rows.shape)
        return (np.repeat(self.rows[None], len(rows), axis=0),)


def person(x: float, y: float, score: float, side: float = 100) -> list[float]:
    """One row of COCO's 17 keypoints; the k-th keypoint is k pixels right of the box's middle."""
    points = [number for k in range(17) for number in (x + k, y, k / 17)]
    return [x, y, side, side, score, *points]


NOBODY = person(50, 50, 0)


# The networks


@pytest.mark.shared
@pytest.mark.parametrize("file", KEYS, ids=lambda file: file.stem)
def test_parameters_have_the_names_and_shapes_of_the_reference(
    file: Path, torch: Any, yolo: Any
) -> None:
    p6 = "_p6" in file.stem
    with torch.device("meta"):
        network = yolo.Yolo(yolo.YoloShape.of(file.stem[len("yolov8")], p6=p6))
    rows = [line.split("\t") for line in file.read_text().splitlines()]
    got = [
        [name, str(tuple(value.shape)), str(value.dtype).removeprefix("torch.")]
        for name, value in network.state_dict().items()
    ]
    assert got == rows


@pytest.mark.shared
def test_the_lists_of_names_are_there() -> None:
    shared("specs/keys")
    assert len(KEYS) >= 2


@pytest.mark.parametrize(("scale", "p6", "parameters"), SIZES)
def test_every_scale_has_its_published_size(
    scale: str, p6: bool, parameters: int, torch: Any, yolo: Any
) -> None:
    shape = yolo.YoloShape.of(scale, p6=p6)
    with torch.device("meta"):
        network = yolo.Yolo(shape)
    assert sum(value.numel() for value in network.parameters()) == parameters
    names = {name: np.empty(value.shape, bool) for name, value in network.state_dict().items()}
    assert yolo.YoloShape.infer(names) == shape
    assert network.strides == ((8, 16, 32, 64) if p6 else (8, 16, 32))


def small(torch: Any, yolo: Any, *, p6: bool = False, **shape: int) -> Any:
    """A narrow network whose norms have seen something, so that folding them is no matter of 1."""
    torch.manual_seed(0)
    channels = (8, 8, 16, 16, 16, 16) if p6 else (8, 8, 16, 16, 16)
    network = yolo.Yolo(yolo.YoloShape(channels, (1, 1), **shape))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight.data, module.bias.data, module.running_mean):
                values.uniform_(0.5, 1.5)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("p6", [False, True])
def test_folding_the_norms_changes_nothing(torch: Any, yolo: Any, p6: bool) -> None:
    network = small(torch, yolo, p6=p6)
    images = torch.rand(2, 3, 64, 128)
    with torch.no_grad():
        want = network(images)
        assert want.shape == (2, 56, sum(64 * 128 // s**2 for s in network.strides))
        got = network.fold()(images)
    # Boxes are 100 pixels and float32 holds 7 digits: 60 convolutions lose two of them.
    np.testing.assert_allclose(got, want, atol=1e-3)
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    assert not any(".bn." in name for name in tensors)
    with torch.no_grad():
        again = yolo.load(tensors)(images)
    np.testing.assert_array_equal(again, got)


def test_the_head_counts_from_cells(torch: Any, yolo: Any) -> None:
    network = small(torch, yolo)
    head = network.model[-1]
    boxes, scores = torch.zeros(1, 64, 42), torch.zeros(1, 1, 42)
    _, _, _, cells = network.raw(torch.zeros(1, 3, 32, 64))
    assert cells[:, [0, 1, 8, 32, 40]].T.tolist() == [
        [0, 0, 8], [1, 0, 8], [0, 1, 8], [0, 0, 16], [0, 0, 32],
    ]  # fmt: skip
    boxes[:, 3], boxes[:, 16 + 1], boxes[:, 32 + 5], boxes[:, 48 + 2] = 50, 50, 50, 50
    keypoints = torch.zeros(1, 51, 42)
    keypoints[:, 0] = 1.0
    rows = head.decode(boxes, scores, keypoints, cells)[0, :, 9]  # column 1, row 1, stride 8
    # Left 3, top 1, right 5, bottom 2 cells from the middle of the cell, (1.5, 1.5).
    assert rows[:4].tolist() == pytest.approx([2.5 * 8, 2 * 8, 8 * 8, 3 * 8])
    assert rows[4:8].tolist() == pytest.approx([0.5, 3 * 8, 1 * 8, 0.5])


def test_a_checkpoint_that_does_not_fit_is_refused(torch: Any, yolo: Any) -> None:
    tensors = {k: v.numpy() for k, v in small(torch, yolo).state_dict().items()}
    name = "model.4.cv1.conv.weight"
    wrong = {
        "misses 'model.4.cv1.conv.weight'$": {k: v for k, v in tensors.items() if k != name},
        "has, but should not, 'more'": {**tensors, "more": np.zeros(1)},
        "in another shape 'model.4.cv1": {**tensors, name: np.zeros((1, 2, 3, 4))},
        "no tensor 'model.0.conv.weight'": {"model.22.cv4.0.2.weight": np.zeros((51, 1))},
        "YOLO11": {**tensors, "model.22.cv3.0.0.0.conv.weight": np.zeros(1)},
    }
    for match, given in wrong.items():
        with pytest.raises(VitruvianError, match=match):
            yolo.load(given)
    with pytest.raises(VitruvianError, match="51 numbers"):
        yolo.load(tensors, 20)


def test_half_precision_becomes_single_before_anything_is_computed(torch: Any, yolo: Any) -> None:
    network = small(torch, yolo)
    half = {
        k: v.numpy().astype(np.float16) if v.is_floating_point() else v.numpy()
        for k, v in network.state_dict().items()
    }
    assert all(value.dtype != torch.float16 for value in yolo.load(half).state_dict().values())


# Export


@pytest.mark.parametrize("p6", [False, True])
@pytest.mark.parametrize("name", ["out.onnx", "out.xml"])
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_runtimes_agree_with_torch_on_a_custom_network(
    tmp_path: Path, torch: Any, yolo: Any, name: str, precision: str, p6: bool
) -> None:
    from vitruvian.exports.export import export_checkpoint

    network = small(torch, yolo, p6=p6, keypoints=2, numbers=2, classes=3)
    file = tmp_path / "paw.pt"
    torch.save({"model": network.state_dict(), "train_args": {"imgsz": 192}}, file)
    done = export_checkpoint(
        file, tmp_path / name, precision=precision, skeleton=PAW
    )  # compares them
    assert "openvino" in done.apart
    model = yolopose.load(done.file)
    assert (model.skeleton.keypoints, model.numbers, model.stride) == (
        PAW.keypoints, 2, 64 if p6 else 32,
    )  # fmt: skip
    assert model.size == (192, 192)
    (poses,) = model([grey(300, 100)])
    assert poses.xy.shape == (len(poses), 2, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {"paw.pt", name, name.replace(".xml", ".bin")}
    )


def test_an_export_says_what_it_comes_from(tmp_path: Path, torch: Any, yolo: Any) -> None:
    import onnx

    from vitruvian.exports.export import export_checkpoint
    from vitruvian.weights.download import sha256

    file = tmp_path / "a.pt"
    torch.save(small(torch, yolo).state_dict(), file)
    done = export_checkpoint(file, tmp_path / "a.onnx", imgsz=320)
    about = {row.key: row.value for row in onnx.load(done.file).metadata_props}
    assert about["source_sha256"] == sha256(file)
    assert json.loads(about["skeleton"])["name"] == "coco17"
    assert (about["stride"], about["imgsz"], about["kpt_shape"]) == ("32", "[320, 320]", "[17, 3]")
    assert about == OpenVino(done.file).metadata


def test_a_checkpoint_is_converted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch: Any, yolo: Any
) -> None:
    monkeypatch.setenv("VITRUVIAN_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "paw.pt"
    network = small(torch, yolo, keypoints=2)
    torch.save({"ema": None, "model": network.state_dict()}, file)
    first = converted(file, PAW)
    written = first.stat().st_mtime_ns
    assert converted(file, PAW) == first
    assert first.stat().st_mtime_ns == written
    assert yolopose.load(first).skeleton.name == "paw"
    with pytest.raises(VitruvianError, match="vitruvian export"):
        yolopose.load(file)


def test_what_cannot_be_exported_is_refused(tmp_path: Path, torch: Any, yolo: Any) -> None:
    from vitruvian.exports.export import export_checkpoint

    file = tmp_path / "a.pt"
    torch.save(small(torch, yolo).state_dict(), file)
    with pytest.raises(VitruvianError, match=r"ending in \.onnx or \.xml"):
        export_checkpoint(file, tmp_path / "a.engine")
    with pytest.raises(VitruvianError, match=r"ending in \.xml"):
        export_checkpoint(file, tmp_path / "a.onnx", precision="int8")
    with pytest.raises(VitruvianError, match="calibration"):
        export_checkpoint(file, tmp_path / "a.xml", precision="int8")
    with pytest.raises(VitruvianError, match="precision"):
        export_checkpoint(file, tmp_path / "a.onnx", precision="f8")
    with pytest.raises(VitruvianError, match="51 numbers"):
        export_checkpoint(file, tmp_path / "a.onnx", skeleton=PAW)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_skeleton_survives_json_and_is_read_from_toml(tmp_path: Path) -> None:
    for skeleton in (COCO17, PAW, BLAZEPOSE33):
        again = Skeleton.from_json(skeleton.to_json())
        assert (again.name, again.keypoints, again.bones) == (
            skeleton.name, skeleton.keypoints, skeleton.bones,
        )  # fmt: skip
        np.testing.assert_array_equal(again.sigmas, skeleton.sigmas)
    file = tmp_path / "paw.toml"
    file.write_text('name = "paw"\nkeypoints = [["wrist", "", 0.1], ["tip", "wrist"]]')
    read = Skeleton.read(file)
    assert (read.name, read.keypoints, read.bones) == ("paw", ("wrist", "tip"), ((0, 1),))
    assert np.isnan(read.sigmas[1])
    for wrong in ("name = ", 'name = "x"', 'name = "x"\nkeypoints = []', "keypoints = [[]]"):
        file.write_text(wrong)
        with pytest.raises(VitruvianError, match="cannot read") as caught:
            Skeleton.read(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(VitruvianError, match="No such file"):
        Skeleton.read(tmp_path / "none.toml")


# Letterbox


@pytest.mark.parametrize(
    ("frame", "rect", "size", "corner"),
    [  # specs/yolov8pose.md, 3.1; sizes are width and height
        ((810, 1080), True, (480, 640), (0, 0)),
        ((810, 1080), False, (640, 640), (80, 0)),
        ((1280, 720), True, (640, 384), (0, 12)),
        ((1920, 1080), True, (640, 384), (0, 12)),
        ((1920, 1080), False, (640, 640), (0, 140)),
        ((640, 427), True, (640, 448), (0, 10)),
        ((500, 333), True, (640, 448), (0, 11)),
        ((427, 640), True, (448, 640), (10, 0)),
        ((427, 640), False, (640, 640), (106, 0)),
    ],
)
def test_the_letterbox_is_the_reference_s(
    frame: tuple[int, int], rect: bool, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    box = Letterbox.fit(frame, (640, 640), 32, rect)
    assert (box.back.size, box.corner) == (size, corner)


def test_every_frame_lies_inside_its_letterbox() -> None:
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(1, 3000, (200, 2)).tolist(), (1, 3000), (3000, 1), (1, 1)]
    for width, height in sizes:
        for rect in (True, False):
            box = Letterbox.fit((width, height), (640, 640), 32, rect)
            for inner, corner, whole in zip(box.inner, box.corner, box.back.size, strict=True):
                assert 0 <= corner <= whole - inner
                assert whole % 32 == 0
                assert whole - inner < 32 or not rect
            # The two roundings differ by less than a pixel of the input.
            far = box.back.from_frame(np.array([[width, height]], np.float64))[0]
            assert np.abs(far - np.add(box.inner, box.corner)).max() <= 1.5


def test_bars_are_grey_and_the_picture_is_whole() -> None:
    model = YoloPose(Fake(NOBODY))
    frame = Frame(np.full((20, 64, 3), 255, np.uint8))
    box = Letterbox.fit(frame.size, (64, 64), 32, rect=True)
    (row,) = model.prepare([frame], [box])
    assert row.shape == (3, 32, 64)
    np.testing.assert_array_equal(row[:, 6:26], 1)
    np.testing.assert_array_equal(row[:, :6], np.float32(114) / np.float32(255))
    np.testing.assert_array_equal(row[:, 26:], np.float32(114) / np.float32(255))


# Suppression


def boxes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 100, (count, 2))
    box = np.concatenate([low, low + rng.uniform(5, 60, (count, 2))], axis=1)
    return box.astype(np.float32), rng.random(count, np.float32)


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_suppression_keeps_the_best_of_what_overlaps(count: int) -> None:
    box, score = boxes(count)
    kept = nms(box, score, 0.5, 1000)
    assert kept.dtype == np.int64
    assert (np.diff(score[kept]) <= 0).all()
    apart = iou(box[kept], box[kept])
    assert (apart[~np.eye(len(kept), dtype=bool)] <= 0.5).all()
    for i in set(range(count)) - set(kept.tolist()):
        hiding = kept[iou(box[i : i + 1], box[kept])[0] > 0.5]
        assert (score[hiding] >= score[i]).any()
    np.testing.assert_array_equal(nms(box[kept], score[kept], 0.5, 1000), np.arange(len(kept)))


def test_suppression_stops_at_the_most_and_keeps_the_order_of_equals() -> None:
    box, score = boxes(50)
    np.testing.assert_array_equal(nms(box, score, 0.5, 3), nms(box, score, 0.5, 99)[:3])
    far = np.arange(4, dtype=np.float32)[:, None] * 100 + np.array([0, 0, 9, 9], np.float32)
    np.testing.assert_array_equal(nms(far, np.ones(4, np.float32), 0.5, 9), np.arange(4))
    same = np.repeat(far[:1], 4, axis=0)
    np.testing.assert_array_equal(nms(same, np.ones(4, np.float32), 0.5, 9), [0])
    np.testing.assert_array_equal(nms(same, np.ones(4, np.float32), 1.0, 9), np.arange(4))


# The model on fake networks


def test_two_people_come_back_in_pixels_of_the_frame() -> None:
    # 1280 x 720 is halved, and lies 12 pixels down in 640 x 384.
    model = YoloPose(Fake(person(100, 112, 0.6), person(300, 212, 0.9), NOBODY))
    (poses,) = model([grey(1280, 720)])
    np.testing.assert_allclose(poses.box_score, [0.9, 0.6])
    np.testing.assert_allclose(poses.box, [[500, 300, 700, 500], [100, 100, 300, 300]], atol=1e-3)
    np.testing.assert_allclose(poses.xy[0, 5], [610, 400], atol=1e-3)
    np.testing.assert_allclose(poses.score[0], np.arange(17) / 17)
    assert (poses.person == -1).all()
    (regions,) = model.find([grey(1280, 720)])
    np.testing.assert_allclose(regions.bounds(), poses.box, atol=1e-3)


def test_nobody_is_an_ordinary_answer() -> None:
    model = YoloPose(Fake(NOBODY))
    (poses,) = model([grey(64, 48)])
    assert poses.xy.shape == (0, 17, 2)
    assert poses.box.shape == (0, 4)
    assert len(model.find([grey(64, 48)])[0]) == 0
    assert model([]) == []


def test_the_threshold_itself_is_not_enough() -> None:
    (poses,) = YoloPose(Fake(person(50, 50, 0.25)))([grey(640, 640)])
    assert len(poses) == 0


def test_what_leaves_the_frame_is_clipped_to_its_edge() -> None:
    (poses,) = YoloPose(Fake(person(635, 5, 0.9)))([grey(640, 640)])
    np.testing.assert_allclose(poses.box, [[585, 0, 640, 55]])
    assert poses.xy[0, -1].tolist() == [640, 5]


def test_frames_of_one_size_go_through_together() -> None:
    network = Fake(person(100, 100, 0.9))
    frames = [grey(640, 480), grey(480, 640), grey(640, 480), grey(64, 2000), grey(2000, 64)]
    together = YoloPose(network)(frames)
    sizes = [(1, 3, 32, 640), (1, 3, 640, 32), (1, 3, 640, 480), (2, 3, 480, 640)]
    assert sorted(network.seen) == sizes
    for frame, poses in zip(frames, together, strict=True):
        (alone,) = YoloPose(network)([frame])
        np.testing.assert_array_equal(alone.xy, poses.xy)


def test_a_network_of_one_size_gets_squares_one_by_one() -> None:
    network = Fake(person(100, 100, 0.9), shape=(1, 3, 320, 320))
    YoloPose(network)([grey(640, 480), grey(640, 480)])
    assert network.seen == [(1, 3, 320, 320)] * 2


def test_classes_do_not_hide_each_other() -> None:
    first, second = [50, 50, 20, 20, 0.9, 0.1], [50, 50, 20, 20, 0.2, 0.8]
    points = [50, 50, 1, 60, 60, 0]
    model = YoloPose(Fake([*first, *points], [*second, *points]), skeleton=PAW)
    (poses,) = model([grey(640, 640)])
    np.testing.assert_allclose(poses.box_score, [0.9, 0.8])
    model = YoloPose(Fake([*first, *points], [*first, *points]), skeleton=PAW)
    assert len(model([grey(640, 640)])[0]) == 1


def test_keypoints_without_a_score_have_their_person_s() -> None:
    model = YoloPose(Fake([50, 50, 20, 20, 0.7, 40, 41, 60, 61]), skeleton=PAW, numbers=2)
    (poses,) = model([grey(640, 640)])
    assert poses.xy.tolist() == [[[40, 41], [60, 61]]]
    np.testing.assert_allclose(poses.score, 0.7)


def test_a_network_for_other_keypoints_is_refused() -> None:
    with pytest.raises(VitruvianError, match=r"returns \(9, 1\)"):
        YoloPose(Fake([0.0] * 9))([grey(64, 64)])


def test_a_file_that_is_no_yolo_is_refused(tmp_path: Path, torch: Any) -> None:
    import onnx

    def written(shape: list[int], **about: str) -> Path:
        value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
        out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)
        node = onnx.helper.make_node("Relu", ["x"], ["y"])
        graph = onnx.helper.make_graph([node], "g", [value], [out])
        opset = [onnx.helper.make_opsetid("", 17)]
        model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.helper.set_model_props(model, about)
        onnx.save(model, tmp_path / "a.onnx")
        return tmp_path / "a.onnx"

    picture = [1, 3, 64, 64]
    names = ["openvino", *(["onnxruntime"] if importlib.util.find_spec("onnxruntime") else [])]
    for options in (Options(runtime=name) for name in names):
        with pytest.raises(VitruvianError, match="axes, want 4"):
            yolopose.load(written([1, 3]), options)
        for about in ({"stride": "0"}, {"imgsz": "no"}, {"kpt_shape": "[]"}, {"skeleton": "{}"}):
            with pytest.raises(VitruvianError, match="has metadata that is not YOLOv8's"):
                yolopose.load(written(picture, **about), options)
        with pytest.raises(VitruvianError, match=r"task 'detect', which gives no keypoints"):
            yolopose.load(written(picture, task="detect"), options)
        for about in ({"end2end": "True"}, {"args": "{'batch': 1, 'nms': True}"}):
            with pytest.raises(VitruvianError, match=r"built-in NMS; .*nms=False"):
                yolopose.load(written(picture, task="pose", **about), options)
        with pytest.raises(VitruvianError, match="21 keypoints"):
            yolopose.load(written(picture, kpt_shape="[21, 3]"), options)
        with pytest.raises(VitruvianError, match=r"returns \(3, 64, 64\)"):
            yolopose.load(written(picture), options)([grey(64, 64)])
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"no network")
        for file in (broken, tmp_path / "missing.onnx"):
            with pytest.raises(VitruvianError, match="cannot open"):
                yolopose.load(file, options)


HEADS = {  # the head's tensors as Ultralytics 8.4.190 names them
    "YOLOv8-pose": ["model.22.cv3.0.0.conv.weight", "model.22.cv4.0.2.weight"],
    "YOLOv8-pose-p6": ["model.30.cv3.0.0.conv.weight", "model.30.cv4.0.2.weight"],
    "YOLOv8": ["model.22.cv3.0.0.conv.weight", "model.22.dfl.conv.weight"],
    "YOLOv8-seg": ["model.22.cv3.0.0.conv.weight", "model.22.cv4.0.2.weight", "model.22.proto.x"],
    "YOLO11-pose": ["model.23.cv3.0.0.0.conv.weight", "model.23.cv4.0.2.weight"],
    "YOLO12-pose": ["model.21.cv3.0.0.0.conv.weight", "model.21.cv4.0.2.weight"],
}


@pytest.mark.parametrize(
    ("head", "made_from", "words"),
    [
        ("YOLO11-pose", "yolo11n-pose.yaml", "a checkpoint of YOLO11;"),
        ("YOLO12-pose", "cfg/yolo12x-pose.yaml", "a checkpoint of YOLO12;"),
        ("YOLO11-pose", "yolo26n-pose.yaml", "a checkpoint of YOLO26;"),
        ("YOLO11-pose", None, "a checkpoint of YOLO11 or later;"),
        ("YOLO11-pose", "mine.yaml", "a checkpoint of YOLO11 or later;"),
        ("YOLOv8", "yolov8n.yaml", "is YOLOv8 for boxes, which gives no keypoints"),
        ("YOLOv8", "yolov5n.yaml", "is YOLOv5 for boxes, which gives no keypoints"),
        ("YOLOv8", None, "is YOLO for boxes, which gives no keypoints"),
        ("YOLOv8-seg", "yolov8n-seg.yaml", "is YOLOv8 for masks, which gives no keypoints"),
    ],
)
def test_another_yolo_is_refused_by_its_name_with_the_way_out(
    head: str, made_from: str | None, words: str
) -> None:
    attributes: dict[str, object] = {} if made_from is None else {"yaml": {"yaml_file": made_from}}
    read = Checkpoint(dict.fromkeys(HEADS[head], np.zeros(1)), attributes)
    with pytest.raises(VitruvianError) as caught:
        yolopose.check_checkpoint(read, Path("best.pt"))
    assert words in str(caught.value)
    if "checkpoint" in words:
        assert 'YOLO("best.pt").export(format="onnx"' in str(caught.value)


@pytest.mark.parametrize("head", ["YOLOv8-pose", "YOLOv8-pose-p6"])
@pytest.mark.parametrize("made_from", [None, "yolov8n-pose.yaml", "mine.yaml"])
def test_yolov8_pose_is_taken_whatever_it_was_made_from(head: str, made_from: str | None) -> None:
    attributes: dict[str, object] = {} if made_from is None else {"yaml": {"yaml_file": made_from}}
    yolopose.check_checkpoint(
        Checkpoint(dict.fromkeys(HEADS[head], np.zeros(1)), attributes), Path("best.pt")
    )


@pytest.mark.parametrize(
    "given",
    [
        {"conf": 2},
        {"iou": -1},
        {"imgsz": 0},
        {"streams": None},
        {"num_poses": 1.5},
        {"runtime": "tf"},
        {"runtime": "onnxruntime", "precision": "bf16"},
        {"config": 1},
    ],
)
def test_wrong_options_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(VitruvianError, match=next(iter(given))):
        Options.of(**given)


def test_a_stream_keeps_its_order() -> None:
    gate = threading.Event()

    def slow_first(i: int) -> int:
        if i == 0:
            assert gate.wait(10)
        else:
            gate.set()
        return i

    assert list(imap(slow_first, range(10), 2)) == list(range(10))
    frames = [grey(64 + i, 64) for i in range(5)]
    model = YoloPose(Fake(person(30, 30, 0.9)), Options(streams=2))
    widths = [poses.box[0, 2] for poses in model.stream(frames)]
    assert widths == [model([frame])[0].box[0, 2] for frame in frames]


def test_an_error_in_a_stream_is_raised_where_it_is_read() -> None:
    with pytest.raises(ZeroDivisionError):
        list(imap(lambda i: 1 // i, [1, 0, 1], 2))


# The real weights


@pytest.fixture(scope="session")
def real(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vitruvian.exports.export import export_checkpoint

    weights = shared("weights/yolov8n-pose.pt")
    return export_checkpoint(weights, tmp_path_factory.mktemp("yolo") / "yolov8n-pose.onnx").file


def runtime(name: str) -> Options:
    if name == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the onnx extra)")
    return Options(runtime=name)


@pytest.mark.shared
@pytest.mark.weights
@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("picture", "people"), [("ultralytics_bus", 4), ("ultralytics_zidane", 2), ("pose", 1)]
)
def test_everyone_in_a_real_picture_is_found(
    real: Path, name: str, picture: str, people: int
) -> None:
    model = yolopose.load(real, runtime(name))
    frame = Frame.read(shared(f"data/images/{picture}.jpg"))
    (poses,) = model([frame])
    assert len(poses) == people
    assert model.network.runs_on in ("CPU", "CPUExecutionProvider")
    best = poses.take([0])
    seen = best.score[0] > 0.5
    inside = (best.xy[0] >= best.box[0, :2] - 20) & (best.xy[0] <= best.box[0, 2:] + 20)
    assert inside[seen].all()
    assert seen.sum() >= 8


@pytest.mark.shared
@pytest.mark.weights
def test_runtimes_agree_on_a_real_picture(real: Path) -> None:
    frame = Frame.read(shared("data/images/ultralytics_bus.jpg"))
    one, other = (
        yolopose.load(real, runtime(name))([frame])[0] for name in ("openvino", "onnxruntime")
    )
    # float32 in another order of sums: 1e-4 of a pixel of the input, twice that in the frame.
    np.testing.assert_allclose(one.xy, other.xy, atol=0.01)
    np.testing.assert_allclose(one.score, other.score, atol=1e-4)


@pytest.mark.shared
@pytest.mark.weights
def test_int8_finds_the_same_people(real: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="nncf is not installed (the int8 extra)")
    from vitruvian.exports.export import export_checkpoint

    exact = yolopose.load(real, Options(imgsz=320))
    frames = [Frame.read(path) for path in sorted(shared("data/images").glob("*.jpg"))]
    inputs = [exact.prepare([frame], [exact.letterbox(frame)]) for frame in frames]
    weights = shared("weights/yolov8n-pose.pt")
    done = export_checkpoint(
        weights, tmp_path / "a.xml", precision="int8", calibration=inputs, imgsz=320
    )
    assert done.apart["openvino int8"] < 5  # of people of 100 to 300 pixels
    for one, other in zip(exact(frames), yolopose.load(done.file)(frames), strict=True):
        sure = one.box[one.box_score > 0.6]
        assert (iou(sure, other.box).max(axis=1) > 0.8).all()


@pytest.mark.shared
@pytest.mark.weights
def test_streams_side_by_side_change_nothing(real: Path) -> None:
    frame = Frame.read(shared("data/images/ultralytics_bus.jpg"))
    (alone,) = yolopose.load(real)([frame])
    for poses in yolopose.load(real, Options(streams=2)).stream([frame] * 4):
        np.testing.assert_allclose(poses.xy, alone.xy, atol=0.01)


@pytest.mark.shared
@pytest.mark.weights
def test_the_checkpoint_is_what_the_export_says(real: Path) -> None:
    read = checkpoint.read(shared("weights/yolov8n-pose.pt"))
    model = yolopose.load(real)
    assert next(iter(read.tensors)) == "model.0.conv.weight"
    assert (model.size, model.stride, model.skeleton.name) == ((640, 640), 32, "coco17")
