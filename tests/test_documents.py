"""Files that others wrote: what is refused, and how it is said."""

import pytest

from conftest import is_one_line, refused
from vitruvian.documents import parse_json, read_json, read_text, read_toml, read_xml, read_yaml
from vitruvian.errors import LONGEST, VitruvianError, shown


@pytest.fixture
def file(tmp_path):
    def write(text, name="a.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_byte_order_mark_is_no_part_of_the_text(file):
    assert read_text(file(b"\xef\xbb\xbfa")) == "a"


def test_text_that_is_not_utf8_is_refused_with_its_line_and_not_with_all_of_it(file):
    with pytest.raises(VitruvianError) as caught:
        read_text(file(b"a\nM\xfcller" + b"x" * 100_000))
    is_one_line(caught.value, "line 2", "0xfc", "UTF-8")
    assert len(str(caught.value)) <= LONGEST


def test_what_never_ends_is_refused():
    with refused("/dev/zero", "more than"):
        read_text("/dev/zero", 1000)


@pytest.mark.parametrize("name", ["missing.txt", "a\0b", "x" * 5000])
def test_a_file_that_is_not_there_is_one_line(name):
    with refused("cannot read"):
        read_text(name)


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": 1e999}', "-1e999", "9" * 19, "1" * 5000]
)
def test_numbers_of_json_are_finite_and_of_64_bits(text):
    with refused("a number"):
        parse_json(text, "a.json")
    assert parse_json("[1.5, 9223372036854775807]", "a.json") == [1.5, 2**63 - 1]


@pytest.mark.parametrize("text", ["a = nan", "a = [inf]", f"a = [{{b = {10**30}}}]", "a = 1e999"])
def test_numbers_of_toml_are_finite_and_of_64_bits(file, text):
    with refused("a number"):
        read_toml(file(text))


@pytest.mark.parametrize("text", ["a: .nan", "a: [.inf]", f"a: {10**30}", "a: 1e999"])
def test_numbers_of_yaml_are_finite_and_of_64_bits(file, text):
    with refused("a number"):
        read_yaml(file(text))


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_json, "[" * 100_000),
        (read_json, "[" * 100_000 + "]" * 100_000),
        (read_toml, "a = " + "[" * 5000 + "]" * 5000),
        (read_yaml, "a: " + "[" * 5000 + "]" * 5000),
    ],
)
def test_depth_is_bounded(file, read, text):
    with refused("nested too deeply"):
        read(file(text))


@pytest.mark.parametrize(
    ("read", "text"),
    [(read_json, "{"), (read_toml, "= 1"), (read_yaml, "a: [1"), (read_yaml, "\0")],
)
def test_what_is_something_else_is_refused_in_one_line(file, read, text):
    with refused("cannot read", "it is not" if read is not read_json else "is not valid JSON"):
        read(file(text))


def test_yaml_says_words_numbers_and_nothing_as_they_are_written(file):
    text = (
        "%YAML:1.0\n---\na: no\nb: 1e-3\nc: 2024-05-01\nd: 12:30\ne: 010\nf: null\ng: True\nh: .5\n"
    )
    said = read_yaml(file(text))
    assert said["a"] == "no"
    assert said["b"] == 1e-3
    assert said["c"] == "2024-05-01"
    assert said["d"] == "12:30"
    assert said["e"] == 10
    assert said["f"] is None
    assert said["g"] is True
    assert said["h"] == 0.5


def test_yaml_of_opencv_is_read(file):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    path = file("", "a.yaml")
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("K", np.array([[1.0, 0, 2], [0, 1e-20, 3], [0, 0, 1]]))
    storage.release()
    assert read_yaml(path)["K"]["data"] == [1, 0, 2, 0, 1e-20, 3, 0, 0, 1]


def test_xml_of_opencv_is_read(file):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    path = file("", "a.xml")
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("K", np.array([[1.0, 0, 2], [0, 1e-20, 3], [0, 0, 1]]))
    storage.write("model", "two words")
    storage.release()
    said = read_xml(path)["opencv_storage"]
    assert said["K"]["data"] == [1, 0, 2, 0, 1e-20, 3, 0, 0, 1]
    assert said["model"] == "two words"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        ("<a>1 nan</a>", "not finite"),
        ("<a>", "not valid XML"),
        ("<a>" * 5000 + "</a>" * 5000, "nested too deeply"),
    ],
)
def test_what_xml_may_not_say_is_refused(file, text, words):
    with refused("a.txt", words):
        read_xml(file(text))


def test_aliases_of_yaml_are_refused(file):
    with refused("alias"):
        read_yaml(file("a: &x [1, 2]\nb: [*x, *x]\n"))


def test_a_value_is_shown_in_one_short_line():
    assert shown("a\nb") == "a\\nb"
    assert len(shown("x" * 10_000, 60)) == 60
    assert shown("\udce9\x1b[31m") == "\\udce9\\x1b[31m"
    assert len(str(VitruvianError("x" * 10_000))) <= LONGEST
