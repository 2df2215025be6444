"""Re-identification: OSNet-AIN as published, and pose-guided attention as in AlphaPose's paper."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import refused, runtimes
from vitruvian.network.openvino import OpenVino
from vitruvian.weights.download import sha256

torch = pytest.importorskip("torch", reason="torch is not installed (the train extra)")
pytest.importorskip("onnx", reason="onnx is not installed (the train extra)")

from vitruvian.exports import graph  # noqa: E402
from vitruvian.exports.export import export_checkpoint  # noqa: E402
from vitruvian.exports.networks import reid  # noqa: E402
from vitruvian.weights import checkpoint  # noqa: E402


def seeded(identities: int = 7) -> Any:
    """A network whose norms have seen something."""
    torch.manual_seed(0)
    network: Any = reid.Osnet(identities)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, reid.Instance):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.2)
    return network.eval()


def numbers(network: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


@pytest.mark.shared
def test_tensors_have_the_names_and_shapes_of_the_reference(shared: Path) -> None:
    got = [[name, str(value.shape)] for name, value in numbers(reid.Osnet(1)).items()]
    rows = (shared / "specs/keys/osnet_ain_x1_0_keys.txt").read_text().splitlines()
    assert got == [row.split("\t") for row in rows]


def test_it_has_its_published_size() -> None:
    size = sum(value.numel() for value in reid.Osnet().parameters())
    assert size == 2_169_508
    assert abs(4 * size / 1e6 - 8.8) < 0.2  # MB, specs/alphapose.md, 1g


def test_an_embedding_has_length_1_and_is_of_one_picture_alone() -> None:
    network = seeded()
    pictures = torch.rand(3, 3, 256, 128)
    with torch.no_grad():
        assert network.features(pictures).shape == (3, 512, 16, 8)
        together = network(pictures)
        alone = torch.cat([network(picture[None]) for picture in pictures])
    assert together.shape == (3, 512)
    np.testing.assert_allclose(together.norm(dim=1), 1, rtol=1e-6)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert (together[0] - together[1]).abs().max() > 1e-4


def test_instance_normalisation_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, torchs = reid.Instance(4), torch.nn.InstanceNorm2d(4, affine=True)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 6, 5) * 3 + 1
    with torch.no_grad():
        np.testing.assert_allclose(ours(x), torchs(x), atol=1e-6)


def test_all_streams_of_a_block_share_one_gate_and_see_more_and_more() -> None:
    torch.manual_seed(0)
    block = reid.OSNetBlock(64, 256, instance=True).eval()
    x = torch.zeros(1, 64, 15, 15)
    x[..., 7, 7] = 1
    with torch.no_grad():
        for number, stream in enumerate(block.conv2, 1):
            changed = (stream(x) - stream(torch.zeros_like(x))).abs().amax((0, 1)) > 0
            rows, columns = np.nonzero(changed.numpy())
            assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (2 * number + 1,) * 2
    assert sum(isinstance(module, reid.Gate) for module in block.modules()) == 1


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_published_checkpoint_loads(tmp_path: Path, prefix: str, wrapped: bool) -> None:
    network = seeded(4101)
    state = {f"{prefix}{name}": value for name, value in network.state_dict().items()}
    file = tmp_path / "a.pth.tar"
    torch.save({"state_dict": state, "epoch": 50, "rank1": 0.5} if wrapped else state, file)
    again = reid.load(checkpoint.read(file).tensors)
    pictures = torch.rand(1, 3, 256, 128)
    with torch.no_grad():
        np.testing.assert_array_equal(again(pictures), network(pictures))


def test_classifier_and_counters_may_be_missing_and_nothing_else() -> None:
    tensors = numbers(seeded(3))
    ends = ("num_batches_tracked", "classifier.weight", "classifier.bias")
    reid.load({name: value for name, value in tensors.items() if not name.endswith(ends)})
    name = "conv3.1.gate.fc1.bias"
    wrong = {
        "misses 'conv3.1.gate.fc1.bias'": {k: v for k, v in tensors.items() if k != name},
        "has, but should not, 'more'": {**tensors, "more": np.zeros(1)},
        "in another shape 'conv3.1.gate": {**tensors, name: np.zeros((1, 2))},
        "classifier is not a matrix": {**tensors, "classifier.weight": np.zeros(3)},
        "misses 'classifier.bias'": {k: v for k, v in tensors.items() if k != "classifier.bias"},
        "misses 'conv1.": {},
    }
    for words, given in wrong.items():
        with refused("OSNet-AIN", words):
            reid.load(given)


# Export


@pytest.mark.parametrize(("name", "precision"), [("a.onnx", "f32"), ("a.xml", "f16")])
def test_runtimes_agree_with_torch(
    tmp_path: Path, name: str, precision: str, rng: np.random.Generator
) -> None:
    torch.save(seeded().state_dict(), tmp_path / "who.pth")
    done = export_checkpoint(tmp_path / "who.pth", tmp_path / name, precision=precision)
    assert done.apart["openvino"] < graph.PART
    network = seeded()
    graph.fold(network)
    if precision == "f16":
        network.half().float()
    opened = runtimes(done.file)
    for count in (0, 1, 3):
        crops = rng.integers(0, 256, (count, 256, 128, 3), np.uint8)
        with torch.no_grad():
            want = network(reid.osnet_input(torch.from_numpy(crops))).numpy()
        for run in opened:
            (embedding,) = run(crops)
            assert (embedding.shape, embedding.dtype) == ((count, 512), np.float32)
            np.testing.assert_allclose(embedding, want, atol=1e-5)
    about = OpenVino(done.file).metadata
    assert (about["family"], about["imgsz"]) == ("reid", "[256, 128]")
    assert about["sha256"] == sha256(tmp_path / "who.pth")


def test_pictures_are_normalised_as_torchreid_does() -> None:
    (row,) = reid.osnet_input(torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8))
    want = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(row.ravel(), want, rtol=1e-6)


def test_options_of_poses_are_not_for_it(tmp_path: Path) -> None:
    torch.save(seeded().state_dict(), tmp_path / "who.pth")
    with refused("no --decode"):
        export_checkpoint(tmp_path / "who.pth", tmp_path / "a.onnx", decode="argmax")


# Pose-guided attention


def test_attention_adds_to_what_was_there() -> None:
    torch.manual_seed(0)
    guided = reid.PoseGuided(17)
    features, maps = torch.rand(2, 512, 16, 8), torch.rand(2, 17, 64, 32)
    with torch.no_grad():
        np.testing.assert_array_equal(guided.weigh(features, maps), features)  # at the beginning
        torch.nn.init.normal_(guided.attend.weight)
        pooled = maps.view(2, 17, 16, 4, 8, 4).mean((3, 5))
        attention = torch.nn.functional.conv2d(pooled, guided.attend.weight, padding=1)
        got = guided.weigh(features, maps)
        np.testing.assert_allclose(got, features * attention + features, atol=1e-4)
        embedding = guided(features, maps)
    assert embedding.shape == (2, 128)
    np.testing.assert_allclose(embedding.norm(dim=1), 1, rtol=1e-6)


def test_attention_learns_to_look_at_the_person_of_the_maps() -> None:
    """Two people side by side in one image; the maps say which of them is meant."""
    torch.manual_seed(0)
    guided = reid.PoseGuided(3, channels=8, numbers=16)
    features = torch.zeros(2, 8, 4, 4)
    features[:, :4, :, :2], features[:, 4:, :, 2:] = torch.rand(4, 1, 1), torch.rand(4, 1, 1)
    maps = torch.zeros(2, 3, 16, 16)
    maps[0, :, :, :8] = maps[1, :, :, 8:] = 1
    with torch.no_grad():
        one, other = guided(features, maps)
    np.testing.assert_array_equal(one, other)  # before it has learnt, both are the whole image
    optimizer = torch.optim.Adam(guided.parameters(), 0.02)
    for _ in range(60):
        one, other = guided(features, maps)
        optimizer.zero_grad()
        (-one[0] - other[1]).backward()
        optimizer.step()
    assert one[0] > 0.9
    assert other[1] > 0.9
