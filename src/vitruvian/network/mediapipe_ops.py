"""MediaPipe's own operations in face_landmark_with_attention.tflite, as OpenVINO's.

The network refines lips and eyes of a face mesh: it samples a square of a feature map around each,
turned as the face is, and maps the landmarks found there back.

Source: specs/holistic.md 1.1; Grishchenko et al. 2020, "Attention Mesh: High-fidelity Face Mesh
Prediction in Real-time". The options of the operations are constants of this one file, and cannot
be read from OpenVINO's conversion of it.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

# Mesh landmarks that a network finds anew, in its order; "left" is the left of the picture.
# fmt: off
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409, 78,
    95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415, 76, 77,
    90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408, 62, 96, 89,
    179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)
LEFT_EYE = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110, 24,
    23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232, 233, 244,
    113, 225, 224, 223, 222, 221, 189, 35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121,
    128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
)
RIGHT_EYE = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255, 339,
    254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449, 450, 451,
    452, 453, 464, 342, 445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295, 372, 340, 346,
    347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
)
# fmt: on
# Of each: its landmarks, and the two that are level in an upright face. In the order of the file.
AROUND = ((LIPS, (61, 291)), (LEFT_EYE, (33, 133)), (RIGHT_EYE, (362, 263)))
MAP, CELLS = 48, 16  # side of the feature map and of a sampled square, cells
MARGIN = 1.5  # of the square around the landmarks


def add_operations(extension: Any, ops: Any, core: Any) -> None:
    """Teach OpenVINO's core these operations; it must then read one file at a time.

    Args:
        extension: `openvino.frontend.ConversionExtension`.
        ops: OpenVINO's operations, opset 13 or later.
        core: OpenVINO's core.
    """
    which = itertools.cycle(AROUND)
    made = {
        "Landmarks2TransformMatrix": lambda node: _matrix(ops, node.get_input(0), *next(which)),
        "TransformTensorBilinear": lambda node: _sampled(ops, node.get_input(0), node.get_input(1)),
        "TransformLandmarks": lambda node: _mapped(ops, node.get_input(0), node.get_input(1)),
    }
    for name, function in made.items():
        one = lambda node, function=function: [function(node).output(0)]  # noqa: E731
        core.add_extension(extension(name, one))


def _numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _matrix(ops: Any, mesh: Any, subset: tuple[int, ...], level: tuple[int, int]) -> Any:
    """(1, 468, 3) landmarks, cells of the map -> (1, 4, 4) cells of the square to those of the map.

    A square around a subset, turned so that two landmarks are level.
    """
    axis = np.array(1)
    xy = ops.gather(mesh, np.array([0, 1]), np.array(2))
    ends = ops.gather(xy, np.array(level), axis)
    along = ops.subtract(
        ops.gather(ends, np.array([1]), axis), ops.gather(ends, np.array([0]), axis)
    )
    # Both 0 where the two are one point: not turned.
    along = ops.add(along, ops.convert(_still(ops, along), "f32"))
    length = ops.sqrt(ops.reduce_sum(ops.multiply(along, along), np.array([2]), keep_dims=True))
    unit = ops.divide(along, length)  # (1, 1, 2) cos, -sin
    x, y = (ops.gather(unit, np.array([i]), np.array(2)) for i in (0, 1))
    back = ops.concat([ops.concat([x, ops.negative(y)], 2), ops.concat([y, x], 2)], 1)  # (1, 2, 2)
    some = ops.gather(xy, np.array(subset), axis)
    upright = ops.matmul(some, back, False, False)
    low = ops.reduce_min(upright, np.array([1]), keep_dims=True)
    high = ops.reduce_max(upright, np.array([1]), keep_dims=True)
    middle = ops.multiply(ops.add(low, high), _numbers(0.5))
    centre = ops.matmul(middle, back, False, True)  # (1, 1, 2)
    size = ops.multiply(ops.subtract(high, low), _numbers(MARGIN / CELLS))
    turned = ops.multiply(back, size)  # columns x and y of the square, cells of the map
    half = np.full((1, 2, 1), CELLS / 2, np.float32)
    shift = ops.subtract(
        ops.reshape(centre, np.array([1, 2, 1]), False), ops.matmul(turned, half, False, False)
    )
    rows = ops.concat([turned, np.zeros((1, 2, 1), np.float32), shift], 2)
    return ops.concat([rows, np.eye(4, dtype=np.float32)[None, 2:]], 1)


def _still(ops: Any, along: Any) -> Any:
    """(1, 1, 2) bool: x, of two equal points."""
    none = ops.reduce_logical_and(
        ops.equal(along, _numbers(0)), np.array([2], np.int64), keep_dims=True
    )
    return ops.logical_and(none, np.array([[[True, False]]]))


def _sampled(ops: Any, features: Any, matrix: Any) -> Any:
    """(1, 48, 48, 32) and (1, 4, 4) -> (1, 16, 16, 32), bilinear; 0 outside of the middles."""
    cells = np.arange(CELLS, dtype=np.float32) + np.float32(0.5)
    y, x = np.meshgrid(cells, cells, indexing="ij")
    places = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], -1).reshape(1, CELLS * CELLS, 4)
    at = ops.matmul(places, ops.gather(matrix, np.array([0, 1]), np.array(1)), False, True)
    at = ops.subtract(at, _numbers(0.5))
    inside = ops.logical_and(
        ops.greater_equal(at, _numbers(0)), ops.less_equal(at, _numbers(MAP - 1))
    )
    inside = ops.reduce_logical_and(inside, np.array([2], np.int64), keep_dims=True)
    grid = ops.subtract(ops.multiply(at, _numbers(2 / (MAP - 1))), _numbers(1))
    grid = ops.reshape(grid, np.array([1, CELLS, CELLS, 2]), False)
    found = ops.grid_sample(
        ops.transpose(features, np.array([0, 3, 1, 2])),
        grid,
        {"align_corners": True, "mode": "bilinear", "padding_mode": "border"},
    )
    mask = ops.reshape(ops.convert(inside, "f32"), np.array([1, CELLS, CELLS, 1]), False)
    return ops.multiply(ops.transpose(found, np.array([0, 2, 3, 1])), mask)


def _mapped(ops: Any, points: Any, matrix: Any) -> Any:
    """Points of a square to the frame of the mesh: (1, n, 2) and (1, 4, 4) -> (1, n, 2)."""
    turned = ops.slice(matrix, [0, 0, 0], [1, 2, 2], [1, 1, 1])
    shift = ops.reshape(
        ops.slice(matrix, [0, 0, 3], [1, 2, 4], [1, 1, 1]), np.array([1, 1, 2]), False
    )
    return ops.add(ops.matmul(points, turned, False, True), shift)
