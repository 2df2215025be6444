"""benchmarks/batch_kills.py with few points; it says what is checked."""

import importlib.util
import json
from pathlib import Path

from toy_yolo import toy_yolo

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "batch_kills.py"
POINTS = 8


def test_nothing_is_lost_and_nothing_is_left_behind_wherever_it_is_killed(tmp_path):
    spec = importlib.util.spec_from_file_location("batch_kills", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    toy = toy_yolo(tmp_path / "toy.xml")
    done = json.loads(script.kills(tmp_path, POINTS, 4, str(toy), 0, []))
    assert done.get("worker", 0) + done.get("driver", 0) == POINTS
