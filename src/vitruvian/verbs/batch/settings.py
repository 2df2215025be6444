"""The settings of a batch: checked before any work, with paths that hold on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

from vitruvian.analysis.rules import parse_rules
from vitruvian.errors import VitruvianError, pip_install, shown
from vitruvian.sources.video import Span
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.asked import asked_model
from vitruvian.verbs.batch.work import BatchSettings
from vitruvian.verbs.folder import as_json, stamped
from vitruvian.verbs.groups import (
    AnalysisWords,
    BatchWords,
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
)
from vitruvian.verbs.outputs import Save

SAVE = "json,parquet"


def batch_settings(
    model: str,
    words: ModelWords,
    span: Span,
    output: OutputWords,
    how: BatchWords,
    analysis: AnalysisWords,
    wanted: Wanted,
    camera: CameraWords,
    machine: MachineWords,
) -> BatchSettings:
    """The settings of the work on each source.

    Raises:
        VitruvianError: an option is wrong; as much as can be known before any work.
    """
    save = Save.parse(output.save, SAVE, visible=output.visible).names
    if "parquet" in save and find_spec("pyarrow") is None:
        raise VitruvianError(
            f"parquet needs pyarrow; install it with: {pip_install('batch')}, or give --save json"
        )
    if how.cpus_per_worker < 0 or how.gpus_per_worker < 0:
        raise VitruvianError("cpus_per_worker and gpus_per_worker cannot be negative")
    if how.workers is not None and how.workers < 1:
        raise VitruvianError(f"workers is {how.workers}, want a whole number from 1")
    if how.cut is not None and not how.cut >= 0:
        raise VitruvianError(f"cut is {how.cut:g}, want seconds, or 0 to cut no video")
    if how.attempts < 1:
        raise VitruvianError(f"attempts is {how.attempts}, want a whole number from 1")
    if machine.threads is None:
        machine = replace(machine, threads=max(1, int(how.cpus_per_worker)))
    asked_model(model, words, machine)
    camera.given()
    if isinstance(camera.camera, (str, Path)):
        camera = replace(camera, camera=absolute(str(camera.camera)))
    rules = analysis if analysis.rules or analysis.angles or analysis.angle else None
    if rules is not None and rules.rules:
        parse_rules(rules.rules)
        rules = replace(rules, rules=",".join(map(absolute, rules.rules.split(","))))
    name, comma, options = model.partition(",")
    return BatchSettings(
        absolute(name) + comma + options,
        replace(
            words,
            find=words.find and absolute(words.find),
            skeleton=words.skeleton and absolute(words.skeleton),
        ),
        span,
        tuple(dict.fromkeys(("json", *save))),
        output.visible,
        rules,
        wanted,
        camera,
        machine,
    )


def absolute(word: str) -> str:
    """A word that names a file, maybe with `:PART`, with its absolute path; any other as it is."""
    for name, part in ((word.strip(), ""), word.strip().rpartition(":")[::2]):
        # Words of more than one part are split at commas.
        if name and Path(name).is_file() and "," not in (path := str(Path(name).absolute())):
            return f"{path}:{part}" if part else path
    return word


def shard_of(said: str | None) -> tuple[int, int]:
    """(1, n) to (n, n).

    Raises:
        VitruvianError: it is none.
    """
    if said is None:
        return 1, 1
    part, _, parts = said.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise VitruvianError(f"shard is '{shown(said)}', want 1/N to N/N, such as 3/64")
    return int(part), int(parts)


def fingerprint(settings: BatchSettings) -> str:
    """A hash of everything but the sources that results depend on."""
    what = as_json(asdict(settings))
    what["machine"] = {"precision": settings.machine.precision}
    what["files"] = [stamped(file) for file in _files(settings)]
    text = json.dumps(what, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _files(settings: BatchSettings) -> Iterator[str]:
    """The files that settings name."""
    words = [settings.model.partition(",")[0], settings.words.find, settings.words.skeleton]
    words += [settings.camera.camera if isinstance(settings.camera.camera, str) else None]
    words += (settings.analysis.rules or "").split(",") if settings.analysis else []
    for word in filter(None, words):
        for name in (word, word.rpartition(":")[0]):
            if name and Path(name).is_file():
                yield name
