"""Weights are fetched once, checked, and moved into place whole, or the error says what to do.

No registry is asked here: a function plays pip and npm, a server on this machine plays the web.
"""

import gzip
import hashlib
import io
import re
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vitruvian
from conftest import is_one_line, refused
from vitruvian.body.skeletons import SKELETONS
from vitruvian.errors import VitruvianError
from vitruvian.models.load import FAMILIES
from vitruvian.models.zoo import CATALOGUE, DEFAULT, Entry
from vitruvian.weights import download, packages
from vitruvian.weights.download import File, WeightSource, fetch
from vitruvian.weights.packages import Package

CONTENT = bytes(range(256)) * 40
PYPI = Package("pypi", "mediapipe", "0.10.21", 1000)
NPM = Package("npm", "@mediapipe/pose", "0.5", 1000)
every_model = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)


def wanted(*packages: Package, name: str = "net.tflite", content: bytes = CONTENT) -> File:
    """A file that lies at in/<name> in each of the packages."""
    sources = tuple(WeightSource(package, f"in/{name}") for package in packages)
    return File(name, hashlib.sha256(content).hexdigest(), len(content), sources)


def zipped(**members: bytes) -> bytes:
    """A zip of in/<name>.tflite for each name."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"in/{name}.tflite", content)
    return data.getvalue()


def tarred(**members: bytes) -> bytes:
    """The same as a .tar.gz."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"in/{name}.tflite")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Clients:
    """Plays pip and npm: `has["mediapipe"]` is the archive they find, or what they complain."""

    def __init__(self) -> None:
        self.has: dict[str, bytes | str] = {}
        self.asked: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, command: list[str], cwd: Path, **_: object) -> subprocess.CompletedProcess:
        package = command[-1]
        name = re.split(r"==|(?<!^)@", package)[0]
        self.asked.append(package)
        self.meanwhile()
        found = self.has.get(name, f"ERROR: there is no {package}")
        if isinstance(found, str):
            return subprocess.CompletedProcess(command, 1, "", f"a long story\n{found}\n")
        suffix = "whl" if "pip" in command else "tgz"
        Path(cwd, f"package.{suffix}").write_bytes(found)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Clients:
    """In place of the real ones; and no name of another machine can be looked up."""
    clients, look_up = Clients(), socket.getaddrinfo

    def only_here(host: str, *rest: Any, **named: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(f"nobody knows {host} here")
        return look_up(host, *rest, **named)

    monkeypatch.setattr(packages.subprocess, "run", clients)
    monkeypatch.setattr(packages.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    monkeypatch.setenv("no_proxy", "*")
    return clients


def only(cache: Path, *names: str) -> None:
    """Assert that these files are in the cache, and nothing besides, hidden or not."""
    assert sorted(path.name for path in cache.iterdir()) == sorted(names)


# What goes well


@pytest.mark.parametrize(
    ("package", "archive", "asked"),
    [(PYPI, zipped, "mediapipe==0.10.21"), (NPM, tarred, "@mediapipe/pose@0.5")],
    ids=["pip", "npm"],
)
def test_a_missing_file_is_taken_out_of_its_package(
    package, archive, asked, cache: Path, clients: Clients
):
    clients.has[package.name] = archive(net=CONTENT, another=b"not asked for")
    (path,) = fetch([wanted(package)])
    assert path == cache / "net.tflite"
    assert path.read_bytes() == CONTENT
    assert clients.asked == [asked]
    only(cache, "net.tflite")


def test_what_is_there_is_not_fetched_again(cache: Path, clients: Clients):
    clients.has[PYPI.name] = zipped(net=CONTENT)
    assert fetch([wanted(PYPI)]) == fetch([wanted(PYPI)])
    assert len(clients.asked) == 1


def test_two_files_of_one_package_need_it_once(cache: Path, clients: Clients):
    clients.has[PYPI.name] = zipped(a=b"first", b=b"second")
    files = [
        wanted(PYPI, name=f"{n}.tflite", content=c) for n, c in (("a", b"first"), ("b", b"second"))
    ]
    assert [path.read_bytes() for path in fetch(files)] == [b"first", b"second"]
    assert len(clients.asked) == 1


@pytest.mark.parametrize("other", [b"second", b"tampered with"])
def test_what_else_is_in_a_package_is_kept_if_it_is_right(other, cache: Path, clients: Clients):
    clients.has[PYPI.name] = zipped(net=CONTENT, b=other)
    assert fetch([wanted(PYPI)], keep=[wanted(PYPI, name="b.tflite", content=b"second")])
    only(cache, "net.tflite", *["b.tflite"] * (other == b"second"))


def test_a_file_comes_from_a_web_address(cache: Path, serve):
    address = serve({"/bundle.task": zipped(net=CONTENT)}) + "/bundle.task"
    (path,) = fetch([wanted(Package("url", address, "", 1000))])
    assert path.read_bytes() == CONTENT
    only(cache, "net.tflite")


@pytest.mark.parametrize(
    "broken",
    [
        "ERROR: no matching distribution",
        b"",
        b"<html>sign in to the wireless network</html>",
        zipped(another=CONTENT),
        zipped(net=b"tampered with"),
        zipped(net=CONTENT)[:-30],
    ],
    ids=["not found", "empty", "a web page", "without it", "another file", "cut short"],
)
def test_the_next_place_is_tried_if_one_fails(broken, cache: Path, clients: Clients):
    clients.has |= {PYPI.name: broken, NPM.name: tarred(net=CONTENT)}
    assert fetch([wanted(PYPI, NPM)])[0].read_bytes() == CONTENT
    assert clients.asked == ["mediapipe==0.10.21", "@mediapipe/pose@0.5"]
    only(cache, "net.tflite")


def test_a_file_put_there_by_hand_is_used(cache: Path, clients: Clients, monkeypatch):
    monkeypatch.setenv("VITRUVIAN_OFFLINE", "1")
    cache.mkdir()
    (cache / "net.tflite").write_bytes(CONTENT)
    assert fetch([wanted(PYPI)]) == [cache / "net.tflite"]
    assert clients.asked == []


def test_a_place_without_a_published_hash_gives_a_file_of_another_name(cache: Path, serve):
    """So that it is never taken for the published one."""
    address = serve({"/a.task": zipped(net=b"nobody knows")}) + "/a.task"
    file = wanted(PYPI)
    unchecked = WeightSource(Package("url", address, "", 1), "in/net.tflite", checked=False)
    for _ in range(2):
        (path,) = fetch([replace(file, sources=(*file.sources, unchecked))])
        assert path.read_bytes() == b"nobody knows"
    only(cache, "unchecked-net.tflite")


def test_a_file_may_be_a_part_of_a_packed_one(cache: Path, clients: Clients):
    """As the files of MediaPipe's npm packages are."""
    clients.has[NPM.name] = tarred(net=b"before" + CONTENT + b"after")
    file = wanted(PYPI)
    part = WeightSource(NPM, "in/net.tflite", start=6)
    (path,) = fetch([replace(file, sources=(part,))])
    assert path.read_bytes() == CONTENT
    wrong = replace(file, name="other.tflite", sources=(replace(part, start=7),))
    with pytest.raises(VitruvianError, match=r"bytes 7 to 10247 of in/net\.tflite"):
        fetch([wrong])
    only(cache, "net.tflite")


def test_a_line_on_stderr_says_what_is_fetched_and_how_large_it_is(
    cache: Path, clients: Clients, capsys
):
    clients.has[PYPI.name] = zipped(net=CONTENT)
    fetch([wanted(replace(PYPI, bytes=35_600_000))])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "fetching mediapipe 0.10.21 from the Python package index (36 MB)\n"


def test_two_who_fetch_at_once_do_each_other_no_harm(cache: Path, clients: Clients):
    clients.has[PYPI.name] = zipped(net=CONTENT)
    clients.meanwhile = threading.Barrier(2, timeout=10).wait  # both are inside before one is done
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(fetch, [[wanted(PYPI)]] * 2))
    assert paths == [[cache / "net.tflite"]] * 2
    assert paths[0][0].read_bytes() == CONTENT
    only(cache, "net.tflite")


# What does not


def test_when_all_places_fail_the_error_lists_them_and_says_what_to_do_by_hand(
    cache: Path, clients: Clients
):
    nowhere = Package("url", "http://127.0.0.1:9/bundle.task", "", 1)
    clients.has[PYPI.name] = zipped(net=b"tampered with")
    with refused(
        "cannot download net.tflite; tried",
        "mediapipe 0.10.21 from the Python package index: in/net.tflite has sha256",
        "@mediapipe/pose 0.5 from the npm registry: ERROR: there is no @mediapipe/pose@0.5",
        "http://127.0.0.1:9/bundle.task: ",
        "extract in/net.tflite from mediapipe 0.10.21 from the Python package index and save it "
        f"as '{cache / 'net.tflite'}'",
    ):
        fetch([wanted(PYPI, NPM, nowhere)])
    only(cache)


def test_without_npm_the_error_says_so(cache: Path, monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    with refused("npm is not installed"):
        fetch([wanted(NPM)])


def test_a_wrong_hash_is_refused_and_nothing_is_kept(cache: Path, serve):
    address = serve({"/a": zipped(net=CONTENT[:-1])}) + "/a"
    with refused("has sha256", hashlib.sha256(CONTENT[:-1]).hexdigest()[:12], "refused"):
        fetch([wanted(Package("url", address, "", 1))])
    only(cache)


def test_a_wrong_file_put_there_by_hand_is_refused(cache: Path, clients: Clients):
    cache.mkdir()
    (cache / "net.tflite").write_bytes(b"another")
    with refused(f"'{cache / 'net.tflite'}' is not the published file", "delete it"):
        fetch([wanted(PYPI)])
    assert clients.asked == []
    assert (cache / "net.tflite").read_bytes() == b"another"  # it is the user's


def test_offline_nothing_is_fetched(cache: Path, clients: Clients, monkeypatch):
    monkeypatch.setenv("VITRUVIAN_OFFLINE", "1")
    with refused("VITRUVIAN_OFFLINE", "manually", str(cache / "net.tflite")):
        fetch([wanted(PYPI)])
    assert clients.asked == []


@pytest.mark.parametrize(("value", "want"), [("1", True), ("0", False), ("", False), ("yes", True)])
def test_offline_is_what_the_environment_says(value, want, monkeypatch):
    monkeypatch.setenv("VITRUVIAN_OFFLINE", value)
    assert download.offline() is want


def damaged(archive: bytes) -> bytes:
    """With some bytes of the member changed; its name and the archive's index are left."""
    place = len(archive) // 3
    return (
        archive[:place]
        + bytes(255 - b for b in archive[place : place + 20])
        + archive[place + 20 :]
    )


NOISE = hashlib.shake_256(b"noise").digest(50_000)  # it does not compress: damage hits the data
bad_archives = {
    "empty": b"",
    "a web page": b"<html>not found</html>",
    "a zip cut short": zipped(net=NOISE)[:20_000],
    "a damaged zip": damaged(zipped(net=NOISE)),
    "a damaged zip of zeros": damaged(zipped(net=bytes(10_000_000))),
    "a tar cut short": tarred(net=NOISE)[:20_000],
    "a damaged tar": damaged(tarred(net=NOISE)),
    "a damaged tar of zeros": damaged(tarred(net=bytes(10_000_000))),
    "gzip, but no tar": gzip.compress(b"nothing"),
    "a zip without it": zipped(other=NOISE),
    "a tar without it": tarred(other=NOISE),
}


@pytest.mark.parametrize("archive", bad_archives.values(), ids=bad_archives)
def test_an_archive_that_cannot_be_used_is_one_clear_line(archive, cache: Path, serve):
    address = serve({"/a": archive}) + "/a"
    with refused("cannot download net.tflite", address, "manually"):
        fetch([wanted(Package("url", address, "", 1), content=NOISE)])
    only(cache)


def test_a_folder_of_the_member_s_name_is_not_the_member(cache: Path, clients: Clients):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        folder = tarfile.TarInfo("in/net.tflite")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    clients.has[NPM.name] = data.getvalue()
    with refused("no in/net.tflite in it"):
        fetch([wanted(NPM)])


@pytest.mark.parametrize("most", [len(CONTENT) - 1, len(CONTENT)])
def test_a_member_larger_than_the_limit_is_refused(
    most, cache: Path, clients: Clients, monkeypatch
):
    """A few kB of zip can hold a terabyte of zeros."""
    monkeypatch.setattr(download, "MOST_BYTES", most)
    clients.has[PYPI.name] = zipped(net=CONTENT)
    if most == len(CONTENT):
        assert fetch([wanted(PYPI)])
        return
    with refused("in/net.tflite is larger than"):
        fetch([wanted(PYPI)])
    only(cache)


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/a.task",
        "ftp://example.com/a.task",
        "file:///etc/hostname",
        "http://127.0.0.1.example.com/a.task",
        "http://127.0.0.1@example.com/a.task",
    ],
)
def test_only_https_is_trusted(address, cache: Path):
    with refused("only https is trusted"):
        fetch([wanted(Package("url", address, "", 1))])
    only(cache)


