"""AlphaPose's networks: names, shapes, deformable convolutions, and what is exported of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import TOY, is_one_line, refused, runtimes
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.errors import VitruvianError
from vitruvian.network.openvino import OpenVino
from vitruvian.weights.download import sha256

torch = pytest.importorskip("torch", reason="torch is not installed (the train extra)")
pytest.importorskip("onnx", reason="onnx is not installed (the train extra)")

from vitruvian.exports import families, graph  # noqa: E402
from vitruvian.exports.export import export_checkpoint  # noqa: E402
from vitruvian.exports.networks import fastpose  # noqa: E402
from vitruvian.exports.networks.fastpose import FastShape  # noqa: E402

# Of specs/keys: file, shape, parameters.
PUBLISHED = {
    "fastpose_r50": (FastShape(), 40_577_745),
    "fastpose_dcn_r50": (FastShape(deform="plain"), 41_158_587),
    "fastpose_r50_conv256_136": (FastShape(keypoints=136, channels=256), 42_052_296),
    "fastpose_r152_136": (FastShape(depth=152, keypoints=136, channels=256), 76_688_072),
    "fastpose_duc_r152": (FastShape("duc", 152, channels=256), 83_199_825),
    "fastpose_duc_shuffle_r50": (FastShape("duc", channels=256, shuffle=True), 57_853_777),
    "simplepose_r50": (FastShape("simplepose", channels=256, squeeze=False), 33_999_697),
}
# One of each kind, an eighth as wide: what runs in a second.
NARROW = {
    "fastpose": FastShape(width=8, channels=16),
    "deformable": FastShape(width=8, channels=16, deform="plain"),
    "modulated": FastShape(width=8, channels=16, deform="modulated"),
    "duc": FastShape("duc", width=8, channels=16),
    "shuffle": FastShape("duc", width=8, channels=16, shuffle=True),
    "simplepose": FastShape("simplepose", width=8, channels=16, squeeze=False),
    "plain": FastShape("duc", width=4, channels=8, squeeze=False, deform="plain"),
}


def unbuilt(shape: FastShape) -> dict[str, np.ndarray]:
    """The tensors of a network by name, without numbers worth anything."""
    with torch.device("meta"):
        network = fastpose.build(shape)
    return {n: np.empty(tuple(v.shape), bool) for n, v in network.state_dict().items()}


def seeded(shape: FastShape) -> Any:
    """A network whose norms have seen something, and whose deformable taps look elsewhere."""
    torch.manual_seed(0)
    network: Any = fastpose.build(shape)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.2)
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    for name, parameter in network.named_parameters():
        if ".conv2_offset." in name:
            parameter.data.normal_(0, 0.05 if name.endswith("weight") else 1)
    return network.eval()


def saved(path: Path, shape: FastShape, **options: Any) -> Path:
    """A checkpoint of such a network, as AlphaPose's are: a bare state dict."""
    torch.save(seeded(shape).state_dict(), path, **options)
    return path


# The networks


@pytest.mark.shared
@pytest.mark.parametrize("name", PUBLISHED)
def test_tensors_have_the_names_and_shapes_of_the_reference(name: str, shared: Path) -> None:
    with torch.device("meta"):
        network = fastpose.build(PUBLISHED[name][0])
    got = [
        [name, str(tuple(value.shape)), str(value.dtype).removeprefix("torch.")]
        for name, value in network.state_dict().items()
    ]
    _, *rows = (shared / f"specs/keys/{name}_keys.txt").read_text().splitlines()
    assert got == [row.split("\t") for row in rows]


@pytest.mark.shared
def test_no_published_list_of_names_is_left_out(shared: Path) -> None:
    files = {file.stem.removesuffix("_keys") for file in (shared / "specs/keys").glob("*pose_*")}
    assert {name for name in files if "yolo" not in name} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_network_has_its_published_size(name: str) -> None:
    shape, parameters = PUBLISHED[name]
    with torch.device("meta"):
        network = fastpose.build(shape)
    assert sum(value.numel() for value in network.parameters()) == parameters


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize("name", [*PUBLISHED, *NARROW])
def test_a_shape_is_inferred_from_tensors(name: str, depth: int) -> None:
    shape = PUBLISHED[name][0] if name in PUBLISHED else NARROW[name]
    # Of a number of keypoints only the last layer is made: any depth has one to try it on.
    for keypoints in {50: (17, 68), 101: (21, 133), 152: (26, 136)}[depth]:
        wanted = replace(shape, keypoints=keypoints, depth=depth)
        assert FastShape.infer(unbuilt(wanted)) == wanted


@pytest.mark.parametrize("name", NARROW)
def test_maps_are_a_quarter_as_large_as_crops(name: str) -> None:
    crops = torch.zeros(2, 64, 96, 3, dtype=torch.uint8)
    with torch.no_grad():
        assert seeded(NARROW[name])(fastpose.fastpose_input(crops)).shape == (2, 17, 16, 24)


