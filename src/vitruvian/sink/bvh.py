"""BVH: a skeleton's joint angles over time, as animation software reads it; and back.

For skeletons whose bones are a tree. Bones get one length each, the median; the rest pose points as
in the first frame in which everything was found, where all rotations are zero. A joint turns to fit
its children best, and about its own axis no more than it must. Lengths are metres, y is up unless
told otherwise. BVH has no word for what is missing, and one frame time: gaps hold the last pose,
and frames are put on an even grid by lines between them.

Source: Meredith and Maddock 2001, "Motion Capture File Formats Explained", 2.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.sink.part import NO_TEXT, Part
from vitruvian.sink.trc import frame_rate, from_metres, metres, upward

SHORT, LONG = 1e-6, 5.0  # metres of a bone
CHANNELS = "Zrotation Xrotation Yrotation"


def parents(skeleton: Skeleton) -> list[int]:
    """Each keypoint's parent along the bones, -1 for the root.

    Raises:
        VitruvianError: the bones are no tree.
    """
    up = [-1] * len(skeleton)
    for a, b in skeleton.bones:
        if up[b] != -1:
            raise _no_tree(skeleton, f"{skeleton.keypoints[b]} has two bones that lead to it")
        up[b] = a
    if up.count(-1) != 1:
        raise _no_tree(skeleton, f"{up.count(-1)} keypoints have no bone that leads to them")
    return up


def _no_tree(skeleton: Skeleton, why: str) -> VitruvianError:
    return VitruvianError(
        f"BVH needs a hierarchy, which {skeleton.name} is not: {why}; take smpl_24 or h36m_17, "
        "or write .trc"
    )


def write_bvh(track: Track, path: str | Path, up: str = "y") -> None:
    """Write a track's metres as rotations.

    Raises:
        VitruvianError: it has no metres, its skeleton no hierarchy, or no frame has all of it.
    """
    above = parents(track.skeleton)
    order = list(_depth_first(above, above.index(-1)))
    xyz, rate = _even(track, metres(track, "BVH") @ upward(up).T)
    offsets = _rest(xyz, above)
    turns = _rotations(xyz, above, order, offsets)
    names = track.skeleton.keypoints
    lines = ["HIERARCHY", *_described(names, above, offsets, above.index(-1), 0), "MOTION"]
    lines += [f"Frames: {len(xyz)}", f"Frame Time: {1 / rate:.8f}"]
    inner = [k for k in order if k in above]
    for t in range(len(xyz)):
        values = [*xyz[t, above.index(-1)]]
        for k in inner:
            local = turns[t, k] if above[k] < 0 else turns[t, above[k]].T @ turns[t, k]
            values += [*_euler_deg(local)]
        lines.append(" ".join(f"{value:.6f}" for value in values))
    part = Part(Path(path))
    part.begin().write_text("\n".join(lines) + "\n", encoding="utf-8", errors=NO_TEXT)
    part.finish()


def _depth_first(up: list[int], at: int) -> Iterator[int]:
    yield at
    for child, parent in enumerate(up):
        if parent == at:
            yield from _depth_first(up, child)


def _described(
    names: tuple[str, ...], up: list[int], offsets: np.ndarray, k: int, depth: int
) -> Iterator[str]:
    """The lines of a joint and of what hangs on it; one without children is an end with a name."""
    pad, place = "  " * depth, " ".join(f"{value:.6f}" for value in offsets[k])
    children = [child for child, parent in enumerate(up) if parent == k]
    yield f"{pad}{'ROOT' if depth == 0 else 'JOINT'} {names[k]}"
    yield f"{pad}{{"
    yield f"{pad}  OFFSET {place}"
    if children:
        moves = "6 Xposition Yposition Zposition" if depth == 0 else "3"
        yield f"{pad}  CHANNELS {moves} {CHANNELS}"
        for child in children:
            yield from _described(names, up, offsets, child, depth + 1)
    else:
        yield f"{pad}  CHANNELS 0"
        yield f"{pad}  End Site"
        yield f"{pad}  {{"
        yield f"{pad}    OFFSET 0.000000 0.000000 0.000000"
        yield f"{pad}  }}"
    yield f"{pad}}}"


def _even(track: Track, xyz: np.ndarray) -> tuple[np.ndarray, float]:
    """(F, K, 3) at even times, without gaps, and the rate."""
    whole = np.isfinite(xyz).all(axis=(1, 2))
    if not whole.any():
        raise VitruvianError(
            f"person {track.person} of '{track.source}' is in no frame whole, and BVH has no word "
            "for what is missing; write .trc"
        )
    rate = frame_rate(track.seconds)
    last = np.maximum.accumulate(np.where(whole, np.arange(len(xyz)), -1))
    held = xyz[np.where(last < 0, int(np.argmax(whole)), last)]
    count = round((track.seconds[-1] - track.seconds[0]) * rate) + 1
    grid = track.seconds[0] + np.arange(count) / rate
    flat = held.reshape(len(held), -1)
    columns = [np.interp(grid, track.seconds, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(count, *xyz.shape[1:]), rate


def _rest(xyz: np.ndarray, up: list[int]) -> np.ndarray:
    """(K, 3) from its parent to each keypoint in the rest pose; zero for the root."""
    offsets = np.zeros(xyz.shape[1:])
    for k, parent in enumerate(up):
        if parent >= 0:
            bones = xyz[:, k] - xyz[:, parent]
            length = float(np.median(np.linalg.norm(bones, axis=-1)))
            offsets[k] = bones[0] / max(float(np.linalg.norm(bones[0])), 1e-9) * length
    return offsets


def _rotations(xyz: np.ndarray, up: list[int], order: list[int], offsets: np.ndarray) -> np.ndarray:
    """(F, K, 3, 3) of each keypoint from the rest pose, in the world."""
    turns = np.broadcast_to(np.eye(3), (*xyz.shape[:2], 3, 3)).copy()
    for k in order:
        if up[k] >= 0:
            turns[:, k] = turns[:, up[k]]
        lengths = np.linalg.norm(offsets, axis=-1)
        # A bone without length has no direction.
        children = [child for child in range(len(up)) if up[child] == k and lengths[child] > SHORT]
        if not children:
            continue
        rest = offsets[children] / lengths[children, None]
        have = np.einsum("fij,cj->fci", turns[:, k], rest)  # as the parent carries them
        bones = xyz[:, children] - xyz[:, [k]]
        now = np.linalg.norm(bones, axis=-1, keepdims=True)
        want = np.where(now > SHORT, bones / np.maximum(now, SHORT), have)
        turns[:, k] = _fit(have, want) @ turns[:, k]
    return turns


def _fit(have: np.ndarray, want: np.ndarray) -> np.ndarray:
    """(F, 3, 3) rotations that turn (F, C, 3) directions to others best. Source: Kabsch 1976.

    One direction alone leaves the turn about itself open: a second one, square to both, stays.
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
    """Degrees about z, then the turned x, then the turned y: turn = Rz Rx Ry."""
    x = np.arcsin(np.clip(turn[2, 1], -1, 1))
    if abs(turn[2, 1]) < 1 - 1e-9:
        z = np.arctan2(-turn[0, 1], turn[1, 1])
        y = np.arctan2(-turn[2, 0], turn[2, 2])
    else:  # z and y turn about one axis
        z, y = np.arctan2(turn[1, 0], turn[0, 0]), 0.0
    return float(np.degrees(z)), float(np.degrees(x)), float(np.degrees(y))


