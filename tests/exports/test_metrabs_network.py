"""MeTRAbs: networks, maps and what they measure, archives of its authors, export."""

import gzip
import io
import json
import pickle
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SHARED, TOY, absent, refused
from metrabs_files import (
    CONFIG,
    EDGES,
    INFOS,
    POINTS,
    ROOT,
    TRANSFORM,
    arrays,
    authors,
    files,
    made,
    npy,
    npz,
    pack,
    small,
    tensors_file,
)
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, COCO19, SMPL24, conversion, spelled_out
from vitruvian.decode import heatmap
from vitruvian.decode.absolute import view_limits, within_view
from vitruvian.decode.volume import Volume
from vitruvian.network.onnxruntime import OnnxRuntime
from vitruvian.network.openvino import OpenVino
from vitruvian.weights import checkpoint, metrabs_archive, metrabs_config, metrabs_joints
from vitruvian.weights.metadata import pack_matrix, unpack_matrix

# Published size: parameters with 555 points, stages (specs/metrabs.md 1.2).
SIZES = {"s": (26_576_083, 6), "m": (59_256_951, 7), "l": (123_632_867, 7)}
BACKBONES = {
    # ResNet-50 as published has 25,557,032 with its classifier of 2048 x 1000 + 1000, and
    # MobileNetV3-L 5,483,032 with that of 1280 x 1000 + 1000.
    "resnet50": (2048, 32, 25_557_032 - 2_049_000),
    "mobilenetv3-l": (1280, 32, 5_483_032 - 1_281_000),
    "vit-16": (384, 16, None),
    "vit-32": (384, 32, None),
}
TINY = ["efficientnetv2", "efficientnetv2 of 7 stages", "resnet", "vit of 16", "vit of 32"]
LEGACY = Volume(centered=False, legacy=True)


# The networks


@pytest.mark.shared
def test_parameters_have_the_names_and_shapes_of_the_reference(torch: Any, metrabs: Any) -> None:
    file = SHARED / "specs/keys/metrabs_effv2s_keys.txt"
    if not file.exists():
        absent("../shared/specs/keys is not here")
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    with torch.device("meta"):
        network = metrabs.Metrabs(metrabs.MetrabsShape.of("efficientnetv2-s", 555))
    got = [
        f"{name}\t{tuple(value.shape)}\t{str(value.dtype).removeprefix('torch.')}"
        for name, value in network.state_dict().items()
    ]
    assert len(got) == 782
    assert got == lines


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_as_large_as_published_and_is_known_by_its_shapes(
    size: str, torch: Any, metrabs: Any
) -> None:
    parameters, stages = SIZES[size]
    shape = metrabs.MetrabsShape.of(f"efficientnetv2-{size}", 555)
    with torch.device("meta"):
        network = metrabs.Metrabs(shape)
        features = network.backbone(torch.zeros(1, 3, 384, 384))
    assert sum(value.numel() for value in network.parameters()) == parameters
    assert len(network.backbone[1]) == stages + 2
    assert features.shape == (1, 1280, 12, 12)
    shapes = {name: np.empty(value.shape, bool) for name, value in network.state_dict().items()}
    assert metrabs.MetrabsShape.infer(shapes) == shape