def test_a_redirection_to_http_is_not_trusted_either(cache: Path, serve):
    address = serve({"/a": "http://example.com/a"}) + "/a"
    with refused("only https is trusted"):
        fetch([wanted(Package("url", address, "", 1))])


def test_a_missing_page_is_one_clear_line(cache: Path, serve):
    with refused("cannot download net.tflite", "Not Found"):
        fetch([wanted(Package("url", serve({}) + "/a", "", 1))])


def test_a_cache_folder_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, cache: Path, clients: Clients, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VITRUVIAN_CACHE", str(tmp_path / "file" / "cache"))
    with refused("cannot write to the cache folder", "VITRUVIAN_CACHE"):
        fetch([wanted(PYPI)])
    assert clients.asked == []


def test_a_cache_folder_that_cannot_be_written_is_one_clear_line(cache: Path, monkeypatch):
    def denied(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", denied)
    with refused("cannot write to the cache folder", str(cache), "VITRUVIAN_CACHE"):
        fetch([wanted(PYPI)])


def test_stopping_it_leaves_nothing_behind(cache: Path, clients: Clients):
    def interrupt() -> None:
        raise KeyboardInterrupt

    clients.meanwhile = interrupt
    with pytest.raises(KeyboardInterrupt):
        fetch([wanted(PYPI)])
    only(cache)


# The catalogue


def test_the_cache_folder_is_where_the_user_says(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("VITRUVIAN_CACHE", "~/somewhere")
    assert download.cache_folder() == Path("~/somewhere").expanduser()
    monkeypatch.delenv("VITRUVIAN_CACHE")
    assert download.cache_folder().name == "vitruvian"


@every_model
def test_every_file_of_the_catalogue_can_be_checked_and_had(entry: Entry):
    for file in entry.files:
        # Ultralytics, AlphaPose and MeTRAbs publish no hashes; what reads their files cannot be
        # tricked.
        assert re.fullmatch("[0-9a-f]{64}", file.sha256 or "") or file.name.endswith(
            (".pt", ".pth", ".tar.gz")
        )
        assert (file.bytes or 0) < download.MOST_BYTES
        if (
            download.SHIPPED / file.name
        ).is_file():  # it comes with vitruvian, and is the right one
            assert download.sha256(download.SHIPPED / file.name) == file.sha256
            continue
        assert file.sources
        assert file.sources[0].checked
        for source in file.sources:
            assert source.package.kind in packages._CLIENTS
            assert source.package.kind != "url" or source.package.name.startswith("https://")
            assert source.package.bytes is None or source.package.bytes >= 1
    assert entry.licence
    assert entry.skeleton in SKELETONS


def test_the_default_is_in_the_catalogue():
    assert DEFAULT in CATALOGUE


@every_model
def test_an_option_that_is_wrong_is_refused_before_anything_is_fetched(
    entry: Entry, clients: Clients
):
    with refused("option named 'num_pose'", "did you mean 'num_poses'?"):
        vitruvian.load(entry.name, num_pose=2)
    with refused("num_poses is 0"):
        vitruvian.load(entry.name, num_poses=0)
    assert clients.asked == []


def test_a_model_that_does_not_exist_is_told_the_nearest():
    with refused("no model named 'blazepose-ful'", "did you mean 'blazepose-full'?"):
        vitruvian.load("blazepose-ful")


def test_importing_vitruvian_touches_no_network(monkeypatch):
    monkeypatch.undo()
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import vitruvian, vitruvian.models.load, vitruvian.weights.download\n"
        "import vitruvian.models.blazepose, vitruvian.streams.stream, vitruvian.cli.app\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@every_model
def test_loading_without_weights_lists_every_place(entry: Entry, tmp_path: Path):
    absent = [file for file in entry.files if not (download.SHIPPED / file.name).is_file()]
    if not absent:  # everything comes with vitruvian
        assert vitruvian.load(entry.name).name == entry.name
        return
    boxes = tmp_path / "boxes.json"  # to open the detector, which comes with vitruvian, takes long
    boxes.write_text("[]")
    finds = FAMILIES[entry.family].wants == "nothing"
    with pytest.raises(VitruvianError) as caught:
        vitruvian.load(entry.name, find=None if finds else str(boxes))
    file = absent[0]
    is_one_line(caught.value, file.name, *(str(source.package) for source in file.sources))
