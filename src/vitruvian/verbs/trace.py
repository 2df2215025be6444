"""Trace: the position of one keypoint after each stage of a model and each step of a stream.

It runs the same model and stream as `predict`, with hooks inside the model, see `trace_stages`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, amount
from vitruvian.frame import Frame
from vitruvian.geometry.crop import Crop
from vitruvian.models.load import open_model
from vitruvian.models.model import Model, skeleton_of
from vitruvian.models.spec import ModelSpec
from vitruvian.sources.open import Source, open_source
from vitruvian.sources.threads import count_of, readable
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted, check_wanted
from vitruvian.verbs.asked import asked_model
from vitruvian.verbs.groups import CameraWords, MachineWords, ModelWords, verb
from vitruvian.verbs.outputs import need_folder
from vitruvian.verbs.trace_files import refuse_existing_trace, write_trace
from vitruvian.verbs.trace_stages import DecodeCall, TraceRow, decode_calls, stages_inside


@dataclass(frozen=True, eq=False)
class Trace:
    """One keypoint of one person in one frame, stage by stage."""

    image: Frame
    keypoint: str
    person: int  # track id; in images, the row from 1
    stages: list[TraceRow]
    crop: Crop | None = None
    view: np.ndarray | None = None  # (h, w, 3) uint8, the network's input
    map: np.ndarray | None = None  # (h, w) heat map, 0..1
    paths: list[Path] = field(default_factory=list)  # files written

    def table(self) -> str:
        """The stages as text, one line each."""

        def pair(xy: np.ndarray) -> str:
            return f"{xy[0]:9.2f} {xy[1]:9.2f}" if np.isfinite(xy).all() else " " * 19

        lines = [f"{'stage':16} {'crop x':>9} {'crop y':>9} {'frame x':>9} {'frame y':>9}  score"]
        for stage in self.stages:
            score = f"{stage.score:5.3f}" if np.isfinite(stage.score) else " " * 5
            line = f"{stage.name:16} {pair(stage.crop)} {pair(stage.frame)}  {score}  {stage.about}"
            lines.append(line.rstrip())
        return "\n".join(lines)


@verb
def trace(
    source: Any,
    keypoint: str,
    model: str | ModelSpec | Model = "blazepose-full",
    *,
    frame: int = 0,
    person: int | None = None,
    words: ModelWords = ModelWords(),
    out: str | Path | None = None,
    overwrite: bool = False,
    wanted: Wanted = Wanted(),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
) -> Trace:
    """Trace one keypoint through every stage of a model and every step of a stream.

    Args:
        source: image or video, as for `run`.
        keypoint: name of the keypoint.
        model: model name or file, with options after commas, or a model from `load`.
        frame: frame index, from 0. A video is processed from its first frame up to this one.
        person: track id in a video; in images, a number from 1. Default: the highest score.
        words: options of the model: `find`, `num_poses`, `conf`, `skeleton`.
        out: output folder for `trace.csv`, `frame.png`, `crop.png` and `heatmap.png`.
        overwrite: replace existing files in `out`.
        wanted: tracking and smoothing, as for `predict`.
        camera: as for `predict`.
        machine: as for `predict`.

    Raises:
        VitruvianError: unknown keypoint, frame or person, or as `run`.
    """
    for name, value, least in (("frame", frame, 0), ("person", person, 1)):
        if value is not None and value < least:
            raise VitruvianError(f"{name} is {value}, want a whole number from {least}")
    given = camera.given()
    (one, *others) = open_source(source)
    if others:
        raise VitruvianError(f"trace takes one source, not {len(others) + 1}")
    if out is not None:
        need_folder(Path(out), "a trace")
        refuse_existing_trace(Path(out), overwrite)
    _need_frame(one, frame)
    opened = open_model(asked_model(model, words, machine), [one])
    check_wanted(wanted, opened, [one])
    k = skeleton_of(opened)[keypoint]
    said: list[tuple[str, Poses]] = []
    looks: list[DecodeCall] = []

    def on_step(name: str, at: Frame, poses: Poses) -> None:
        if at.index == frame:
            said.append((name, poses))

    stream = Stream(opened, wanted, moving=one.moving, camera=given, on_step=on_step)
    last, there = -1, None
    with decode_calls(opened, frame, looks):
        for at, _ in stream.run(one, _refuse):
            last = at.index
            if at.index == frame:
                there = at
                break
    if there is None:
        raise _no_frame(one, frame, last)
    rows = _rows(said, person, there, keypoint)
    number = int(said[-1][1].person[rows[-1]])
    stages, more = stages_inside(opened, there, looks, said[0][1], rows[0], k)
    before: np.ndarray | None = None
    for (name, poses), row in zip(said, rows, strict=True):
        if k >= len(poses.skeleton):  # hands and faces come after the body
            continue
        xy, score = poses.xy[row, k], float(poses.score[row, k])
        moved = "" if before is None else f"moved by {np.linalg.norm(xy - before):.2f} pixels"
        about = amount(len(poses), "person", "people") if before is None else moved
        stages.append(TraceRow(name, about, frame=xy, score=score))
        before = xy
    result = Trace(there, keypoint, number if number > 0 else rows[-1] + 1, stages, **more)
    if out is not None:
        result.paths.extend(write_trace(result, Path(out)))
    return result


def _need_frame(source: Source, frame: int) -> None:
    """Raise `VitruvianError` if a source has no frame of this index, before a model runs.

    A frame that is not there by the header of a video is looked for: headers may be wrong.
    """
    total = count_of(source)
    if total is None or frame < total:
        return
    last = -1
    for each in readable(source):
        last = last if isinstance(each, VitruvianError) else each.index
        if last >= frame:
            return
    raise _no_frame(source, frame, last)


def _no_frame(source: Source, frame: int, last: int) -> VitruvianError:
    return VitruvianError(
        f"'{source.name}' has no frame {frame}; the last is {last}, counted from 0"
    )


def _refuse(error: VitruvianError) -> None:
    raise error


def _rows(
    said: list[tuple[str, Poses]], person: int | None, frame: Frame, keypoint: str
) -> list[int]:
    """The row of the person after each step.

    Raises:
        VitruvianError: no person was detected, or not this one.
    """
    last = said[-1][1]
    where = f"frame {frame.index} of '{frame.source}'"
    if not len(last):
        raise VitruvianError(
            f"nobody was found in {where}; try a lower confidence threshold (conf), or another "
            "model"
        )
    numbered = bool((last.person > 0).any())
    if person is None:
        row = int(np.argmax(last.box_score))
    else:
        known = last.person.tolist() if numbered else list(range(1, len(last) + 1))
        if person not in known:
            some = ", ".join(map(str, known[:20]))
            raise VitruvianError(f"there is no person {person} in {where}; known: {some}")
        row = known.index(person)
    rows = [row]
    for (_, poses), (_, after) in zip(reversed(said[:-1]), reversed(said[1:]), strict=True):
        both = min(len(poses.skeleton), len(after.skeleton))  # one may have the body only
        off = np.nansum(np.abs(poses.xy[:, :both] - after.xy[rows[-1], :both]), axis=(1, 2))
        number = int(after.person[rows[-1]])
        same = np.flatnonzero(poses.person == number)
        # A step that assigns ids moves nobody; the others keep the ids.
        moved = off.min() > 0 and number > 0 and len(same)
        rows.append(int(same[0] if moved else np.argmin(off)))
    return rows[::-1]
