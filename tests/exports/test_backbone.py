"""BlazePose's landmark network in PyTorch, and the network of vitruvian-2d on top of it."""

import numpy as np
import pytest

from vitruvian.decode import heatmap
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.models import ready
from vitruvian.network.openvino import OpenVino
from vitruvian.sources.open import sample

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.exports.networks import blazepose as networks  # noqa: E402
from vitruvian.exports.networks import refine, vitruvian2d  # noqa: E402


@pytest.mark.weights
@pytest.mark.parametrize("size", networks.SIZES)
def test_the_network_is_the_official_file_s(size, blazepose):
    model = blazepose(size)
    frame = Frame.read(sample())
    look = model.find([frame])[0].take(slice(1))
    crop = model.head.prepare(frame, model.head.crops(frame, look))
    file = ready.pull(f"blazepose-{size}")[1]
    network = networks.AsInFiles(networks.read(file, size))
    with torch.no_grad():
        points, presence, mask, maps, world = network(torch.from_numpy(crop))
    want = OpenVino(file)(crop)
    assert want[1][0, 0] > 0.9  # somebody is there: the outputs are not those of an empty image
    # Sums of float32 in another order: 7e-4 pixels of 256 were seen.
    np.testing.assert_allclose(points, want[0], atol=5e-3)
    np.testing.assert_allclose(presence, want[1], atol=1e-5)
    # Before the sigmoid they reach 1500.
    np.testing.assert_allclose(torch.sigmoid(mask), heatmap.sigmoid(want[2]), atol=0.01)
    np.testing.assert_allclose(maps, want[3], atol=3e-3)
    np.testing.assert_allclose(world, want[4], atol=1e-5)


@pytest.mark.weights
def test_the_file_of_another_size_is_refused(blazepose):
    with pytest.raises(VitruvianError, match=r"as BlazePose lite: backbone.project.weight differs"):
        networks.read(ready.pull(blazepose("full").name)[1], "lite")


def test_an_unknown_size_is_refused():
    with pytest.raises(VitruvianError, match="no size of BlazePose in PyTorch named 'huge'"):
        networks.BlazePoseBackbone("huge")


def test_the_backbone_takes_any_multiple_of_32():
    features = networks.BlazePoseBackbone("full")(torch.zeros(2, 3, 64, 96))
    shapes = [tuple(part.shape) for part in features]
    want = [(16, 32, 48), (24, 16, 24), (32, 8, 12), (88, 4, 6), (864, 2, 3), (48, 16, 24)]
    assert shapes == [(2, *shape) for shape in want]


def test_the_head_gives_a_map_for_each_keypoint_and_has_under_a_million_parameters():
    network = vitruvian2d.Vitruvian2D().eval()
    with torch.no_grad():
        maps, features = network(torch.zeros(2, 3, 256, 192))
    assert maps.shape == (2, 17, 64, 48)
    assert features.shape == (2, network.features, 64, 48)
    assert sum(p.numel() for p in network.head()) < 1_000_000


def test_attention_is_the_study_s_formula():
    keypoints = torch.tensor([[[3.0, 5.0], [1.5, 2.0]]])
    weight, away = refine.Refine(4, 2).attention(keypoints, 8, 6)
    rows, columns = np.mgrid[:8, :6]
    for k, (x, y) in enumerate(keypoints[0].tolist()):
        want = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * refine.SIGMA**2))
        np.testing.assert_allclose(weight[0, k], want, atol=1e-6)
        np.testing.assert_allclose(away[0, k, 0] * refine.SIGMA, columns - x, atol=1e-6)
        np.testing.assert_allclose(away[0, k, 1] * refine.SIGMA, rows - y, atol=1e-6)


def test_an_untrained_refinement_moves_nothing():
    offset = refine.Refine(4, 3)(torch.randn(2, 4, 8, 6), torch.rand(2, 3, 2) * 5)
    assert offset.shape == (2, 3, 2)
    assert not offset.detach().any()


def test_a_refinement_learns_where_the_features_are():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = refine.Refine(1, 2)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    errors = []
    for _ in range(150):
        true = torch.tensor(rng.uniform(6, 10, (16, 2, 2)), dtype=torch.float32)
        weight, _ = network.attention(true, 16, 16)
        guess = true + torch.tensor(rng.normal(0, 1, (16, 2, 2)), dtype=torch.float32)
        # Each person's two keypoints are both bright in the one feature.
        error = (guess + network(weight.amax(1, keepdim=True), guess) - true).abs().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert np.mean(errors[-20:]) < 0.6 * np.mean(errors[:5])
