"""The command `synth`: images of synthetic people with ground truth."""

from __future__ import annotations

import sys
from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, OUT, OUTPUT, Word


@command(
    offline=False,
    people=Word(int, OUTPUT, "Number of people."),
    out=Word(Path, OUTPUT, "Output folder; an unfinished dataset in it is continued.", names=OUT),
    seed=Word(int, INPUT, "Random seed; the same seed gives the same people."),
    backgrounds=Word(Path | None, INPUT, "Folder of background images."),
    postures=Word(
        Path | None,
        INPUT,
        "Real postures in addition to random ones: .npz of vitruvian.training.data.teacher.",
    ),
)
def synth(
    people: int,
    out: Path,
    seed: int = 0,
    backgrounds: Path | None = None,
    postures: Path | None = None,
) -> None:
    """Render synthetic people with true joints in 2D and 3D.

    Writes images, and people.jsonl with joints in pixels and metres.
    """
    from vitruvian.verbs.synth import synth as render

    how = {"seed": seed, "backgrounds": backgrounds, "postures": postures}
    done = render(people, out, **how, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(*done.files)
