"""Augmentation of person crops: jittered, scaled, rotated, cut off, mirrored, blurred.

Source: the behaviour of AlphaPose's released training (specs/alphapose.md, 7).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.geometry.crop import Crop

MARGIN = 1.25  # of the crop around the bounding box
LOWER = ("hip", "knee", "ankle", "heel", "toe", "foot", "pelvis")  # in names of keypoints
# Mean and deviation of the error of a detector's left, top, right and bottom edges, in widths and
# heights of the box: the released code's stand-in for the paper's proposal generator, which is
# learned per body part and whose parameters are not published.
EDGES = ((-0.0142, 0.1158), (0.0043, 0.068), (0.0154, 0.1337), (-0.0013, 0.0711))
# Of COCO's people cut by the frame most are without legs.
CUT_SIDES = (0.2, 0.1, 0.2, 0.5)  # probability: left, top, right, bottom
CUT = (0.15, 0.7)  # of the person's width or height, what is cut off
FINE = (0.15, 0.6)  # resolution of small people, relative to the input
SUB_CROP = 0.15  # probability of a smaller sub-box of the same shape instead


@dataclass(frozen=True)
class Augment:
    """Augmentation parameters; `Augment(0, 0, 0, 0, 0, 0)` does nothing."""

    scale: float = 0.3  # standard deviation of the factor, and its limit around 1
    turn_deg: float = 40.0  # standard deviation; at most twice that
    turn: float = 0.6  # probability of rotation
    half_body: float = 0.3  # probability, if enough keypoints are labelled
    proposal: float = 0.5  # probability of jittering the box as a detector would
    mirror: float = 0.5  # probability
    half_body_least: int = 8  # labelled keypoints needed: more than this
    cut: float = 0.0  # probability that the frame ends within the person
    blur: float = 0.0  # probability of a small person, enlarged


def jitter_box(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Jitter a bounding box as if from a detector.

    Args:
        box: (4,) x0 y0 x1 y1, pixels.
        rng: random number generator.

    Returns:
        (4,) x0 y0 x1 y1, pixels; never inverted.
    """
    size = box[2:] - box[:2]
    if rng.random() < SUB_CROP:
        part = rng.uniform(0.5, 1) * size
        corner = box[:2] + rng.random(2) * (size - part)
        return np.concatenate([corner, corner + part])
    mean, deviation = np.array(EDGES).T
    shaken = box + rng.normal(mean, deviation) * np.tile(size, 2)
    least = 0.2 * size
    middle = (shaken[:2] + shaken[2:]) / 2
    half = np.maximum(shaken[2:] - shaken[:2], least) / 2
    return np.concatenate([middle - half, middle + half])


