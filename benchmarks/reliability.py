"""How often posture events said with some confidence are right: the plot in docs/postures.md.

    python benchmarks/events.py ../shared/data --pictures --sure sure.csv
    python benchmarks/events.py ../shared/data --crops --sure sure.csv
    python benchmarks/events.py /tmp/acted --labels /tmp/acted --sure sure.csv
    python benchmarks/reliability.py sure.csv docs/reliability.svg

Points are the share that is right of what was said with a confidence in each bin, with Wilson's
95 % interval and the count. What several models said of one picture counts each, so intervals are a
little narrow. Also prints the error of the confidence, and that of an isotonic regression of it in
cross-validation in which no picture or person is on both sides.
"""

from __future__ import annotations

import argparse
import csv
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import isotonic_regression

BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
COLOURS = {"pictures": "#0072b2", "videos": "#009e73", "acted": "#d55e00"}
FOLDS = 8


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share. Source: Wilson 1927."""
    share, wide = right / count, z**2 / count
    middle, half = share + wide / 2, z * np.sqrt((share * (1 - share) + wide / 4) / count)
    return (middle - half) / (1 + wide), (middle + half) / (1 + wide)


def held_out(who: np.ndarray, said: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The share that is right by an isotonic regression on the other folds."""
    names = np.unique(who)
    fold = dict(zip(names, np.random.default_rng(0).integers(FOLDS, size=len(names)), strict=True))
    of, found = np.array([fold[name] for name in who]), np.zeros(len(said))
    for i in range(FOLDS):
        learned = np.flatnonzero(of != i)
        learned = learned[np.argsort(said[learned], kind="stable")]
        fit = isotonic_regression(right[learned].astype(float)).x
        found[of == i] = np.interp(said[of == i], said[learned], fit)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sure", type=Path, help="what benchmarks/events.py --sure wrote")
    parser.add_argument("out", type=Path, help="picture to write: .svg, .png or .pdf")
    asked = parser.parse_args()
    with asked.sure.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    figure, axes = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
    axes.plot([0.5, 1], [0.5, 1], color="#999999", linewidth=1, label="as said")
    kinds = [kind for kind in COLOURS if any(row["kind"] == kind for row in rows)]
    for shift, kind in enumerate(kinds):
        mine = [row for row in rows if row["kind"] == kind]
        said = np.array([float(row["confidence"]) for row in mine])
        right = np.array([row["right"] == "1" for row in mine])
        print(f"{kind}: {right.sum()} of {len(mine)} right, mean confidence {said.mean():.2f}")
        for low, high in pairwise(BINS):
            inside = (said >= low) & ((said < high) | ((high == 1) & (said <= 1)))
            count, hits = int(inside.sum()), int(right[inside].sum())
            if not count:
                continue
            least, most = wilson(hits, count)
            x = said[inside].mean() + 0.004 * (shift - 1)
            axes.plot([x, x], [least, most], color=COLOURS[kind], linewidth=1.5)
            axes.plot(x, hits / count, "o", color=COLOURS[kind], markersize=5,
                      label=kind if low == BINS[-2] else None)  # fmt: skip
            left = kind == "pictures"
            axes.annotate(f"{hits}/{count}", (x, hits / count), xytext=(-5 if left else 5, -10),
                          ha="right" if left else "left", textcoords="offset points",
                          fontsize=7, color=COLOURS[kind])  # fmt: skip
            print(f"  {low:.1f} to {high:.1f}: {hits} of {count} right, {least:.2f} to {most:.2f}")
        who = np.array([row["who"] for row in mine])
        fitted = held_out(who, said, right)
        for name, chance in (("as said", said), ("isotonic, held out", fitted)):
            print(f"  {name}: Brier score {np.mean((chance - right) ** 2):.3f}")
    axes.set(xlim=(0.48, 1.08), ylim=(0, 1.04), xlabel="confidence", ylabel="share that is right")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(asked.out, dpi=150)


if __name__ == "__main__":
    main()
