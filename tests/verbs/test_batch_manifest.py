"""The manifest of a batch: what is done is not done again, and what must be is."""

import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from conftest import refused
from vitruvian.verbs.batch.manifest import DONE, FAILED, TODO, Manifest
from vitruvian.verbs.batch.results import FEW, FolderResults
from vitruvian.verbs.batch.sources import Item


class Folder:
    """An output folder with a manifest that is opened anew for each start of a batch."""

    def __init__(self, out: Path) -> None:
        self.out = out
        (out / ".vitruvian").mkdir(parents=True)

    def open(self, name: str = "batch", settings: str = "s", version: str = "1") -> Manifest:
        return Manifest(self.out / f".vitruvian/{name}.sqlite", settings, version)

    def has(self, name: str) -> bool:
        return (self.out / name).is_dir()

    def run(self, *items: Item, fail=(), again=False, **how) -> tuple[Counter[str], list[str]]:
        """A run that does what is to do; what it counted, and the names of what it did."""
        manifest, did = self.open(**how), list[str]()
        try:
            counts = manifest.add(items, self.has, again=again)
            for row in manifest.todo():
                manifest.start(row, "worker")
                did.append(row.name + ("?" if row.sha256 else ""))
                state = FAILED if row.name in fail else DONE
                if state == DONE:
                    (self.out / row.name).mkdir(parents=True, exist_ok=True)
                manifest.finish(row, state=state, sha256="abc")
            assert manifest.left() == 0
        finally:
            manifest.close()
        return counts, did


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


def item(name: str, *paths: str, stamp: str = "1 1", **options) -> Item:
    return Item(name, paths or (f"/in/{name}",), options, stamp)


A, B = item("a.mp4"), item("deep/b.mp4")


def test_what_is_done_is_not_done_again(folder):
    assert folder.run(A, B) == ({"new": 2}, ["a.mp4", "deep/b.mp4"])
    assert folder.run(A, B) == ({"done": 2}, [])
    assert folder.run(B, A, item("c.mp4")) == ({"done": 2, "new": 1}, ["c.mp4"])


def test_sources_are_known_in_any_order_and_over_pages(tmp_path, monkeypatch):
    monkeypatch.setattr("vitruvian.verbs.batch.manifest.PAGE", 8)
    results = FolderResults(tmp_path, "batch")
    every = [item(f"{folder}/{i:02}.mp4") for folder in "ab" for i in range(FEW + 5)]
    for each in every:
        (tmp_path / each.name).mkdir(parents=True)
    lost = tmp_path / every[FEW + 2].name  # found by a listing, as those before by themselves
    lost.rmdir()
    new = [item(f"a/{i:02}-new.mp4") for i in (3, 9)]
    mixed = sorted([*every, *new], key=lambda each: each.name)
    for order in (every, every[::-1], every[::2] + every[1::2], mixed):
        path = tmp_path / "manifest.sqlite"
        path.unlink(missing_ok=True)
        manifest = Manifest(path, "s", "1")
        assert manifest.add(every, results.has) == {"new": len(every)}
        manifest._base.execute("UPDATE sources SET state = ?", (DONE,))
        manifest.close()
        manifest = Manifest(path, "s", "1")
        want = {"done": len(every) - 1, "lost": 1} | ({"new": 2} if order is mixed else {})
        assert manifest.add(order, FolderResults(tmp_path, "batch").has) == want
        manifest.close()


def test_a_file_of_another_size_or_time_is_looked_at_by_its_content(folder):
    folder.run(A, B)
    assert folder.run(item("a.mp4", stamp="1 2"), B) == ({"changed": 1, "done": 1}, ["a.mp4?"])
    assert folder.run(item("a.mp4", stamp="1 2"), B)[0] == {"done": 2}
    # The same name of another file is changed, too.
    assert folder.run(item("a.mp4", "/elsewhere/a.mp4", stamp="1 2"))[1] == ["a.mp4?"]


@pytest.mark.parametrize("how", [{"settings": "other"}, {"version": "2"}])
def test_other_settings_and_versions_are_done_again(how, folder):
    folder.run(A, B)
    assert folder.run(A, **how) == ({"settings": 1}, ["a.mp4"])
    assert folder.run(A, B, **how) == ({"settings": 1, "done": 1}, ["deep/b.mp4"])


def test_other_options_of_one_source_are_other_settings(folder):
    folder.run(A, B)
    assert folder.run(item("a.mp4", start=2.0), B) == ({"settings": 1, "done": 1}, ["a.mp4"])


def test_a_lost_folder_is_made_again(folder):
    folder.run(A, B)
    shutil.rmtree(folder.out / "deep")
    assert folder.run(A, B) == ({"lost": 1, "done": 1}, ["deep/b.mp4"])


