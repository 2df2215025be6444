"""Cameras of a network that go away, and come back."""

import io
import json
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitruvian as vit
from commands import attended, line, wait_for
from mjpeg import hanging_up
from toy_yolo import toy_yolo
from vitruvian.errors import VitruvianError
from vitruvian.sources import reconnect
from vitruvian.sources.open import open_source
from vitruvian.sources.reconnect import reconnecting
from vitruvian.sources.video import Span


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("VITRUVIAN_OFFLINE", raising=False)
    monkeypatch.setattr(reconnect, "BACK_OFF", (0.05,))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_yolo(tmp_path_factory.mktemp("toy") / "toy.xml")


def frames_of(address: str, span: Span, told: list) -> list[vit.Frame]:
    (source,) = open_source(address, span)
    tell = lambda *words: told.append(words[0])  # noqa: E731
    found = list(reconnecting(source, threading.Event(), tell))
    assert not any(isinstance(each, VitruvianError) for each in found)
    return [each for each in found if isinstance(each, vit.Frame)]


def test_a_camera_that_hangs_up_is_opened_again_and_numbers_and_times_go_on():
    told = list[str]()
    with hanging_up(frames=5, pause=0.02) as (address, connections):
        frames = frames_of(address, Span(max_frames=12), told)
    assert [frame.index for frame in frames] == list(range(12))
    times = [frame.seconds for frame in frames]
    assert times == sorted(set(times))
    assert times[5] - times[4] >= 0.05  # it was away
    assert told == ["lost", "running"] * 2
    assert len(connections) == 4  # and one that asked whether it is live


def test_an_address_that_gives_one_image_is_not_opened_again(serve, capsys):
    image = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 100, np.uint8)).save(image, "JPEG")
    told = list[str]()
    assert len(frames_of(serve({"/still": image.getvalue()}) + "/still", Span(), told)) == 1
    assert told == []
    assert "still is one image, not a stream" in capsys.readouterr().err


def test_stride_and_end_hold_for_all_of_it():
    with hanging_up(frames=4, pause=0.02) as (address, _):
        frames = frames_of(address, Span(stride=2, end=1.0), [])
    assert {frame.index % 2 for frame in frames} == {0}
    assert len(frames) > 4
    assert frames[-1].seconds < 1.0


def test_a_camera_that_stays_away_ends_at_the_end_or_when_stopped():
    told = list[str]()
    with hanging_up(frames=3, pause=0.02) as (address, _):
        (source,) = open_source(address, Span(end=1.0))
        assert source.live
        stop = threading.Event()
        found = iter(reconnecting(source, stop, lambda *words: told.append(words[1])))
        for _ in range(3):
            next(found)
    assert list(found) == []  # nobody answers until second 1
    assert len(told) == 1
    assert next(iter(reconnecting(source, stop))) is not None  # never there: an error, at once
    stop.set()
    assert list(reconnecting(source, stop)) == []


def test_run_goes_on_when_the_camera_is_back(toy: Path, capsys):
    with hanging_up(frames=5, pause=0.02) as (address, _):
        pairs = list(vit.run(address, model=str(toy), max_frames=12, confirm=False))
    assert {int(poses.person[0]) for _, poses in pairs} == {1}
    assert "opening it again until Ctrl-C" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "analyze"])
def test_ctrl_c_ends_a_camera_with_code_0_and_what_was_recorded_is_kept(toy, command, tmp_path):
    out = tmp_path / ("poses.jsonl" if command == "predict" else "out")
    with hanging_up(frames=5, pause=0.05) as (address, connections), attended():
        words = line(command, address, "--model", toy, "--out", out)
        running = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        wait_for(lambda: len(connections) >= 4)
        running.send_signal(signal.SIGINT)
        said, complaints = running.communicate()
    assert running.returncode == 0, complaints
    assert "video: " in said
    assert not list(tmp_path.rglob("*.part"))
    if command == "predict":
        lines = [json.loads(text) for text in out.read_text().splitlines()]
        times = [each["time"] for each in lines if "time" in each]
        assert times[-1] > 1  # of the second connection
        assert times == sorted(set(times))
