"""Rules on parts: what a hand shows, and whether a head is turned away from the camera.

They need a model that finds hands (docs/whole-body.md); `looking_away` needs a face mesh, or the
nose, eyes and ears of any skeleton. Thresholds were tuned on hands and heads of images;
docs/postures.md gives the data and the accuracy, also on others.
"""

from __future__ import annotations

import numpy as np

from vitruvian.analysis.hands import SIDES, HandShapes, hand_points
from vitruvian.analysis.head import BEHIND, POINTS_OF_HEAD, turned_from_camera_deg
from vitruvian.analysis.posture import Body, all_of, ramp

FOUR = slice(1, 5)  # fingers without the thumb
EDGE_ON = 0.1  # of `HandShapes.toward`, below which a palm is seen from its edge
WHICH_SIDE = 0.93  # 0..1, score of a hand below which palm and back of it are confused
CURLED, STRAIGHT = (100, 135), (110, 75)  # degrees of `HandShapes.curl_deg`
FOLDED, OUT = (1.45, 1.25), (1.4, 1.55)  # palms of `HandShapes.reach`
AWAY = (28, 45)  # degrees
_HANDS = tuple(name for side in SIDES for name in hand_points(side))


def _hands(body: Body) -> HandShapes:
    body.points.need(_HANDS)
    return body.hands


def pinch(body: Body) -> np.ndarray:
    """The tips of thumb and index finger meet, the index finger not folded into the palm.

    Also with something thin between them.
    """
    hands = _hands(body)
    index, reach = hands.curl_deg[..., 1], hands.reach[..., 1]
    body.note("tips of thumb and index {:.2f} palms apart", hands.pinch.T)
    body.note("index bent {:.0f}°", index.T)
    near = np.maximum(hands.pinch, hands.pinch_in_image)
    return all_of(ramp(near, 0.42, 0.28), ramp(index, 140, 115), ramp(reach, 1.15, 1.35)).T


def fist(body: Body) -> np.ndarray:
    """The four fingers are bent into the palm; whether around something cannot be told."""
    hands = _hands(body)
    curl, reach = hands.curl_deg[..., FOUR], hands.reach[..., FOUR]
    body.note("straightest finger bent {:.0f}°", curl.min(axis=-1).T)
    body.note("farthest fingertip {:.1f} palms from the wrist", reach.max(axis=-1).T)
    return all_of(ramp(curl.min(axis=-1), *CURLED), ramp(reach.max(axis=-1), *FOLDED)).T


def pointing(body: Body) -> np.ndarray:
    """The index finger is straight and the other three are bent into the palm."""
    hands = _hands(body)
    curl, reach = hands.curl_deg, hands.reach
    others, far = curl[..., 2:].min(axis=-1), reach[..., 2:].max(axis=-1)
    body.note("index bent {:.0f}°", curl[..., 1].T)
    body.note("straightest other finger bent {:.0f}°", others.T)
    index = all_of(ramp(curl[..., 1], 135, 105), ramp(reach[..., 1], 1.15, 1.35))
    rest = all_of(ramp(others, *CURLED), ramp(far, *FOLDED))
    return all_of(index, rest, ramp(reach[..., 1] - far, 0.15, 0.3)).T


def open_palm(body: Body) -> np.ndarray:
    """All five fingers are straight and the palm faces the camera.

    Unknown if it is seen from its edge, or the model is not quite sure of the hand. The back of a
    hand is none: left and right hand differ, so this trusts whose hand it is.
    """
    hands = _hands(body)
    curl, reach = hands.curl_deg[..., FOUR], hands.reach[..., FOUR]
    body.note("most bent finger {:.0f}°", curl.max(axis=-1).T)
    body.note("palm towards the camera", np.where(hands.known, hands.toward > 0, np.nan).T)
    straight = all_of(ramp(curl.max(axis=-1), *STRAIGHT), ramp(reach.min(axis=-1), 1.25, 1.4))
    thumb = ramp(hands.curl_deg[..., 0], 120, 90)
    told = (np.abs(hands.toward) >= EDGE_ON) & (hands.score >= WHICH_SIDE)
    facing = np.where(told, hands.toward > 0, np.nan)
    return all_of(straight, thumb, facing).T


def looking_away(body: Body) -> np.ndarray:
    """The head is turned by more than 28 to 45 degrees from the line to the camera, any way.

    From the face mesh if there is one, else from nose, eyes and ears; from behind it is turned.
    """
    body.points.need(POINTS_OF_HEAD)
    turned = turned_from_camera_deg(body)
    behind = turned == BEHIND
    body.note("head {:.0f}° from the camera", np.where(behind, np.nan, turned))
    body.note("seen from behind", np.where(np.isnan(turned), np.nan, behind))
    return ramp(turned, *AWAY)
