"""Every command is a verb of the library, with the same words and the same defaults."""

# pyright: reportUnnecessaryTypeIgnoreComment=true
# So pyright fails where the stub of the package lets a wrong keyword pass, or refuses a right one.

import inspect
from pathlib import Path

import pytest

import vitruvian as vit
from conftest import refused
from vitruvian.cli.app import COMMANDS
from vitruvian.sources.video import Span
from vitruvian.verbs.groups import Outcome

OF_PYTHON = {"say", "on_error"}  # who is told, which on the command line is the terminal
OF_THE_SHELL = {"offline", "quiet"}  # VITRUVIAN_OFFLINE in Python, and no `say`
# In Python `val` keeps nothing unless it is told where; the command shows its pages.
ELSEWHERE = {"val": {"out"}, "live": {"model", "lines", "on_event"}}
IN_PYTHON = {"live": "serve"}  # `vit.live` takes frames that are pushed


def words(function) -> dict[str, object]:
    return {name: each.default for name, each in inspect.signature(function).parameters.items()}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_a_command_and_its_verb_have_the_same_words_and_defaults(command):
    other = ELSEWHERE.get(command.__name__, set())
    name = str(command.__name__)
    verb = words(getattr(vit, IN_PYTHON.get(name, name)))
    shell = words(command)
    assert {n: v for n, v in verb.items() if n not in OF_PYTHON | other} == {
        n: v for n, v in shell.items() if n not in OF_THE_SHELL | other
    }


def test_a_word_that_does_not_exist_is_told_with_the_nearest():
    with refused("word of predict", "'strid'", "did you mean 'stride'"):
        vit.predict("sample", strid=2)  # pyright: ignore[reportCallIssue]
    with refused("span already has stride; give one of the two"):
        vit.predict("sample", stride=2, span=Span(stride=3))


@pytest.mark.usefixtures("elsewhere")
def test_a_record_is_tracked_and_analyzed_from_python(people, frame):
    with vit.open_sink("poses.jsonl") as sink:
        sink.write(frame(), people())
    done = vit.track("poses.jsonl", out="tracks", save="csv")
    assert done == Outcome((Path("tracks/poses.csv"),))
    with refused("leave --num-poses out"):
        vit.track("poses.jsonl", num_poses=3)
    with refused("--model is for a model"):
        vit.analyze("poses.jsonl", "yolov8n-pose")


@pytest.mark.weights
@pytest.mark.usefixtures("elsewhere", "blazepose")
def test_predict_from_python_says_what_it_wrote(capsys):
    done = vit.predict("sample", out="out", save=["json", "csv"], num_poses=2)
    assert done.files == (Path("out/grace_hopper.jsonl"), Path("out/grace_hopper.csv"))
    assert done.faults == ()
    assert capsys.readouterr().out == ""
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff")
    with refused("broken.jpg"):
        vit.predict(["sample", "broken.jpg"], out="two", save="json")
    assert Path("two/poses.jsonl").is_file()


def test_the_words_of_a_verb_are_in_its_signature_and_its_help():
    parameters = inspect.signature(vit.predict).parameters
    assert parameters["stride"].default == 1
    assert parameters["stride"].kind is inspect.Parameter.KEYWORD_ONLY
    assert "words" not in parameters
    assert "Detect people" in (vit.predict.__doc__ or "")


def test_each_command_has_few_parameters():
    from vitruvian.verbs import api

    for verb in (api.predict, api.track, api.analyze):
        shell = set(inspect.signature(inspect.unwrap(verb)).parameters) - OF_PYTHON
        assert len(shell) <= 12
