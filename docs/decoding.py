"""Makes docs/decoding.md and its figure: the error of each heat map decoder. See generate.py.

Every number on the page is computed here, with the functions of `vitruvian.decode.heatmap`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vitruvian.body.skeletons import HALPE136
from vitruvian.decode.heatmap import argmax, encode, integral, soft_argmax
from vitruvian.decode.pose_nms import BODY, pose_nms, whole_body

SIZE, STRIDE = (48, 64), 4  # AlphaPose's maps, and pixels of its input from cell to cell
PLACE = np.array([14.0, 20.0])  # cells, nearer to a corner than to the middle, as most joints are
PEAK = 0.9
OFFSETS = np.linspace(-0.5, 0.5, 1001)[1:-1]  # of the true centre from the cell's, to the right

COPIES = (1, 2, 6, 7, 8, 12, 20)


def heat(offsets: np.ndarray, background: float = 0, second: float = 0) -> np.ndarray:
    """(1, K, h, w) 0..1, a Gaussian peak for each offset, exactly centred.

    Args:
        offsets: (K,) cells from PLACE to the right.
        background: least value of every cell.
        second: height of a second peak, 12 cells to the right.
    """
    xy = np.tile(PLACE, (1, len(offsets), 1))
    xy[0, :, 0] += offsets
    maps = PEAK * encode(xy, SIZE, exact=True)[0]
    other = second * encode(xy + np.array([12, 0]), SIZE, exact=True)[0]
    return np.maximum(np.maximum(maps, other), max(background, 1e-30)).astype(np.float32)


def logit(maps: np.ndarray) -> np.ndarray:
    """Logits whose sigmoid is these maps."""
    return np.log(maps / (1 - maps))


def brightest(maps: np.ndarray) -> np.ndarray:
    """(1, K, 2) the brightest cell."""
    n, k, height, width = maps.shape
    y, x = np.divmod(maps.reshape(n, k, height * width).argmax(axis=-1), width)
    return np.stack([x, y], axis=-1)


WAYS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], dict[str, object]]] = {
    "brightest cell": (brightest, {"color": "0.55", "marker": "s"}),
    "`argmax`: and a quarter": (lambda maps: argmax(maps)[0], {"color": "#D55E00", "marker": "^"}),
    "`soft_argmax`": (
        lambda maps: soft_argmax(logit(maps))[0],
        {"color": "#56B4E9", "marker": "o", "linewidth": 4},
    ),
    "`integral`": (
        lambda maps: integral(logit(maps))[0],
        {"color": "black", "marker": "x", "linestyle": "--"},
    ),
}


def errors(way: Callable[[np.ndarray], np.ndarray], **hill: float) -> np.ndarray:
    """(len(OFFSETS), 2) cells, decoded minus true."""
    true = PLACE + OFFSETS[:, None] * np.array([1, 0])
    return way(heat(OFFSETS, **hill))[0] - true


def kept(copies: int, compat: bool) -> int:
    """How many of n copies of one person of 136 keypoints pose NMS keeps."""
    x = np.linspace(0, 200, 136)
    xy = np.tile(np.stack([x, 2 * x], axis=-1), (copies, 1, 1))
    box, score = np.tile([0.0, 0, 200, 400], (copies, 1)), np.full((copies, 136), 0.8)
    return len(
        pose_nms(xy, score, box, score[:, 0], BODY, whole_body(HALPE136.parts), compat).index
    )


def page() -> str:
    """The page."""
    rows = list[str]()
    for name, (way, _) in WAYS.items():
        alone, dim, double = (
            float(np.abs(errors(way, **hill)).max())
            for hill in ({}, {"background": 0.001}, {"second": PEAK / 2})
        )
        rows.append(f"| {name} | {alone:.2f} | {alone * STRIDE:.1f} | {dim:.2f} | {double:.2f} |")
    rounded = encode((PLACE + OFFSETS[:, None] * np.array([1, 0]))[None], SIZE)[0]
    taught = np.abs(argmax(rounded)[0][0, :, 0] - PLACE[0] - OFFSETS).max()
    copies = [
        f"| {name} | {' | '.join(str(kept(n, compat)) for n in COPIES)} |"
        for name, compat in (("as AlphaPose", True), ("here", False))
    ]
    new = "\n"
    return f"""# Heat map decoding

Made by `python docs/generate.py`, which also computes its numbers.

A heat map network outputs, for each joint, a coarse map of scores. `decode/heatmap.py` decodes a position and a score
from it: `argmax` for networks trained on Gaussian targets, `integral` for those trained to regress the position through
the map, `combined` where the body is of the first kind, face and hands of the second.

