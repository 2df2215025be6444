"""A long video in pieces on two workers, against one worker and no pieces: time and difference.

    python benchmarks/batch_pieces.py ../shared/data/videos/intel_one_by_one_person.mp4

The video is repeated without being encoded again. CPU seconds tell what pieces cost on a machine
that does other work, too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from vitruvian.formats.records import Record
from vitruvian.frame import Frame
from vitruvian.sources.video import Span, VideoFile
from vitruvian.verbs.batch.pieces import cut_pieces


def repeated(source: str, path: Path, times: int) -> Path:
    """The packets of a video several times in a row."""
    with av.open(str(path), "w") as out:
        with av.open(source) as file:
            stream = out.add_stream_from_template(file.streams.video[0])
        base = 0
        for _ in range(times):
            end = 0
            with av.open(source) as file:
                for packet in file.demux(video=0):
                    if packet.pts is None or packet.dts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + base, packet.dts + base
                    packet.stream = stream
                    out.mux(packet)
            base += end
    return path


def run(*words: object) -> tuple[float, float]:
    """Wall and CPU seconds of a batch, with all its processes."""
    began, before = time.perf_counter(), os.times()
    line = [sys.executable, "-m", "vitruvian.cli", "batch", "--quiet", *map(str, words)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return time.perf_counter() - began, cpu


def compare(one: Path, other: Path, firsts: list[float]) -> None:
    """Print how two records differ: ids, and keypoints by the time since the seam."""
    pairs = list(zip(Record(one), Record(other), strict=True))
    other_ids, off = 0, list[tuple[float, np.ndarray]]()
    for (frame, a), (_, b) in pairs:
        if a.person.tolist() != b.person.tolist():
            other_ids += 1
            continue
        seam = max((first for first in firsts if first <= frame.seconds), default=0.0)
        for i in range(len(a)):
            height = a.box[i, 3] - a.box[i, 1]
            away = np.linalg.norm(a.xy[i] - b.xy[i], axis=1)[a.score[i] > 0.5]
            off.append((frame.seconds - seam, 100 * away / height))
    print(f"  {len(pairs)} frames, other people or ids in {other_ids}")
    every = np.concatenate([each for _, each in off])
    print(f"  the same to the last digit: {np.mean(every == 0):.1%} of visible keypoints")
    if every.any():
        some = every[every > 0]
        parts = "median {:.2f}, 95 % {:.2f}, max {:.2f}"
        at = np.percentile(some, [50, 95, 100])
        print(f"  the others, % of the height of the person: {parts.format(*at)}")


def seeking(video: VideoFile, at: float) -> None:
    """Print what a start in the middle costs."""
    began = time.process_time()
    keys = video.key_frames()
    looked = time.process_time() - began
    began = time.process_time()
    frame = next(iter(VideoFile(video.address, Span(start=at))))
    assert isinstance(frame, Frame)
    found = time.process_time() - began
    assert keys is not None
    print(f"{keys.frames} frames, {len(keys.times)} key frames, found in {looked:.2f} s of CPU")
    print(f"a start at {frame.seconds:g} s: {found:.2f} s of CPU to the first frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--model", default="blazepose-lite")
    parser.add_argument("--pieces", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = repeated(given.video, Path(folder) / "long.mp4", given.times)
        video = VideoFile(str(path), Span())
        keys = video.key_frames()
        assert keys is not None
        cut = keys.last / given.pieces
        seeking(video, keys.last / 2)
        pieces = cut_pieces(keys, Span(), cut)
        how = (path, "--model", given.model, "--save", "json,parquet", "--out")
        one = run(*how, Path(folder) / "one", "--workers", 1, "--cut", 0)
        two = run(*how, Path(folder) / "two", "--workers", 2, "--cut", cut)
        print(f"{given.model}, {keys.last:.0f} s in {len(pieces)} pieces")
        print(f"  one worker: {one[0]:.1f} s, {one[1]:.1f} s of CPU")
        print(f"  two: {two[0]:.1f} s ({one[0] / two[0]:.2f} times), {two[1]:.1f} s of CPU")
        one_record, two_record = (
            Path(folder) / name / "long.mp4" / "poses.jsonl" for name in ("one", "two")
        )
        compare(one_record, two_record, [piece.first for piece in pieces[1:]])


if __name__ == "__main__":
    main()
