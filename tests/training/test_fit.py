"""The training loop on a tiny network: what it learns, resumes, distributes and refuses."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import attended
from vitruvian.errors import VitruvianError, pip_install
from vitruvian.frame import Frame

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from training.toy_task import Toy, ToyRecipe  # noqa: E402
from vitruvian.training.fit import fit  # noqa: E402
from vitruvian.training.recipe import Recipe  # noqa: E402

SCRIPT = Path(__file__).with_name("toy_task.py")


def run(out: Path, *settings: str, resume: bool = False):
    return fit(Toy(ToyRecipe().with_settings(settings)), out, resume=resume, say=lambda _: None)


def weights(out: Path, name: str = "last.pt"):
    return torch.load(out / name, weights_only=True)


def assert_same(a, b, atol: float = 0) -> None:
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=0, atol=atol)


def test_a_run_learns_and_writes_its_files(tmp_path):
    said = list[str]()
    task = Toy(ToyRecipe(epochs=6))
    progress = fit(task, tmp_path, say=said.append)
    assert progress.step == 6 * 8
    lines = read_log(tmp_path)
    assert [line["epoch"] for line in lines] == [*range(1, 7)]
    assert lines[-1]["losses"]["loss"] < lines[0]["losses"]["loss"] / 2
    assert lines[-1]["losses"]["loss"] == pytest.approx(
        lines[-1]["losses"]["square"] + lines[-1]["losses"]["bright"]
    )
    assert ToyRecipe.read(tmp_path / "recipe.toml") == task.recipe
    with (tmp_path / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[5]["error low"]) == pytest.approx(float(rows[5]["error"]) - 0.01)
    assert Frame.read(tmp_path / "curves.png").size[0] > 300
    assert Frame.read(tmp_path / "data.png").size == (6 * 8, 4 * 8)  # 24 samples
    assert len([*(tmp_path / "pictures").iterdir()]) == 6
    assert "look at: one is odd" in (tmp_path / "data.txt").read_text()
    assert task.exported == 1
    assert said[:2] == ["64 pictures", "one is odd"]


def test_the_best_weights_are_those_of_the_best_figure(tmp_path):
    progress = run(tmp_path)
    errors = [line["figures"]["error"][0] for line in progress.lines]
    assert progress.best == min(errors)
    assert progress.best_epoch == errors.index(min(errors)) + 1


def test_a_group_is_frozen_until_its_epoch(tmp_path):
    before = Toy(ToyRecipe())
    torch.manual_seed(0)
    first = before.network().state_dict()
    run(tmp_path / "one", "epochs=1", "ema=0")
    after = weights(tmp_path / "one")
    assert torch.equal(after["0.weight"], first["0.weight"])
    assert not torch.equal(after["4.weight"], first["4.weight"])
    run(tmp_path / "two", "epochs=2", "ema=0")
    assert not torch.equal(weights(tmp_path / "two")["0.weight"], first["0.weight"])


@pytest.mark.parametrize("settings", [(), ("dropout=0.3", "accumulate=2", "workers=1", "ema=0")])
def test_a_killed_run_ends_with_the_same_weights(tmp_path, settings):
    """Killed with -9 in the middle of an epoch, twice; at most one interval is lost."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    asked = [*settings, "checkpoint_every=0.0", "threads=1"]
    run(whole, *asked)
    environment = {**os.environ, "WAIT": "0.15", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), str(killed), *asked]
    steps = 8 // (2 if "accumulate=2" in settings else 1)
    for at in (steps // 2 + 1, 2 * steps + 1):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        while _step(killed) < at:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    step = _step(killed)
    assert 2 * steps < step < 4 * steps
    progress = run(killed, *asked, resume=True)
    assert progress.step == 4 * steps
    for name in ("last.pt", "best.pt"):
        assert_same(weights(whole, name), weights(killed, name))
    logs = [read_log(out) for out in (whole, killed)]
    for a, b in zip(*logs, strict=True):
        assert a["losses"] == b["losses"]
        assert a["figures"] == b["figures"]


def read_log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def _step(out: Path) -> int:
    """The step of the checkpoint."""
    if not (out / "state.pt").exists():
        return 0
    return json.loads(weights(out, "state.pt")["progress"])["step"]


def test_ctrl_c_writes_a_checkpoint(tmp_path):
    """As the command line has it: a signal is raised between two steps."""
    code = "import sys; from vitruvian import stopping; stopping.handle_signals()\n"
    code += f"sys.argv = [{str(SCRIPT)!r}, {str(tmp_path / 'run')!r}]\n"
    code += "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    environment = {**os.environ, "WAIT": "0.1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with attended():
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    while not (tmp_path / "run/data.txt").exists():
        time.sleep(0.02)
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert "continue: --resume" in said
    assert 0 < _step(tmp_path / "run") < 32


def test_two_processes_equal_one_with_the_double_batch(tmp_path):
    """Two Gloo processes of torchrun; 1e-5: sums are rounded in another order."""
    asked = ["epochs=2", "clip=0.5"]
    run(tmp_path / "one", "batch=8", "accumulate=2", *asked)
    run(tmp_path / "double", "batch=16", *asked)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node=2", str(SCRIPT), str(tmp_path / "two"), *asked]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=240)
    assert_same(weights(tmp_path / "double"), weights(tmp_path / "two"), 1e-5)
    logs = [read_log(tmp_path / name)[-1] for name in ("double", "two")]
    assert logs[0]["losses"]["loss"] == pytest.approx(logs[1]["losses"]["loss"], abs=1e-5)
    assert logs[0]["figures"]["error"] == pytest.approx(logs[1]["figures"]["error"], abs=1e-5)


def test_early_stop(tmp_path):
    progress = run(tmp_path, "epochs=30", "patience=2", "rate=1.0", "optimiser='sgd'")
    assert len(progress.lines) == progress.best_epoch + 2 < 30


def test_what_is_refused(tmp_path):
    run(tmp_path / "run", "epochs=1")
    with pytest.raises(VitruvianError, match="has a run already; continue it with --resume"):
        run(tmp_path / "run", "epochs=1")
    with pytest.raises(VitruvianError, match=r"is a run with rate = 0.01, not 0.02"):
        run(tmp_path / "run", "epochs=1", "rate=0.02", resume=True)
    assert run(tmp_path / "run", "epochs=1", "checkpoint_every=5", resume=True).step == 8
    with pytest.raises(VitruvianError, match=r"64 samples to learn from.*--set batch=N"):
        run(tmp_path / "large", "batch=65")
    with pytest.raises(VitruvianError, match=r"not a number at step 8 .*--set rate=0.0033"):
        run(tmp_path / "nan", "break_at=0")
    assert _step(tmp_path / "nan") == 8
    (tmp_path / "run/state.pt").write_bytes(b"PK half")
    with pytest.raises(VitruvianError, match=r"cannot read .*state.pt.*another --out"):
        run(tmp_path / "run", "epochs=1", resume=True)


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    run(tmp_path, "epochs=1")
    before = (tmp_path / "state.pt").read_bytes()
    monkeypatch.setattr(Path, "write_bytes", _full)
    with pytest.raises(VitruvianError, match=r"cannot write .*No space left"):
        run(tmp_path, "epochs=1", resume=True)
    monkeypatch.undo()
    assert (tmp_path / "state.pt").read_bytes() == before


def _full(path: Path, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_out_of_memory_says_a_smaller_batch(tmp_path):
    class Large(Toy):
        def loss(self, network, batch):
            return {"all": network(torch.empty(10**8, 3, 64, 64))}

    with pytest.raises(VitruvianError, match=r"out of memory with batch 8.*batch=4.*accumulate=2"):
        fit(Large(ToyRecipe()), tmp_path, say=lambda _: None)


def test_a_recipe_says_what_is_wrong():
    recipe = Recipe()
    assert recipe.with_settings(["rate=1", "precision=bf16"]).rate == 1.0
    for setting, why in (
        ("rat=1", "no entry of a recipe named 'rat'; did you mean 'rate'"),
        ("epochs=1.5", "epochs is 1.5, want int"),
        ("epochs=0", "epochs is 0, want a number from 1"),
        ("device=tpu", "device is 'tpu', want cpu or cuda or mps"),
        ("rate", "'rate' is not an option; write name=value"),
        ("rate=nan", "rate is 'nan', want float"),
    ):
        with pytest.raises(VitruvianError, match=why):
            recipe.with_settings([setting])
    assert not math.isnan(recipe.rate)


def test_tensorboard_shows_the_log(tmp_path):
    """Also of a run that was resumed: every epoch once, with the values of log.jsonl."""
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path, "tensorboard=true", "epochs=2")
    (tmp_path / "state.pt").unlink()
    run(tmp_path, "tensorboard=true")  # again from the start: it hides what was there
    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    lines = read_log(tmp_path)
    assert len(lines) == 4
    for tag, part, name in (
        ("loss/loss", "losses", "loss"),
        ("loss/square", "losses", "square"),
        ("figures/error", "figures", "error"),
    ):
        events = shown.Scalars(tag)
        assert [event.step for event in events] == [line["step"] for line in lines]
        want = [line[part][name] for line in lines]
        want = [value[0] if isinstance(value, list) else value for value in want]
        assert [event.value for event in events] == pytest.approx(want, rel=1e-6)


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(VitruvianError, match=re.escape(pip_install("tensorboard"))):
        run(tmp_path, "tensorboard=true")
    assert not (tmp_path / "state.pt").exists()