## Quantisation error

A map of {SIZE[0]} x {SIZE[1]} cells has a cell for {STRIDE} x {STRIDE} pixels of the input. A
person who is 400 pixels tall in the frame fills 1 / 1.25 of the crop, so a cell is then
{400 * 1.25 / SIZE[1]:.1f} pixels of the frame: half a cell matters.

![The same peak decoded in four ways, and the error of each](decoding.png)

A Gaussian of sigma 2 and height {PEAK}, its centre up to half a cell off the centre of a cell, decoded in four ways.
Largest error in cells; the last two columns add something else to the map.

| decoder | alone | in input pixels | background of 0.001 | second peak of {PEAK / 2}, 12 cells off |
|---|---|---|---|---|
{new.join(rows)}

- The quarter step goes toward the brighter neighbour, so it halves the largest error. All it knows is
  on which side the centre is.
- The mean position (soft-argmax) of a peak has no such error. But it is the mean of the whole map: a faint
  background pulls it toward the middle of the map, and of two peaks it gives a position between them.
  `argmax` is affected by neither.
- AlphaPose's targets are Gaussians around the nearest cell (`encode`). Of such a map `argmax` is
  {taught:.2f} of a cell off at worst: both neighbours are equally bright, and what the target has
  lost no decoder recovers. `encode(exact=True)` draws the centre where it is.
- A joint whose map has no value above 0 was not found: NaN. AlphaPose puts it at the corner of the
  crop, as `argmax(compat=True)` does.

Positions on a map are indices of cells. Cell i of AlphaPose's maps is pixel {STRIDE} i of the input,
whose centre is at {STRIDE} i + 0.5 in [our pixels](conventions.md). The bounds are tested in
`tests/decode/test_heatmaps.py`.

## Pose NMS

A detector's boxes overlap, and each gives a pose. `decode/pose_nms.py` keeps one of those that are
the same, and averages them. Its criterion is AlphaPose's, with one fault corrected: there the number
of matching keypoints of a whole body is divided by how many poses are left, so the more copies of a
person there are, the fewer of them are removed. Here two poses are the same or not, whoever else is there;
`compat=True` keeps the fault. Copies that are kept of one whole body, with the constants of networks trained
on heat maps alone:

| copies | {" | ".join(map(str, COPIES))} |
|---|{"---|" * len(COPIES)}
{new.join(copies)}

The docstring lists what else differs: keypoints that were not found, and which scores count. The constants are on
[their page](constants.md#alphapose).
"""


def figure(path: Path) -> None:
    """On the left a map and its decoded positions, on the right the error of each decoder."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    offset = 0.4
    drawing = Figure(figsize=(9, 3.8), layout="constrained")
    FigureCanvasAgg(drawing)
    left, right = drawing.subplots(1, 2, width_ratios=[1, 1.25])
    one = heat(np.array([offset]))
    left.imshow(one[0, 0], cmap="cividis", vmin=0, vmax=1)
    left.set(
        xlim=(PLACE[0] - 3.5, PLACE[0] + 4.5),
        ylim=(PLACE[1] + 3.5, PLACE[1] - 3.5),
        title=f"a peak centred at {PLACE[0] + offset:g}, and the four decoded positions",
        xlabel="column of the map",
        yticks=[],
    )
    left.axvline(PLACE[0] + offset, color="white", linewidth=1)
    for row, (name, (way, style)) in enumerate(WAYS.items()):
        x = float(way(one)[0, 0, 0])
        label, colour = name.replace("`", ""), style["color"]
        at = (x, PLACE[1] - 2.4 + 1.6 * row)
        edge = {"markeredgecolor": "white"} if style["marker"] != "x" else {}
        left.plot(*at, style["marker"], color=colour, markersize=10, markeredgewidth=2, **edge)
        right.plot(OFFSETS, errors(way)[:, 0], label=label, markevery=[499], **style)
    right.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    right.set(
        xlabel="centre, cells from the centre of its cell",
        ylabel="decoded - true, cells",
        ylim=(-0.62, 0.62),
        title="error of each decoder by the centre",
    )
    left.title.set_size(10)
    right.title.set_size(10)
    pixels = right.secondary_yaxis("right", functions=(lambda c: c * STRIDE, lambda p: p / STRIDE))
    pixels.set_ylabel("pixels of the input")
    right.legend(loc="upper right", frameon=False, fontsize=8)
    drawing.savefig(path, dpi=110)
