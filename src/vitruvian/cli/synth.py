"""The command `synth`: pictures of synthetic people."""

from __future__ import annotations

import sys
from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, OUT, OUTPUT, Word
from vitruvian.errors import VitruvianError


@command(
    offline=False,
    people=Word(int, OUTPUT, "How many."),
    out=Word(Path, OUTPUT, "A folder; a set in it goes on.", names=OUT),
    seed=Word(int, INPUT, "Of random numbers: the same people for the same seed."),
    backgrounds=Word(Path | None, INPUT, "A folder of background pictures."),
    postures=Word(
        Path | None,
        INPUT,
        "Of real people, beside random ones: .npz of vitruvian.train.data.teacher.",
    ),
)
def synth(
    people: int,
    out: Path,
    seed: int = 0,
    backgrounds: Path | None = None,
    postures: Path | None = None,
) -> None:
    """Render synthetic people, with exact joints in 2D and 3D.

    Writes pictures, and people.jsonl with joints in pixels and metres.
    """
    try:
        from vitruvian.train.synth import synth as studio
    except ImportError as error:
        raise VitruvianError(
            f"synthetic people need {error.name}; install it with: pip install 'vitruvian[synth]'"
        ) from None
    behind = studio.background_pictures(backgrounds) if backgrounds else []
    real = studio.read_postures(postures) if postures else None
    print("loading the body model; the first time takes a minute", file=sys.stderr, flush=True)

    def tell(number: int) -> None:
        if number % 100 == 0:
            print(f"{number} of {people} people", file=sys.stderr, flush=True)

    table = studio.make_people(people, out, seed=seed, backgrounds=behind, postures=real, tell=tell)
    print(table)
