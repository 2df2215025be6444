"""Families: one vocabulary of options, and all that the rest may know of them in one record."""

import re
from pathlib import Path
from typing import get_args

import pytest

import vitruvian
from vitruvian.errors import VitruvianError
from vitruvian.models.load import FAMILIES, family_of, load, open_model
from vitruvian.models.options import Count, OddOrZero, Share, StreamDefaults
from vitruvian.models.spec import ModelSpec

SHARED = ("num_poses", "conf", "precision", "threads", "device", "track", "smooth")
# What may tell one family from another: their own folder, networks that are converted, what trains
# ours, and what stands in for MediaPipe, which has one family.
KNOW = ("models/", "exports/", "training/", "mediapipe/", "weights/metrabs_archive.py")


@pytest.mark.parametrize("option", SHARED)
def test_every_family_has_the_same_word_for_the_same_thing(option):
    assert all(family.takes(option) for family in FAMILIES.values())


def test_nobody_else_knows_a_family_by_its_name():
    named = re.compile(rf"""["']({"|".join(FAMILIES)})["']|models\.({"|".join(FAMILIES)})\b""")
    source = Path(vitruvian.__file__).parent
    files = (path.relative_to(source).as_posix() for path in source.rglob("*.py"))
    extra = re.compile(r"pip_install\([^)]*\)")  # one has a family's name
    know = [file for file in files if named.search(extra.sub("", (source / file).read_text()))]
    assert [file for file in know if not file.startswith(KNOW)] == []


@pytest.mark.parametrize(
    ("family", "theirs", "value", "ours"),
    [
        ("blazepose", "min_pose_detection_confidence", 0.3, "conf"),
        ("blazepose", "min_pose_presence_confidence", 0.3, "presence"),
        ("blazepose", "output_segmentation_masks", True, "masks"),
        ("metrabs", "num_aug", 5, "augment"),
    ],
)
def test_the_words_of_others_are_accepted(family, theirs, value, ours):
    options, _ = FAMILIES[family].read({theirs: value})
    assert getattr(options, ours) == value


def test_a_stream_knows_mediapipes_word():
    _, wanted = FAMILIES["blazepose"].read({"min_tracking_confidence": 0.9})
    assert wanted == StreamDefaults(smooth=True, detect_every=5, same_from=0.9)


def test_conf_is_the_threshold_of_both_networks_of_blazepose():
    options, _ = FAMILIES["blazepose"].read({"conf": 0.3})
    assert (options.conf, options.presence) == (0.3, 0.3)
    detection, _ = FAMILIES["blazepose"].read({"min_pose_detection_confidence": 0.3})
    assert (detection.conf, detection.presence) == (0.3, None)


def test_the_same_thing_is_not_said_twice():
    with pytest.raises(VitruvianError, match="num_aug is augment, which is also given"):
        FAMILIES["metrabs"].read({"augment": 5, "num_aug": 1})


def test_who_finds_people_in_each_frame_has_no_pause_between_detections():
    with pytest.raises(VitruvianError, match="no YOLOv8-pose option named 'detect_every'"):
        FAMILIES["yolopose"].read({"detect_every": 5})


def test_who_is_given_several_times_has_no_number():
    assert FAMILIES["metrabs"].read({"average": False})[1].track is False
    assert FAMILIES["metrabs"].read({})[1].track is True


def test_a_model_says_what_its_streams_do():
    model = load("blazepose-full,detect_every=9", smooth=False)
    assert model.wanted == StreamDefaults(smooth=False, detect_every=9, same_from=0.5)
    assert (model.options["detect_every"], model.options["smooth"]) == (9, False)


def test_a_spec_comes_before_what_goes_for_all_models():
    model = open_model(ModelSpec.parse("blazepose-full,num_poses=3"), [], num_poses=2, conf=0.4)
    assert (model.options["num_poses"], model.options["conf"]) == (3, 0.4)


def test_which_family_looks_for_one_person():
    assert [name for name, family in FAMILIES.items() if family.one_person] == ["blazepose"]
    assert family_of("vitruvian-2d") is FAMILIES["alphapose"]


@pytest.mark.parametrize("value", [True, "0.5", None, -0.1, 1.5, float("nan")])
def test_a_share_is_a_number_from_0_to_1(value):
    with pytest.raises(VitruvianError, match=r"conf is .*, want a number from 0 to 1"):
        FAMILIES["yolopose"].options.of(conf=value)


def test_types_say_what_a_value_may_be():
    rules = {kind: get_args(kind)[1:] for kind in (Share, Count, OddOrZero)}
    assert rules[Share][0].words == "a number from 0 to 1"
    assert rules[Count][0].words == "a whole number from 1"
    assert [rule.good(4) for rule in rules[OddOrZero]] == [True, False]
