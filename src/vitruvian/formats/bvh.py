"""Read and write BVH: joint angles of a skeleton over time, for animation software.

For skeletons whose bones form a tree, and other bodies, of which `as_tree` makes one: from the
middle of the hips over that of the shoulders to head and wrists, or fingertips. Each bone has
one length, the median; the rest pose has the directions of the first frame with all keypoints,
where all rotations are zero. A joint's rotation is the best fit to its children, with minimal
twist. Lengths are metres, y is up by default. BVH has no missing values and one frame time: gaps
hold the last pose, and frames are resampled to a constant rate by linear interpolation. Every joint
has rotations, also end joints, where they are zero: pybvh 0.9 refuses CHANNELS 0. A hand that is
not found in some frames keeps its last shape and moves with its wrist; one that never is, is left
out.

Source: Meredith and Maddock 2001, "Motion Capture File Formats Explained", 2.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from vitruvian.body.mapping import MIDDLES
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.track import Track
from vitruvian.documents import read_bytes, unreadable
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats.markers import Note, numbered
from vitruvian.formats.trc import (
    MOST_TEXT,
    decoded,
    even_grid,
    from_metres,
    metres,
    upward,
    write_text,
)

SHORT, LONG = 1e-6, 5.0  # metres of a bone
USUAL = (0.2, 1.0)  # metres of the longest bone of a body
DEEPEST = 200  # levels of nested joints
LONGEST_FRAME = 3600.0  # seconds
LARGEST = 1e9  # value, degrees or metres
CHANNELS = "Zrotation Xrotation Yrotation"


_ARM = (("shoulder", "neck"), ("elbow", "shoulder"), ("wrist", "elbow"))
_LEG = (("hip", "mid_hip"), ("knee", "hip"), ("ankle", "knee"), ("heel", "ankle"))
_TOES = (("foot_index", "ankle"), ("big_toe", "ankle"), ("small_toe", "big_toe"))
_HEAD = (("eye", "nose"), ("ear", "eye"))


def _links(skeleton: Skeleton) -> Iterator[tuple[str, str]]:
    """Joints of a body, each after its parent."""
    yield from (("mid_hip", ""), ("neck", "mid_hip"), ("nose", "neck"), ("head_top", "neck"))
    for side in ("left", "right"):
        for part, above in (*_LEG, *_TOES, *_HEAD, *_ARM):
            middle = above in ("neck", "mid_hip", "nose")
            yield f"{side}_{part}", above if middle else f"{side}_{above}"
        root = f"{side}_hand"
        yield root, f"{side}_wrist"
        root = root if root in skeleton.places else f"{side}_wrist"
        for finger in ("thumb", "index", "middle", "ring", "pinky"):
            chain = [root, *(f"{side}_{finger}_{joint}" for joint in range(1, 5))]
            yield from ((name, above) for above, name in pairwise(chain))


@cache
def as_tree(skeleton: Skeleton) -> tuple[Skeleton, tuple[tuple[int, ...], ...]]:
    """The joints of a file, and of each the keypoints that it is the middle of.

    They are the keypoints, where the bones are a tree and there are no fingers. Else they are those
    of body and hands, with the middles of hips and shoulders where it has none.

    Raises:
        VitruvianError: the bones are no tree, and it has no hips or no shoulders.
    """
    if not {"left_hand", "right_hand"} & skeleton.parts.keys():
        try:
            parents(skeleton)
            return skeleton, tuple((k,) for k in range(len(skeleton)))
        except VitruvianError as error:
            no_tree = error
    else:
        no_tree = _no_tree(skeleton, "it has no hips or shoulders")
    own, found = skeleton.places, dict[str, tuple[tuple[int, ...], str]]()
    for name, above in _links(skeleton):
        middle = MIDDLES.get(name, ())
        at = own.get(name, ())
        if not at and middle and all(part in own for part in middle):
            at = tuple(k for part in middle for k in own[part])
        if at and (above in found or not above):
            found[name] = at, above
    rows = [(name, above, np.nan) for name, (_, above) in found.items()]
    if "neck" not in found:
        raise no_tree
    tree = Skeleton.table(f"{skeleton.name}_tree", skeleton.source, *rows)
    return tree, tuple(at for at, _ in found.values())


def parents(skeleton: Skeleton) -> list[int]:
    """Each keypoint's parent along the bones, -1 for the root.

    Raises:
        VitruvianError: the bones are no tree.
    """
    up = [-1] * len(skeleton)
    for a, b in skeleton.bones:
        if up[b] != -1:
            raise _no_tree(skeleton, f"{skeleton.keypoints[b]} has two parent bones")
        up[b] = a
    if up.count(-1) != 1:
        raise _no_tree(skeleton, f"no parent bone for {amount(up.count(-1), 'keypoint')}")
    if len(list(_depth_first(up, up.index(-1)))) < len(up):
        raise _no_tree(skeleton, "its bones form a cycle")
    return up


def _no_tree(skeleton: Skeleton, why: str) -> VitruvianError:
    return VitruvianError(
        f"BVH needs a tree of bones, or a body with hips and shoulders, and {skeleton.name} is "
        f"neither: {why}; write .trc"
    )


def write_bvh(track: Track, path: str | Path, up: str = "y") -> None:
    """Write 3D keypoints as joint rotations.

    Raises:
        VitruvianError: no metres, bones that form no tree, or no frame with all keypoints.
    """
    tree, sources = as_tree(track.skeleton)
    given = metres(track, "BVH")
    given = np.stack([given[:, list(own)].mean(axis=1) for own in sources], axis=1)
    tree, given = _with_hands(tree, given)
    above = parents(tree)
    order = list(_depth_first(above, above.index(-1)))
    xyz, rate = _even(track, given @ upward(up).T)
    offsets = _rest(xyz, above)
    turns = _rotations(xyz, above, order, offsets)
    # Readers cut names at the first space.
    names = numbered([re.sub(r"\s+", "_", name) for name in tree.keypoints])
    lines = ["HIERARCHY", *_described(names, above, offsets, above.index(-1), 0), "MOTION"]
    lines += [f"Frames: {len(xyz)}", f"Frame Time: {1 / rate:.8f}"]
    for t in range(len(xyz)):
        values = [*xyz[t, above.index(-1)]]
        for k in order:
            local = turns[t, k] if above[k] < 0 else turns[t, above[k]].T @ turns[t, k]
            values += [*_euler_deg(local)]
        lines.append(" ".join(f"{value:.6f}" for value in values))
    write_text(Path(path), lines)


def _depth_first(up: list[int], at: int) -> Iterator[int]:
    todo = [at]
    while todo:
        yield (now := todo.pop())
        todo += [child for child in reversed(range(len(up))) if up[child] == now]


def _described(
    names: list[str], up: list[int], offsets: np.ndarray, k: int, depth: int
) -> Iterator[str]:
    """The lines of a joint and its descendants; a joint without children gets an End Site."""
    pad, place = "  " * depth, " ".join(f"{value:.6f}" for value in offsets[k])
    children = [child for child, parent in enumerate(up) if parent == k]
    yield f"{pad}{'ROOT' if depth == 0 else 'JOINT'} {names[k]}"
    yield f"{pad}{{"
    yield f"{pad}  OFFSET {place}"
    moves = "6 Xposition Yposition Zposition" if depth == 0 else "3"
    yield f"{pad}  CHANNELS {moves} {CHANNELS}"
    for child in children:
        yield from _described(names, up, offsets, child, depth + 1)
    if not children:
        yield f"{pad}  End Site"
        yield f"{pad}  {{"
        yield f"{pad}    OFFSET 0.000000 0.000000 0.000000"
        yield f"{pad}  }}"
    yield f"{pad}}}"


def _with_hands(tree: Skeleton, xyz: np.ndarray) -> tuple[Skeleton, np.ndarray]:
    """(T, K, 3) with hands in all frames: where one is missing, it moves along with its wrist.

    Hands that are never whole are left out of the tree.
    """
    parts, xyz, away = tree.parts, xyz.copy(), set[int]()
    for side in ("left", "right"):
        own = list(parts.get(f"{side}_hand", ()))
        wrist = tree.places.get(f"{side}_wrist", ())
        if not own or not wrist:
            continue
        there = np.logical_and.reduce(np.isfinite(xyz[:, [*own, *wrist]]), axis=(1, 2))
        if not there.any():
            away |= {*own}
            continue
        last = np.maximum.accumulate(np.where(there, np.arange(len(xyz)), -1))
        last = np.where(last < 0, int(np.argmax(there)), last)
        shape = (xyz[:, own] - xyz[:, wrist])[last]
        xyz[:, own] = np.where(there[:, None, None], xyz[:, own], xyz[:, wrist] + shape)
    if not away:
        return tree, xyz
    kept = [k for k in range(len(tree)) if k not in away]
    return tree.only(kept, tree.name), xyz[:, kept]


def _even(track: Track, xyz: np.ndarray) -> tuple[np.ndarray, float]:
    """(F, K, 3) at a constant rate, gaps filled; the rate."""
    whole = np.isfinite(xyz).all(axis=(1, 2))
    if not whole.any():
        raise VitruvianError(
            f"person {track.person} of '{track.source}' has no frame with all keypoints, and BVH "
            "cannot store missing ones; write .trc"
        )
    grid, rate = even_grid(track.seconds, xyz[0].size)
    last = np.maximum.accumulate(np.where(whole, np.arange(len(xyz)), -1))
    held = xyz[np.where(last < 0, int(np.argmax(whole)), last)]
    flat = held.reshape(len(held), -1)
    columns = [np.interp(grid, track.seconds, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(len(grid), *xyz.shape[1:]), rate


def _rest(xyz: np.ndarray, up: list[int]) -> np.ndarray:
    """(K, 3) offsets of keypoints from their parents in the rest pose; root: zero."""
    offsets = np.zeros(xyz.shape[1:])
    for k, parent in enumerate(up):
        if parent >= 0:
            bones = xyz[:, k] - xyz[:, parent]
            length = float(np.median(np.linalg.norm(bones, axis=-1)))
            offsets[k] = bones[0] / max(float(np.linalg.norm(bones[0])), 1e-9) * length
    return offsets


def _rotations(xyz: np.ndarray, up: list[int], order: list[int], offsets: np.ndarray) -> np.ndarray:
    """(F, K, 3, 3) global rotations of keypoints from the rest pose."""
    turns = np.broadcast_to(np.eye(3), (*xyz.shape[:2], 3, 3)).copy()
    for k in order:
        if up[k] >= 0:
            turns[:, k] = turns[:, up[k]]
        lengths = np.linalg.norm(offsets, axis=-1)
        # A bone of zero length has no direction.
        children = [child for child in range(len(up)) if up[child] == k and lengths[child] > SHORT]
        if not children:
            continue
        rest = offsets[children] / lengths[children, None]
        have = np.einsum("fij,cj->fci", turns[:, k], rest)  # rotated with the parent
        bones = xyz[:, children] - xyz[:, [k]]
        now = np.linalg.norm(bones, axis=-1, keepdims=True)
        want = np.where(now > SHORT, bones / np.maximum(now, SHORT), have)
        turns[:, k] = _fit(have, want) @ turns[:, k]
    return turns


def _fit(have: np.ndarray, want: np.ndarray) -> np.ndarray:
    """(F, 3, 3) least-squares rotations between (F, C, 3) directions. Source: Kabsch 1976.

    A single direction leaves the twist about it open: a second one, normal to both, is fixed.
    """
    if have.shape[1] == 1:
        square = np.cross(have[:, 0], want[:, 0])
        size = np.linalg.norm(square, axis=-1, keepdims=True)
        other = np.where(np.abs(have[:, 0, :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0])
        any_square = np.cross(have[:, 0], other)
        any_square /= np.linalg.norm(any_square, axis=-1, keepdims=True)
        square = np.where(size > 1e-9, square / np.maximum(size, 1e-9), any_square)[:, None]
        have, want = np.concatenate([have, square], 1), np.concatenate([want, square], 1)
    u, _, v = np.linalg.svd(np.einsum("fci,fcj->fij", want, have))
    sign = np.sign(np.linalg.det(u @ v))
    flip = np.broadcast_to(np.eye(3), u.shape).copy()
    flip[:, 2, 2] = sign
    return u @ flip @ v


def _euler_deg(turn: np.ndarray) -> tuple[float, float, float]:
    """Intrinsic z-x-y Euler angles in degrees: turn = Rz Rx Ry."""
    x = np.arcsin(np.clip(turn[2, 1], -1, 1))
    if abs(turn[2, 1]) < 1 - 1e-9:
        z = np.arctan2(-turn[0, 1], turn[1, 1])
        y = np.arctan2(-turn[2, 0], turn[2, 2])
    else:  # gimbal lock: z and y align
        z, y = np.arctan2(turn[1, 0], turn[0, 0]), 0.0
    return float(np.degrees(z)), float(np.degrees(x)), float(np.degrees(y))


def _about(axis: int, degrees: np.ndarray | float) -> np.ndarray:
    """(..., 3, 3) rotations about x, y or z by (...,) degrees."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.broadcast_to(np.eye(3), (*np.shape(degrees), 3, 3)).copy()
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn[..., a, a], turn[..., a, b], turn[..., b, a], turn[..., b, b] = c, -s, s, c
    return turn


