"""The architecture, as tests: who may import whom, what stays out, and how quickly it starts."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vitruvian

SOURCE = Path(vitruvian.__file__).parent
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # where statements have statements
# Folder, or module at the top -> what lies directly below it; from the bottom up.
BELOW = {
    "errors": set(),
    "documents": {"errors"},
    "stopping": set(),
    "picture_files": {"documents", "errors"},
    "geometry": {"documents", "picture_files", "errors"},
    "frame": {"geometry", "picture_files", "errors"},
    "body": {"documents", "geometry", "errors"},
    "decode": {"geometry"},
    "weights": {"errors"},
    "network": {"weights", "errors"},
    "formats": {"body", "documents", "frame", "geometry", "stopping", "errors"},
    "sources": {"body", "formats", "frame", "picture_files", "weights", "errors"},
    "exports": {"body", "decode", "network", "weights", "errors"},
    "models": {
        *("body", "decode", "documents", "exports", "frame", "geometry", "network", "sources"),
        *("weights", "errors"),
    },
    "streams": {"body", "decode", "frame", "geometry", "models", "sources", "errors"},
    "analysis": {"body", "documents", "frame", "models", "errors"},
    "multiview": {"body", "frame", "geometry", "errors"},
    "rendering": {"body", "formats", "frame", "geometry", "picture_files", "errors"},
    "evaluate": {
        *("body", "documents", "formats", "frame", "geometry", "models", "sources", "errors"),
    },
    "training": {
        *("body", "decode", "documents", "evaluate", "exports", "formats", "frame", "geometry"),
        *("models", "network", "picture_files", "rendering", "sources", "stopping", "weights"),
        "errors",
    },
    "verbs": {
        *("analysis", "body", "documents", "evaluate", "formats", "frame", "geometry", "models"),
        *(
            "exports",
            "multiview",
            "network",
            "picture_files",
            "rendering",
            "sources",
            "stopping",
            "streams",
            "weights",
        ),
        *("decode", "training", "errors"),
    },
    "mediapipe": {
        *("body", "frame", "geometry", "models", "streams", "weights"),
        "errors",
    },
    "cli": {
        *("models", "sources", "stopping", "streams", "verbs"),
        *("weights", "errors"),
    },
}
# Heavy libraries and their one home each, a module or a whole package.
HOMES = {
    "openvino": {"network/openvino.py"},
    "onnxruntime": {"network/onnxruntime.py"},
    "torch": {"exports/", "training/"},
    "onnx": {"exports/export.py"},
    "nncf": {"exports/export.py"},
    "av": {"sources/", "rendering/film.py", "verbs/doctor.py"},
    "matplotlib": {"mediapipe/solutions/drawing_utils.py", "rendering/"},
    "mpl_toolkits": {"rendering/view3d.py"},
    "rerun": {"rendering/rrd.py"},
    "IPython": {"rendering/notebook.py"},
    "pyarrow": {"formats/growing.py", "formats/tables.py"},
    "ezc3d": {"formats/c3d.py"},
    "pandas": {"formats/libraries.py"},
    "xarray": {"formats/libraries.py"},
    "supervision": {"formats/libraries.py"},
    "scipy": {
        *("analysis/cycles.py", "geometry/assignment.py", "geometry/mocap_files.py"),
        *("multiview/boards.py", "multiview/bundle.py", "streams/butterworth.py"),
        *("verbs/batch/join.py", "verbs/compare/agreement.py"),
        "training/",
    },
    "typer": {"cli/"},
    "gdown": {"weights/packages.py"},
    "pi_heif": {"picture_files/"},
    "anny": {"training/synth/bodies.py"},
    "warp": {"training/synth/bodies.py", "training/synth/render.py"},
    "yaml": {"documents.py"},
    "tomllib": {"documents.py"},
    "ray": {"verbs/batch/on_ray.py"},
    "fsspec": {"verbs/batch/store.py"},
    "sqlite3": {"verbs/batch/manifest.py"},
    "fastapi": {"verbs/live/server.py"},
    "uvicorn": {"verbs/live/server.py"},
    "starlette": {"verbs/live/server.py", "verbs/live/outbox.py"},
    "pythonosc": {"verbs/live/triggers.py"},
}


MOST_NAMES = 24  # on the first screen
# Public names that several modules may define: each is called by its module, `coco.read(path)`.
OF_A_MODULE = {"read", "write", "load", "encode", "decode", "Options", "main"}
MOST_HOMONYMS = 22  # of all modules, those of OF_A_MODULE and commands counted too


@functools.cache
def tree(file: str) -> ast.Module:
    """A file of the library, parsed."""
    return ast.parse((SOURCE / file).read_text())


def imports(module: ast.Module) -> list[str]:
    """Every module that a file imports, also inside functions."""
    found, left = [], list[ast.AST](module.body)
    for node in left:  # which grows: statements are inside others, expressions hold none
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        for blocks in (getattr(node, name, ()) for name in BLOCKS):
            left += blocks
    return found


@functools.cache
def imports_of(file: str) -> list[str]:
    return imports(tree(file))


@functools.cache
def files() -> list[str]:
    return sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py"))


def layer(file: str) -> str:
    """The folder of a file, or the name of a module at the top."""
    return file.split("/")[0].removesuffix(".py")


def imported(name: str) -> set[str]:
    """What the files of a layer import of ours: other layers."""
    ours = [file for file in files() if layer(file) == name]
    modules = " ".join(module for file in ours for module in imports_of(file))
    return set(re.findall(r"\bvitruvian\.(\w+)", modules)) - {name, "__version__"}


@functools.cache
def modules_of_names() -> dict[str, list[str]]:
    """Each public `def` and `class` at the top of a module -> the files that define it."""
    places: dict[str, list[str]] = {}
    for file in files():
        if layer(file) == "mediapipe":
            continue  # its names are MediaPipe's
        tops = tree(file).body
        for name in {
            node.name for node in tops if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }:
            if not name.startswith("_"):
                places.setdefault(name, []).append(file)
    return places


def homonyms() -> dict[str, list[str]]:
    """Those that several modules define. `python tests/test_layers.py FOLDER` lists them."""
    return {name: files for name, files in modules_of_names().items() if len(files) > 1}


def is_a_command(name: str, places: list[str]) -> bool:
    """Whether `cli/NAME.py` defines it, and one module of `verbs/`, where Python has it."""
    layers = sorted(layer(file) for file in places)
    return layers == ["cli", "verbs"] and f"cli/{name}.py" in places


def test_a_public_name_is_defined_once():
    """Else nobody, and no tool, can tell which one is meant where it is used."""
    again = {name for name, places in homonyms().items() if not is_a_command(name, places)}
    assert again - OF_A_MODULE == set()
    assert len(homonyms()) <= MOST_HOMONYMS


def test_the_first_screen_is_short():
    names = {layer(file) for file in files()}
    assert names == {"__init__", *BELOW}
    assert len(names) <= MOST_NAMES


def test_layers_go_one_way():
    order = list(BELOW)
    for name, below in BELOW.items():
        assert below <= set(order[: order.index(name)]), name


@pytest.mark.parametrize("name", BELOW)
def test_layers_import_what_lies_below_and_nothing_else(name):
    assert imported(name) == BELOW[name]


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_has_one_home(library):
    users = {
        file for file in files() if any(name.split(".")[0] == library for name in imports_of(file))
    }
    homes = HOMES[library]
    assert {file if file in homes else f"{file.split('/')[0]}/" for file in users} == homes


def test_the_check_of_imports_sees_those_inside_functions():
    code = "def f():\n    import torch\n    from a.b import c"
    assert imports(ast.parse(code)) == ["torch", "a.b", "a.b.c"]
    for block in ("if x", "while x", "for x in y", "with x", "class X"):
        assert imports(ast.parse(f"{block}:\n    import torch")) == ["torch"]
    tried = (
        "try:\n    import a\nexcept X:\n    import b\nelse:\n    import c\nfinally:\n    import d"
    )
    matched = "match x:\n    case 1:\n        import a\n    case 2:\n        import b"
    for code in (tried, matched):
        assert sorted(imports(ast.parse(code))) == re.findall(r"import (\w)", code)


def loaded(code: str) -> set[str]:
    """The top-level modules that are there after running some code in a new Python."""
    code += "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "openvino", "matplotlib", "av", "cv2", "numpy", "rich", "PIL", "scipy"}


def test_importing_vitruvian_loads_nothing_heavy():
    assert not loaded("import vitruvian") & HEAVY


def test_the_check_of_heavy_modules_can_fail():
    assert "numpy" in loaded("import vitruvian; vitruvian.Poses")


def test_inference_never_imports_torch():
    code = "import vitruvian.cli.app, vitruvian.streams.stream, vitruvian.verbs.predict"
    code += ", vitruvian.verbs.triangulate"
    code += ", vitruvian.models.load"
    code += ", vitruvian.models.yolopose, vitruvian.models.alphapose, vitruvian.weights.checkpoint"
    code += ", vitruvian.weights.metrabs_archive, vitruvian.models.metrabs"
    heavy = {"torch", "openvino", "matplotlib", "scipy"}  # half a second of each run, and 50 MB
    assert not loaded(f"{code}, vitruvian.models.blazepose") & heavy


def test_every_public_name_is_there():
    assert set(vitruvian.__all__) - {"__version__"} == set(vitruvian._PUBLIC)
    for name in vitruvian.__all__:
        assert getattr(vitruvian, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = vitruvian.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_no_module_has_a_public_name():
    """Python would set the module in place of the function, or the function hide the module."""
    assert not {layer(file) for file in files()} & set(vitruvian._PUBLIC)
    import vitruvian.streams.wanted as before

    function = vitruvian.stream
    import vitruvian.streams.wanted as after

    assert before is after is sys.modules["vitruvian.streams.wanted"]
    assert vitruvian.stream is function
    assert function.__name__ == "stream"


def test_no_telemetry_is_loaded_with_the_runtime():
    code = "from vitruvian.network.openvino import import_openvino as i; i()"
    assert not loaded(code) & {"openvino_telemetry", "requests"}


if __name__ == "__main__":  # python tests/test_layers.py [FOLDER ...]: homonyms of these folders
    for name, places in sorted(homonyms().items()):
        if not sys.argv[1:] or any(file.startswith(tuple(sys.argv[1:])) for file in places):
            print(f"{name:24}", *places)