def cut_person(
    rgb: np.ndarray, box: np.ndarray, xy: np.ndarray, seen: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let the frame end within a person, at one side.

    Args:
        rgb: (H, W, 3) uint8.
        box: (4,) x0 y0 x1 y1, pixels.
        xy: (K, 2) pixels.
        seen: (K,) bool, labelled.
        rng: random number generator.

    Returns:
        The image, black beyond its new end; the bounding box and the labelled keypoints of what is
        left. All as before if no labelled keypoint would be left.
    """
    side = int(rng.choice(4, p=CUT_SIDES))
    axis, low = side % 2, side < 2  # left, top, right, bottom
    gone = rng.uniform(*CUT) * (box[axis + 2] - box[axis])
    end = round(float(box[axis] + gone if low else box[axis + 2] - gone))
    left = seen & (xy[:, axis] >= end if low else xy[:, axis] <= end)
    if not left.any() or not 0 < end < rgb.shape[1 - axis] - 1:
        return rgb, box, seen
    image, box = rgb.copy(), box.copy()
    beyond = slice(0, end) if low else slice(end + 1, None)
    image[(beyond, slice(None)) if axis else (slice(None), beyond)] = 0
    box[axis if low else axis + 2] = end
    return image, box, left


def blur_small(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image as if it had been enlarged from one of a few pixels.

    Args:
        rgb: (H, W, 3) uint8.
        rng: random number generator.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = rgb.shape[:2]
    part = np.exp(rng.uniform(*np.log(FINE)))
    size = max(2, round(width * part)), max(2, round(height * part))
    return cv2.resize(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), (width, height))


def upper_body(skeleton: Skeleton) -> np.ndarray:
    """(K,) bool: keypoints of the upper body, head and arms; for COCO the first eleven."""
    names = [name.lower() for name in skeleton.keypoints]
    return np.array([not any(part in name for part in LOWER) for name in names])


def half_body_box(
    xy: np.ndarray, seen: np.ndarray, rng: np.random.Generator, upper: np.ndarray
) -> np.ndarray | None:
    """Bounding box around the upper or the lower half of a person.

    Args:
        xy: (K, 2) pixels.
        seen: (K,) bool.
        rng: random number generator.
        upper: (K,) bool, keypoints of the upper half.

    Returns:
        (4,) x0 y0 x1 y1, 1.5 times the size of the keypoints' bounding box; None if both
        halves have fewer than three labelled keypoints.
    """
    halves = [seen & upper, seen & ~upper]
    # The reference compares a normal random number with 0.5: the upper half in 69 of 100.
    first = 0 if rng.normal() < 0.5 else 1
    for half in (halves[first], halves[1 - first]):
        if half.sum() > 2:
            points = xy[half]
            low, top = points.min(axis=0), points.max(axis=0)
            middle, size = (low + top) / 2, np.maximum(top - low, 1) * 1.5
            return np.concatenate([middle - size / 2, middle + size / 2])
    return None


def person_crop(
    box: np.ndarray, size: tuple[int, int], *, scale: float = 1.0, angle: float = 0.0
) -> Crop:
    """Crop of a bounding box at the input's aspect ratio, with a margin.

    Args:
        box: (4,) x0 y0 x1 y1, pixels.
        size: width and height of the input, pixels.
        scale: of the field of view: 2 shows twice as much.
        angle: radians, clockwise in the image.
    """
    width, height = box[2:] - box[:2]
    width = max(width, height * size[0] / size[1])
    extent = np.array([width, width * size[1] / size[0]]) * MARGIN * scale
    return Crop.turned((box[:2] + box[2:]) / 2, extent, angle, size, centre=0)


def random_crop(
    box: np.ndarray,
    xy: np.ndarray,
    seen: np.ndarray,
    size: tuple[int, int],
    augment: Augment,
    rng: np.random.Generator,
    upper: np.ndarray,
) -> tuple[Crop, bool]:
    """Random crop of a person.

    Args:
        box: (4,) x0 y0 x1 y1, pixels.
        xy: (K, 2) pixels.
        seen: (K,) bool.
        size: width and height of the input, pixels.
        augment: augmentation parameters.
        rng: random number generator.
        upper: (K,) bool, see `half_body_box`.

    Returns:
        The crop, and whether to mirror it.
    """
    if rng.random() < augment.proposal:
        box = jitter_box(box, rng)
    if seen.sum() > augment.half_body_least and rng.random() < augment.half_body:
        half = half_body_box(xy, seen, rng, upper)
        box = box if half is None else half
    scale = np.clip(rng.normal(1, augment.scale), 1 - augment.scale, 1 + augment.scale)
    angle = 0.0
    if rng.random() < augment.turn:
        most = 2 * augment.turn_deg
        angle = np.radians(np.clip(rng.normal(0, augment.turn_deg), -most, most))
    mirror = bool(rng.random() < augment.mirror)
    return person_crop(box, size, scale=float(scale), angle=float(angle)), mirror


def jitter_colours(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Jitter colours: gain, offset, colour cast, sometimes greyscale or noise.

    Args:
        rgb: (H, W, 3) uint8.
        rng: random number generator.

    Returns:
        (H, W, 3) uint8.
    """
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
    image = rgb * gain.astype(np.float32) + np.float32(rng.uniform(-25, 25))
    if rng.random() < 0.15:
        image = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    if rng.random() < 0.15:
        image += rng.normal(0, rng.uniform(2, 12), image.shape).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def random_erase(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random erasing: one rectangle of a single colour, so that hidden joints are inferred.

    Args:
        rgb: (H, W, 3) uint8.
        rng: random number generator.

    Returns:
        (H, W, 3) uint8, a copy.
    """
    height, width = rgb.shape[:2]
    h, w = (int(side * rng.uniform(0.1, 0.35)) for side in (height, width))
    y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    image = rgb.copy()
    image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return image
