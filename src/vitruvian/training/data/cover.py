"""Training images of hidden hands, made by covering visible ones; real ones are too few.

The hand is covered with a nearby part of the same image, mostly clothes, with an edge like a
pocket's. Visible hands get a cover beside them as often, so that the cover itself gives no cue.
"""

from __future__ import annotations

import cv2
import numpy as np

from vitruvian.models.pockets import PATCH

AROUND = (32, 40)  # margin of a patch on each side in pixels, for rotation and shift
WIDE = (PATCH[0] + 2 * AROUND[0], PATCH[1] + 2 * AROUND[1])  # width and height, pixels
MIDDLE = np.array(WIDE) / 2
HAND = np.array([0, -8])  # pixels, from the centre of a patch to the centre of the hand
KNUCKLES = 86  # row of a wide patch; a cover that starts below may leave part of the hand visible
PARTLY = 0.3  # target for partly covered hands


def cover_hand(
    image: np.ndarray, middle: np.ndarray, radius: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(H, W, 3) uint8 with the centre covered by its surroundings.

    Args:
        image: (H, W, 3) uint8.
        middle: (2,) centre, pixels.
        radius: (2,) pixels, across and down.
        rng: random number generator.
    """
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    inside = ((x - middle[0]) / radius[0]) ** 4 + ((y - middle[1]) / radius[1]) ** 4 < 1
    slope = rng.normal(0, 0.35)  # slope of the pocket's edge
    inside &= y > middle[1] - 0.9 * radius[1] + slope * (x - middle[0])
    mask = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), rng.uniform(0.6, 2.5))[..., None]
    shift = rng.choice([-1, 1]) * rng.uniform(22, 48), rng.uniform(-8, 42)
    if rng.random() < 0.3:
        shift = rng.uniform(-12, 12), rng.uniform(34, 55)
    matrix = np.array([[1, 0, shift[0]], [0, 1, -shift[1]]], np.float32)
    other = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.3:
        other = cv2.GaussianBlur(other, (0, 0), rng.uniform(0.5, 2))
    return (image * (1 - mask) + other * mask).astype(np.uint8)


def covered_patch(
    wide: np.ndarray, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """A training patch, and its target: 0..1 that a hand is visible.

    Args:
        wide: (208, 160, 3) uint8, a patch with margin.
        kind: "near" a visible hand at the hip, "far" one elsewhere, "none" a hip without a hand.
        rng: random number generator.

    Returns:
        (128, 96, 3) uint8, augmented in position, size, colour and sharpness; and the target.
    """
    middle, seen = MIDDLE + HAND + rng.normal(0, 3, 2), float(kind != "none")
    if kind == "none":
        if rng.random() < 0.3:
            place = rng.uniform((40, 60), (120, 150))
            wide = cover_hand(wide, place, rng.uniform((14, 18), (28, 36)), rng)
    elif rng.random() < (0.5 if kind == "near" else 0.35):
        radius, top = rng.uniform((16, 24), (30, 40)), rng.uniform(70, 90)
        wide = cover_hand(wide, np.array([middle[0], top + radius[1]]), radius, rng)
        seen = 0.0 if top < KNUCKLES else PARTLY
    elif rng.random() < 0.5:
        turn, away = rng.uniform(0, 2 * np.pi), rng.uniform(48, 75)
        beside = middle + away * np.array([np.cos(turn), np.sin(turn)])
        wide = cover_hand(wide, beside, rng.uniform((12, 14), (22, 24)), rng)
    return augment_patch(wide, rng), seen


def augment_patch(wide: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(128, 96, 3) uint8: the augmented centre of a wide patch."""
    turn, scale = np.degrees(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.14))
    matrix = cv2.getRotationMatrix2D((float(MIDDLE[0]), float(MIDDLE[1])), turn, scale)
    matrix[:, 2] += np.array(PATCH) / 2 - MIDDLE + rng.normal(0, 4, 2)
    image = cv2.warpAffine(wide, matrix, PATCH).astype(np.float32)
    if rng.random() < 0.5:
        image = image * np.exp(rng.normal(0, 0.25)) + rng.normal(0, 20)
    if rng.random() < 0.5:
        image = image * np.exp(rng.normal(0, 0.08, 3))
    if rng.random() < 0.15:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    image = np.clip(image, 0, 255).astype(np.float32)
    if rng.random() < 0.4:
        finer = rng.uniform(0.3, 0.9)
        small = cv2.resize(image, None, fx=finer, fy=finer, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, PATCH)
    if rng.random() < 0.5:
        image = image + rng.normal(0, 5, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)
