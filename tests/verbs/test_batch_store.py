"""A batch whose results go to a URL: an S3 server of this machine (moto), and `file://`."""

import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

import vitruvian as vit
from commands import started
from conftest import need, refused
from s3 import S3, s3_server
from toy_yolo import toy_yolo
from vitruvian.errors import VitruvianError
from vitruvian.formats.atomic_file import WriteError
from vitruvian.verbs.batch import batch as driver
from vitruvian.verbs.batch import store as stores
from vitruvian.verbs.batch.batch import Batch
from vitruvian.verbs.batch.store import Claim, Store, Upload
from vitruvian.verbs.batch.temporary import temporary_folder
from vitruvian.verbs.batch.work import BatchSettings, Done, Job, Worker


class Here:
    """A worker of this process; `before` each job may raise an error."""

    before: ClassVar[Callable[[Job], None]] = staticmethod(lambda job: None)

    def __init__(self, settings: BatchSettings, count: int) -> None:
        self.worker, self.given = Worker(settings), list[Job]()

    def idle(self) -> list[str]:
        return [] if self.given else ["here"]

    def submit(self, worker: str, job: Job) -> None:
        self.given.append(job)

    def done(self) -> list[tuple[str, Done | VitruvianError]]:
        job = self.given.pop()
        Here.before(job)
        return [("here", self.worker(job))]

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def server() -> Iterator[S3]:
    need("s3fs")
    need("moto")
    with s3_server() as s3:
        yield s3


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    return toy_yolo(tmp_path_factory.mktemp("toy") / "toy.xml")


