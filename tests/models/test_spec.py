"""A model as it is asked for: name, options and label."""

import pytest

from vitruvian.errors import VitruvianError
from vitruvian.models.spec import ModelSpec, model_specs


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("blazepose-full", "blazepose-full", {}),
        ("yolov8n-pose,conf=0.4", "yolov8n-pose", {"conf": 0.4}),
        (
            "alphapose-x,flip=true,scales=0.75,1,find=yolov8n-pose",
            "alphapose-x",
            {"flip": True, "scales": (0.75, 1), "find": "yolov8n-pose"},
        ),
        (
            "a/b.onnx, threads = 2, detect_every=none",
            "a/b.onnx",
            {"threads": 2, "detect_every": None},
        ),
        ("m,skeleton=my own.toml", "m", {"skeleton": "my own.toml"}),
    ],
)
def test_words_give_the_name_and_the_options(text, name, options):
    spec = ModelSpec.parse(text)
    assert (spec.name, spec.options) == (name, options)


def test_the_label_is_the_file_and_its_options():
    assert ModelSpec.parse("a/b.onnx,threads=2").label == "b.onnx (threads=2)"
    assert ModelSpec.parse("yolov8n-pose").label == "yolov8n-pose"


def test_what_is_no_option_is_told():
    with pytest.raises(VitruvianError, match=r"'flip' is not an option; write name=value"):
        ModelSpec.parse("vitruvian-2d,flip,conf=0.4")


def test_a_file_may_have_a_comma_in_its_name(tmp_path):
    file = tmp_path / "a,b.onnx"
    file.touch()
    assert ModelSpec.parse(str(file)).name == str(file)
    spec = ModelSpec.parse(f"{file},threads=2")
    assert (spec.name, spec.options) == (str(file), {"threads": 2})


def test_what_a_spec_says_itself_comes_first():
    spec = ModelSpec.parse("yolov8n-pose,conf=0.4").with_defaults(conf=0.2, threads=2, find=None)
    assert spec.options == {"conf": 0.4, "threads": 2}


def test_two_of_one_label_are_refused():
    with pytest.raises(VitruvianError, match="two models are named 'yolov8n-pose'"):
        model_specs(["yolov8n-pose", ModelSpec.parse("yolov8n-pose")])
