"""Checkpoints are read without running anything from them."""

import builtins
import copy
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from conftest import SHARED
from vitruvian.errors import VitruvianError
from vitruvian.weights import checkpoint, unpickle


def archive(path: Path, data: bytes, root: str = "archive", **members: bytes) -> Path:
    """A .pt file of a pickle and raw storages (d0=..., named data/0)."""
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(f"{root}/data.pkl", data)
        for name, value in members.items():
            out.writestr(f"{root}/data/{name[1:]}", value)
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    digits = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(digits)]) + digits


def row(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *,
    numel: int = 6,
    offset: int = 0,
    key: str = "0",
    kind: str = "FloatStorage",
) -> bytes:
    """The operations of a pickle that describe one tensor, as torch.save writes them."""
    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n"
    storage += text(key) + text("cpu") + number(numel) + b"tQ"
    rest = number(offset) + row(*shape) + row(*strides) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


def state_dict(*items: bytes) -> bytes:
    rows = b"".join(text(f"w{i}") + item for i, item in enumerate(items))
    return b"\x80\x02}(" + rows + b"u."


def module(children: bytes = b"", parameters: bytes = b"") -> bytes:
    """A module of an unknown class; the arguments are pairs of operations."""
    dicts = (("_parameters", parameters), ("_buffers", b""), ("_modules", children))
    state = b"".join(text(name) + b"}(" + pairs + b"u" for name, pairs in dicts)
    return b"cultralytics.nn.tasks\nPoseModel\n)\x81}(" + state + b"ub"


SIX = np.arange(6, dtype="<f4")


def test_a_tensor_is_read_with_its_strides_and_offset(tmp_path: Path) -> None:
    data = state_dict(tensor((2, 3), (3, 1)), tensor((3, 2), (1, 3)), tensor((2,), (2,), offset=1))
    read = checkpoint.read(archive(tmp_path / "a.pt", data, "any name", d0=SIX.tobytes())).tensors
    np.testing.assert_array_equal(read["w0"], SIX.reshape(2, 3))
    np.testing.assert_array_equal(read["w1"], SIX.reshape(2, 3).T)
    np.testing.assert_array_equal(read["w2"], [1, 3])
    assert not read["w0"].flags.writeable


@pytest.mark.parametrize("kind", unpickle.STORAGES)
def test_every_type_of_number_is_read(tmp_path: Path, kind: str) -> None:
    raw = {"torch.BFloat16Storage": (SIX.view("<u4") >> 16).astype("<u2")}
    numbers = raw[kind] if kind in raw else SIX.astype(unpickle.STORAGES[kind])
    data = state_dict(tensor((6,), (1,), kind=kind.removeprefix("torch.")))
    read = checkpoint.read(archive(tmp_path / "a.pt", data, d0=numbers.tobytes())).tensors["w0"]
    np.testing.assert_array_equal(read, SIX.astype(read.dtype))


@pytest.mark.parametrize("key", ["ema", "model", "state_dict"])
def test_a_module_is_found_and_walked(tmp_path: Path, key: str) -> None:
    inner = module(parameters=text("weight") + tensor((6,), (1,)) + text("bias") + b"N")
    data = b"\x80\x02}(" + text(key) + module(children=text("model") + inner) + b"u."
    read = checkpoint.read(archive(tmp_path / "a.pt", data, d0=SIX.tobytes()))
    assert list(read.tensors) == ["model.weight"]
    assert "ultralytics" not in sys.modules


def test_ema_is_taken_before_the_model_unless_it_is_empty(tmp_path: Path) -> None:
    def holding(name: str) -> bytes:
        return module(parameters=text(name) + tensor((6,), (1,)))

    def read(ema: bytes) -> list[str]:
        data = b"\x80\x02}(" + text("model") + holding("a") + text("ema") + ema + b"u."
        return list(checkpoint.read(archive(tmp_path / "a.pt", data, d0=SIX.tobytes())).tensors)

    assert read(holding("b")) == ["b"]
    assert read(b"N") == ["a"]


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


