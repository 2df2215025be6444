"""Look up rules by name, and load custom rules: Python functions of `Body`, or a TOML file.

A TOML file has thresholds on angles and distances:

[rules.deep_squat]
all = [
    { angle = "left_knee_flexion", above = 90 },
    { angle = "trunk_tilt", below = 45, soft = 10 },
]

[rules.hand_at_chin]
any = [
    { distance = ["left_wrist", "mouth_left"], below = 0.3 },
    { distance = ["right_wrist", "mouth_right"], below = 0.3 },
]

Angles are those of docs/angles.md, in degrees; distances are between keypoints or points, in trunks
(middle of the shoulders to middle of the hips). A condition holds by half at its threshold, and
from not at all to fully within `soft` on either side: 5 degrees, or 0.05 trunks, if it does not
say.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.analysis.angles import TABLE
from vitruvian.analysis.gestures import fist, looking_away, open_palm, pinch, pointing
from vitruvian.analysis.points import POINTS
from vitruvian.analysis.posture import (
    Body,
    Rule,
    all_of,
    any_of,
    arms_raised,
    hands_at_pockets,
    hands_in_pockets,
    hands_near_body,
    hands_on_hips,
    leaning,
    lying,
    of_keypoints,
    ramp,
    seated,
    using_phone,
)
from vitruvian.body.skeletons import SKELETONS
from vitruvian.documents import read_toml, unreadable
from vitruvian.errors import VitruvianError, shown, unknown

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        *map(of_keypoints, (seated, arms_raised, lying, leaning, hands_on_hips, using_phone)),
        *(hands_in_pockets, of_keypoints(hands_at_pockets), of_keypoints(hands_near_body)),
        *map(of_keypoints, (pinch, fist, pointing, open_palm, looking_away)),
    )
}
GESTURES = ("pinch", "fist", "pointing", "open_palm", "looking_away")  # of hands and heads
# Not included in `all`: weaker versions of other rules, and what most models have no keypoints for.
LESSER = ("hands_at_pockets", "hands_near_body", *GESTURES)
SOFT = {"angle": 5.0, "distance": 0.05}  # degrees, trunks
VALUES = {"angle": "{:.0f}°", "distance": "{:.2f} trunks"}  # in the evidence of events
MOST = 1000.0  # of them, in what a threshold may be
LONGEST = 60  # characters of a name: it is drawn
_ANGLES = {angle.name for angle in TABLE}
_PLACES = {*POINTS, *(name for table in SKELETONS.values() for name in table.keypoints)}


def parse_rules(words: str | Iterable[str]) -> dict[str, Rule]:
    """Parse words into rules by name, such as `seated`, `all`, `mine.toml` and `mine.py:squat`.

    `all` are those of `RULES` but for `LESSER`; `gestures` are those of `GESTURES`. Of a .py file
    the function of that name is the rule; the file is run.

    Raises:
        VitruvianError: there is no such rule, a file is not as it should be, or two rules have the
            same name.
    """
    words = words.split(",") if isinstance(words, str) else list(words)
    found: dict[str, Rule] = {}
    for word in filter(None, (word.strip() for word in words)):
        file, colon, function = word.rpartition(":")
        if word == "all":
            new = {name: rule for name, rule in RULES.items() if name not in LESSER}
        elif word == "gestures":
            new = {name: RULES[name] for name in GESTURES}
        elif word.lower().endswith(".toml"):
            new = read(word)
        elif colon and file.lower().endswith(".py"):
            new = {function: _function(file, function)}
        elif word.lower().endswith(".py"):
            raise VitruvianError(f"'{word}' is a file; name its function: '{word}:NAME'")
        elif word in RULES:
            new = {word: RULES[word]}
        else:
            raise unknown("rule", word, [*RULES, "all", "gestures"])
        for name, rule in new.items():
            if found.setdefault(name, rule) is not rule:
                raise VitruvianError(f"two rules are named '{name}'; rename one")
    if not found:
        raise VitruvianError(f"no rules given; known: {', '.join(RULES)}, gestures or all")
    return found


def _function(file: str, name: str) -> Rule:
    """The rule of a .py file; what goes wrong in it is said with its name."""
    where = f"the rule '{name}' of '{file}'"
    try:
        wanted: Any = runpy.run_path(file).get(name)
    except FileNotFoundError as error:
        raise VitruvianError(f"cannot read '{file}': {error.strerror}") from None
    except (Exception, SystemExit) as error:
        raise VitruvianError(f"cannot run '{shown(file, 100)}': {_fault(error)}") from error
    if not callable(wanted):
        raise VitruvianError(
            f"'{file}' has no function '{name}'; want a function of one Body, see docs/postures.md"
        )
    if name in RULES:
        raise VitruvianError(f"{where}: a rule with this name exists already; choose another name")

    def rule(body: Body) -> Any:
        try:
            return wanted(body)  # what it gave is checked by who asked
        except VitruvianError:
            raise
        except (Exception, SystemExit) as error:
            raise VitruvianError(f"{where} failed: {_fault(error)}") from error

    rule.__name__ = name
    return rule


def _fault(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, SystemExit):
        return f"it exits the program (SystemExit {shown(error.code)})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def read(path: str | Path) -> dict[str, Rule]:
    """Read the rules of a TOML file, by name.

    Raises:
        VitruvianError: it is missing, or some entry is not as it should be; it says which.
    """
    parsed = read_toml(path)
    try:
        _known("", parsed, {"rules"})
        tables = _table("rules", parsed.get("rules"))
        return {name: _rule(f"rules.{name}", name, entry) for name, entry in tables.items()}
    except VitruvianError as error:
        raise unreadable(path, error) from None


def _table(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise VitruvianError(f"{where} is {shown(repr(value))}, want a non-empty table")
    return value


def _known(where: str, entry: dict[str, Any], keys: set[str]) -> None:
    """Raise if there is a key that means nothing."""
    for key in entry:
        if key not in keys:
            error = unknown("entry", key, keys)
            raise VitruvianError(f"{where}: {error}" if where else str(error))


def _rule(where: str, name: str, entry: Any) -> Rule:
    if not name.strip() or not name.isprintable() or len(name) > LONGEST or "," in name:
        raise VitruvianError(
            f"invalid rule name '{shown(name)}'; want 1 to {LONGEST} characters, and no comma"
        )
    where = shown(where)
    if name in RULES:
        raise VitruvianError(f"{where}: a rule with this name exists already; choose another name")
    entry = _table(where, entry)
    _known(where, entry, {"all", "any"})
    if len(entry) != 1:
        raise VitruvianError(f"{where} has both all and any; want one of them")
    ((how, listed),) = entry.items()
    if not isinstance(listed, list) or not listed:
        raise VitruvianError(f"{where}.{how} is {shown(repr(listed))}, want a list of conditions")
    conditions = [_condition(f"{where}.{how}[{i}]", one) for i, one in enumerate(listed)]
    together = all_of if how == "all" else any_of

    def rule(body: Body) -> np.ndarray:
        return together(*(condition(body) for condition in conditions))

    rule.__name__ = name
    return of_keypoints(rule)


def _condition(where: str, entry: Any) -> Rule:
    entry = _table(where, entry)
    _known(where, entry, {"angle", "distance", "above", "below", "soft"})
    kinds = [kind for kind in SOFT if kind in entry]
    if len(kinds) != 1:
        raise VitruvianError(f"{where} wants either angle or distance")
    (kind,) = kinds
    measure = _angle(where, entry[kind]) if kind == "angle" else _distance(where, entry[kind])
    what = entry[kind] if kind == "angle" else " to ".join(entry[kind])
    words = f"{what.replace('_', ' ')} {VALUES[kind]}"
    given = [key for key in ("above", "below", "soft") if key in entry]
    limits = {key: _number(f"{where}.{key}", entry[key]) for key in given}
    soft = limits.pop("soft", SOFT[kind])
    if not limits:
        raise VitruvianError(f"{where} has neither above nor below; add a threshold for the {kind}")
    if soft < 1e-6:
        raise VitruvianError(f"{where}.soft is {soft:g}, want more than 0")

    def condition(body: Body) -> np.ndarray:
        value, degrees = measure(body), []
        body.note(words, value)
        if "above" in limits:
            degrees.append(ramp(value, limits["above"] - soft, limits["above"] + soft))
        if "below" in limits:
            degrees.append(ramp(value, limits["below"] + soft, limits["below"] - soft))
        return all_of(*degrees)

    return condition


def _number(where: str, value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= MOST:
        raise VitruvianError(
            f"{where} is {shown(repr(value))}, want a number from {-MOST:g} to {MOST:g}"
        )
    return float(value)


def _angle(where: str, name: Any) -> Rule:
    if not isinstance(name, str):
        raise VitruvianError(f"{where}.angle is {shown(repr(name))}, want an angle name")
    if name not in _ANGLES:
        raise VitruvianError(f"{where}: {unknown('angle', name, _ANGLES)}")
    return lambda body: body.angle_deg(name)


def _distance(where: str, pair: Any) -> Rule:
    if not isinstance(pair, list) or len(pair) != 2:
        raise VitruvianError(f"{where}.distance is {shown(repr(pair))}, want two point names")
    for name in pair:
        if not isinstance(name, str):
            raise VitruvianError(f"{where}.distance has {shown(repr(name))}, want point names")
        if name not in _PLACES:
            raise VitruvianError(f"{where}: {unknown('point', name, _PLACES)}")
    a, b = pair
    return lambda body: body.distance(a, b)