def test_crops_are_normalised_as_alphapose_does() -> None:
    (row,) = fastpose.fastpose_input(torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8))
    # The means of ImageNet, but those of B, G, R: T3 of specs/alphapose.md.
    np.testing.assert_allclose(row.ravel(), [1 - 0.406, -0.457, 0.2 - 0.480], rtol=1e-6)


@pytest.mark.parametrize("form", [{}, {"_use_new_zipfile_serialization": False}])
def test_a_checkpoint_gives_the_network_that_was_saved(tmp_path: Path, form: dict) -> None:
    from vitruvian.weights import checkpoint

    file = saved(tmp_path / "a.pth", NARROW["shuffle"], **form)
    crops = fastpose.fastpose_input(torch.randint(0, 256, (1, 64, 64, 3)))
    with torch.no_grad():
        got = fastpose.load(checkpoint.read(file).tensors)(crops)
        np.testing.assert_array_equal(got, seeded(NARROW["shuffle"])(crops))


def test_counters_of_batches_may_be_missing_and_nothing_else() -> None:
    tensors = {k: v.numpy() for k, v in seeded(NARROW["fastpose"]).state_dict().items()}
    without = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    assert len(without) < len(tensors)
    fastpose.load(without)
    name = "preact.layer2.1.conv2.weight"
    wrong = {
        "misses 'preact.layer2.1.conv2.weight'": {k: v for k, v in tensors.items() if k != name},
        "has, but should not, 'more'": {**tensors, "more": np.zeros(1)},
        "another shape 'preact.layer2.1.conv2": {**tensors, name: np.zeros((1, 2, 3, 4))},
        "has no tensor 'preact.conv1.weight'": {"preact.layer1.0.conv1.weight": np.zeros(1)},
        "not a known ResNet (50, 101, 152)": {
            k: v for k, v in tensors.items() if ".layer3.5" not in k
        },
    }
    for words, given in wrong.items():
        with refused(words):
            fastpose.load(given)


def test_what_is_another_of_alphaposes_networks_is_named() -> None:
    named = {
        "HRNet": {"conv1.weight": np.zeros((64, 3, 3, 3)), "stage2.0.branches.0": np.zeros(1)},
        "FastPose-DUC-Dense": {"conv_out_dense.weight": np.zeros(1)},
    }
    for name, tensors in named.items():
        with refused(name, "not supported"):
            fastpose.load(tensors)
    tensors = unbuilt(NARROW["deformable"])
    offset = "preact.layer2.0.conv2_offset.weight"
    with refused("20 convolution offsets"):
        FastShape.infer({**tensors, offset: np.zeros((20, 16, 3, 3))})
    with refused("2000 channels"):
        FastShape.infer({**tensors, "preact.conv1.weight": np.zeros((2000, 3, 7, 7))})


# Deformable convolution


