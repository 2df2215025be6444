"""Accuracy of bounding boxes."""

import numpy as np
import pytest

from vitruvian.evaluate.boxes import box_precision


def test_precision_counts_everybody_once():
    none = np.zeros((0, 4), np.float32)
    people = np.array([[0, 0, 10, 20], [50, 0, 60, 20]], np.float32)
    crowd = np.array([[100, 0, 200, 100]], np.float32)
    box = np.array(
        [[0, 0, 10, 20], [0, 0, 10, 19], [50, 0, 60, 20], [120, 20, 140, 60], [0, 50, 9, 60]],
        np.float32,
    )
    score = np.array([0.9, 0.8, 0.7, 0.95, 0.1], np.float32)
    # Right, twice the same, right; one in the crowd does not count; one where nobody is.
    ap, found = box_precision([(box, score)], [(people, crowd)])
    assert ap == pytest.approx((1 + 2 / 3) / 2)
    assert found == 1.0
    ap, found = box_precision([(box[1:2], score[1:2])], [(people, none)])
    assert (ap, found) == (0.5, 0.5)
    assert box_precision([(none, np.zeros(0, np.float32))], [(people, none)]) == (0, 0)