@pytest.fixture(autouse=True)
def away(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders, and the user's folder of states, are those of a test."""
    need("fsspec")
    for name in ("in", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3:
    """The server as this process finds it, with a bucket of the name of the test's folder."""
    monkeypatch.setattr(server, "before", lambda method, path: True)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    import s3fs

    # Connections of a test before are not used: its server may have ended them.
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir(bucket(tmp_path))
    return server


def bucket(tmp_path: Path) -> str:
    return tmp_path.name.replace("_", "-").lower() + "-bucket"


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if getattr(request, "param", "file") == "file":
        return (tmp_path / "away" / "results").as_uri()
    request.getfixturevalue("s3")
    return f"s3://{bucket(tmp_path)}/results"


both = pytest.mark.parametrize("url", ["file", "s3"], indirect=True)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> type[Here]:
    monkeypatch.setattr(driver, "WorkerProcesses", Here)
    monkeypatch.setattr(Here, "before", staticmethod(lambda job: None))
    monkeypatch.setattr(stores, "PAUSES", (0.0, 0.0))
    return Here


@pytest.fixture
def run(here, toy: Path, tmp_path: Path) -> Callable[..., Batch]:
    """`run(url)`: the clips of tmp_path/in with one worker of this process."""

    def run(url: str, *sources: str, **how: Any) -> Batch:
        words = {"save": "json", **how}
        return vit.batch(sources or tmp_path / "in", str(toy), out=url, **words)

    return run


def results(url: str) -> dict[str, set[str]]:
    """The names of the files of each folder of results, and of those in the folder itself."""
    found: dict[str, set[str]] = {}
    for name in Store(url).names():
        folder, _, file = name.rpartition("/")
        found.setdefault(folder, set()).add(file)
    found.pop(".vitruvian")
    return found


def marker(url: str, name: str) -> dict[str, Any]:
    return json.loads(Store(url).read(f"{name}/_SUCCESS") or b"{}")


WHOLE = {"poses.jsonl", "_SUCCESS"}


@both
def test_a_second_run_goes_on(run, url, video, picture, tmp_path):
    for name in ("a [1].mp4", "b.mp4"):  # brackets are no pattern
        video(f"in/{name}")
    picture("in/0.png")
    said: list[str] = []
    done = run(url, say=said.append)
    assert (done.folder, done.done, done.failures) == (url, 3, 0)
    assert done.manifest.is_relative_to(tmp_path / "states" / "vitruvian" / "batch")
    assert f"manifest: {done.manifest}" in said
    assert results(url) == dict.fromkeys(("a [1].mp4", "b.mp4", "0.png"), WHOLE)
    about = marker(url, "b.mp4")
    assert about["sources"] == [str(tmp_path / "in/b.mp4")]
    assert about["files"] == {"poses.jsonl": len(Store(url).read("b.mp4/poses.jsonl") or b"")}
    assert (about["frames"], about["events"], about["errors"]) == (5, 0, [])
    # A changed file, a group of images that is another one now, and results that were removed.
    video("in/b.mp4", times=(0.0, 0.1))
    picture("in/1.png")
    Store(url).remove("a [1].mp4/_SUCCESS")
    said.clear()
    done = run(url, say=said.append)
    assert "1 new, 1 changed, 1 without their folder" in said[1]
    assert done.done == 3
    assert results(url) == dict.fromkeys(("a [1].mp4", "b.mp4", "0.png and 1 more"), WHOLE)
    assert marker(url, "b.mp4")["frames"] == 2
    done = run(url, say=said.append)
    assert (done.done, done.before) == (0, 3)
    # Other outputs: files that are not made any more are removed.
    run(url, save="csv,json", overwrite=True)
    assert results(url)["b.mp4"] == {*WHOLE, "b.csv"}
    run(url, overwrite=True)
    assert results(url)["b.mp4"] == WHOLE
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_sources_may_be_there_too(run, s3, video, tmp_path):
    import s3fs

    system = s3fs.S3FileSystem()
    place = f"{bucket(tmp_path)}/clips"
    for name in ("a.mp4", "day/b.mp4"):
        system.put_file(str(video("clip.mp4")), f"{place}/{name}")
    words = (f"s3://{place}/results", f"s3://{place}")  # the results are no sources
    assert run(*words, recursive=True).done == 2
    assert marker(words[0], "day/b.mp4")["sources"] == [f"s3://{place}/day/b.mp4"]
    system.put_file(str(video("c.mp4", times=(0.0, 0.1))), f"{place}/a.mp4")
    again = run(*words, recursive=True)
    assert (again.done, again.before) == (1, 1)


@both
def test_another_machine_goes_on(run, url, video, tmp_path):
    """Its folder of states is empty, or of an earlier run: the manifest is taken from the store."""
    video("in/a.mp4")
    first, second = {"state": tmp_path / "first"}, {"state": tmp_path / "second"}
    assert run(url, **first).done == 1
    video("in/b.mp4")
    done = run(url, **second)
    assert (done.done, done.before) == (1, 1)
    video("in/a.mp4", times=(0.0, 0.1))
    assert run(url, **second).done == 1
    done = run(url, **first)
    assert (done.done, done.before) == (0, 2)


def test_shards_have_one_summary(run, url, video, tmp_path):
    names = ("0.mp4", "a.mp4")  # one in each shard
    for name in names:
        video(f"in/{name}", [k / 10 for k in range(20)])
    (tmp_path / "mine.py").write_text("def always(body):\n    return [1.0] * len(body)\n")
    for k in (1, 2):
        words = {"state": tmp_path / f"machine {k}", "rules": f"{tmp_path / 'mine.py'}:always"}
        run(url, shard=f"{k}/2", summary=True, log=tmp_path / "log", **words)
    assert len((tmp_path / "log").read_text().splitlines()) == 2
    summary = json.loads(Store(url).read("summary.json") or b"")
    assert (summary["sources"], summary["states"], summary["frames"]) == (2, {"done": 2}, 40)
    lines = (Store(url).read(f"{name}/events.jsonl") or b"" for name in names)
    assert sum(summary["events"].values()) == sum(len(text.splitlines()) for text in lines) > 0
    assert f"Batch in {url}" in (Store(url).read("summary.html") or b"").decode()


def test_an_upload_that_fails_is_tried_again(run, video, tmp_path, monkeypatch):
    from fsspec.implementations.local import LocalFileSystem

    video("in/a.mp4")
    put, tried = LocalFileSystem.put_file, list[str]()

    def failing(self: Any, here: str, there: str, **more: Any) -> None:
        tried.append(Path(there).name)
        if len(tried) < 3:
            raise ConnectionError("connection reset")
        put(self, here, there, **more)

    monkeypatch.setattr(LocalFileSystem, "put_file", failing)
    url = (tmp_path / "away").as_uri()
    assert run(url).done == 1
    assert tried[:3] == ["poses.jsonl"] * 3
    assert results(url) == {"a.mp4": WHOLE}
    tried.clear()
    monkeypatch.setattr(stores, "PAUSES", (0.0,))
    with refused("cannot write", "a.mp4/poses.jsonl", "connection reset"):
        run(url, overwrite=True)


def test_what_cannot_be_written_ends_it(run, s3, video, tmp_path):
    video("in/a.mp4")
    video("in/b.mp4")
    url = f"s3://{bucket(tmp_path)}/results"
    s3.before = lambda method, path: not (method == "PUT" and "a.mp4" in path)
    with refused("cannot write", f"{url}/a.mp4/poses.jsonl", "Denied"):
        run(url)
    assert results(url) == {}
    s3.before = lambda method, path: method != "PUT"
    with refused("cannot write", f"{url}/.vitruvian/batch.claim", "Denied"):
        run(url)
    s3.before = lambda method, path: True
    assert run(url).done == 2


def test_results_that_are_being_replaced_are_not_complete(run, url, video, here, tmp_path):
    video("in/a.mp4")
    run(url)
    put, seen = Store.put, list[set[str]]()

    def look(self: Store, file: Path, name: str) -> None:
        seen.append(results(url).get("a.mp4", set()))
        put(self, file, name)
        raise WriteError("no space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "put", look)
        with refused("no space left"):
            run(url, overwrite=True)
    assert seen[0] == {"poses.jsonl"}
    assert results(url) == {"a.mp4": {"poses.jsonl"}}
    assert run(url).done == 1
    assert results(url) == {"a.mp4": WHOLE}


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("nosuch://bucket/results", ["cannot write", "nosuch"]),
        ("s3://no-such-bucket/results", ["no-such-bucket", "does not exist"]),
        ("s3://no-such-bucket", ["no-such-bucket", "does not exist"]),
    ],
)
def test_a_wrong_url_is_one_line_before_any_work(out, said, run, s3, video):
    video("in/a.mp4")
    with refused(*said):
        run(out)
    with refused(*said):  # and no bucket was made
        run(out)


def test_missing_credentials_and_packages_are_one_line(run, s3, video, monkeypatch):
    import s3fs

    video("in/a.mp4")
    s3fs.S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with refused("Unable to locate credentials"):
        run("s3://some-bucket/results")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3")
    with refused("cannot write 's3://some-bucket/results'", "s3fs"):
        run("s3://some-bucket/results")


def test_words_for_folders_and_for_urls(toy, video, tmp_path):
    video("in/a.mp4")
    with refused("--state is for an --out that is a URL"):
        vit.batch(tmp_path / "in", str(toy), out=tmp_path / "out", state=tmp_path)
    with refused("only a batch writes to those"):
        vit.predict(tmp_path / "in/a.mp4", str(toy), out="s3://bucket/results")
    with refused("was a URL before it became a Path"):
        vit.batch(tmp_path / "in", str(toy), out=Path("s3://bucket/results"))


# Who may write


def test_two_drivers_are_refused(run, url, video, tmp_path, here, monkeypatch):
    """On one machine by a lock, on two by a claim; the shards of one number are no others."""
    monkeypatch.setattr(stores, "BEAT", 0.05)
    monkeypatch.setattr(stores, "LOOK", 0.02)
    for name in ("0.mp4", "a.mp4"):  # one in each shard
        video(f"in/{name}", times=(0.0, 0.1))
    tried: list[str] = []

    def second(job: Job) -> None:
        here.before = staticmethod(lambda job: None)
        for state in ("first", "second"):
            for shard in ("1/2", None, "1/3"):
                words = {"state": tmp_path / state, "shard": shard}
                with refused(f"'{url}' is being written by another batch", "--shard"):
                    run(url, **words)
                tried.append(state)
        run(url, state=tmp_path / "second", shard="2/2")

    here.before = staticmethod(second)
    run(url, state=tmp_path / "first", shard="1/2")
    assert len(tried) == 6
    assert {*results(url)} == {"0.mp4", "a.mp4"}


def test_a_driver_that_was_killed_is_no_driver(run, url, video, tmp_path, monkeypatch):
    """The claim of a killed one stays; on another machine it is watched for a while."""
    monkeypatch.setattr(stores, "WATCH", 0.3)
    monkeypatch.setattr(stores, "LOOK", 0.05)
    video("in/a.mp4")
    state = tmp_path / "first"
    state.mkdir()
    Claim(Store(url), "batch", state).take(lambda name: False, lambda line: None)
    said: list[str] = []
    assert run(url, state=tmp_path / "second", say=said.append).done == 1
    assert "waiting up to 0 s to see" in said[0]
    assert run(url, state=tmp_path / "second").before == 1


def test_a_driver_ends_when_another_has_taken_over(run, url, video, tmp_path, here):
    """And what its workers have made is not uploaded any more."""
    video("in/a.mp4")

    def taken(job: Job) -> None:
        (tmp_path / "second").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stores, "WATCH", 0.0)
            Claim(Store(url), "batch", tmp_path / "second").take(lambda name: False, print)

    here.before = staticmethod(taken)
    with refused("is being written by another batch"):
        run(url)
    assert results(url) == {}
    assert Store(url).read(".vitruvian/batch.beat") is not None  # of the other