def _about(axis: int, degrees: float) -> np.ndarray:
    """(3, 3) the rotation about x, y or z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn, (a, b) = np.eye(3), ((axis + 1) % 3, (axis + 2) % 3)
    turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
    return turn


def read_bvh(path: str | Path, up: str = "y") -> Track:
    """The track of a BVH file that `write_bvh` wrote, or of one like it: metres, y down again.

    A keypoint is a ROOT or a JOINT; ends without a name are left out. Lengths are taken for metres:
    BVH has no word for its unit. `up` is the axis that points up in it.

    Raises:
        VitruvianError: it is missing, or no such file.
    """
    path = Path(path)
    try:
        words = path.read_text(encoding="utf-8").split()
        joints, parent, offsets, channels, at = _hierarchy(words)
        frames, step = int(words[at + 2]), float(words[at + 5])
        width = sum(map(len, channels))
        values = np.array(words[at + 6 :], float).reshape(frames, width)
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, IndexError) as error:
        raise VitruvianError(f"cannot read '{path}': it is no BVH file ({error!r})") from None
    longest = max((float(np.linalg.norm(offset)) for offset in offsets), default=0.0)
    if longest > LONG:
        raise VitruvianError(
            f"cannot read '{path}': its longest bone is {longest:.3g}, and lengths must be metres; "
            "scale it where it comes from"
        )
    xyz = np.zeros((frames, len(joints), 3))
    for t, row in enumerate(values):
        turns, column = [np.eye(3)] * len(joints), 0
        for k, names in enumerate(channels):
            own = dict(zip(names, row[column : column + len(names)], strict=True))
            column += len(names)
            above = np.eye(3) if parent[k] < 0 else turns[parent[k]]
            start = np.zeros(3) if parent[k] < 0 else xyz[t, parent[k]]
            moved = [
                own.get(f"{axis}position", at) for axis, at in zip("XYZ", offsets[k], strict=True)
            ]
            xyz[t, k] = start + above @ moved
            turns[k] = above
            for name, degrees in own.items():
                if name.endswith("rotation"):
                    turns[k] = turns[k] @ _about("XYZ".index(name[0]), degrees)
    index = np.arange(frames)
    bones = [(start, end) for end, start in enumerate(parent) if start >= 0]
    return from_metres(path, joints, index * step, index, xyz @ upward(up), bones)


def _hierarchy(
    words: list[str],
) -> tuple[list[str], list[int], list[np.ndarray], list[list[str]], int]:
    """Names, parents, offsets, names of channels, and the place of the word MOTION."""
    joints: list[str] = []
    channels: list[list[str]] = []
    up, offsets, open_ = [], [], []
    i = 0
    while words[i] != "MOTION":
        word = words[i]
        if word in ("ROOT", "JOINT"):
            joints.append(words[i + 1])
            up.append(open_[-1] if open_ else -1)
            offsets.append(np.zeros(3))
            channels.append([])
            open_.append(len(joints) - 1)
        elif word == "End":
            open_.append(-2)
        elif word == "OFFSET" and open_[-1] >= 0:
            offsets[open_[-1]] = np.array(words[i + 1 : i + 4], float)
        elif word == "CHANNELS":
            channels[open_[-1]] = words[i + 2 : i + 2 + int(words[i + 1])]
        elif word == "}":
            open_.pop()
        i += 1
    return joints, up, offsets, channels, i
