"""The command `synth`: images of synthetic people with ground truth."""

from __future__ import annotations

import sys
from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, OUT, OUTPUT, Word
from vitruvian.errors import VitruvianError


@command(
    offline=False,
    people=Word(int, OUTPUT, "Number of people."),
    out=Word(Path, OUTPUT, "Output folder; an unfinished dataset in it is continued.", names=OUT),
    seed=Word(int, INPUT, "Random seed; the same seed gives the same people."),
    backgrounds=Word(Path | None, INPUT, "Folder of background images."),
    postures=Word(
        Path | None,
        INPUT,
        "Real postures besides random ones: .npz of vitruvian.train.data.teacher.",
    ),
)
def synth(
    people: int,
    out: Path,
    seed: int = 0,
    backgrounds: Path | None = None,
    postures: Path | None = None,
) -> None:
    """Render synthetic people with ground truth joints in 2D and 3D.

    Writes images, and people.jsonl with joints in pixels and metres.
    """
    try:
        from vitruvian.train.synth import synth as studio
    except ImportError as error:
        raise VitruvianError(
            f"synthetic people need {error.name}; install it with: pip install 'vitruvian[synth]'"
        ) from None
    behind = studio.background_pictures(backgrounds) if backgrounds else []
    real = studio.read_postures(postures) if postures else None
    if people < 1:
        raise VitruvianError(f"--people is {people}, want a whole number from 1")
    print("loading the body model; the first time takes a minute", file=sys.stderr, flush=True)

    def tell(number: int) -> None:
        if number % 100 == 0:
            print(f"{number} of {people} people", file=sys.stderr, flush=True)

    table = studio.make_people(people, out, seed=seed, backgrounds=behind, postures=real, tell=tell)
    print(table)
