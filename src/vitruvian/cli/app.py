"""The command line: each command parses its options, calls one function and prints the result."""

from __future__ import annotations

import errno
import re
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vitruvian import stopping
from vitruvian.cli import terminal
from vitruvian.cli.analyze import analyze
from vitruvian.cli.batch import batch
from vitruvian.cli.benchmark import benchmark
from vitruvian.cli.calibrate import calibrate
from vitruvian.cli.command import Commands, TitledHelp, complain
from vitruvian.cli.compare import compare
from vitruvian.cli.convert import convert
from vitruvian.cli.distil import distil
from vitruvian.cli.doctor import doctor
from vitruvian.cli.export import export
from vitruvian.cli.live import live
from vitruvian.cli.models import models_app
from vitruvian.cli.predict import predict
from vitruvian.cli.synth import synth
from vitruvian.cli.trace import trace
from vitruvian.cli.track import track
from vitruvian.cli.train import train
from vitruvian.cli.triangulate import triangulate
from vitruvian.cli.val import val
from vitruvian.errors import VitruvianError, shown

STOPPED = 130  # Typer's exit code for every KeyboardInterrupt
# Errors of the system (disk full, out of memory, ...) rather than of this program.
NOT_OURS = {
    *(errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE),
    *(errno.ENOMEM, getattr(errno, "EDQUOT", errno.ENOSPC)),
    *(errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP),
}

app = typer.Typer(
    name="vitruvian",
    cls=Commands,
    help="2D and 3D human pose estimation in images, videos and live streams.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich drops "[default: 1]" as if it were a tag
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models_app, name="models")


def main() -> NoReturn:
    """Run the command line; errors that the user can fix are one line and exit code 1.

    After Ctrl-C, SIGTERM or SIGHUP the exit code is 128 plus the signal number.
    """
    outputs = terminal.settle()
    stopping.handle_signals()
    code = _run()
    if code == STOPPED and (number := stopping.received_signal()):
        print("vitruvian: stopped", file=sys.stderr)
        code = 128 + number
    if fault := outputs.fault():
        complain(VitruvianError(f"cannot write to standard output: {fault}"))
        code = code or 1
    sys.exit(code)


def _run() -> int:
    """Run the command and return its exit code."""
    try:
        if any(word == "" or re.fullmatch("--[a-z-]+=", word) for word in sys.argv[1:]):
            raise VitruvianError("an argument is empty; is a shell variable not set?")
        app(prog_name="vitruvian")
    except VitruvianError as error:
        complain(error)
        return 1
    except MemoryError:
        complain(VitruvianError("out of memory; use smaller or fewer images"))
        return 1
    except OSError as error:
        if error.errno not in NOT_OURS and _here():
            raise
        where = f"'{shown(error.filename, 100)}': " if error.filename else ""
        gone = "" if _here() else "; the current folder was deleted, change to another one"
        complain(VitruvianError(f"{where}{error.strerror}{gone}"))
        return 1
    except stopping.Interrupted:
        return STOPPED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


def _here() -> bool:
    """Whether the current folder still exists."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _version(wanted: bool) -> None:
    if wanted:
        from vitruvian import __version__

        print(f"vitruvian {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


COMMANDS = (
    *(
        predict,
        track,
        analyze,
        live,
        batch,
        compare,
        calibrate,
        triangulate,
        val,
        train,
        distil,
        benchmark,
        convert,
        export,
        trace,
        synth,
    ),
    doctor,
)
for command in COMMANDS:
    app.command(cls=TitledHelp)(command)