@pytest.mark.parametrize("name", BACKBONES)
def test_other_backbones_have_their_published_sizes(name: str, torch: Any, metrabs: Any) -> None:
    channels, stride, parameters = BACKBONES[name]
    shape = metrabs.MetrabsShape.of(name, 24, centered=False)
    assert (shape.backbone.channels, shape.backbone.stride) == (channels, stride)
    with torch.device("meta"):
        network = metrabs.Metrabs(shape)
        for side in (256, 384):
            flat, deep = network(torch.zeros(2, 3, side, side))
            assert flat.shape == (2, 24, side // stride, side // stride)
            assert deep.shape == (2, 24, 8, side // stride, side // stride)
    if parameters is not None:
        assert sum(value.numel() for value in network.backbone.parameters()) == parameters
    shapes = {key: np.empty(value.shape, bool) for key, value in network.state_dict().items()}
    assert metrabs.MetrabsShape.infer(shapes, centered=False) == shape


def test_a_backbone_that_is_not_known_is_named_with_the_nearest(metrabs: Any) -> None:
    with refused("no backbone named 'resnet-50'", "did you mean 'resnet50'?"):
        metrabs.MetrabsShape.of("resnet-50", 24)


@pytest.mark.parametrize("kind", TINY)
def test_a_network_comes_back_from_its_tensors(kind: str, torch: Any, metrabs: Any) -> None:
    network = made(torch, metrabs, kind)
    again = metrabs.load(arrays(network), depth=4)
    assert again.shape == network.shape
    crops = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        for want, got in zip(network(crops), again(crops), strict=True):
            assert torch.equal(want, got)
            assert got.dtype == torch.float32


def test_tensors_that_are_not_all_there_are_refused_in_one_line(torch: Any, metrabs: Any) -> None:
    good = arrays(made(torch, metrabs, "efficientnetv2"))
    name = "backbone.1.4.1.block.2.fc1.bias"
    with refused("not a MeTRAbs network: it misses", name):
        metrabs.load({key: value for key, value in good.items() if key != name}, 4)
    with refused("it has, but should not,", "extra"):
        metrabs.load(good | {"extra": np.zeros(1, np.float32)}, 4)
    with refused("it has in another shape", name):
        metrabs.load(good | {name: np.zeros(3, np.float32)}, 4)
    with refused("15 maps are not 1 + 8", "depth"):
        metrabs.load(good, 8)
    with refused("it has no tensor 'heatmap_heads.conv_final.weight'"):
        metrabs.load({}, 8)
    head = {key: value for key, value in good.items() if key.startswith("heatmap")}
    with refused("unknown backbone"):
        metrabs.load(head, 4)
    with refused("it has 5 stages"):
        metrabs.load({key: v for key, v in good.items() if not key.startswith("backbone.1.7")}, 4)
    vit = arrays(made(torch, metrabs, "vit of 16"))
    with refused("it halves 3 times"):
        metrabs.load(
            {key: v for key, v in vit.items() if not key.startswith("backbone.1.stem.4")}, 4
        )
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (10**9, 8, 3, 3), (0,) * 4)
    with refused("has length 1000000000"):
        metrabs.load(good | {"backbone.1.0.0.weight": huge}, 4)


def test_the_maps_in_3d_are_stored_slice_by_slice(torch: Any, metrabs: Any) -> None:
    """Channel P + d P + j is slice d of point j: specs/metrabs.md 1.3."""
    heads = metrabs.Heads(1, 3, 4)
    with torch.no_grad():
        heads.conv_final.weight.zero_()
        heads.conv_final.bias.copy_(torch.arange(15))
        flat, deep = heads(torch.zeros(1, 1, 2, 2))
    assert flat[0, :, 0, 0].tolist() == [0, 1, 2]
    assert [deep[0, j, d, 1, 1].item() for j, d in ((0, 0), (1, 0), (0, 1), (2, 3))] == [
        3,
        4,
        6,
        14,
    ]


def middle(torch: Any, backbone: Any, cell: int) -> tuple[float, float]:
    """Pixels x y, counted from 0: the centre of what a cell of the features sees of the crop.

    All weights alike and positive, so that what it sees is symmetric. The means that factors are
    made of see everything, and are switched off.
    """
    with torch.no_grad():
        for name, value in backbone.named_parameters():
            value.fill_(0.0 if ".fc" in name or name.endswith("bias") else 1.0)
            if value.ndim == 4 and ".fc" not in name:
                value.fill_(1 / value[0].numel())
    crop = torch.ones(1, 3, 256, 256, requires_grad=True)
    backbone.eval()(crop)[0, :, cell, cell].sum().backward()
    seen = crop.grad[0].sum(0).double()
    pixels = torch.arange(256, dtype=torch.double)
    total = seen.sum()
    assert total > 0
    return float((seen.sum(0) @ pixels) / total), float((seen.sum(1) @ pixels) / total)


@pytest.mark.parametrize("kind", ["efficientnetv2", "resnet", "mobilenetv3", "vit of 32"])
def test_cells_of_a_centred_network_are_16_pixels_further_right_and_down(
    kind: str, torch: Any, metrabs: Any
) -> None:
    from vitruvian.exports.networks.backbones import MobileNetV3

    centres = []
    for centered in (False, True):
        kinds = {"mobilenetv3": MobileNetV3(16)}
        shape = kinds.get(kind) or small(metrabs, kind).backbone
        backbone = shape.build(centered)
        if kind == "vit of 32":  # attention sees everything: only what leads to it strides
            backbone = backbone.stem
        centres.append(middle(torch, backbone, 4))
    # The border cuts off some of what a cell sees, and of equals a maximum takes the first.
    np.testing.assert_allclose(centres[0], 4 * 32, atol=4)
    np.testing.assert_allclose(centres[1], 4 * 32 + 16, atol=4)


def test_the_last_stride_pads_nothing_before_and_two_after(torch: Any) -> None:
    """specs/metrabs.md 1.2: left, right, top, bottom are 0, 2, 0, 2 instead of 1, 1, 1, 1."""
    from vitruvian.exports.networks.efficientnet import Centred

    for kernel in (3, 5):
        layer = Centred(2, 2, kernel, 2, kernel // 2, groups=2, bias=False)
        x = torch.rand(1, 2, 8, 8)
        low, high = kernel // 2 - 1, kernel // 2 + 1
        padded = torch.nn.functional.pad(x, (low, high, low, high))
        want = torch.nn.functional.conv2d(padded, layer.weight, None, 2, 0, 1, 2)
        assert want.shape == (1, 2, 4, 4)
        assert torch.equal(layer(x), want)
        plain = torch.nn.functional.conv2d(x[..., 1:, 1:], layer.weight, None, 2, kernel // 2, 1, 2)
        inner = (slice(None), slice(None), slice(1, 3), slice(1, 3))
        torch.testing.assert_close(plain[inner], want[inner])


def test_the_transformer_knows_a_place_at_256_pixels_and_at_384(torch: Any, metrabs: Any) -> None:
    network = made(torch, metrabs, "vit of 32").backbone[1]
    coarse = network.places(torch.zeros(1, 64, 8, 8))
    fine = network.places(torch.zeros(5, 64, 24, 24))
    torch.testing.assert_close(fine[:, :, 1::3, 1::3], coarse, atol=2e-5, rtol=0)
    flat = coarse.flatten(2)[0].T
    apart = torch.cdist(flat, flat) + 10 * torch.eye(64)
    assert apart.min() > 0.5  # no two cells alike


def test_blocks_are_left_out_in_training_only(torch: Any, metrabs: Any) -> None:
    from vitruvian.exports.networks.efficientnet import MBConv

    block = MBConv(torch.nn.Sequential(torch.nn.Identity()), True, 0.25)
    x = torch.ones(4000, 1, 1, 1)
    torch.manual_seed(0)
    values = block.train()(x).ravel()
    np.testing.assert_allclose(values.unique(), [1, 1 + 1 / 0.75])
    assert values.mean() == pytest.approx(2, abs=0.05)  # three standard deviations
    assert torch.equal(block.eval()(x), 2 * x)
    rates = [
        part.dropped
        for part in metrabs.BACKBONES["efficientnetv2-s"].build(True).modules()
        if isinstance(part, MBConv)
    ]
    np.testing.assert_allclose(rates, 0.2 * np.arange(40) / 40)


@pytest.mark.parametrize("kind", ["efficientnetv2", "resnet", "vit of 16"])
def test_a_network_learns_where_a_spot_is(kind: str, torch: Any, metrabs: Any) -> None:
    """Through both heads and soft-argmax, from crops that differ only in where the spot is."""
    torch.manual_seed(0)
    network = metrabs.Metrabs(small(metrabs, kind, points=1)).train()
    volume = Volume(side=128, stride=network.shape.backbone.stride, depth=4)
    spots = ((32, 32), (96, 96), (96, 32), (32, 96))
    crops = torch.zeros(4, 3, 128, 128)
    for crop, (x, y) in zip(crops, spots, strict=True):
        crop[:, y - 16 : y + 16, x - 16 : x + 16] = 1
    xy = torch.tensor(spots, dtype=torch.float)[:, None]
    z = torch.tensor([0.5, 1.1, 1.7, 1.1])[:, None, None]
    xyz = torch.cat((xy / 128 * 2.2, z), 2)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3 if kind == "resnet" else 3e-3)
    losses = []
    for _ in range(30):
        flat, deep = metrabs.places_of_maps(*network(crops), volume)
        loss = (flat - xy).abs().mean() / 128 + (deep - xyz).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert min(losses[-5:]) < 0.4 * losses[0]


# Against the authors' numbers


@pytest.mark.shared
def test_every_stage_gives_the_authors_numbers(
    torch: Any, metrabs: Any, seeded: dict[str, np.ndarray], metrabs_golden: dict[str, np.ndarray]
) -> None:
    """Features within 2e-3 and logits within 1e-2 of numbers up to 75: float32 in another order."""
    network = metrabs.load(seeded)
    x = torch.from_numpy(metrabs_golden["image_u8"]) / 255
    rows = []
    with torch.no_grad():
        x = network.backbone[0](x)
        for part in network.backbone[1]:
            x = part(x)
            rows.append([x.mean(), x.abs().mean(), *x.shape[1:]])
        flat, deep = network.heatmap_heads(x)
    # The first row of the file is the scaled image with the padding of the first convolution.
    np.testing.assert_allclose(
        np.array(rows), metrabs_golden["stage_stats_mean_absmean_C_H_W"][1:], atol=2e-3
    )
    np.testing.assert_allclose(x.numpy(), metrabs_golden["features"], atol=2e-3)
    logits = torch.cat((flat, deep.transpose(1, 2).flatten(1, 2)), 1)
    np.testing.assert_allclose(logits.numpy(), metrabs_golden["logits"], atol=1e-2)


@pytest.mark.shared
def test_maps_are_read_as_the_authors_read_them(metrabs_golden: dict[str, np.ndarray]) -> None:
    """From their logits: 1e-5 of a map, 2e-3 pixels and 0.02 mm, what float32 leaves of 2200 mm."""
    flat, deep = authors(metrabs_golden)
    place, cube = heatmap.soft_argmax_2d(flat), heatmap.soft_argmax_3d(deep)
    np.testing.assert_allclose(place, metrabs_golden["softargmax01_2d"], atol=1e-5)
    np.testing.assert_allclose(cube, metrabs_golden["softargmax01_3d"], atol=1e-5)
    volume = Volume()
    xy = volume.pixels(place)
    np.testing.assert_allclose(xy - 0.5, metrabs_golden["coords2d_px"], atol=2e-3)
    np.testing.assert_allclose(
        1000 * volume.metres(cube), metrabs_golden["coords3d_rel_mm"], atol=0.02
    )
    inside = metrabs_golden["in_fov"]
    assert 0 < inside.mean() < 1
    np.testing.assert_array_equal(within_view(xy, view_limits(256)), inside)
    assert {part.dtype for part in (place, cube, xy, volume.metres(cube))} == {np.dtype("f4")}


@pytest.mark.shared
def test_torch_reads_maps_as_numpy_does(
    torch: Any, metrabs: Any, metrabs_golden: dict[str, np.ndarray]
) -> None:
    flat, deep = authors(metrabs_golden)
    xy, xyz = metrabs.places_of_maps(torch.from_numpy(flat), torch.from_numpy(deep), LEGACY)
    np.testing.assert_allclose(xy, LEGACY.pixels(heatmap.soft_argmax_2d(flat)), atol=1e-3)
    np.testing.assert_allclose(xyz, LEGACY.metres(heatmap.soft_argmax_3d(deep)), atol=1e-5)


# Maps


def test_the_ends_of_a_map_are_0_and_1() -> None:
    maps = np.full((1, 3, 2, 3, 5), -1e4, np.float32)
    maps[0, 0, 0, 0, 0] = maps[0, 1, 1, 2, 4] = maps[0, 2, 0, 1, 1] = 1e4  # none overflows
    want = np.array([[[0, 0, 0], [1, 1, 1], [0.25, 0.5, 0]]], np.float32)
    np.testing.assert_allclose(heatmap.soft_argmax_3d(maps), want, atol=1e-7)
    np.testing.assert_allclose(
        heatmap.soft_argmax_2d(maps[:, :, 1]), [[[0.5] * 2, [1] * 2, [0.5] * 2]]
    )


def test_the_mean_of_a_map_is_that_of_its_cells(rng: np.random.Generator) -> None:
    """The definition of specs/metrabs.md 1.4, cell by cell in float64."""
    maps = rng.normal(0, 3, (2, 3, 4, 5, 6)).astype(np.float32)
    weight = np.exp(maps.astype(float))
    weight /= weight.sum((2, 3, 4), keepdims=True)
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in (4, 5, 6)), indexing="ij")
    want = np.stack([(weight * axis).sum((2, 3, 4)) for axis in (x, y, z)], -1)
    np.testing.assert_allclose(heatmap.soft_argmax_3d(maps), want, atol=1e-6)


