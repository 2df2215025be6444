"""Assignment: pairs of rows and columns at minimum total cost (Hungarian method)."""

from __future__ import annotations

import numpy as np


def assignment(cost: np.ndarray, columns: np.ndarray, most: float) -> np.ndarray:
    """(R,) one of the columns for each row, -1: none, at minimum total cost.

    Leaving a row and a column unmatched costs `most`, and so does NaN, which is never chosen.

    Args:
        cost: (R, C).
        columns: (C,) their numbers.
        most: the cost from which a pair is not chosen.
    """
    chosen = np.full(len(cost), -1, np.int64)
    if not cost.size:
        return chosen
    cost = np.where(cost < most, cost, most)
    least = cost.min(axis=1, keepdims=True)
    rows = np.flatnonzero(least < most)
    first = cost[rows] == least[rows]
    if (first.sum(axis=0) <= 1).all() and (first.sum(axis=1) == 1).all():
        # Nobody wants the same: no other assignment costs as little.
        places = first.argmax(axis=1)
    else:
        # Half a second and 50 MB, which most videos never need.
        from scipy.optimize import linear_sum_assignment

        rows, places = linear_sum_assignment(cost)
        good = cost[rows, places] < most
        rows, places = rows[good], places[good]
    chosen[rows] = columns[places]
    return chosen