def test_what_failed_is_tried_again_by_the_next_start(folder):
    assert folder.run(A, B, fail=["a.mp4"])[1] == ["a.mp4", "deep/b.mp4"]
    assert folder.run(A, B, fail=["a.mp4"]) == ({"failed": 1, "done": 1}, ["a.mp4"])
    assert folder.run(A, B) == ({"failed": 1, "done": 1}, ["a.mp4"])
    assert folder.run(A, B) == ({"done": 2}, [])


def test_everything_is_done_again_if_that_is_asked_for(folder):
    folder.run(A, B, fail=["a.mp4"])
    assert folder.run(A, B, again=True) == ({"failed": 1, "again": 1}, ["a.mp4", "deep/b.mp4"])


def test_what_was_running_when_the_process_was_killed_is_unfinished(folder):
    manifest = folder.open()
    manifest.add([A, B], folder.has)
    manifest.start(next(manifest.todo()), "worker")
    manifest.close()
    assert folder.run(A, B) == ({"unfinished": 2}, ["a.mp4", "deep/b.mp4"])


def test_attempts_are_those_of_this_run(folder):
    for _ in range(3):  # killed thrice
        manifest = folder.open()
        manifest.add([A], folder.has)
        (row,) = manifest.todo()
        assert row.attempts == 0
        manifest.start(row, "worker")
        manifest.finish(row, state=TODO, error="the worker died")
        assert next(manifest.todo()).attempts == 1
        manifest.start(row, "worker")
        manifest.close()


def test_only_the_sources_of_this_run_are_done(folder):
    manifest = folder.open()
    manifest.add([A, B], folder.has)
    manifest.close()
    assert folder.run(B) == ({"unfinished": 1}, ["deep/b.mp4"])
    assert folder.run(A, B) == ({"unfinished": 1, "done": 1}, ["a.mp4"])


def test_two_sources_of_one_name_are_refused_with_the_way_out(folder):
    with refused("both be written to 'a.mp4'", "'/in/a.mp4' and '/other/a.mp4'", "--recursive"):
        folder.run(A, item("a.mp4", "/other/a.mp4"))


@pytest.mark.parametrize("first", [0, 1])
def test_results_inside_of_results_are_refused(first, folder):
    pair = [item("x.mp4"), item("x.mp4/y.mp4")]
    with refused("'/in/x.mp4/y.mp4' would be inside of those of '/in/x.mp4'"):
        folder.run(pair[first], item("x.mp4 b"), pair[1 - first])


def test_a_second_driver_is_refused_also_one_of_other_shards(folder):
    manifest = folder.open("batch-1-of-2")
    folder.open("batch-2-of-2").close()
    for name in ("batch-1-of-2", "batch", "batch-1-of-3"):
        with refused("another batch", "--shard of the same number"):
            folder.open(name)
    manifest.close()
    for name in ("batch-1-of-3", "batch"):
        folder.open(name).close()


def test_a_file_that_is_no_manifest_or_of_another_version_is_refused(folder):
    (folder.out / ".vitruvian/batch.sqlite").write_bytes(b"no data base" * 100)
    with refused("cannot use", "another --out"):
        folder.open()
    base = sqlite3.connect(folder.out / ".vitruvian/other.sqlite")
    base.execute("PRAGMA user_version = 5")
    base.close()
    with refused("cannot use", "another version of vitruvian has made it"):
        folder.open("other")


# Groups of images that change


def images(tmp_path: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (tmp_path / name).touch()
    return tuple(str(tmp_path / name) for name in names)


def forgotten(folder: Folder, *items: Item) -> list[str]:
    folder.run(*items)
    manifest = folder.open()
    try:
        manifest.add(items, folder.has)
        gone = list(manifest.replaced())
        for row, _ in gone:
            manifest.forget(row)
        return sorted(name for _, name in gone)
    finally:
        manifest.close()


def test_a_group_whose_images_are_in_others_is_forgotten(folder, tmp_path):
    one, two, three = images(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    assert forgotten(folder, item("g", one, two)) == []
    assert forgotten(folder, item("h", one, two, three)) == ["g"]
    assert forgotten(folder, item("h", one, two, three)) == []


def test_a_group_from_which_an_image_was_removed_is_forgotten(folder, tmp_path):
    one, two = images(tmp_path, "1.jpg", "2.jpg")
    folder.run(item("g", one, two))
    Path(one).unlink()
    assert forgotten(folder, item("h", two)) == ["g"]


def test_a_group_of_images_that_are_there_and_not_given_stays(folder, tmp_path):
    one, two, other = images(tmp_path, "1.jpg", "2.jpg", "other.jpg")
    folder.run(item("g", one, two))
    assert forgotten(folder, item("h", two)) == []
    assert forgotten(folder, item("k", other)) == []
    Path(one).unlink()
    Path(two).unlink()
    assert forgotten(folder, item("k", other)) == []  # nothing else has what it has