def test_nobody_has_no_places() -> None:
    assert heatmap.soft_argmax_2d(np.zeros((0, 24, 8, 8), np.float32)).shape == (0, 24, 2)
    assert heatmap.soft_argmax_3d(np.zeros((0, 24, 8, 8, 8), np.float32)).shape == (0, 24, 3)
    volume = Volume()
    assert volume.metres(np.zeros((0, 24, 3), np.float32)).shape == (0, 24, 3)
    assert volume.pixels(np.zeros((0, 24, 2), np.float32)).shape == (0, 24, 2)


@pytest.mark.parametrize(
    ("volume", "low", "high"),
    [
        (Volume(), 16, 240),
        (LEGACY, 16, 240),
        (Volume(side=384), 16, 368),
        (Volume(stride=16), 8, 248),
        (Volume(centered=False), 0, 224),
    ],
    ids=["256", "legacy", "384", "stride 16", "not centred"],
)
def test_maps_reach_as_far_as_the_spec_says(volume: Volume, low: float, high: float) -> None:
    """specs/metrabs.md 1.4, which counts pixels from 0; stride 16 by the same formulas."""
    ends = np.array([[0, 0], [1, 1]], np.float32)
    assert volume.pixels(ends).tolist() == [[low + 0.5] * 2, [high + 0.5] * 2]
    metres = volume.metres(np.array([[0, 0, 0], [1, 1, 1]], np.float32))
    want = [[low, low, 0], [high, high, volume.side]]
    np.testing.assert_allclose(metres, np.array(want) * 2.2 / volume.side, rtol=1e-6)