def test_a_driver_says_regularly_that_it_is_running(url, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "BEAT", 0.02)
    monkeypatch.setattr(stores, "COPY", 0.1)
    store, copied = Store(url), threading.Event()
    claim = Claim(store, "batch", tmp_path)
    assert not claim.take(lambda name: False, print)
    claim.keep(copied.set)
    assert copied.wait(60)
    assert int(store.read(".vitruvian/batch.beat") or b"") > 0
    claim.check()
    Claim(store, "batch", tmp_path).take(lambda name: False, print)
    until = time.monotonic() + 60
    with refused("is being written by another batch"):
        while time.monotonic() < until:
            claim.check()
    claim.leave()
    assert store.read(".vitruvian/batch.beat") is not None  # of the other one


def test_a_name_with_brackets_is_no_pattern():
    """`rm` of fsspec would remove the other folder (findings/fsspec_rm_brackets.sh)."""
    store = Store("memory://brackets")
    for name in ("clip[1].mp4/a", "clip[1].mp4/deep/a", "clip1.mp4/a"):
        store.write(name, b"content")
    store.remove_folder("clip[1].mp4")
    assert store.names() == ["clip1.mp4/a"]
    store.remove_folder("clip1.mp4")
    assert store.system.find("/brackets", withdirs=True) == []


