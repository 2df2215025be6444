"""Help of every command: titled parts in plain words, 80 columns, no escapes where it is piped."""

import re

import pytest
import typer
from typer.testing import CliRunner

from vitruvian.cli.app import app
from vitruvian.cli.words import TITLES
from vitruvian.verbs.analyze_report import OUTPUTS, TABLES
from vitruvian.verbs.outputs import SAVED

ROOT = typer.main.get_command(app)
COMMANDS = [
    *((name,) for name in ROOT.commands if name != "models"),  # type: ignore[attr-defined]
    *(("models", name) for name in ROOT.commands["models"].commands),  # type: ignore[attr-defined]
]


def help_of(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=" ".join)
def test_every_command_has_help(words):
    told = help_of(*words)
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) <= 80
    assert "<list[" not in told
    assert "manieth" not in told


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_in_titled_parts_in_one_order(words):
    titles = re.findall(r"^(\S.*):$", help_of(*words), re.MULTILINE)
    assert titles
    assert set(titles) <= {*TITLES, "Options"}
    assert titles == sorted(titles, key=[*TITLES, "Options"].index)


def test_help_of_predict_fits_two_screens():
    assert len(help_of("predict").splitlines()) <= 80


def test_the_list_of_commands_is_not_cut_off():
    assert "..." not in help_of().replace("[ARGS]...", "")


def test_defaults_are_told():
    told = " ".join(help_of("predict").split())
    assert "Process every n-th frame. [default: 1]" in told
    assert "[default: 100; BlazePose on videos 1, YOLOv8 300]" in told
    assert "[default: video,json; plus plot for images in 3D]" in told
    assert "[default: BlazePose 5" in " ".join(help_of("track").split())


@pytest.mark.parametrize(
    ("name", "formats"), [("predict", [*SAVED]), ("analyze", [TABLES, *OUTPUTS])]
)
def test_help_of_save_lists_every_format_in_order(name, formats):
    words = ROOT.commands[name].params  # type: ignore[attr-defined]
    told = next(each.help for each in words if each.name == "save")
    told = re.sub(r" \([^)]*\)", "", told.partition(": ")[2].partition(".  [")[0])
    assert told.split(", ") == formats
