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
# `models` asks `train` to convert a checkpoint, inside a function, and only then.
MODELS = {
    *("body", "geometry", "frame", "network", "decode", "models", "train", "errors"),
    *("documents", "path_index"),
}
SINKS = {"body", "geometry", "frame", "sink", "errors"}
# Package or module -> what of ours it may import. `models`, `source` and `track` are imported by
# `pipeline` only inside functions, so that none of them costs anything before it is used.
MAY_IMPORT = {
    "errors": set(),
    "documents": {"errors"},
    "path_index": {"errors"},
    "geometry": {"geometry", "errors"},
    "body": {"body", "geometry", "errors"},
    "frame": {"geometry", "errors"},
    "network": {"network", "errors"},
    "decode": {"decode", "geometry"},
    "video": {"frame", "errors"},
    "source": {"video", "frame", "errors"},
    "models": MODELS,
    "track": {"body", "decode", "geometry", "frame", "track", "errors"},
    "analyse": {"analyse", "body", "geometry", "frame", "decode", "network", "errors"},
    "threads": set(),
    "progress": set(),
    "pipeline": {"body", "geometry", "frame", "models", "source", "threads", "track", "errors"},
    "pushed": {"body", "frame", "geometry", "pipeline", "track", "errors"},
    "recorded": {"body", "frame", "pipeline", "sink", "source", "track", "errors"},
    "sink": SINKS,
    # `run` and what shows its results do a whole job, as `predict` does.
    "evaluate": {
        *("evaluate", "body", "frame", "geometry", "models", "pipeline", "progress", "sink"),
        *("source", "threads", "errors", "documents", "path_index"),
    },
    "train": {
        *("train", "analyse", "body", "geometry", "decode", "evaluate", "frame", "models"),
        *("network", "threads", "errors"),
    },
    "predict": {
        *("body", "frame", "pipeline", "progress", "recorded", "sink", "source", "threads"),
        *("models", "track", "errors"),
    },
    "analysis_files": {"analyse", "body", "frame", "predict", "sink", "errors"},
    "analysis": {
        *("analyse", "analysis_files", "body", "frame", "pipeline", "predict", "sink", "source"),
        "errors",
    },
    "versus": {
        *("versus", "analyse", "body", "frame", "geometry", "models", "pipeline", "progress"),
        *("sink", "source", "threads", "track", "errors"),
    },
    "interop": {"body", "sink", "frame", "errors"},
    "doctor": {"models", "network", "frame", "errors"},
    "convert": {"body", "frame", "sink", "errors"},
    "cli_words": {"errors", "models"},
    "cli_measure": {"cli_words", "evaluate", "models"},
    "cli_compare": {"cli_words", "sink", "source", "versus", "errors"},
    "cli_files": {"cli_words", "body", "convert"},
    "cli_models": {"cli_words", "models", "network", "sink", "errors", "train"},  # `synth`
    "cli_track": {
        *("cli_words", "errors", "geometry", "models", "pipeline", "predict", "recorded"),
        *("sink", "source", "track"),
    },
    "cli_analyse": {
        *("analyse", "analysis", "analysis_files", "cli_words", "errors", "geometry", "pipeline"),
        "source",
    },
    "cli": {
        *("cli_analyse", "cli_compare", "cli_files", "cli_measure", "cli_models", "cli_track"),
        *("cli_words", "doctor", "errors", "geometry", "models", "pipeline", "predict", "sink"),
        *("source", "track"),
    },
}
# Heavy libraries and their one home each, a module or a whole package.
HOMES = {
    "openvino": {"network/runtimes.py"},
    "onnxruntime": {"network/runtimes.py"},
    "torch": {"train/"},
    "onnx": {"train/export.py"},
    "nncf": {"train/export.py"},
    "av": {"video.py", "sink/video.py", "doctor.py"},
    "matplotlib": {"sink/view3d.py", "sink/plot.py", "sink/report.py"},
    "mpl_toolkits": {"sink/view3d.py"},
    "rerun": {"sink/rrd.py"},
    "pyarrow": {"sink/growing.py", "sink/tables.py"},
    "ezc3d": {"sink/c3d.py"},
    "pandas": {"interop.py"},
    "xarray": {"interop.py"},
    "supervision": {"interop.py"},
    "scipy": {"track/identify.py", "track/butterworth.py", "versus/agreement.py", "train/"},
    "typer": {
        *("cli.py", "cli_analyse.py", "cli_compare.py", "cli_files.py", "cli_measure.py"),
        *("cli_models.py", "cli_track.py", "cli_words.py"),
    },
    "gdown": {"network/weights.py"},
    "anny": {"train/bodies.py"},
    "warp": {"train/bodies.py", "train/render.py"},
    "yaml": {"documents.py"},
    "tomllib": {"documents.py"},
}


@functools.cache
def imports(text: str) -> list[str]:
    """Every module that a source text imports, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def files() -> list[str]:
    return sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", [file for file in files() if file != "__init__.py"])
def test_layers_import_only_what_lies_below(file):
    layer = file.split("/")[0].removesuffix(".py")
    ours = re.findall(r"\bvitruvian\.(\w+)", " ".join(imports((SOURCE / file).read_text())))
    assert set(ours) - {"__version__", "documents"} <= MAY_IMPORT[layer]


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_has_one_home(library):
    users = {
        file
        for file in files()
        if any(name.split(".")[0] == library for name in imports((SOURCE / file).read_text()))
    }
    homes = HOMES[library]
    assert {file if file in homes else f"{file.split('/')[0]}/" for file in users} == homes


def test_the_check_of_imports_sees_those_inside_functions():
    assert imports("def f():\n    import torch\n    from a.b import c") == ["torch", "a.b", "a.b.c"]


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
    code = "import vitruvian.cli, vitruvian.pipeline, vitruvian.predict, vitruvian.models.catalogue"
    code += ", vitruvian.models.yolopose, vitruvian.models.alphapose, vitruvian.network.checkpoint"
    code += ", vitruvian.network.metrabs_archive, vitruvian.models.metrabs"
    assert not loaded(f"{code}, vitruvian.models.blazepose") & {"torch", "openvino", "matplotlib"}


def test_every_public_name_is_there():
    assert set(vitruvian.__all__) - {"__version__"} == set(vitruvian._PUBLIC)
    for name in vitruvian.__all__:
        assert getattr(vitruvian, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = vitruvian.nothing


def test_no_telemetry_is_loaded_with_the_runtime():
    code = "from vitruvian.network.runtimes import import_openvino as i; i()"
    assert not loaded(code) & {"openvino_telemetry", "requests"}