def read_bvh(path: str | Path, up: str = "y", note: Note = lambda _: None) -> Track:
    """Read the track of a BVH file, of `write_bvh` or other software: metres, y down.

    Each ROOT or JOINT is a keypoint; End Sites are left out. A name is the rest of its
    line. Lengths are assumed to be metres: BVH does not store its unit.

    Args:
        path: the file.
        up: the axis that points up in it.
        note: called with assumptions.

    Raises:
        VitruvianError: it is missing or not BVH.
    """
    path = Path(path)
    try:
        tree, motion = _halves(decoded(read_bytes(path, MOST_TEXT)))
        joints, parent, offsets, channels = _hierarchy(tree)
        values, step = _motion(motion, sum(map(len, channels)), note)
    except ValueError as error:
        raise unreadable(path, f"it is not a BVH file: {error}") from None
    longest = max((float(np.linalg.norm(offset)) for offset in offsets), default=0.0)
    if longest > LONG:
        raise unreadable(
            path,
            f"its longest bone is {longest:.3g}; want metres, export it again in metres",
        )
    if len(joints) > 1 and not USUAL[0] <= longest <= USUAL[1]:
        note(f"lengths are assumed to be metres; the longest bone is {longest:.3g}")
    frames = len(values)
    xyz, turns, column = np.zeros((frames, len(joints), 3)), list[np.ndarray](), 0
    for k, names in enumerate(channels):
        above = np.broadcast_to(np.eye(3), (frames, 3, 3))
        start, moved = np.zeros(3), np.tile(offsets[k], (frames, 1))
        if parent[k] >= 0:
            above, start = turns[parent[k]], xyz[:, parent[k]]
        turn = above
        for name, numbers in zip(names, values[:, column : column + len(names)].T, strict=True):
            if name[1:] == "position":
                moved[:, "XYZ".index(name[0])] = numbers
            else:
                turn = turn @ _about("XYZ".index(name[0]), numbers)
        column += len(names)
        turns.append(turn)
        xyz[:, k] = start + np.einsum("fij,fj->fi", above, moved)
    index = np.arange(frames)
    bones = [(start, end) for end, start in enumerate(parent) if start >= 0]
    return from_metres(path, joints, index * step, index, xyz @ upward(up), bones, note)


