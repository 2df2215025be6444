"""Heat maps read, drawn as targets, and shown: closed forms, bounds, specs/alphapose.md 3, 4, 7."""

import json
from math import exp, log, pi

import cv2
import numpy as np
import pytest

from conftest import SHARED, absent
from vitruvian.body.skeletons import COCO17, SKELETONS
from vitruvian.decode.heatmap import (
    argmax,
    combined,
    encode,
    integral,
    local,
    mirrored,
    sigmoid,
    soft_argmax,
)
from vitruvian.frame import Frame
from vitruvian.rendering.heatmaps import heatmaps, write_heatmaps

Rng = np.random.Generator
SIZE = (48, 64)  # AlphaPose's maps, width and height


def hills(rng: Rng, n: int = 3, k: int = 17, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(n, k, h, w) smooth logits, their peaks anywhere, also at the edges, some all negative."""
    y, x = np.mgrid[: size[1], : size[0]]
    a, b, c, d = rng.uniform(0.02, 0.3, (4, n, k, 1, 1))
    return (3 * np.sin(a * x + 9 * c) + 2 * np.cos(b * y + 9 * d) - rng.uniform(1, 6)).astype(
        np.float32
    )


def argmax_as_specified(logits: np.ndarray) -> tuple[float, float, float]:
    """specs/alphapose.md 3.1: (u, v, score) of one map."""
    height, width = logits.shape
    v, u = divmod(int(logits.argmax()), width)
    score = float(logits[v, u])
    if score <= 0:
        return 0, 0, score
    if 2 <= u <= width - 2 and 2 <= v <= height - 2:
        u_shift = 0.25 * np.sign(logits[v, u + 1] - logits[v, u - 1])
        v_shift = 0.25 * np.sign(logits[v + 1, u] - logits[v - 1, u])
        return u + u_shift, v + v_shift, score
    return u, v, score


def integral_as_specified(logits: np.ndarray, softmax: bool) -> tuple[float, float, float]:
    """specs/alphapose.md 3.2, in doubles."""
    z = logits.astype(float)
    c = np.exp(z - z.max()) if softmax else 1 / (1 + np.exp(-z))
    p = c / c.sum()
    u = sum(i * p[:, i].sum() for i in range(p.shape[1]))
    v = sum(j * p[j].sum() for j in range(p.shape[0]))
    return u, v, 1 if softmax else c.max()


@pytest.mark.parametrize("size", [SIZE, (5, 4)], ids=str)
def test_every_way_to_read_a_map_is_what_the_spec_says(size, rng: Rng):
    """1e-4 cells: float32 sums of 3072 weights that differ by up to e^8."""
    maps = hills(rng, 5, 17, size)
    ways = [
        (argmax(maps, compat=True), argmax_as_specified),
        (integral(maps), lambda z: integral_as_specified(z, softmax=False)),
        (soft_argmax(maps, compat=True), lambda z: integral_as_specified(z, softmax=True)),
    ]
    for (xy, score), spec in ways:
        want = np.array([[spec(z) for z in row] for row in maps])
        np.testing.assert_allclose(xy, want[..., :2], atol=1e-4)
        np.testing.assert_allclose(score, want[..., 2], rtol=1e-5)
        assert (xy.dtype, score.dtype) == (np.float32, np.float32)


def one_cell(x: int, y: int, value: float = 1, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(1, 1, h, w), 0 but for one cell."""
    maps = np.zeros((1, 1, size[1], size[0]), np.float32)
    maps[0, 0, y, x] = value
    return maps


@pytest.mark.parametrize(
    ("x", "y", "moves"),
    [(2, 2, True), (46, 62, True), (1, 9, False), (47, 9, False), (9, 1, False), (9, 63, False)],
)
def test_the_quarter_is_added_two_cells_from_the_left_and_top_and_one_from_the_others(x, y, moves):
    maps = one_cell(x, y)
    maps[0, 0, y, max(x - 1, 0)] = maps[0, 0, max(y - 1, 0), x] = 0.5
    maps[0, 0, y, x] = 1
    xy, score = argmax(maps)
    np.testing.assert_array_equal(xy, [[[x - 0.25 * moves, y - 0.25 * moves]]])
    assert score == 1


def test_between_equal_neighbours_nothing_moves():
    np.testing.assert_array_equal(argmax(one_cell(20, 30))[0], [[[20, 30]]])


@pytest.mark.parametrize("peak", [0, -0.1])
def test_a_map_without_anything_positive_is_a_keypoint_not_found(peak):
    maps = one_cell(20, 30, 0.5) + np.float32(peak - 0.5)
    assert np.isnan(argmax(maps)[0]).all()
    np.testing.assert_array_equal(argmax(maps, compat=True)[0], [[[0, 0]]])
    assert argmax(maps)[1] == maps.max()


def test_soft_argmax_of_a_parabola_is_its_middle_whatever_its_height():
    """The softmax of -d^2 / 2 sigma^2 is a Gaussian; the score is the density of its cells."""
    y, x = np.mgrid[:64, :48]
    logits = (7 - ((x - 20.3) ** 2 + (y - 31.8) ** 2) / (2 * 2**2)).astype(np.float32)[None, None]
    for offset in (0, 50):
        xy, score = soft_argmax(logits + np.float32(offset))
        np.testing.assert_allclose(xy, [[[20.3, 31.8]]], atol=1e-4)
        peak = exp(-(0.3**2 + 0.2**2) / 8) / (2 * pi * 2**2)
        np.testing.assert_allclose(score, [[peak]], rtol=1e-4)


def test_a_background_draws_the_integral_to_the_middle_of_the_map():
    """Closed form: one cell of 1/2 and 3071 of s, whose mean place is nearly the middle."""
    s = 1e-4
    maps = one_cell(10, 10, -log(1 / s - 1)) * 0 + np.float32(-log(1 / s - 1))
    maps[0, 0, 10, 10] = 0
    total = 0.5 + 3071 * s
    want = [(0.5 * 10 + s * (64 * 1128 - 10)) / total, (0.5 * 10 + s * (48 * 2016 - 10)) / total]
    xy, score = integral(maps)
    np.testing.assert_allclose(xy[0, 0], want, atol=1e-4)
    np.testing.assert_allclose(score, 0.5)


def test_a_small_sigmoid_keeps_its_digits():
    """One made from tanh is 0 from -17 on, and off by a thousandth at -10."""
    far = np.array([-87, -50, -17, -10, -1], np.float32)
    np.testing.assert_allclose(sigmoid(far), [1 / (1 + exp(-z)) for z in far], rtol=1e-6)


@pytest.mark.parametrize("dark", [-20, -80, -1000])
def test_the_integral_of_a_very_dark_map_is_still_its_hill(dark):
    """Below exp(-88) everything is equally dark."""
    xy, score = integral(one_cell(10, 50, 15) + np.float32(dark))
    assert np.isfinite(xy).all()
    assert score >= 0
    if dark > -88:
        share = exp(15) / (exp(15) + 3071)
        np.testing.assert_allclose(
            xy[0, 0],
            [10 * share + (1 - share) * 23.5, 50 * share + (1 - share) * 31.5],
            atol=2e-2,
        )


def test_the_last_maps_are_read_by_the_other_decoder(rng: Rng):
    maps = hills(rng, 2, 136)
    for tail in (0, 42, 110, 136):
        xy, score = combined(maps, tail)
        for got, body, rest in zip((xy, score), argmax(maps), integral(maps), strict=True):
            np.testing.assert_array_equal(got[:, : 136 - tail], body[:, : 136 - tail])
            np.testing.assert_array_equal(got[:, 136 - tail :], rest[:, 136 - tail :])


# The mirrored crop


def test_the_shift_is_not_the_one_of_the_reference():
    """specs/alphapose.md 4: there 7, 6, 5, 4 becomes 7, 7, 7, 7, since it reads what it wrote."""
    maps = np.array([4, 5, 6, 7], np.float32).reshape(1, 1, 1, 4)
    alone = np.array([0])
    assert mirrored(maps, alone, shift=True).ravel().tolist() == [7, 7, 6, 5]
    assert mirrored(maps, alone, shift=False).ravel().tolist() == [7, 6, 5, 4]
    assert maps.ravel().tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("name", SKELETONS)
def test_mirroring_maps_twice_changes_nothing(name, rng: Rng):
    mirror = SKELETONS[name].mirror
    maps = hills(rng, 1, len(mirror), (6, 8))
    twice = mirrored(mirrored(maps, mirror, shift=False), mirror, shift=False)
    np.testing.assert_array_equal(twice, maps)
    assert twice.flags.c_contiguous


@pytest.mark.parametrize(("shift", "off"), [(False, -0.75), (True, 0.25)])
def test_a_mirrored_crop_is_read_a_quarter_of_a_cell_off(shift, off, rng: Rng):
    """Cell i is column 4 i of 192; of the mirrored crop that is column 191 - 4 i."""
    xy = rng.uniform((14, 14), (33, 49), (1, 17, 2)).astype(np.float32)
    seen = (xy * [-4, 4] + [191, 0])[:, COCO17.mirror] / 4
    back = mirrored(logit(encode(seen, SIZE, exact=True)[0]), COCO17.mirror, shift)
    np.testing.assert_allclose(integral(back)[0], xy + np.array([off, 0]), atol=1e-4)


# What training draws, inference reads


def logit(heat: np.ndarray) -> np.ndarray:
    """The logits whose sigmoid is `heat`, as far as float32 goes."""
    inside = np.clip(heat.astype(float), 1e-37, 1 - 1e-9)
    return np.log(inside / (1 - inside)).astype(np.float32)


def test_a_target_is_a_gaussian_around_the_nearest_cell():
    maps, weight = encode(np.array([[[20.4, 30.6]]]), SIZE)
    assert maps.shape == (1, 1, 64, 48)
    assert (maps.dtype, weight.dtype) == (np.float32, np.float32)
    for x, y in ((20, 31), (21, 31), (26, 37), (27, 31), (20, 38)):
        d = (x - 20) ** 2 + (y - 31) ** 2
        want = exp(-d / 8) if max(abs(x - 20), abs(y - 31)) <= 6 else 0
        assert maps[0, 0, y, x] == pytest.approx(want, abs=1e-7)
    assert np.count_nonzero(maps) == 13 * 13
    assert weight == 1


def test_left_of_the_map_the_nearest_cell_is_toward_zero():
    """int(-0.7 + 0.5) is 0."""
    left, at = (encode(np.array([[[x, 9.0]]]), SIZE)[0] for x in (-0.7, 0))
    np.testing.assert_array_equal(left, at)


@pytest.mark.parametrize(
    ("x", "y", "weight"),
    [(-6, 9, 1), (-7.6, 9, 0), (53.4, 9, 1), (53.6, 9, 0), (9, -7.6, 0), (9, 69, 1), (9, 70, 0)],
)
@pytest.mark.parametrize("exact", [False, True])
def test_what_is_off_the_map_by_more_than_three_sigma_does_not_count(x, y, weight, exact):
    maps, got = encode(np.array([[[x, y]]]), SIZE, exact=exact)
    assert got == weight
    assert maps.any() == bool(weight)


@pytest.mark.parametrize("exact", [False, True])
def test_an_unknown_keypoint_has_an_empty_target_without_weight(exact):
    xy = np.array([[[20, np.nan], [np.nan, np.nan], [20, 30]]])
    maps, weight = encode(xy, SIZE, exact=exact)
    assert weight.tolist() == [[0, 0, 1]]
    assert maps.reshape(3, 64 * 48).any(axis=1).tolist() == [False, False, True]


def test_argmax_of_a_target_is_half_a_cell_off_at_most(rng: Rng):
    """A Gaussian on a cell is as bright to its left as to its right: what rounding lost is lost."""
    xy = rng.uniform((2, 2), (45, 61), (4, 136, 2)).astype(np.float32)
    got, score = argmax(encode(xy, SIZE)[0])
    np.testing.assert_array_equal(got, np.floor(xy + 0.5))
    off = np.abs(got - xy)
    assert 0.49 < off.max() <= 0.5
    assert (score == 1).all()


def test_argmax_of_an_exact_target_is_a_quarter_of_a_cell_off_at_most(rng: Rng):
    """The nearest cell is within 1/2 cell, and the quarter goes the right way."""
    xy = rng.uniform((2, 2), (45, 61), (4, 136, 2)).astype(np.float32)
    off = np.abs(argmax(encode(xy, SIZE, exact=True)[0])[0] - xy)
    assert 0.24 < off.max() <= 0.25 + 1e-5


@pytest.mark.parametrize("margin", [2, 4, 6, 8, 12])
def test_the_integral_of_an_exact_target_is_off_by_what_the_edge_cuts(margin, rng: Rng):
    """Sampling a Gaussian of sigma 2 costs exp(-2 pi^2 sigma^2), nothing: the edge costs it all.

    `margin` cells from the edge the cells beyond are missing from sum and mean; farther in, fewer
    are. 1e-4: float32.
    """
    xy = rng.uniform((margin, margin), (47 - margin, 63 - margin), (4, 136, 2))
    xy[0, 0] = margin
    off = integral(logit(encode(xy.astype(np.float32), SIZE, exact=True)[0]))[0] - xy
    there, missing = range(-margin, 99), range(margin + 1, 99)
    want = sum(t * exp(-(t**2) / 8) for t in missing) / sum(exp(-(t**2) / 8) for t in there)
    np.testing.assert_allclose(off[0, 0], want, atol=1e-4)
    assert np.abs(off).max() <= want + 1e-4


@pytest.mark.parametrize("read", [argmax, soft_argmax, integral, lambda maps: combined(maps, 5)])
def test_nobody_has_nothing_to_read(read):
    xy, score = read(np.zeros((0, 17, 64, 48), np.float32))
    assert (xy.shape, score.shape) == ((0, 17, 2), (0, 17))


def test_nobody_is_mirrored_and_encoded_too():
    nobody = np.zeros((0, 17, 64, 48), np.float32)
    assert mirrored(nobody, COCO17.mirror, shift=True).shape == nobody.shape
    maps, weight = encode(np.zeros((0, 17, 2), np.float32), SIZE)
    assert (maps.shape, weight.shape) == (nobody.shape, (0, 17))


# Images of maps

CROP = np.full((256, 192, 3), 40, np.uint8)
NAMES = ("left_wrist",)


def changed(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last row and column, [[top, left], [bottom, right]], and the centre, x y."""
    weight = np.abs(one.astype(int) - other).sum(axis=-1)
    rows, columns = weight.any(axis=1).nonzero()[0], weight.any(axis=0).nonzero()[0]
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
    return np.array([[rows[0], columns[0]], [rows[-1], columns[-1]]]), centre


def test_heat_and_cross_lie_where_the_keypoint_is():
    """Cell 10, 20 of 4 pixels is the centre of pixel 40, 80: (40.5, 80.5) of 192 by 256.

    0.1 px: colours are whole numbers, and OpenCV's bilinear weights are 32nds.
    """
    none, nowhere, zero = np.zeros((1, 64, 48)), np.full((1, 2), np.nan), np.zeros(1)
    empty = heatmaps(CROP, none, NAMES, nowhere, zero)
    (top, left), (bottom, right) = changed(heatmaps(CROP * 2, none, NAMES, nowhere, zero), empty)[0]
    size = np.array([right - left + 1, bottom - top + 1])
    assert size.tolist() == [260, 347]
    want = np.array([left, top]) + np.array([40.5, 80.5]) * size / (192, 256) - 0.5
    place = np.array([[10.0, 20.0]])
    lit = heatmaps(CROP, one_cell(10, 20)[0], NAMES, nowhere, zero)
    np.testing.assert_allclose(changed(lit, empty)[1], want, atol=0.1)
    unknown = top - 1  # above the panel are the name, and "not found" or the score
    cross = heatmaps(CROP, none, NAMES, place, zero)[unknown:]
    np.testing.assert_allclose(changed(cross, empty[unknown:])[1] + [0, unknown], want, atol=0.1)


def test_how_bright_a_map_is_says_the_score_and_not_the_colour():
    place, score = np.array([[10.0, 20.0]]), np.array([0.5])
    one, other = (
        heatmaps(CROP, one_cell(10, 20, value)[0], NAMES, place, score) for value in (0.1, 1)
    )
    np.testing.assert_array_equal(one, other)
    said = heatmaps(CROP, one_cell(10, 20)[0], NAMES, place, score + 0.2)
    (top, _), (bottom, _) = changed(said, other)[0]
    assert bottom < 60
    assert top > 10  # the second line: the first is the name


@pytest.mark.parametrize("table", SKELETONS.values(), ids=SKELETONS)
def test_every_joint_has_a_panel_and_no_name_runs_into_the_next(table):
    k = len(table)
    heat, score = np.zeros((k, 64, 48), np.float32), np.zeros(k)
    page = heatmaps(CROP, heat, table.keypoints, np.zeros((k, 2)), score)
    white = (page == 255).all(axis=(0, 2))
    panels, columns = cv2.connectedComponents((page == 30).all(axis=-1).astype(np.uint8))[0], 0
    starts = np.flatnonzero(np.diff(np.concatenate([[True], white]).astype(int)) == -1)
    columns = len(starts)
    assert 1560 <= page.shape[1] <= 1600
    assert np.ptp(np.diff(starts)) == 0
    assert columns <= 12
    assert panels - 1 >= k  # the cross, at the corner, may cut a piece off; text is not this grey


@pytest.mark.shared
def test_a_real_person_s_maps_are_written_as_they_are_drawn(tmp_path):
    folder = SHARED / "data" / "coco_people"
    if not folder.exists():
        absent("../shared/data is not there")
    lines = (folder / "people.jsonl").read_text().splitlines()
    person = next(row for row in map(json.loads, lines) if row["file"] == "000000000785_3.jpg")
    rgb = Frame.read(folder / "crops" / person["file"]).rgb
    joints = np.array(person["keypoints"])[:, :2] / rgb.shape[1::-1] * SIZE
    maps, _ = encode(joints[None], SIZE)
    (xy,), (score,) = argmax(maps)
    path = tmp_path / "new" / "a.png"
    shown = cv2.resize(rgb, (192, 256)), maps[0], COCO17.keypoints, xy, score
    write_heatmaps(path, *shown)
    np.testing.assert_array_equal(Frame.read(path).rgb, heatmaps(*shown))
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_local_reads_a_hill_between_cells_and_does_not_look_far():
    xy = np.array([[[10.3, 20.6], [3.75, 9.1]]], np.float32)
    maps, _ = encode(xy, (48, 64), exact=True)
    # A second hill, nearly as high, far away: the mean over all would lie between them.
    other, _ = encode(xy + 25, (48, 64), exact=True)
    maps = maps + np.float32(0.9) * other
    at, score = local(maps)
    # The window is 5 cells to each side of a hill of 2: what is cut off weighs at most 0.06 of it.
    np.testing.assert_allclose(at, xy, atol=0.06)
    np.testing.assert_allclose(score, maps.max(axis=(2, 3)))


def test_local_finds_nothing_where_nothing_is():
    at, score = local(np.zeros((2, 3, 8, 6), np.float32))
    assert np.isnan(at).all()
    assert not score.any()
    assert local(np.zeros((0, 3, 8, 6), np.float32))[0].shape == (0, 3, 2)