def attacks(mark: Path) -> dict[str, object]:
    code = f"open({str(mark)!r}, 'w')"
    return {
        "os.system": Calls(os.system, f"touch {mark}"),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "open": Calls(open, str(mark), "w"),
        "popen": Calls(subprocess.Popen, ["touch", str(mark)]),
        "import": Calls(builtins.__import__, "this"),
        "a method": Calls(mark.touch),
        "delayed": Calls(os.system, f"touch {mark}").__reduce__,
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("attack", attacks(Path()))
def test_a_pickle_that_calls_something_is_refused(
    tmp_path: Path, attack: str, protocol: int
) -> None:
    mark = tmp_path / "mark"
    inside = {"model": attacks(mark)[attack], "epoch": -1}
    file = archive(tmp_path / "a.pt", pickle.dumps(inside, protocol))
    with pytest.raises(VitruvianError, match="cannot read") as caught:
        checkpoint.read(file)
    assert not mark.exists()
    assert "\n" not in str(caught.value)


def test_what_is_refused_is_named(tmp_path: Path) -> None:
    with pytest.raises(VitruvianError, match=r"names '(posix|nt)\.system'"):
        checkpoint.read(archive(tmp_path / "a.pt", pickle.dumps({"model": os.system}, 2)))


DEEP = b"}" + b"".join(text("w") + b"}" for _ in range(1000)) + b"s" * 1000
MANY = b"](" + b"N" * 2_100_000 + b"e."
BROKEN = {
    "no pickle": b"",
    "no end": b"\x80\x02}",
    "nothing": b"\x80\x02N.",
    "a number": b"\x80\x02K\x05.",
    "an empty dict": b"\x80\x02}.",
    "a dict of numbers": b"\x80\x02}(" + text("w") + b"K\x01u.",
    "an empty stack": b"\x80\x02.",
    "no mark": b"\x80\x02}u.",
    "half a pair": b"\x80\x02}(" + text("w") + b"u.",
    "an unknown memo": b"\x80\x02h\x07.",
    "a text longer than the file": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a text that is not UTF-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
    "an unknown operation": b"\x80\x02\xff.",
    "an old operation": b"(ios\nsystem\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a computed name": b"\x80\x04}N\x93.",
    "a state for a number": b"\x80\x02}(" + text("w") + b"K\x01}b" + b"u.",
    "a list as a key": b"\x80\x02}]K\x01s.",
    "a tower of tuples as a key": b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
    "a line break in a name": b"\x80\x04" + text("os\n") + text("system") + b"\x93.",
    "a call of what it made": b"\x80\x02c__builtin__\ngetattr\n)R)R.",
    "a storage of nothing": b"\x80\x02NQ.",
    "a storage of an unknown kind": b"\x80\x02(" + text("storage") + b"NNNNtQ.",
    "a tensor of nothing": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR.",
    "dicts in dicts": b"\x80\x02" + DEEP + b".",
    "too many operations": b"\x80\x02" + MANY,
    "a huge memo": b"\x80\x02}r\xff\xff\xff\x7f.",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pickle_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(VitruvianError, match=r"cannot read '.*a\.pt': \w") as caught:
        checkpoint.read(archive(tmp_path / "a.pt", BROKEN[name], d0=SIX.tobytes()))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


WRONG_TENSORS = {
    "larger than its storage": tensor((7,), (1,)),
    "behind its storage": tensor((3,), (2,), offset=2),
    "before its storage": tensor((1,), (1,), offset=-1),
    "backwards": tensor((2,), (-1,), offset=3),
    "negative": tensor((-1,), (1,)),
    "as large as the world": tensor((1 << 40,), (0,)),
    "large, and empty": tensor((0, 1 << 60), (1, 1)),
    "of too many axes": tensor((1,) * 9, (1,) * 9),
    "of two minds": tensor((2, 3), (1,)),
    "cut short": tensor((6,), (1,), numel=7),
    "in another file": tensor((6,), (1,), key="../../../../etc/passwd"),
    "of complex numbers": tensor((6,), (1,), kind="ComplexFloatStorage"),
    "quantised": tensor((6,), (1,)).replace(b"_rebuild_tensor_v2", b"_rebuild_qtensor"),
}


@pytest.mark.parametrize("name", WRONG_TENSORS)
def test_a_tensor_that_lies_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(VitruvianError, match="cannot read"):
        checkpoint.read(
            archive(tmp_path / "a.pt", state_dict(WRONG_TENSORS[name]), d0=SIX.tobytes())
        )


def test_strides_of_single_numbers_do_not_matter(tmp_path: Path) -> None:
    data = state_dict(tensor((1, 1), (1 << 70, 1)))
    read = checkpoint.read(archive(tmp_path / "a.pt", data, d0=SIX.tobytes()))
    assert read.tensors["w0"].tolist() == [[0]]


def test_modules_in_a_circle_or_in_a_tower_are_refused(tmp_path: Path) -> None:
    circle = b"\x80\x02" + module(children=b"").replace(
        b"_modules}(u", b"_modules}(" + text("m") + b"h\x00u"
    ).replace(b")\x81", b")\x81q\x00", 1)
    tower = module()
    for _ in range(40):  # 2 ** 40 ways to the lowest
        tower = module(children=text("a") + tower + b"q\x01" + text("b") + b"h\x01")
    for data in (circle + b".", b"\x80\x02" + tower + b"."):
        with pytest.raises(VitruvianError, match="cannot read"):
            checkpoint.read(archive(tmp_path / "a.pt", data))


def test_broken_archives_are_refused(tmp_path: Path) -> None:
    whole = archive(
        tmp_path / "whole.pt", state_dict(tensor((6,), (1,))), d0=SIX.tobytes()
    ).read_bytes()
    files = {"empty": b"", "words": b"no checkpoint", "half": whole[: len(whole) // 2]}
    flipped = bytearray(whole)
    flipped[whole.index(SIX.tobytes())] ^= 1
    files["flipped"] = bytes(flipped)
    for name, content in files.items():
        file = tmp_path / f"{name}.pt"
        file.write_bytes(content)
        with pytest.raises(VitruvianError, match="cannot read"):
            checkpoint.read(file)
    with pytest.raises(VitruvianError, match="No such file"):
        checkpoint.read(tmp_path / "missing.pt")
    with pytest.raises(VitruvianError, match="directory"):
        checkpoint.read(tmp_path)


def test_a_compressed_or_doubled_archive_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a/data.pkl", state_dict(tensor((6,), (1,))) + bytes(10_000_000))
    double = tmp_path / "double.pt"
    with zipfile.ZipFile(double, "w") as out:
        out.writestr("a/data.pkl", b"\x80\x02N.")
        out.writestr("../b/data.pkl", b"\x80\x02N.")
    for file in (bomb, double):
        with pytest.raises(VitruvianError, match="cannot read"):
            checkpoint.read(file)
    big = archive(tmp_path / "big.pt", state_dict(tensor((6,), (1,))), d0=SIX.tobytes())
    with zipfile.ZipFile(big, "a") as out:
        out.writestr("archive/byteorder", b"big")
    with pytest.raises(VitruvianError, match="big-endian"):
        checkpoint.read(big)


def test_torch_writes_what_we_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (the train extra)")
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.SiLU()
    )
    network.register_buffer("passing", torch.ones(3), persistent=False)
    want = {name: value.numpy() for name, value in network.state_dict().items()}
    for i, (kind, saved) in enumerate(
        [
            ("state dict", network.state_dict()),
            ("module", network),
            ("model", {"model": network, "ema": None, "epoch": -1}),
            ("half", {"ema": copy.deepcopy(network).half(), "optimizer": {"lr": 0.1}}),
        ]
    ):
        for protocol in (2, 4):
            file = tmp_path / f"{i}.pt"
            torch.save(saved, file, pickle_protocol=protocol)
            read = checkpoint.read(file).tensors
            assert list(read) == list(want), kind
            for name, value in read.items():
                np.testing.assert_allclose(value, want[name], atol=1e-3)
                assert value.dtype == want[name].dtype or kind == "half"


# Streams: what PyTorch wrote before 1.6


def stream(
    *items: bytes,
    keys: Sequence[object] | None = None,
    magic: int = 0x1950A86A20F9469CFC6C,
    version: int = 1001,
    little: bool = True,
    described: bytes | None = None,
    raw: bytes = struct.pack("<q", 6) + SIX.tobytes(),
) -> bytes:
    """A state dict of tensors, w0 and so on, as a stream."""
    machine = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"long": 8}}
    heads = b"".join(pickle.dumps(value, 2) for value in (magic, version, machine))
    described = state_dict(*items) if described is None else described
    return heads + described + pickle.dumps(["0"] if keys is None else keys, 2) + raw


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_stream_is_read_as_a_zip_archive_is(tmp_path: Path) -> None:
    items = tensor((2, 3), (3, 1)), tensor((3, 2), (1, 3)), tensor((2,), (2,), offset=1)
    read = checkpoint.read(write(tmp_path / "a.pth", stream(*items))).tensors
    np.testing.assert_array_equal(read["w0"], SIX.reshape(2, 3))
    np.testing.assert_array_equal(read["w1"], SIX.reshape(2, 3).T)
    np.testing.assert_array_equal(read["w2"], [1, 3])
    assert not read["w0"].flags.writeable


@pytest.mark.parametrize("kind", unpickle.STORAGES)
def test_every_type_of_number_is_read_from_a_stream(tmp_path: Path, kind: str) -> None:
    raw = {"torch.BFloat16Storage": (SIX.view("<u4") >> 16).astype("<u2")}
    numbers = raw[kind] if kind in raw else SIX.astype(unpickle.STORAGES[kind])
    item = tensor((6,), (1,), kind=kind.removeprefix("torch."))
    data = stream(item, raw=struct.pack("<q", 6) + numbers.tobytes())
    read = checkpoint.read(write(tmp_path / "a.pth", data)).tensors["w0"]
    np.testing.assert_array_equal(read, SIX.astype(read.dtype))


def test_only_the_storages_of_the_module_are_taken_from_a_stream(tmp_path: Path) -> None:
    one, two = tensor((6,), (1,), key="1"), tensor((3,), (1,), key="2", numel=3)
    described = b"\x80\x02}(" + text("model") + state_dict(two)[2:-1]
    described += text("optimizer") + state_dict(one)[2:-1] + b"u."
    raw = struct.pack("<q", 6) + bytes(24) + struct.pack("<q", 3) + SIX[3:].tobytes()
    data = stream(described=described, keys=["1", "2"], raw=raw)
    read = checkpoint.read(write(tmp_path / "a.pth", data))
    assert list(read.tensors) == ["w0"]
    np.testing.assert_array_equal(read.tensors["w0"], [3, 4, 5])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("attack", attacks(Path()))
@pytest.mark.parametrize("place", range(5))
def test_no_pickle_of_a_stream_can_call_anything(
    tmp_path: Path, attack: str, protocol: int, place: int
) -> None:
    mark = tmp_path / "mark"
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001)]
    parts += [pickle.dumps({"little_endian": True}, 2), state_dict(tensor((6,), (1,)))]
    parts += [pickle.dumps(["0"], 2)]
    parts[place] = pickle.dumps({"model": attacks(mark)[attack]}, protocol)
    data = b"".join(parts) + struct.pack("<q", 6) + SIX.tobytes()
    with pytest.raises(VitruvianError, match="cannot read") as caught:
        checkpoint.read(write(tmp_path / "a.pth", data))
    assert not mark.exists()
    assert "\n" not in str(caught.value)