def _halves(text: str) -> tuple[str, str]:
    """The text before and after MOTION; `ValueError` if it is missing."""
    halves = re.split(r"^[ \t]*MOTION[ \t]*$", text.replace("\r", "\n"), maxsplit=1, flags=re.M)
    if len(halves) < 2 or not halves[0].lstrip().startswith("HIERARCHY"):
        raise ValueError("want HIERARCHY and MOTION")
    return halves[0], halves[1]


def _motion(text: str, width: int, note: Note) -> tuple[np.ndarray, float]:
    """(F, width) numbers and the frame time in seconds; `ValueError` if missing."""
    head = re.match(r"\s*Frames\s*:?\s*(\S+)\s+Frame\s+Time\s*:?\s*(\S+)", text, re.IGNORECASE)
    if head is None:
        raise ValueError("want Frames: and Frame Time: after MOTION")
    if not head[1].isdecimal():
        raise ValueError(f"its number of frames is {shown(head[1], 30)}, want a whole number")
    if not width:
        raise ValueError("its joints have no channels")
    step, words = float(head[2]), text[head.end() :].split()
    values = np.array(words, np.float64)
    if len(values) % width:
        raise ValueError(
            f"it has {amount(len(values), 'number')}, not a multiple of {width} per frame; it is "
            "truncated"
        )
    values = values.reshape(-1, width)
    if not (np.abs(values) < LARGEST).all():
        raise ValueError("it has values out of range for angles and positions")
    if not 0 < step <= LONGEST_FRAME and (len(values) > 1 or not np.isfinite(step)):
        raise ValueError(f"its frames last {shown(head[2], 30)} s")
    if int(head[1][:18]) != len(values):
        note(f"its header says {shown(head[1], 20)} frames, it has {len(values)}")
    return values, step


