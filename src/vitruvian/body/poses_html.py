"""Poses as a short HTML table, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses

MOST = 20  # rows
SURE = 0.5  # score from which a keypoint counts


def html_table(poses: Poses) -> str:
    """One row for each of the first `MOST` people."""
    k = len(poses.skeleton)
    columns: list[tuple[str, Callable[[int], str]]] = [
        ("person", lambda row: str(poses.person[row]) if poses.person[row] >= 0 else "no id"),
        ("score", lambda row: f"{poses.box_score[row]:.2f}"),
        (
            f"keypoints, score &ge; {SURE}",
            lambda row: f"{int((poses.score[row] >= SURE).sum())} of {k}",
        ),
        ("box x0 y0 x1 y1, px", lambda row: " ".join(f"{side:.0f}" for side in poses.box[row])),
    ]
    if poses.xyz is not None and poses.origin == "camera":
        away = _depths(poses.xyz)
        columns.append(("depth, m", lambda row: f"{away[row]:.2f}"))
    head = "".join(f"<th>{title}</th>" for title, _ in columns)
    rows = [
        "<tr>" + "".join(f"<td>{cell(row)}</td>" for _, cell in columns) + "</tr>"
        for row in range(min(len(poses), MOST))
    ]
    more = f"<p>and {len(poses) - MOST} more</p>" if len(poses) > MOST else ""
    caption = f"<div><code>{html.escape(repr(poses))}</code></div>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return caption + (table + more if len(poses) else "")


def _depths(xyz: np.ndarray) -> np.ndarray:
    """(N,) metres, the mean over the known keypoints of (N, K, 3); NaN if there are none."""
    known = np.isfinite(xyz[..., 2])
    total = np.where(known, xyz[..., 2], 0).sum(axis=1)
    return np.divide(
        total, known.sum(axis=1), out=np.full(len(xyz), np.nan), where=known.any(axis=1)
    )