ONE = tensor((6,), (1,))
WRONG_STREAMS = {
    "another number": stream(ONE, magic=7),
    "another version": stream(ONE, version=1002),
    "big-endian": stream(ONE, little=False),
    "no keys": stream(ONE, keys=[]),
    "keys that are not described": stream(ONE, keys=["0", "1"]),
    "a key twice": stream(ONE, keys=["0", "0"]),
    "keys of another type": stream(ONE, keys=[0]),
    "a key that cannot be one": stream(ONE, keys=[["0"]]),
    "keys that are no list": stream(ONE)[: -len(pickle.dumps(["0"], 2)) - 32] + b"\x80\x02N.",
    "too many keys": stream(ONE, keys=["0"] * 100_001),
    "a count that is wrong": stream(ONE, raw=struct.pack("<q", 5) + bytes(24)),
    "a negative count": stream(ONE, raw=struct.pack("<q", -1) + bytes(24)),
    "a count as large as the world": stream(tensor((6,), (1,), numel=1 << 60)),
    "a storage of two sizes": stream(ONE, tensor((6,), (1,), kind="DoubleStorage")),
    "a storage that is a view": stream(ONE.replace(b"tQ", text("0") + b"tQ")),
    "a text longer than the file": stream(described=b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fa."),
    "too many operations": stream(described=b"\x80\x02" + MANY),
    **{f"described by {name}": stream(described=data) for name, data in BROKEN.items()},
    **{f"a tensor {name}": stream(item) for name, item in WRONG_TENSORS.items()},
}


@pytest.mark.parametrize("name", WRONG_STREAMS)
def test_a_stream_that_lies_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "a.pth", WRONG_STREAMS[name])
    with pytest.raises(VitruvianError, match=r"cannot read '.*a\.pth': .") as caught:
        checkpoint.read(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_stream_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = stream(ONE)
    assert list(checkpoint.read(write(tmp_path / "a.pth", whole)).tensors) == ["w0"]
    for length in range(len(whole)):
        with pytest.raises(VitruvianError, match="cannot read"):
            checkpoint.read(write(tmp_path / "a.pth", whole[:length]))


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_torch_writes_the_streams_that_we_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (the train extra)")
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    want = {name: value.numpy() for name, value in network.state_dict().items()}
    saved = {"state dict": network.state_dict(), "module": network, "in a dict": {"model": network}}
    saved["with an optimizer"] = {"state_dict": network.state_dict(), "optimizer": {"a": [1.5]}}
    for kind, value in saved.items():
        for protocol in (2, 3, 4, 5):
            torch.save(
                value,
                tmp_path / "a.pth",
                pickle_protocol=protocol,
                _use_new_zipfile_serialization=False,
            )
            read = checkpoint.read(tmp_path / "a.pth").tensors
            assert list(read) == list(want), kind
            for name, numbers in read.items():
                np.testing.assert_array_equal(numbers, want[name])
                assert numbers.dtype == want[name].dtype


@pytest.mark.shared
@pytest.mark.weights
def test_an_official_checkpoint_is_read() -> None:
    file = SHARED / "weights/yolov8n-pose.pt"
    if not file.exists():
        pytest.skip("../shared/weights/yolov8n-pose.pt is not here")
    read = checkpoint.read(file)
    rows = (SHARED / "specs/keys/yolov8n_pose_keys.txt").read_text().splitlines()
    want = {name: shape for name, shape, _ in (line.split("\t") for line in rows)}
    assert {name: str(value.shape) for name, value in read.tensors.items()} == want
    assert read.attributes["kpt_shape"] == [17, 3]
    assert read.attributes["names"] == {0: "person"}
