"""Clean up motion-capture markers: duplicate names, missing positions, hip joint centres."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vitruvian.body.names import are_bones, known_as, places
from vitruvian.body.skeletons import SKELETONS
from vitruvian.errors import amount, shown

Note = Callable[[str], object]  # called with one line per assumption
NEAR = 0.1  # metres; a marker this near the origin may really be at 0 0 0
LISTED = 5  # names in a note


def assumed_up(axis: str) -> str:
    """Note on the up axis."""
    other = "z" if axis == "y" else "y"
    return f"up axis assumed to be {axis}; if not, give --from-up {other}"


def numbered(names: Sequence[str], note: Note = lambda _: None) -> list[str]:
    """Make names unique: thigh, thigh_2, and so on."""
    taken, given = set(names), list[str]()
    for name in names:
        own, count = name, 1
        while own in given or (count > 1 and own in taken):
            count += 1
            own = f"{name}_{count}"
        given.append(own)
        if own != name:
            note(f"several markers are named {shown(name)}; one is renamed to {shown(own)}")
    return given


def without_zeros(xyz: np.ndarray, names: Sequence[str], note: Note) -> np.ndarray:
    """(T, K, 3) with NaN for 0 0 0, if the marker is never near 0 0 0 otherwise."""
    xyz = xyz.copy()
    for k, name in enumerate(names):
        zero = (xyz[:, k] == 0).all(axis=-1)
        elsewhere = xyz[~zero & np.isfinite(xyz[:, k]).all(axis=-1), k]
        if zero.any() and len(elsewhere) and np.linalg.norm(elsewhere, axis=-1).min() > NEAR:
            xyz[zero, k] = np.nan
            frames = amount(int(zero.sum()), "frame")
            note(f"0 0 0 of {shown(name)} in {frames} is treated as missing")
    return xyz


def with_hips(keypoints: list[str], xyz: np.ndarray, note: Note) -> tuple[list[str], np.ndarray]:
    """Names and (T, K, 3) metres, with hip joint centres if only the pelvis has markers.

    Computed from the width w and the depth d of the pelvis. Source: Harrington et al. 2007,
    "Prediction of the hip joint centre in adults, children, and patients with cerebral palsy based
    on magnetic resonance imaging", Journal of Biomechanics 40, equations of table 4.
    """
    own = places(keypoints)
    back = ("left_psis", "right_psis") if "left_psis" in own else ("sacrum", "sacrum")
    names = ("left_asis", "right_asis", *back)
    if "left_hip" in own or "right_hip" in own or not all(name in own for name in names):
        return keypoints, xyz
    left, right, *behind = (xyz[:, own[name][0]] for name in names)
    front, behind = (left + right) / 2, (behind[0] + behind[1]) / 2
    w, d = np.linalg.norm(right - left, axis=-1), np.linalg.norm(front - behind, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        across = (right - left) / w[:, None]
        above = np.cross(across, front - behind)
        above /= np.linalg.norm(above, axis=-1, keepdims=True)
    ahead = np.cross(above, across)
    middle = front - (0.24 * d + 0.0099)[:, None] * ahead - (0.30 * w + 0.0109)[:, None] * above
    aside = (0.33 * w + 0.0073)[:, None] * across
    note("left_hip and right_hip are computed from the pelvis markers (Harrington et al. 2007)")
    hips = np.stack([middle - aside, middle + aside], axis=1)
    return [*keypoints, "left_hip", "right_hip"], np.concatenate([xyz, hips], axis=1)


def not_known(names: Sequence[str], note: Note) -> None:
    """Note unknown marker names."""
    bones = are_bones(names)
    ours = {name for table in SKELETONS.values() for name in table.keypoints}
    if odd := [name for name in names if name not in ours and not known_as(name, bones)]:
        listed = ", ".join(shown(name, 25) for name in odd[:LISTED])
        more = ", ..." if odd[LISTED:] else ""
        note(f"{len(odd)} of {len(names)} marker names are unknown: {listed}{more}")


def note_lying(names: Sequence[str], xyz: np.ndarray, note: Note) -> None:
    """Note a person who is not upright: (T, K, 3) metres, y down."""
    own = places(names)
    above = next(
        (own[name][0] for name in ("neck", "nose", "head", "left_shoulder") if name in own), -1
    )
    below = next((own[name][0] for name in ("left_ankle", "right_ankle") if name in own), -1)
    if above < 0 or below < 0:
        return
    down = xyz[:, below] - xyz[:, above]
    down = down[np.isfinite(down).all(axis=-1)]
    if len(down):
        x, y, z = np.median(down, axis=0)
        if y < max(abs(x), abs(z)):
            note("the person lies or is upside down; check the up axis (--from-up)")
