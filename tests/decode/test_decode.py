"""From a network's numbers to places: anchors by hand, heat maps against the spec written out."""

from math import exp

import numpy as np
import pytest

from vitruvian.decode import anchors
from vitruvian.decode.heatmap import refine, sigmoid
from vitruvian.models.blazepose import GRIDS

Rng = np.random.Generator


# Anchors


def test_blazepose_has_2254_anchors():
    """specs/blazepose.md, section 3: 28 x 28 x 2, 14 x 14 x 2, 7 x 7 x 6."""
    points = anchors.points(GRIDS)
    assert points.shape == (1568 + 392 + 294, 2)
    assert points.dtype == np.float32
    assert points.min() > 0
    assert points.max() < 1


@pytest.mark.parametrize(
    ("row", "cell", "cells"),
    [
        (0, (0, 0), 28),  # two in the first cell,
        (1, (0, 0), 28),
        (2, (1, 0), 28),  # then the next one to the right,
        (56, (0, 1), 28),  # then the next line
        (1567, (27, 27), 28),
        (1568, (0, 0), 14),
        (1959, (13, 13), 14),
        (1960, (0, 0), 7),
        (1965, (0, 0), 7),
        (1966, (1, 0), 7),
        (2253, (6, 6), 7),
    ],
)
def test_an_anchor_is_the_middle_of_its_cell(row, cell, cells):
    want = (np.array(cell) + 0.5) / cells
    np.testing.assert_allclose(anchors.points(GRIDS)[row], want, rtol=1e-6)


def test_rows_are_offsets_from_anchors_in_pixels():
    points = np.array([[0.5, 0.25], [0.1, 0.1]], np.float32)
    rows = np.array([[10, 20, 40, 80, -50, 0, 100, 100], [0] * 8], np.float32)
    want = [
        [0.6 - 0.2, 0.45 - 0.4, 0.6 + 0.2, 0.45 + 0.4, 0, 0.25, 1.5, 1.25],
        [0.1] * 8,
    ]
    np.testing.assert_allclose(anchors.decode(rows, points, 100), want, atol=1e-6)


@pytest.mark.parametrize("width", [4, 12])
def test_no_rows_decode_to_none(width):
    got = anchors.decode(np.zeros((0, width), np.float32), np.zeros((0, 2), np.float32), 224)
    assert got.shape == (0, width)


# Heat maps


def test_sigmoid_is_what_it_says_and_never_overflows():
    """Warnings are errors here: an overflow would fail this."""
    for kind in (np.float32, np.float64):
        far = np.array([-np.inf, -1e30, -1000, -100, 0, 100, 1000, 1e30, np.inf], kind)
        np.testing.assert_allclose(sigmoid(far), [0, 0, 0, 0, 0.5, 1, 1, 1, 1], atol=1e-7)
        assert sigmoid(far).dtype == kind
    near = np.linspace(-8, 8, 33)
    np.testing.assert_allclose(sigmoid(near), [1 / (1 + exp(-x)) for x in near], rtol=1e-9)
    assert sigmoid(np.zeros((0, 64, 64, 39), np.float32)).shape == (0, 64, 64, 39)


def refined_as_specified(xy, logits, window):
    """specs/blazepose.md 5.3, one point and one cell after the other, with Python's doubles."""
    n, height, width, k = logits.shape
    out = np.array(xy, float)
    for i in range(n):
        for j in range(k):
            column, row = int(xy[i, j, 0] * width), int(xy[i, j, 1] * height)  # toward zero
            if not (0 <= column < width and 0 <= row < height):
                continue
            half, best, total, sum_x, sum_y = (window - 1) // 2, 0.0, 0.0, 0.0, 0.0
            for r in range(max(0, row - half), min(height, row + half + 1)):
                for c in range(max(0, column - half), min(width, column + half + 1)):
                    p = 1 / (1 + exp(-logits[i, r, c, j]))
                    best, total = max(best, p), total + p
                    sum_x, sum_y = sum_x + p * c, sum_y + p * r
            if best >= 0.5:
                out[i, j] = sum_x / total / width, sum_y / total / height
    return out


