r"""Damage files of every kind at random and read them: run by hand, not by pytest or CI.

    python tests/fuzz/fuzz.py --number 100000
    python tests/fuzz/fuzz.py --number 5000 --only trc,bvh --keep /tmp/kept

Each reader gets valid files that are made here (a seed), of which a few bytes, words or values are
changed. Whatever comes out, a reader may answer in two ways: with poses (a camera, an image), or a
VitruvianError of one line. Everything else is counted and makes the exit code 1:

- traceback: another exception, or a message of more than one line or of more than 300 characters;
- crash: the process was ended by a signal, as native libraries do;
- hang: no answer within `--seconds`;
- memory: more than `--megabytes` above what the process had before.

Files are read in processes of their own (`fork`), so Linux or macOS is needed. The same `--seed`
gives the same files. What went wrong is kept in the folder `--keep`, outside of the repository.
"""

from __future__ import annotations

import argparse
import copy
import io
import itertools
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import seeds
from media import png_sums
from vitruvian.errors import LONGEST, VitruvianError

NAMES = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")  # of the parts of MP4, PNG, RIFF, ISO's others
SEED_SECONDS = 300  # that a reader's valid files may take to make
NASTY = [
    *("nan", "inf", "-inf", "1e999", "-1", "0", "-0", "1e308", "1e-308", "99999999999999999999"),
    *("9223372036854775807", "-9223372036854775809", "2147483648", "65536", "0x10", "1_0", "1,5"),
    *("", " ", "\t", "\n", "\r", "\0", '"', "'", "[", "]", "{", "}", "<", "&", "%s", "../..", "/"),
    *("null", "true", "NaN", "Infinity", "x" * 300, "[" * 200, "\ufeff", "\ud800", "é", "person"),
]
VALUES = [
    *(None, True, False, -1, 0, 1.5, 10**30, -(2**63), 1e308, "", "x", "nan", [], [[]], {}, [1]),
    *(
        float("nan"),
        float("inf"),
        {"a": 1},
        "x" * 300,
        [None] * 3,
        [1e308] * 4,
        ["a"] * 17,
        "\0",
        "../../x",
        2**31,
        10**9,
    ),
]


@dataclass
class Outcome:
    """What a reader did with one file."""

    kind: str  # read, refused, traceback, crash, hang, memory
    told: str = ""


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to six changes to a file: of its values if it is JSON, of words, or of bytes."""
    way = rng.random()
    if way < 0.35:
        changed = _json(data, rng)
        if changed is not None:
            return changed
    if way < 0.65 and b"\0" not in data[:1000]:
        return _words(data, rng)
    return _bytes(data, rng)


def _few(rng: np.random.Generator) -> int:
    """One, as a rule: what is damaged in many places is refused at the first of them."""
    return 1 if rng.random() < 0.6 else int(rng.integers(2, 7))


def _json(data: bytes, rng: np.random.Generator) -> bytes | None:
    """JSON, or lines of it, with some values replaced, left out or said twice."""
    try:
        lines = [json.loads(line) for line in data.splitlines()]
        one = False
    except ValueError:
        try:
            lines, one = [json.loads(data)], True
        except ValueError:
            return None
    for _ in range(_few(rng)):
        _change(lines, rng)
    if one:
        return json.dumps(lines[0] if lines else None).encode()
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _change(value: object, rng: np.random.Generator) -> None:
    """Replace something somewhere inside of a list or an object."""
    inner: Any = None
    keys, key = list[Any](), None
    while isinstance(value, (list, dict)) and value:
        inner = value
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[rng.integers(len(keys))]
        value = value[key]
        if rng.random() < 0.2:
            break
    if inner is None:
        return
    act = rng.random()
    if act < 0.15:
        del inner[key]
    elif act < 0.25 and isinstance(inner, list):
        inner.extend(copy.deepcopy(inner[:50]))
    elif act < 0.35:
        inner[key] = copy.deepcopy(inner[keys[rng.integers(len(keys))]])
    else:
        inner[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])


def _words(data: bytes, rng: np.random.Generator) -> bytes:
    """Text with some words or lines replaced, left out, doubled or exchanged."""
    by = b"\n" if rng.random() < 0.3 else [b" ", b"\t", b",", b" "][rng.integers(4)]
    parts = data.split(by)
    for _ in range(_few(rng)):
        if not parts:
            break
        at = int(rng.integers(len(parts)))
        act = rng.random()
        if act < 0.5:
            word = NASTY[rng.integers(len(NASTY))]
            parts[at] = word.encode("utf-8", "surrogatepass")
        elif act < 0.65:
            del parts[at]
        elif act < 0.8:
            parts.insert(at, parts[at])
        elif act < 0.9:
            parts[at] = parts[int(rng.integers(len(parts)))]
        else:
            parts = parts[: at + 1]
    return by.join(parts)


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, left out, doubled, or cut off."""
    changed = bytearray(data)
    for _ in range(_few(rng)):
        if not changed:
            break
        # Headers are at the beginning, tables of places at the end.
        far = [len(changed), min(len(changed), 64), min(len(changed), 1024)][rng.integers(3)]
        at = int(rng.integers(far))
        if rng.random() < 0.3 and (names := [m.start() for m in NAMES.finditer(changed)]):
            at = names[rng.integers(len(names))] + int(rng.integers(-4, 20))
            at = min(max(at, 0), len(changed) - 1)
        act = rng.random()
        if act < 0.35:
            changed[at] = int(rng.integers(256))
        elif act < 0.5:
            changed[at] ^= 1 << int(rng.integers(8))
        elif act < 0.65:
            width = int([2, 4, 8][rng.integers(3)])
            value = [0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1][rng.integers(5)] % (1 << 8 * width)
            changed[at : at + width] = value.to_bytes(width, ["little", "big"][rng.integers(2)])
        elif act < 0.75:
            del changed[at : at + int(rng.integers(1, 40))]
        elif act < 0.85:
            changed[at:at] = changed[at : at + int(rng.integers(1, 40))]
        elif act < 0.9:
            del changed[at:]
        else:
            changed[at:at] = rng.bytes(int(rng.integers(1, 20)))
    if data.startswith(b"\x89PNG") and rng.random() < 0.7:
        return png_sums(bytes(changed))
    return bytes(changed)