# Skeletons


def test_names_are_spelled_out() -> None:
    short = (
        "pelv lhip rhip spi1 lkne rkne spi2 lank rank spi3 ltoe rtoe neck lcla rcla head lsho rsho "
        "lelb relb lwri rwri lhan rhan"
    )
    assert tuple(map(spelled_out, short.split())) == SMPL24.keypoints
    assert [spelled_out(name) for name in ("lsho_smpl", "htop_muco", "lback", "thor_x")] == [
        "left_shoulder_smpl", "head_top_muco", "lback", "thor_x",
    ]  # fmt: skip


def test_panoptics_order_is_not_that_of_coco() -> None:
    short = (
        "neck nose pelv lsho lelb lwri lhip lkne lank rsho relb rwri rhip rkne rank leye lear reye "
        "rear"
    )
    assert tuple(map(spelled_out, short.split())) == COCO19.keypoints
    numbers = conversion(COCO19, COCO17)
    assert [COCO19.keypoints[i] for i in numbers] == list(COCO17.keypoints)
    assert numbers[:3] == [1, 15, 17]
    with refused("no conversion from smpl_24 to coco17: smpl_24 has no nose and 4 more"):
        conversion(SMPL24, COCO17)


# Archives


@pytest.fixture(scope="session")
def weights(torch: Any, metrabs: Any) -> bytes:
    """ckpt.pt of a narrow network of three points, depth 8."""
    torch.manual_seed(0)
    from dataclasses import replace

    network = metrabs.Metrabs(replace(small(metrabs, "efficientnetv2"), depth=8))
    return tensors_file(torch, arrays(network))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_an_archive_is_read(tmp_path: Path, weights: bytes, protocol: int, form: int) -> None:
    names = np.array(POINTS, dtype=object)  # objects: a pickle within the .npz
    members = files(
        weights,
        info=npz(joint_names=names, joint_edges=EDGES),
        skeletons=pickle.dumps(INFOS, protocol),
    )
    members[f"{ROOT}._ckpt.pt"] = b"what a Mac adds"
    read = metrabs_archive.read(pack(tmp_path / "a.tar.gz", members, format=form))
    config = read.config
    assert (config.side, config.stride, config.depth, config.box) == (256, 32, 8, 2.2)
    assert (config.centered, config.legacy, config.mix, config.weak_perspective) == (
        True, False, 0.5, False,
    )  # fmt: skip
    assert read.points == POINTS
    assert read.edges == ((0, 1), (0, 2))
    np.testing.assert_array_equal(read.transform, TRANSFORM)
    assert list(read.skeletons) == ["", "toy_3"]
    toy = read.skeletons["toy_3"]
    assert (toy.names, toy.indices) == (("pelv", "rhip", "lhip"), (3, 2, 1))
    assert toy.edges == ((0, 1), (0, 2))
    assert "heatmap_heads.conv_final.weight" in read.tensors