def slow_deform_conv(
    x: np.ndarray, weight: np.ndarray, offset: np.ndarray, mask: np.ndarray, stride: int
) -> np.ndarray:
    """What `deform_conv` computes, one number after the other."""
    n, channels, height, width = x.shape
    rows, columns = offset.shape[2:]
    out = np.zeros((n, len(weight), rows, columns))

    def pixel(b: int, row: int, column: int) -> np.ndarray:
        inside = 0 <= row < height and 0 <= column < width
        return x[b, :, row, column] if inside else np.zeros(channels)

    for b, y0, x0 in np.ndindex(n, rows, columns):
        for tap in range(9):
            y = y0 * stride - 1 + tap // 3 + offset[b, 2 * tap, y0, x0]
            z = x0 * stride - 1 + tap % 3 + offset[b, 2 * tap + 1, y0, x0]
            top, left = int(np.floor(y)), int(np.floor(z))
            seen = sum(
                (1 - abs(y - row)) * (1 - abs(z - column)) * pixel(b, row, column)
                for row in (top, top + 1)
                for column in (left, left + 1)
            )
            out[b, :, y0, x0] += weight[:, :, tap // 3, tap % 3] @ seen * mask[b, tap, y0, x0]
    return out


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 5), (6, 8), (1, 1)])
def test_a_deformable_convolution_is_its_definition(
    stride: int, size: tuple[int, int], rng: np.random.Generator
) -> None:
    places = tuple((side - 1) // stride + 1 for side in size)
    x, weight = rng.normal(size=(2, 3, *size)), rng.normal(size=(4, 3, 3, 3))
    offset, mask = rng.normal(0, 3, (2, 18, *places)), rng.random((2, 9, *places))
    given = [torch.from_numpy(array) for array in (x, weight, offset, mask)]
    got = fastpose.deform_conv(*given, stride=stride)
    np.testing.assert_allclose(got, slow_deform_conv(x, weight, offset, mask, stride), atol=1e-12)
    got = fastpose.deform_conv(*given[:3], stride=stride)
    ones = np.ones_like(mask)
    np.testing.assert_allclose(got, slow_deform_conv(x, weight, offset, ones, stride), atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shift", [(0, 0), (2, -1)])
def test_taps_that_all_move_alike_are_an_ordinary_convolution(
    stride: int, shift: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    x, weight = torch.rand(2, 3, 10, 12), torch.rand(4, 3, 3, 3)
    offset = torch.tensor(shift, dtype=torch.float32).repeat(9).view(1, 18, 1, 1)
    places = (-(-10 // stride), -(-12 // stride))
    got = fastpose.deform_conv(x, weight, offset.expand(2, 18, *places), stride=stride)
    padded = torch.nn.functional.pad(x, (4, 4, 4, 4)).roll((-shift[0], -shift[1]), (2, 3))
    moved = padded[:, :, 3:-3, 3:-3]  # and a pixel of padding
    want = torch.nn.functional.conv2d(moved, weight, stride=stride)
    # The place of a tap goes through -1..1 and back: float32 of 12 pixels is 1e-6.
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_a_new_deformable_block_is_an_ordinary_one() -> None:
    torch.manual_seed(0)
    block: Any = fastpose.FastPoseBlock(
        16, 4, 1, FastShape(deform="plain"), first=False, deform=True
    )
    x = torch.rand(1, 16, 8, 8)
    want = torch.nn.functional.conv2d(x[:, :4], block.conv2.weight, padding=1)
    got = block.conv2(x[:, :4], block.conv2_offset(x[:, :4]))
    np.testing.assert_allclose(got.detach(), want.detach(), atol=1e-5)


def test_deformable_taps_can_be_learnt() -> None:
    x = torch.rand(1, 2, 6, 6, dtype=torch.float64)
    weight = torch.rand(3, 2, 3, 3, dtype=torch.float64)
    offset = torch.rand(1, 18, 6, 6, dtype=torch.float64) * 0.8 + 0.1  # between pixels
    mask = torch.rand(1, 9, 6, 6, dtype=torch.float64)
    for tensor in (x, weight, offset, mask):
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(fastpose.deform_conv, (x, weight, offset, mask), fast_mode=True)


# Export


def test_folding_the_norms_changes_nothing() -> None:
    for shape in NARROW.values():
        network = seeded(shape)
        crops = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            want = network(crops)
            graph.fold(network)
            got = network(crops)
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
        assert want.std() > 0.01
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(("name", "precision"), [("a.onnx", "f32"), ("a.xml", "f16")])
@pytest.mark.parametrize("kind", NARROW)
def test_runtimes_agree_with_torch(
    tmp_path: Path, kind: str, name: str, precision: str, rng: np.random.Generator
) -> None:
    file = saved(tmp_path / "checkpoint.pth", NARROW[kind])
    done = export_checkpoint(
        file, tmp_path / name, precision=precision
    )  # compares them for 1 and 3 crops
    assert done.apart["openvino"] < graph.PART
    assert done.unit == "of the largest value"
    network = seeded(NARROW[kind])
    graph.fold(network)
    if precision == "f16":
        network.half().float()
    opened = runtimes(done.file)
    for count in (0, 1, 4):
        crops = rng.integers(0, 256, (count, 256, 192, 3), np.uint8)
        want = np.empty((0, 17, 64, 48))  # torch cannot shuffle the pixels of nobody
        if count:
            with torch.no_grad():
                want = network(fastpose.fastpose_input(torch.from_numpy(crops))).numpy()
        for run in opened:
            (maps,) = run(crops)
            assert (maps.shape, maps.dtype) == ((count, 17, 64, 48), np.float32)
            np.testing.assert_allclose(maps, want, atol=1e-4)


def test_an_export_says_what_it_is_and_comes_from(tmp_path: Path) -> None:
    import onnx

    shape = replace(NARROW["simplepose"], keypoints=26)
    file = saved(tmp_path / "a.pth", shape, _use_new_zipfile_serialization=False)
    done = export_checkpoint(file, tmp_path / "a.onnx")
    model = onnx.load(done.file)
    about = {row.key: row.value for row in model.metadata_props}
    skeleton = Skeleton.from_json(about.pop("skeleton"))
    assert (skeleton.name, len(skeleton)) == ("halpe26", 26)
    assert about == {
        "family": "alphapose", "task": "pose", "decode": "argmax", "imgsz": "[256, 192]",
        "precision": "f32", "source": "a.pth", "sha256": sha256(file),
    }  # fmt: skip
    (crops,), (maps,) = model.graph.input, model.graph.output
    assert (crops.name, maps.name) == ("crops", "maps")
    assert crops.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sizes = [axis.dim_value or axis.dim_param for axis in crops.type.tensor_type.shape.dim]
    assert sizes == ["people", 256, 192, 3]
    run = OpenVino(done.file)
    assert run.input_shape == (None, 256, 192, 3)
    assert {name: run.metadata[name] for name in about} == about


@pytest.mark.parametrize(
    ("keypoints", "given", "name", "decode"),
    [
        (17, {}, "coco17", "argmax"),
        (17, {"decode": "integral"}, "coco17", "integral"),
        (21, {"decode": "integral"}, "hand21", "integral"),
        (26, {}, "halpe26", "argmax"),
        (68, {"decode": "combined"}, "halpe68", "combined"),
        (133, {"decode": "combined"}, "wholebody133", "combined"),
        (136, {"decode": "argmax"}, "halpe136", "argmax"),
        (3, {"skeleton": TOY, "decode": "argmax"}, "toy", "argmax"),
    ],
)
def test_skeleton_and_decoding_are_those_of_the_published_networks(
    keypoints: int, given: dict[str, Any], name: str, decode: str
) -> None:
    about = described(keypoints, **given).about
    assert json.loads(about["skeleton"])["name"] == name
    assert about["decode"] == decode


def described(keypoints: int, **given: Any) -> graph.Graph:
    """What a checkpoint of so many keypoints would be exported as."""
    from vitruvian.weights.checkpoint import Checkpoint

    tensors = seeded(replace(NARROW["simplepose"], width=4, keypoints=keypoints)).state_dict()
    read = Checkpoint({name: value.numpy() for name, value in tensors.items()})
    return families.graph(read, **{"skeleton": None, "decode": None, "imgsz": None} | given)


@pytest.mark.parametrize(
    ("keypoints", "given", "words"),
    [
        (136, {}, "--decode"),
        (68, {}, "--decode"),
        (21, {}, "--decode"),
        (5, {}, "--skeleton"),
        (17, {"skeleton": BLAZEPOSE33}, "blazepose33 has 33"),
        (17, {"decode": "argmin"}, "argmax"),
        (17, {"decode": "combined"}, "not a body with hands"),
        (17, {"imgsz": 640}, "no --imgsz"),
    ],
)
def test_what_is_not_known_is_asked_for(keypoints: int, given: dict[str, Any], words: str) -> None:
    with refused(words):
        described(keypoints, **given)


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.pth", NARROW["simplepose"])
    picture = np.zeros((1, 3, 64, 64), np.float32)
    with refused("cannot export", "int8 is for YOLOv8"):
        export_checkpoint(file, tmp_path / "a.xml", precision="int8", calibration=[picture])
    other = tmp_path / "other.pth"
    torch.save({"backbone.weight": torch.zeros(1)}, other)
    with refused("other.pth", "no YOLOv8-pose, AlphaPose, OSNet, MeTRAbs or BlazePose"):
        export_checkpoint(other, tmp_path / "a.onnx")
    torch.save({"stage2.0.weight": torch.zeros(1)}, other)
    with refused("HRNet"):
        export_checkpoint(other, tmp_path / "a.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "other.pth"]


def test_a_runtime_that_is_off_is_noticed(tmp_path: Path) -> None:
    made = described(17)
    with torch.no_grad():
        exact = lambda crops: (made.network(torch.from_numpy(crops)).numpy(),)  # noqa: E731
        assert made.check(exact, "a test") == 0
        with pytest.raises(ValueError, match="a test is"):
            made.check(lambda crops: (exact(crops)[0] * 1.01,), "a test")


def test_a_network_of_crops_is_no_yolo(tmp_path: Path) -> None:
    from vitruvian.models import yolopose

    done = export_checkpoint(saved(tmp_path / "a.pth", NARROW["simplepose"]), tmp_path / "a.onnx")
    with refused("not a YOLOv8-pose network", "alphapose"):
        yolopose.load(done.file)


def test_the_command_exports_a_checkpoint(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from vitruvian.cli.app import app

    shape = replace(NARROW["simplepose"], keypoints=136)
    line = ["export", str(saved(tmp_path / "a.pth", shape)), "--out", str(tmp_path / "a.xml")]
    done = CliRunner().invoke(app, line)
    assert isinstance(done.exception, VitruvianError)
    is_one_line(done.exception, "--decode")
    done = CliRunner().invoke(app, [*line, "--decode", "combined", "--precision", "f16"])
    assert done.exit_code == 0, done.output
    assert "f16, maximum difference from PyTorch" in done.output
    assert "of the largest value" in done.output
    about = OpenVino(tmp_path / "a.xml").metadata
    assert (about["decode"], about["precision"]) == ("combined", "f16")
