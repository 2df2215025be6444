"""The command `val`: how good models are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import INPUT, MODEL, MODELS, OUT, OUTPUT, Word
from vitruvian.verbs.asked import asked_model
from vitruvian.verbs.groups import MachineWords, ModelWords


@command(
    model=MODELS,
    results=Word(
        list[Path] | None,
        INPUT,
        "COCO results (.json), or a record (.jsonl), of any program; repeatable.",
    ),
    skeleton=Word(
        str | None,
        MODEL,
        "Keypoints of the labels, and of your own network: a name, or a .toml file.",
        "as the labels say, or else coco17",
    ),
    num_poses="BlazePose 20, YOLOv8 300, others 100; 20 count",
    conf="YOLOv8 0.001, others as `predict`",
    out=Word(Path, OUTPUT, "A folder.", names=OUT),
)
def val(
    data: Path,
    model: list[str] | None = None,
    results: list[Path] | None = None,
    images: Path | None = None,
    split: str = "val",
    common: bool = False,
    resamples: int = 200,
    words: ModelWords = ModelWords(),
    out: Path = Path("val"),
    resume: bool = False,
    overwrite: bool = False,
    machine: MachineWords = MachineWords(),
) -> None:
    """Evaluate models on labelled data: AP, PCK, MPJPE and more."""
    from vitruvian.models.load import family_of
    from vitruvian.models.spec import ModelSpec
    from vitruvian.verbs.val import show, val

    def spec_of(each: str) -> tuple[str, Mapping[str, object]]:
        takes = family_of(ModelSpec.parse(each).name).takes("find")
        spec = asked_model(each, words if takes else replace(words, find=None), machine)
        return spec.name, spec.options

    result = val.val(
        data,
        [spec_of(each) for each in model or []],
        results=results or [],
        images=images,
        split=split,
        skeleton=words.skeleton,
        common=common,
        out=out,
        resume=resume,
        overwrite=overwrite,
        resamples=resamples,
        say=lambda line: print(line, file=sys.stderr, flush=True),
        complain=complain,
    )
    print(*show.lines(result), sep="\n")
    print(*show.write(result, out), sep="\n")
    failed(result.faults)
