"""Checkpoints are read without running anything from them."""

import builtins
import copy
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import VitruvianError
from vitruvian.network import checkpoint

SHARED = Path(__file__).parents[2] / "shared"


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


@pytest.mark.parametrize("kind", checkpoint.STORAGES)
def test_every_type_of_number_is_read(tmp_path: Path, kind: str) -> None:
    raw = {"bf16": (SIX.view("<u4") >> 16).astype("<u2")}
    written = checkpoint.STORAGES[kind]
    numbers = raw[written] if written in raw else SIX.astype(written)
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
    files["legacy"] = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
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
