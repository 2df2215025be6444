"""What a batch takes: folders, patterns, lists, tables, standard input and URLs, and its names."""

import io
import json
import os
import shutil
from pathlib import Path, PurePosixPath

import pytest

from conftest import need, refused
from vitruvian.verbs.batch.sources import GROUP, in_shard, items


def files(folder: Path, *names: str) -> Path:
    """Files with a content each; nothing looks into them here."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode(errors="surrogateescape"))
    return folder


def names(*words, **how) -> list[str]:
    return [item.name for item in items(words, **how)]


def test_a_folder_gives_its_videos_and_images_and_with_recursive_those_below(tmp_path):
    files(tmp_path, "b10.mp4", "b9.mp4", "notes.pdf", "._b9.mp4", "in/c.mp4", "in/deep/d.MP4")
    assert names(tmp_path) == ["b9.mp4", "b10.mp4"]
    assert names(tmp_path, recursive=True) == ["b9.mp4", "b10.mp4", "in/c.mp4", "in/deep/d.MP4"]
    with refused("no images or videos in", "--recursive"):
        names(files(tmp_path / "above", "a/x.mp4"))
    with refused("no such file or folder"):
        names(tmp_path / "nowhere.mp4")


def test_results_of_an_earlier_run_are_no_sources(tmp_path):
    files(tmp_path, "a.mp4", "out/a.mp4/a.mp4", "out/.vitruvian/batch.sqlite", "in/b.mp4")
    assert names(tmp_path, recursive=True) == ["a.mp4", "in/b.mp4"]
    assert names(tmp_path / "**/*.mp4") == ["a.mp4", "in/b.mp4"]


def test_results_that_are_given_themselves_are_sources(tmp_path):
    files(tmp_path, "a.mp4/annotated.mp4", ".vitruvian/batch.sqlite")
    assert names(tmp_path, recursive=True) == ["a.mp4/annotated.mp4"]
    assert names(tmp_path / "*/*.mp4") == ["a.mp4/annotated.mp4"]


def test_a_pattern_names_by_what_follows_the_folder_before_it(tmp_path, monkeypatch):
    files(tmp_path, "day1/cam1/x.mp4", "day1/cam2/x.mp4", "day2/cam1/x.mp4", "day2/cam1/x.txt")
    assert names(tmp_path / "day1/*/x.*") == ["cam1/x.mp4", "cam2/x.mp4"]
    monkeypatch.chdir(tmp_path)
    assert names("day*/cam1/*") == ["day1/cam1/x.mp4", "day2/cam1/x.mp4"]
    (item,) = items(["day2/*/*.mp4"])
    assert item.paths == (str(tmp_path / "day2/cam1/x.mp4"),)
    with refused("no images or videos in"):
        names("*.avi")


def test_a_list_names_files_relative_to_itself(tmp_path):
    files(tmp_path, "in/a/x.mp4", "in/b/x.mp4", "y.mp4")
    said = f"# comment\n\na/x.mp4\r\nb/x.mp4\n{tmp_path}/y.mp4\n"
    (tmp_path / "in/all.txt").write_bytes(b"\xef\xbb\xbf" + said.encode())
    assert names(tmp_path / "in/all.txt") == ["a/x.mp4", "b/x.mp4", "y.mp4"]
    (tmp_path / "in/all.txt").write_text("all.txt\n")
    with refused("another list"):
        names(tmp_path / "in/all.txt")
    (tmp_path / "in/all.txt").write_text("a/gone.mp4\n")
    with refused("gone.mp4", "no such file"):
        names(tmp_path / "in/all.txt")


TABLE = "path,start,end,camera,fov_deg,name\na.mp4,1.5,,rig.toml:left,,first\nb.mp4,,2,,60,\n"


def test_a_csv_table_gives_each_source_its_options(tmp_path):
    files(tmp_path, "a.mp4", "b.mp4", "rig.toml")
    (tmp_path / "all.csv").write_text(TABLE)
    first, second = items([tmp_path / "all.csv"])
    assert (first.name, second.name) == ("first", "b.mp4")
    assert first.options["start"] == 1.5
    assert first.options["camera"] == f"{tmp_path}/rig.toml:left"
    assert second.options == {"end": 2.0, "fov_deg": 60.0}
    before = first.options
    (tmp_path / "rig.toml").write_text("other content")
    assert next(items([tmp_path / "all.csv"])).options != before  # so it is done again


def test_a_parquet_table_does_the_same(tmp_path):
    need("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    files(tmp_path, "a.mp4", "b.mp4")
    table = pa.table({"path": ["a.mp4", "b.mp4"], "start": [None, 2.0], "end": [float("nan"), 3]})
    pq.write_table(table, tmp_path / "all.parquet")
    first, second = items([tmp_path / "all.parquet"])
    assert first.options == {}
    assert second.options == {"start": 2.0, "end": 3.0}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("path,starts\na.mp4,1\n", ("no column of", "did you mean 'start'")),
        ("path,start\na.mp4,soon\n", ("start is 'soon'", "want a number")),
        ("file,start\na.mp4,1\n", ("has no column path",)),
        ("path\na.mp4,1\n", ("more values than columns",)),
        ("path,start\n,1\n", ("has no column path, or it is empty",)),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(table, words, tmp_path):
    files(tmp_path, "a.mp4")
    (tmp_path / "all.csv").write_text(table)
    with refused(*words):
        names(tmp_path / "all.csv")


def test_a_folder_of_a_table_with_a_name_is_a_folder_of_results(tmp_path):
    files(tmp_path, "in/a.mp4", "in/b.mp4")
    (tmp_path / "all.csv").write_text("path,name\nin,subject 1\n")
    assert names(tmp_path / "all.csv") == ["subject 1/a.mp4", "subject 1/b.mp4"]


def test_paths_come_from_standard_input(tmp_path, monkeypatch):
    files(tmp_path, "a.mp4", "in/b.mp4")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{tmp_path}/a.mp4\n\n{tmp_path}/in\n"))
    assert names("-") == ["a.mp4", "b.mp4"]


def test_cameras_and_streams_are_refused():
    for word in ("camera:0", "rtsp://host/a", "https://host/a.mp4"):
        with refused("a camera or a stream", "use predict"):
            names(word)


# Names


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("../../etc/x", "up/up/etc/x"),
        ("/etc/passwd", "etc/passwd"),
        ("a/./b//c", "a/b/c"),
        (".vitruvian/batch", "vitruvian/batch"),
        ("..", "up"),
        ("...", "_"),
        ("/", "_"),
    ],
)
def test_no_name_leaves_the_output_folder(said, name, tmp_path):
    files(tmp_path, "a.mp4")
    (tmp_path / "all.csv").write_text(f"path,name\na.mp4,{said}\n")
    assert names(tmp_path / "all.csv") == [name]


def test_a_name_that_is_too_long_is_shortened_and_stays_its_own(tmp_path):
    files(tmp_path, "a" * 251 + ".mp4", *("b" * 249 + f"{i}.jpg" for i in range(3)))
    both = names(tmp_path) + names(*tmp_path.glob("b*0.jpg"))
    assert len(set(both)) == len(both) >= 3
    assert all(len(os.fsencode(PurePosixPath(name).name)) <= 255 for name in both)


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode")
def test_a_name_that_is_no_text_is_one_in_the_results(tmp_path):
    files(tmp_path, os.fsdecode(b"caf\xe9.mp4"))
    (item,) = items([tmp_path])
    assert item.name == r"caf\udce9.mp4"
    assert Path(item.paths[0]).is_file()


# Groups of images


def test_images_are_in_groups_that_an_added_or_removed_one_changes_little(tmp_path):
    files(tmp_path, *(f"{i:04}.jpg" for i in range(0, 1200, 2)))

    def groups() -> set[tuple[str, ...]]:
        return {item.paths for item in items([tmp_path])}

    before = groups()
    assert 600 / GROUP / 2 < len(before) < 600 / GROUP * 2
    assert sum(map(len, before)) == 600
    files(tmp_path, "0601.jpg")
    added = groups()
    assert len(added - before) <= 2
    (tmp_path / "0001.jpg").unlink(missing_ok=True)
    (tmp_path / "0300.jpg").unlink()
    assert len(groups() - added) <= 2


def test_images_of_two_folders_or_options_are_never_in_one_group(tmp_path):
    files(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
    assert names(tmp_path, recursive=True) == ["a/1.jpg and 1 more", "b/1.jpg and 1 more"]
    (tmp_path / "all.csv").write_text("path,fov_deg\na/1.jpg,60\na/2.jpg,70\n")
    assert names(tmp_path / "all.csv") == ["a/1.jpg", "a/2.jpg"]


def test_an_image_with_a_name_of_its_own_is_a_source_of_its_own(tmp_path):
    files(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "all.csv").write_text("path,name\n1.jpg,one\n2.jpg,two\n")
    assert names(tmp_path / "all.csv") == ["one", "two"]


def test_every_source_is_in_exactly_one_shard(tmp_path):
    files(tmp_path, *(f"{i}.mp4" for i in range(40)))
    every = list(items([tmp_path]))
    parts = [{item.name for item in every if in_shard(item, (k, 3))} for k in (1, 2, 3)]
    assert set.union(*parts) == {item.name for item in every}
    assert sum(map(len, parts)) == 40
    assert all(len(part) > 5 for part in parts)


# URLs


def test_files_of_an_fsspec_file_system_are_sources(tmp_path):
    need("fsspec")
    import fsspec

    memory = fsspec.filesystem("memory")
    every = ("in/a.mp4", "in/notes.txt", "in/deep/b.mp4", "in/out/a.mp4/shown.mp4")
    for name in (*every, "in/out/.vitruvian/batch.sqlite"):
        memory.pipe(f"/bucket/{name}", b"content")
    try:
        assert names("memory://bucket/in") == ["a.mp4"]
        assert names("memory://bucket/in", recursive=True) == ["a.mp4", "deep/b.mp4"]
        (item,) = items(["memory://bucket/in/deep/b.mp4"])
        assert (item.name, item.paths) == ("b.mp4", ("memory:///bucket/in/deep/b.mp4",))
        memory.pipe("/bucket/in/deep/b.mp4", b"other content")
        assert next(items(["memory://bucket/in/deep/b.mp4"])).stamp != item.stamp
        with refused("cannot read", "no such file or folder"):
            names("memory://nowhere")
    finally:
        memory.rm("/bucket", recursive=True)
    with refused("cannot read 'nosuch://a/b.mp4'"):
        names("nosuch://a/b.mp4")


def test_a_file_url_is_a_file(tmp_path):
    need("fsspec")
    files(tmp_path, "a.mp4")
    (item,) = items([f"file://{tmp_path}"])
    assert item.name == "a.mp4"
    assert json.dumps(item.paths)
    shutil.rmtree(tmp_path)
    with refused("cannot read", "file://", "no such file"):
        names(f"file://{tmp_path}/a.mp4")
