"""The summary of a folder of batches, of all its shards."""

import json
from pathlib import Path

import pytest

from conftest import need, refused
from vitruvian.verbs.batch.manifest import DONE, FAILED, Manifest
from vitruvian.verbs.batch.sources import Item
from vitruvian.verbs.batch.summary import Summary, folder_events, summarize, write_summary

EVENTS = [
    {"rule": "seated", "state": "yes", "start": 0.5, "end": 2.5},
    {"rule": "seated", "state": "yes", "start": 130.0, "end": 131.0},
    {"rule": "lying", "state": "yes", "start": 3.0, "end": 3.5},
    # Of images:
    {"rule": "arms_raised", "state": "yes", "start": 0.0, "end": 0.0},
    {"rule": "arms_raised", "state": "no", "start": 0.0, "end": 0.0},
    {"rule": "lying", "state": "unknown", "start": 0.0, "end": 0.0},
]


def shard(out: Path, name: str, **sources: dict) -> None:
    (out / ".vitruvian").mkdir(parents=True, exist_ok=True)
    manifest = Manifest(out / f".vitruvian/{name}.sqlite", "settings", "1")
    manifest.add([Item(each, (f"/in/{each}",)) for each in sources], lambda name: False)
    for row in list(manifest.todo()):
        manifest.start(row, "worker")
        manifest.finish(row, **sources[row.name])
    manifest.close()


def summary_of(out: Path) -> Summary:
    return summarize(out / ".vitruvian", folder_events(out))


@pytest.fixture
def out(tmp_path) -> Path:
    need("matplotlib")
    shard(
        tmp_path,
        "batch-1-of-2",
        a={"state": DONE, "frames": 100, "people": 2, "seconds": 20.0, "events": 4},
        b={"state": FAILED, "error": "cannot read '<b>': it is damaged"},
    )
    shard(
        tmp_path,
        "batch-2-of-2",
        c={"state": DONE, "frames": 50, "seconds": 5.0, "error": "truncated"},
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "a/events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in EVENTS))
    return tmp_path


def test_a_summary_counts_all_shards(out):
    summary = summary_of(out)
    assert (summary.sources, summary.states) == (3, {"done": 2, "failed": 1})
    assert (summary.frames, summary.people, summary.seconds) == (150, 2, 25.0)
    assert summary.frames_per_second == 6.0
    assert summary.events == {"seated": 2, "lying": 1, "arms_raised": 1}
    assert set(summary.over_time) == {"seated", "lying"}
    assert summary.event_seconds["seated"] == 3.0
    assert summary.bin_seconds == 3.0
    assert [summary.over_time["seated"][k] for k in (0, 1, 43)] == [1, 0, 1]
    assert summary.over_time["lying"][1] == 1
    assert [row["name"] for row in summary.slowest] == ["a", "c"]
    assert [row["path"] for row in summary.failures] == ["/in/b"]
    assert [row["error"] for row in summary.in_part] == ["truncated"]


def test_a_source_that_was_done_again_in_other_shards_counts_once(out):
    shard(out, "batch", b={"state": DONE, "frames": 10, "seconds": 1.0})
    assert summary_of(out).states == {"done": 3}


def test_the_page_and_the_file_say_the_same(out):
    page, file = write_summary(out)
    assert (page.name, file.name) == ("summary.html", "summary.json")
    text = page.read_text()
    for words in ("3 sources", "6 frames/s", "cannot read &#x27;&lt;b&gt;&#x27;", "lying", "<svg"):
        assert words in text
    assert json.loads(file.read_text())["failures"][0]["name"] == "b"
    assert write_summary(out) == [page, file]
    (out / ".vitruvian/batch-3-of-9.sqlite").write_bytes(b"no manifest" * 99)
    with refused("cannot read", "batch-3-of-9.sqlite"):
        write_summary(out)


def test_a_folder_in_which_nothing_is_done_has_a_summary(tmp_path):
    shard(tmp_path, "batch", a={"state": FAILED, "error": "gone"})
    summary = summary_of(tmp_path)
    assert (summary.frames_per_second, summary.over_time) == (None, {})
    assert write_summary(tmp_path)[0].read_text().count("<svg") == 0
