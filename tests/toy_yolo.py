"""A YOLOv8-pose network that is opened in no time, and sees one person where it is bright."""

from pathlib import Path
from typing import Any

import numpy as np

SIDE, ANCHORS = 32, 21  # pixels of the input; 4 x 4 + 2 x 2 + 1 cells of strides 8, 16 and 32


def toy_yolo(file: Path) -> Path:
    """Write the network as .xml: a person in the middle, more to the right the brighter it is.

    The score is four times the mean of the image, 0..1: in the dark there is nobody.
    """
    import openvino as ov
    from openvino import opset13 as op

    image = op.parameter([1, 3, SIDE, SIDE], np.float32, name="images")
    bright = op.reshape(op.reduce_mean(image, [1, 2, 3], False), [1, 1, 1], False)
    add, times = np.zeros((2, 1, 56, ANCHORS), np.float32)
    add[0, :4, 0] = 16, 16, 8, 24
    add[0, 5::3, 0], add[0, 6::3, 0] = np.linspace(10, 20, 17), np.linspace(6, 26, 17)
    add[0, 7::3, 0] = 0.9
    times[0, 4, 0], times[0, 5::3, 0] = 4, 2
    head = op.minimum(op.add(op.multiply(bright, times), add), np.float32(31))
    score = op.minimum(op.slice(head, [4], [5], [1], [1]), np.float32(1))
    parts = [op.slice(head, [0], [4], [1], [1]), score, op.slice(head, [5], [56], [1], [1])]
    network: Any = ov.Model  # whose stub does not know itself
    ov.save_model(network([op.concat(parts, 1)], [image], "toy"), file, compress_to_fp16=False)
    return file