def _hierarchy(
    text: str,
) -> tuple[list[str], list[int], list[np.ndarray], list[list[str]]]:
    """Names, parents, offsets and channel names; `ValueError` if invalid."""
    joints, up = list[str](), list[int]()
    offsets, channels = list[np.ndarray](), list[list[str]]()
    open_, last = list[int](), -2  # joints not yet closed; -2 is an End Site
    for line in re.sub(r"([{}])", r"\n\1\n", text).splitlines():
        word, rest = _parted(line)
        word, values = word.upper(), rest.split()
        if word in ("ROOT", "JOINT"):
            joints.append(rest.strip() or f"joint_{len(joints) + 1}")
            up.append(open_[-1] if open_ else -1)
            offsets.append(np.zeros(3))
            channels.append([])
            last = len(joints) - 1
        elif word == "END":
            last = -2
        elif word == "{":
            open_.append(last)
            if len(open_) > DEEPEST:
                raise ValueError(f"more than {DEEPEST} levels of joints")
        elif word == "}":
            if not open_:
                raise ValueError("it has an unmatched closing brace")
            open_.pop()
        elif word == "OFFSET" and open_ and open_[-1] >= 0:
            offsets[open_[-1]] = _offset(values)
        elif word == "CHANNELS" and open_ and open_[-1] >= 0:
            channels[open_[-1]] = _channels(values)
    if not joints:
        raise ValueError("it has no joints")
    return joints, up, offsets, channels


def _parted(line: str) -> tuple[str, str]:
    """The first word of a line and the rest."""
    word, *rest = line.split(maxsplit=1) or [""]
    return word, rest[0] if rest else ""


def _offset(values: list[str]) -> np.ndarray:
    offset = np.array(values, np.float64)
    if offset.shape != (3,) or not (np.abs(offset) < LARGEST).all():
        raise ValueError(f"an OFFSET is {shown(' '.join(values), 40)}, want three numbers")
    return offset


def _channels(values: list[str]) -> list[str]:
    names = [name[:1].upper() + name[1:].lower() for name in values[1:]]
    odd = [name for name in names if not re.fullmatch(r"[XYZ](position|rotation)", name)]
    if odd or not values or values[0] != str(len(names)):
        said = shown(odd[0] if odd else " ".join(values), 40)
        raise ValueError(
            f"CHANNELS has '{said}', want a count and as many channels such as Xrotation"
        )
    return names