def test_memory_of_one_process_is_no_place(tmp_path):
    """A worker process does not find the claim there."""
    upload = Upload("memory://nowhere", "a.mp4", ".vitruvian/batch.claim", "token")
    with refused("a worker does not see 'memory://nowhere/.vitruvian/batch.claim'"):
        upload.open()


# Processes


def test_temporary_folders_of_killed_processes_are_removed(tmp_path):
    with temporary_folder() as left, temporary_folder() as mine:
        (left / "file").touch()
        assert len([*(tmp_path / "temporary").iterdir()]) == 4
        assert mine.is_dir()
    (tmp_path / "temporary" / "vitruvian-batch-killed").mkdir()
    (tmp_path / "temporary" / "vitruvian-batch-killed.lock").touch()
    with temporary_folder() as mine:
        assert {mine, mine.with_suffix(".lock")} == {*(tmp_path / "temporary").iterdir()}
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_kill_9_in_the_middle_of_an_upload(s3, toy, video, tmp_path, run):
    """Of the driver, whose worker ends with it: one file is there, but no marker."""
    video("in/a.mp4")
    uploading, go = threading.Event(), threading.Event()
    url = f"s3://{bucket(tmp_path)}/results"

    def before(method: str, path: str) -> bool:
        if method == "PUT" and path.endswith("a.mp4/poses.jsonl"):
            uploading.set()
            go.wait(60)
        return True

    s3.before = before
    words = ("batch", tmp_path / "in", "--model", toy, "--workers", 1, "--save", "csv,json")
    with started(*words, "--out", url, "--quiet") as running:
        try:
            assert uploading.wait(120)
            children = psutil.Process(running.pid).children(recursive=True)
            running.kill()
            running.wait()
            assert psutil.wait_procs(children, 20)[1] == []
        finally:
            go.set()
    assert "a.csv" in results(url)["a.mp4"]
    assert "_SUCCESS" not in results(url)["a.mp4"]
    assert [*(tmp_path / "temporary").iterdir()]
    said: list[str] = []
    assert run(url, save="csv,json", say=said.append).done == 1
    assert said[1] == "1 source: 1 unfinished"
    assert results(url) == {"a.mp4": {*WHOLE, "a.csv"}}
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_a_signal_ends_it_with_nothing_half_written(toy, video, tmp_path):
    for i in range(3):
        video(f"in/{i}.mp4", [k / 30 for k in range(100)])
    url = (tmp_path / "away").as_uri()
    words = ("batch", tmp_path / "in", "--model", toy, "--workers", 2, "--save", "json")
    with started(*words, "--out", url) as running:
        until = time.monotonic() + 120
        while not [*(tmp_path / "away").glob("*/_SUCCESS")]:
            assert time.monotonic() < until
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
        assert running.stderr is not None
        assert running.stderr.read().splitlines()[-1] == "vitruvian: stopped"
    assert [*(tmp_path / "temporary").iterdir()] == []
    names = {path.name for path in (tmp_path / "away" / ".vitruvian").iterdir()}
    assert names == {"batch.claim", "batch.sqlite"}
