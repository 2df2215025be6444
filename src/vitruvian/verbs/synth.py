"""Synth: a dataset of synthetic people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vitruvian.errors import VitruvianError, amount, pip_install
from vitruvian.verbs.groups import Outcome, quiet

TOLD = 100  # people between two lines of progress


def synth(
    people: int,
    out: str | Path,
    *,
    seed: int = 0,
    backgrounds: str | Path | None = None,
    postures: str | Path | None = None,
    say: Callable[[str], None] = quiet,
) -> Outcome:
    """Render synthetic people with ground truth joints in 2D and 3D.

    Writes images, and people.jsonl with joints in pixels and metres; needs the extra `synth`.

    Args:
        people: number of people.
        out: output folder; an unfinished dataset in it is continued.
        seed: random seed; the same seed gives the same people.
        backgrounds: folder of background images.
        postures: real postures besides random ones: .npz of `vitruvian.training.data.teacher`.
        say: called with lines about progress.

    Raises:
        VitruvianError: the extra is missing, `people` is below 1, a file cannot be read or
            written, or `out` has another seed.
    """
    if people < 1:
        raise VitruvianError(f"people is {people}, want a whole number from 1")
    try:
        from vitruvian.training.synth import synth as studio
    except ImportError as error:
        raise VitruvianError(
            f"synthetic people need {error.name}; install it with: {pip_install('synth')}"
        ) from None
    behind = studio.background_pictures(Path(backgrounds)) if backgrounds else []
    real = studio.read_postures(Path(postures)) if postures else None
    say("loading the body model; takes a minute the first time")

    def tell(number: int) -> None:
        if number % TOLD == 0:
            say(f"{number} of {amount(people, 'person', 'people')}")

    how = {"seed": seed, "backgrounds": behind, "postures": real, "tell": tell}
    return Outcome((studio.make_people(people, Path(out), **how),))