@pytest.mark.parametrize("window", [1, 3, 7, 9])
@pytest.mark.parametrize("shape", [(64, 64), (5, 8)], ids=["64 x 64", "smaller than the window"])
def test_refining_does_what_the_spec_says(window, shape, rng: Rng):
    """Points all over the map and beyond, maps about half of which are too dark to count.

    1e-6: float32 sums of up to 81 weights, relative to the map.
    """
    xy = rng.uniform(-0.2, 1.2, (3, 39, 2)).astype(np.float32)
    logits = rng.normal(rng.uniform(-9, 1, (3, 1, 1, 39)), 2, (3, *shape, 39)).astype(np.float32)
    got = refine(xy, logits, window)
    np.testing.assert_allclose(got, refined_as_specified(xy, logits, window), atol=1e-6)
    moved = (got != xy).any(axis=-1)
    assert moved.any()
    assert not moved.all()
    assert got.dtype == np.float32


def lit(row: int, column: int, logit: float = 50) -> np.ndarray:
    """(1, 64, 64, 1) a map that is dark but for one cell."""
    logits = np.full((1, 64, 64, 1), -50, np.float32)
    logits[0, row, column] = logit
    return logits


def at(x: float, y: float) -> np.ndarray:
    """(1, 1, 2) one point, 0..1."""
    return np.array([[[x, y]]], np.float32)


def test_a_point_moves_to_the_only_bright_cell_near_it():
    """To its index over the side, without half a cell: the reference's way of counting."""
    np.testing.assert_allclose(refine(at(0.5, 0.5), lit(30, 34), 7), at(34 / 64, 30 / 64))


@pytest.mark.parametrize("cell", [(28, 32), (32, 36)])
def test_what_is_bright_outside_the_window_does_not_count(cell):
    """The point is in cell (32, 32); a window of 7 reaches three cells, so the fourth is dark."""
    np.testing.assert_array_equal(refine(at(0.5, 0.5), lit(*cell), 7), at(0.5, 0.5))
    assert (refine(at(0.5, 0.5), lit(*cell), 9) != at(0.5, 0.5)).any()


@pytest.mark.parametrize(
    ("point", "cell"),
    [((0, 0), (0, 0)), ((0.999, 0.999), (63, 63)), ((0, 0.999), (62, 1)), ((0.999, 0), (1, 62))],
)
def test_a_window_ends_where_the_map_ends(point, cell):
    want = at(cell[1] / 64, cell[0] / 64)
    np.testing.assert_allclose(refine(at(*point), lit(*cell), 7), want, atol=1e-6)


@pytest.mark.parametrize("point", [(1, 0.5), (0.5, 1), (-0.02, 0.5), (0.5, -0.02), (7, 7)])
def test_a_point_outside_its_map_stays(point):
    bright = np.full((1, 64, 64, 1), 9, np.float32)
    np.testing.assert_array_equal(refine(at(*point), bright, 7), at(*point))


def test_a_dark_window_leaves_the_regression_and_half_is_not_dark():
    assert (refine(at(0.5, 0.5), lit(30, 30, -0.01), 7) == at(0.5, 0.5)).all()
    assert (refine(at(0.5, 0.5), lit(30, 30, 0.0), 7) != at(0.5, 0.5)).any()


def test_a_point_just_above_the_map_counts_as_its_first_row():
    """Truncation goes toward zero: -0.01 * 64 is in row 0, as in the reference."""
    moved = refine(at(0.5, -0.01), lit(1, 32), 7)
    np.testing.assert_allclose(moved, at(32 / 64, 1 / 64))


def test_a_missing_point_stays_missing():
    bright = np.full((1, 64, 64, 1), 9, np.float32)
    assert np.isnan(refine(at(np.nan, np.nan), bright, 7)).all()


def test_nobody_has_nothing_to_refine():
    nobody = np.zeros((0, 39, 2), np.float32)
    assert refine(nobody, np.zeros((0, 64, 64, 39), np.float32), 7).shape == (0, 39, 2)