@pytest.mark.shared
def test_the_golden_network_comes_out_of_an_archive_as_it_went_in(
    tmp_path: Path, torch: Any, seeded: dict[str, np.ndarray]
) -> None:
    """S with 24 points, 100 MB, as the published ones are packed."""
    points = tuple(f"p{i}" for i in range(24))
    infos = {"": {"indices": list(range(24)), "names": list(points), "edges": []}}
    members = files(
        tensors_file(torch, seeded),
        info=npz(joint_names=np.array(points), joint_edges=np.zeros((0, 2), int)),
        transform=npy(np.eye(24)),
        skeletons=pickle.dumps(infos),
    )
    read = metrabs_archive.read(pack(tmp_path / "a.tgz", members))
    assert read.tensors.keys() == seeded.keys()
    for name, value in read.tensors.items():
        np.testing.assert_array_equal(value, seeded[name])


class Attack:
    """Pickled, it is a call."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_nothing_of_an_archive_is_called(tmp_path: Path, weights: bytes) -> None:
    mark = tmp_path / "mark"
    attack = Attack(mark)
    evil = pickle.dumps(attack)
    objects = np.empty(3, object)
    objects[:] = [attack, "b", "c"]
    attacks: dict[str, dict[str, bytes]] = {
        "skeleton_infos": {"skeletons": evil},
        "deep in skeleton_infos": {"skeletons": pickle.dumps({"": INFOS[""] | {"names": attack}})},
        "joint_info": {"info": npz(joint_names=objects, joint_edges=EDGES)},
        "joint_transform_matrix": {"transform": npy(objects, allow_pickle=True)},
        "ckpt": {"weights": evil},
        "config": {"config": b"proc_side: !!python/object/apply:os.system ['touch x']\n"},
    }
    for name, other in attacks.items():
        file = pack(tmp_path / "a.tar.gz", files(weights, **other))
        with refused("cannot read", name.split()[-1]):
            metrabs_archive.read(file)
        assert not mark.exists(), name
    pickle.loads(evil)
    assert mark.exists()  # so that the check can fail


def test_a_damaged_member_is_refused_in_one_line_wherever_it_is_damaged(
    rng: np.random.Generator,
) -> None:
    """One to four bytes of each member, a few hundred times: nothing but a `Fault` comes out."""
    from vitruvian.weights.unpickle import Fault

    objects = np.array(POINTS, dtype=object)
    cases: list[tuple[bytes, Callable[[bytes], object]]] = [
        (pickle.dumps(INFOS, p), lambda data: metrabs_joints.read_skeletons(data, 4))
        for p in (2, 5)
    ]
    cases.append((npz(joint_names=objects, joint_edges=EDGES), metrabs_joints.read_points))
    cases.append((npy(TRANSFORM), lambda data: metrabs_joints.read_npy(data, "a.npy")))
    cases.append((CONFIG.encode(), lambda data: metrabs_config.config(data.decode("latin1"))))
    for data, read in cases:
        read(data)
        refusals = 0
        for _ in range(400):
            damaged = bytearray(data)
            for at in rng.integers(0, len(data), rng.integers(1, 5)):
                damaged[at] = rng.integers(0, 256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pickletools, of "\\q"
                try:
                    read(bytes(damaged))
                except Fault as fault:
                    refusals += "\n" not in str(fault)
        assert refusals > 100


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_members_that_lead_out_or_are_no_files_are_refused(tmp_path: Path, weights: bytes) -> None:
    good = files(weights)
    ways = {
        "up": ({**good, "../../out": b"x"}, ()),
        "deep": ({**good, f"{ROOT}a/../../../ckpt.pt": b"x"}, ()),
        "absolute": ({"/tmp/config.yaml": b"x", **good}, ()),
        "Windows": ({**good, "C:\\out": b"x"}, ()),
        "backslashes": ({**good, "..\\out": b"x"}, ()),
    }
    for kind, (members, more) in ways.items():
        with refused("is outside the archive: refused"):
            metrabs_archive.read(pack(tmp_path / "a.tar.gz", members, *more))
        assert list(tmp_path.iterdir()) == [tmp_path / "a.tar.gz"], kind
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        link = special(f"{ROOT}ckpt.pt", kind, "/etc/passwd")
        members = {name: data for name, data in good.items() if not name.endswith("ckpt.pt")}
        with refused("is neither a file nor a folder: refused"):
            metrabs_archive.read(pack(tmp_path / "a.tar.gz", members, link))


def test_an_archive_cannot_take_more_than_it_should(
    tmp_path: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = files(weights)
    large = members | {f"{ROOT}config.yaml": b"#" * ((1 << 16) + 1)}
    with refused("its config.yaml has 65537 bytes, more than 65536"):
        metrabs_archive.read(pack(tmp_path / "a.tar.gz", large))
    many = {f"{i}": b"" for i in range(101)}
    with refused("more than 100 files"):
        metrabs_archive.read(pack(tmp_path / "a.tar.gz", many | members))
    with refused("it has ckpt.pt twice"):
        metrabs_archive.read(pack(tmp_path / "a.tar.gz", members | {"ckpt.pt": b""}))
    monkeypatch.setattr(metrabs_archive, "MOST_BYTES", 1 << 20)
    with refused("or 1 MiB"):
        metrabs_archive.read(pack(tmp_path / "a.tar.gz", {"zeros": bytes(2 << 20), **members}))
    # A header that claims a terabyte is believed by nobody.
    info = tarfile.TarInfo(f"{ROOT}joint_info.npz")
    info.size = 1 << 40
    claim = info.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(claim + bytes(1024)))
    with refused("MiB"):
        metrabs_archive.read(tmp_path / "a.tar.gz")
    # Nor is an array that claims as much.
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 4)}
    )
    with refused("its joint_transform_matrix.npy is damaged"):
        transform = files(weights, transform=head.getvalue())
        metrabs_archive.read(pack(tmp_path / "a.tar.gz", transform))


@pytest.mark.parametrize("member", ["config", "info", "transform", "skeletons", "weights"])
def test_a_member_that_is_missing_or_damaged_is_named(
    tmp_path: Path, weights: bytes, member: str
) -> None:
    (name,) = (name for name, data in files(b"", **{member: b"?"}).items() if data == b"?")
    last = name.removeprefix(ROOT)
    with refused(f"it has no {last}"):
        metrabs_archive.read(pack(tmp_path / "a.tar.gz", files(weights, **{member: None})))
    for damage in (b"", b"\xff\xfe" * 40, files(weights)[name][:-30]):
        if member == "config" and damage[:2] != b"\xff\xfe":
            continue  # what is left of a text is a text
        with refused("a.tar.gz", last.split(".")[0]):
            metrabs_archive.read(pack(tmp_path / "a.tar.gz", files(weights, **{member: damage})))


def test_a_file_that_is_no_archive_is_refused_however_it_is_cut(
    tmp_path: Path, weights: bytes
) -> None:
    whole = pack(tmp_path / "a.tar.gz", files(weights)).read_bytes()
    for data in (b"", b"no archive", gzip.compress(b"no tar file" * 100), whole[1:]):
        (tmp_path / "b.tar.gz").write_bytes(data)
        with refused("cannot read"):
            metrabs_archive.read(tmp_path / "b.tar.gz")
    for length in np.linspace(1, len(whole) - 30, 20).astype(int):
        (tmp_path / "b.tar.gz").write_bytes(whole[:length])
        with refused("cannot read"):
            metrabs_archive.read(tmp_path / "b.tar.gz")
    with refused("cannot read", "No such file"):
        metrabs_archive.read(tmp_path / "c.tar.gz")


WRONG_INFOS: dict[str, Any] = {
    "has no skeletons": {},
    "has an invalid skeleton": {"a": [1]},
    "has no edges for 'a'": {"a": {"names": ["x"], "indices": [0]}},
    "4 names for 3 joints": {"a": INFOS[""] | {"indices": [0, 1, 2]}},
    "has joint '4', want an index below 4": {"a": INFOS[""] | {"indices": [0, 1, 2, 4]}},
    "has joint '-1', want an index below 4": {"a": INFOS[""] | {"indices": [0, 1, 2, -1]}},
    "has joint '1.0', want an index below 4": {"a": INFOS[""] | {"indices": np.ones(4)}},
    "an edge of 3 joints": {"a": INFOS[""] | {"edges": [(0, 1, 2)]}},
    "a joint name that is not text": {"a": INFOS[""] | {"names": [0, 1, 2, 3]}},
    "an invalid list of joints": {"a": INFOS[""] | {"indices": {"x": 1}}},
}


@pytest.mark.parametrize("why", WRONG_INFOS)
def test_skeletons_that_do_not_fit_are_refused(tmp_path: Path, weights: bytes, why: str) -> None:
    members = files(weights, skeletons=pickle.dumps(WRONG_INFOS[why]))
    with refused("its skeleton_infos.pkl", why):
        metrabs_archive.read(pack(tmp_path / "a.tar.gz", members))


def test_settings_are_read_as_yaml_says_them() -> None:
    text = (
        "---\n# a comment\na: 1\nb:   2.5  # and why\nc: 'x # y'\nd: \"true\"\ne: True\nf: ~\n"
        "g:\n  deeper: 3\n- item: 4\nh: [1, 2]\ni: a/b:c\nj: 1e3\nk: s\nurl:x\n"
    )
    assert metrabs_config.scalars(text) == {
        "a": 1, "b": 2.5, "c": "x # y", "d": "true", "e": True, "f": None, "g": None,
        "i": "a/b:c", "j": 1000.0, "k": "s",
    }  # fmt: skip


def test_the_published_settings_are_both_understood() -> None:
    """specs/metrabs.md 1.4: L at 384 pixels, S at 256 with the flag; and one without it."""
    large = metrabs_config.config(CONFIG.replace("proc_side: 256", "proc_side: 384"))
    assert (large.side, large.centered, large.legacy) == (384, True, False)
    text = CONFIG.replace("stride: true", "stride: false").replace("bug: false", "bug: true")
    s256 = metrabs_config.config(text)
    assert (s256.side, s256.centered, s256.legacy) == (256, False, True)
    lines = [line for line in CONFIG.splitlines() if "legacy" not in line]
    assert not metrabs_config.config("\n".join(lines)).legacy
    assert metrabs_config.config(CONFIG.replace("fov: 0.5", "fov: null")).mix is None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("proc_side: 256\n", "", "proc_side is None, want a number"),
        ("proc_side: 256", "proc_side: 250", "only stride 32 is supported"),
        ("proc_side: 256", "proc_side: 1e9", "want 64 to 2048"),
        ("proc_side: 256", "proc_side: .nan", "want a number"),
        ("stride_test: 32", "stride_test: 4", "only stride 32 is supported"),
        ("depth: 8", "depth: 7.5", "not a whole number"),
        ("centered_stride: true", "centered_stride: 1", "want true or false"),
        ("affine_weights: null", "affine_weights: a.npz", "latent"),
        ("transform_coords: false", "transform_coords: true", "latent"),
        ("predict_all_and_latents: false", "predict_all_and_latents: true", "latent"),
    ],
)
def test_settings_that_are_not_supported_are_refused(
    tmp_path: Path, weights: bytes, old: str, new: str, why: str
) -> None:
    assert old in CONFIG
    members = files(weights, config=CONFIG.replace(old, new).encode())
    with refused("cannot read", why):
        metrabs_archive.read(pack(tmp_path / "a.tar.gz", members))


@pytest.mark.usefixtures("torch")
def test_points_are_mirrored_by_the_first_letter_of_their_names() -> None:
    from vitruvian.exports.metrabs import mirror_by_names

    names = ["pelv", "lhip_x", "rhip_x", "lhip_y", "rear", "lear"]
    assert mirror_by_names(names) == (0, 2, 1, 3, 5, 4)


def test_a_matrix_comes_back_from_a_line_of_text(rng: np.random.Generator) -> None:
    matrix = np.zeros((555, 580), np.float32)
    matrix[:, :555] = np.eye(555)
    matrix[rng.integers(0, 555, 100), rng.integers(555, 580, 100)] = rng.normal(size=100)
    text = pack_matrix(matrix)
    assert len(text) < 10_000
    np.testing.assert_array_equal(unpack_matrix(text), matrix)
    for wrong in ({"shape": [3, 3]}, {"shape": [10**6, 10**6]}, {"zlib_f4": "AAAA"}):
        with pytest.raises(ValueError, match=r"."):
            unpack_matrix(json.dumps(json.loads(text) | wrong))


# Export


def opened(file: Path) -> list[Any]:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the onnx extra)")
    return [OnnxRuntime(file), OpenVino(file)]


@pytest.mark.parametrize("kind", TINY)
def test_torch_onnx_and_openvino_agree(
    kind: str, tmp_path: Path, torch: Any, metrabs: Any, rng: np.random.Generator
) -> None:
    from vitruvian.exports.export import export_checkpoint

    network = made(torch, metrabs, kind)
    volume = Volume(side=128, stride=network.shape.backbone.stride, depth=4, box=2.0)
    metrabs.save(network, tmp_path / "a.pt", volume, TOY)
    done = export_checkpoint(tmp_path / "a.pt", tmp_path / "a.onnx")  # compares them
    assert done.apart.keys() == {"onnxruntime", "openvino"}
    crops = rng.random((2, 128, 128, 3), np.float32)
    with torch.no_grad():
        want = network(torch.from_numpy(crops).permute(0, 3, 1, 2))
    cells = 128 // volume.stride
    for run in opened(done.file):
        flat, deep = run(crops)
        assert flat.shape == (2, 3, cells, cells)
        assert deep.shape == (2, 3, 4, cells, cells)
        np.testing.assert_allclose(flat, want[0], atol=2e-5)
        np.testing.assert_allclose(deep, want[1], atol=2e-5)
        assert [part.shape[0] for part in run(crops[:0])] == [0, 0]
        assert run.input_shape == (None, 128, 128, 3)
        about = run.metadata
        assert (about["family"], about["imgsz"]) == ("metrabs", "[128, 128]")
        assert Volume(**json.loads(about["volume"])) == volume
        assert json.loads(about["mirror"]) == TOY.mirror.tolist()
        table = json.loads(about["skeletons"])["toy"]
        assert Skeleton.from_json(table["table"]).keypoints == TOY.keypoints


def test_an_archive_becomes_one_file_that_says_everything(
    tmp_path: Path, torch: Any, metrabs: Any, weights: bytes, rng: np.random.Generator
) -> None:
    from vitruvian.exports.export import export_checkpoint

    legacy = CONFIG.replace("stride: true", "stride: false").replace("bug: false", "bug: true")
    members = files(weights, config=legacy.encode())
    archive = pack(tmp_path / "metrabs_s.tar.gz", members)
    crops = rng.random((1, 256, 256, 3), np.float32)
    read = metrabs_archive.read(archive)
    network = metrabs.load(read.tensors, centered=False)
    with torch.no_grad():
        want, _ = network(torch.from_numpy(crops).permute(0, 3, 1, 2))
    for name in ("a.onnx", "b.xml"):
        done = export_checkpoint(
            archive, tmp_path / name, precision="f16" if name == "b.xml" else "f32"
        )
        run = OpenVino(done.file)
        np.testing.assert_allclose(run(crops)[0], want, atol=1e-5 if name == "a.onnx" else 0.02)
        about = run.metadata
        assert Volume(**json.loads(about["volume"])) == LEGACY
        assert tuple(json.loads(about["points"])) == POINTS
        assert json.loads(about["mirror"]) == [0, 2, 1]
        np.testing.assert_array_equal(unpack_matrix(about["transform"]), TRANSFORM)
        toy = json.loads(about["skeletons"])["toy_3"]
        assert toy["indices"] == [3, 2, 1]
        table = Skeleton.from_json(toy["table"])
        assert table.keypoints == ("pelvis", "right_hip", "left_hip")
        assert table.mirror.tolist() == [0, 2, 1]
        assert (json.loads(about["mix"]), json.loads(about["weak_perspective"])) == (0.5, False)
        assert about["source"] == "metrabs_s.tar.gz"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.onnx", "b.bin", "b.xml", "metrabs_s.tar.gz",
    ]  # fmt: skip


def test_what_cannot_be_exported_is_said(
    tmp_path: Path, torch: Any, metrabs: Any, weights: bytes
) -> None:
    from vitruvian.exports.export import export_checkpoint

    (tmp_path / "ckpt.pt").write_bytes(weights)
    with refused("cannot export", "no metadata of crops", ".tar.gz"):
        export_checkpoint(tmp_path / "ckpt.pt", tmp_path / "a.onnx")
    other = files(
        weights,
        info=npz(joint_names=np.array(["a", "b"]), joint_edges=EDGES[:, :0]),
        transform=npy(np.eye(2)),
        skeletons=pickle.dumps({"": {"names": ["a"], "indices": [0], "edges": []}}),
    )
    with refused("cannot export", "edge of 0 joints"):
        export_checkpoint(pack(tmp_path / "a.tar.gz", other), tmp_path / "a.onnx")
    other[f"{ROOT}joint_info.npz"] = npz(joint_names=np.array(["a", "b"]), joint_edges=EDGES[:0])
    archive = pack(tmp_path / "a.tar.gz", other)
    with refused("its ckpt.pt has 3 points, its joint_info.npz 2"):
        export_checkpoint(archive, tmp_path / "a.onnx")
    with refused("--imgsz; leave it out"):
        export_checkpoint(archive, tmp_path / "a.onnx", imgsz=384)
    network = made(torch, metrabs, "vit of 16")
    metrabs.save(network, tmp_path / "a.pt", Volume(depth=4), TOY)
    with refused("3 points and stride 16", "metadata 3 and 32"):
        export_checkpoint(tmp_path / "a.pt", tmp_path / "a.onnx")
    good = checkpoint.read(tmp_path / "a.pt").entries
    for wrong in ("{}", '{"side": "x"}', '{"side": 100}', '{"sides": 1}', "["):
        if wrong == "{}":
            assert metrabs.volume_and_skeleton(good | {"volume": wrong})[0] == Volume()
            continue
        with refused("its metadata of crops and joints is invalid"):
            metrabs.volume_and_skeleton(good | {"volume": wrong})