def once(reader: seeds.Reader, entry: Path) -> Outcome:
    """Read what lies there."""
    try:
        reader.read(entry)
    except VitruvianError as error:
        text = str(error)
        good = "\n" not in text and len(text) <= LONGEST and text.isprintable()
        return Outcome("refused", text) if good else Outcome("traceback", f"message {text[:200]!r}")
    except MemoryError:
        return Outcome("memory")
    except BaseException as error:  # whatever is raised is what is looked for
        place = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(f.filename).name}:{f.lineno}" for f in place if "/vitruvian/" in f.filename]
        where = ours[-1] if ours else "?"
        return Outcome("traceback", f"{type(error).__name__} at {where}: {str(error)[:100]}")
    return Outcome("read")


def work(
    reader: seeds.Reader,
    numbers: Iterable[int],
    given: argparse.Namespace,
    folder: Path,
    out: io.BufferedWriter,
) -> None:
    """Read damaged files, and say of each what came out: a process of its own does this."""
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    entry, files = reader.make(folder)
    whole = {path: path.read_bytes() for path in files}
    for path in files if entry is None else [entry]:
        if (outcome := once(reader, path)).kind != "read":
            out.write(f"the seed of {reader.name} is not read: {path}: {outcome}\n".encode())
            return
    first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        rng = np.random.default_rng((given.seed, sum(reader.name.encode()), number))
        path = files[int(rng.integers(len(files)))]
        path.write_bytes(damaged(whole[path], rng))
        out.write(f"{number} {path}\n".encode())
        out.flush()
        outcome = once(reader, entry or path)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first
        if grown // 1024 > given.megabytes:
            outcome.kind = "memory"
        said = {"kind": outcome.kind, "told": outcome.told, "megabytes": grown // 1024}
        keep(reader, given, outcome.kind, number, path)
        out.write(json.dumps(said).encode() + b"\n")
        out.flush()
        path.write_bytes(whole[path])


def keep(
    reader: seeds.Reader, given: argparse.Namespace, kind: str, number: int, file: Path
) -> None:
    """Put a file aside that something went wrong with."""
    if given.keep is not None and kind not in ("read", "refused"):
        given.keep.mkdir(parents=True, exist_ok=True)
        name = f"{reader.name}-{kind}-{number}{file.suffix}"
        (given.keep / name).write_bytes(file.read_bytes())


class Run:
    """All files of one reader, over as many processes as it takes."""

    def __init__(self, reader: seeds.Reader, number: int, given: argparse.Namespace) -> None:
        self.reader, self.left, self.given = reader, iter(range(number)), given
        self.counts, self.examples = Counter[str](), dict[str, str]()
        self.most = 0  # megabytes

    def count(self, number: int, kind: str, told: str) -> None:
        """One more."""
        self.counts[kind] += 1
        if kind not in ("read", "refused"):
            self.examples.setdefault(f"{kind}: {told}", f"number {number}")

    def go(self) -> None:
        """Read everything."""
        while numbers := list(itertools.islice(self.left, 500)):
            while numbers:
                numbers = self.process(numbers)

    def process(self, numbers: list[int]) -> list[int]:
        """Read some in a new process; what is left when it ends."""
        with tempfile.TemporaryDirectory() as folder:
            back, out = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(back)
                limit = self.given.megabytes * 4 << 20  # a claim of terabytes fails at once
                resource.setrlimit(resource.RLIMIT_AS, (max(limit, 8 << 30),) * 2)
                with os.fdopen(out, "wb") as pipe:
                    try:
                        work(self.reader, numbers, self.given, Path(folder), pipe)
                    except BaseException:  # of the seed's maker
                        lines = traceback.format_exc().splitlines()
                        pipe.write(f"the seed of {self.reader.name}: {lines[-1]}\n".encode())
                    pipe.flush()
                    os._exit(0)
            os.close(out)
            with os.fdopen(back, "rb", buffering=0) as pipe:
                rest = self.listen(pipe, numbers, child)
            os.waitpid(child, 0)
            return rest

    def listen(self, pipe: io.FileIO, numbers: list[int], child: int) -> list[int]:
        """Count what a process says, until it ends, hangs or takes too much."""
        lines, begun = _Lines(pipe), None
        for line in lines.until(self.given.seconds):
            if line.startswith(b"the seed"):
                sys.exit(line.decode())
            if begun is None:
                number, _, name = line.decode().partition(" ")
                begun = int(number), Path(name.strip())
                continue
            said = json.loads(line)
            kind = said["kind"]
            self.most = max(self.most, said["megabytes"])
            self.count(begun[0], kind, said["told"])
            after, begun = [n for n in numbers if n > begun[0]], None
            if kind == "memory":  # what it has taken it keeps: begin again
                os.kill(child, signal.SIGKILL)
                return after
        if begun is None and not lines.hung:
            return []
        if begun is None:
            sys.exit(f"the seed of {self.reader.name} takes more than {SEED_SECONDS} s to make")
        kind = "hang" if lines.hung else "crash"
        self.count(begun[0], kind, "")
        keep(self.reader, self.given, kind, *begun)
        os.kill(child, signal.SIGKILL)
        return [n for n in numbers if n > begun[0]]


class _Lines:
    """Lines from a pipe, with a limit on the time that each takes."""

    def __init__(self, pipe: io.FileIO) -> None:
        self.pipe, self.hung = pipe, False

    def until(self, seconds: float) -> Iterable[bytes]:
        """Each line; ends where the pipe does, or where nothing comes for so long."""
        data, limit = b"", SEED_SECONDS
        while True:
            ready, _, _ = select.select([self.pipe], [], [], limit)
            if not ready:
                self.hung = True
                return
            more = self.pipe.read(1 << 16)
            if not more:
                return
            *whole, data = (data + more).split(b"\n")
            yield from whole
            limit = seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--number", type=int, default=100_000, help="files, of all readers together"
    )
    parser.add_argument("--only", default="", help="readers, by name, with commas between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20, help="that a file may take")
    parser.add_argument("--megabytes", type=int, default=1000, help="that a file may take")
    parser.add_argument("--keep", type=Path, help="a folder for what went wrong")
    given = parser.parse_args()
    readers = [r for r in seeds.READERS if not given.only or r.name in given.only.split(",")]
    whole, bad = sum(reader.share for reader in readers), 0
    kinds = ("read", "refused", "traceback", "crash", "hang", "memory")
    print(f"{'reader':18}" + "".join(f"{kind:>11}" for kind in kinds) + "  most MB  seconds")
    total = Counter[str]()
    for reader in readers:
        run, began = (
            Run(reader, round(given.number * reader.share / whole), given),
            time.monotonic(),
        )
        run.go()
        total += run.counts
        row = "".join(f"{run.counts[kind]:11}" for kind in kinds)
        print(f"{reader.name:18}{row}{run.most:9}{time.monotonic() - began:9.0f}", flush=True)
        for what, where in run.examples.items():
            print(f"    {where}: {what}", flush=True)
        bad += sum(run.counts[kind] for kind in kinds[2:])
    print(f"{'all':18}" + "".join(f"{total[kind]:11}" for kind in kinds))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
