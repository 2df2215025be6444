"""`mp.solutions.hands`: names and connections of the landmarks of a hand; no model."""

import enum

from vitruvian.body.skeletons import BLAZEPOSE33, HOLISTIC
from vitruvian.mediapipe.absent import Absent, absent

FIRST = len(BLAZEPOSE33)  # of the left hand's keypoints in a whole body
HAND_CONNECTIONS = frozenset(
    (a - FIRST, b - FIRST) for a, b in HOLISTIC[True, 0].bones if FIRST <= a < b < FIRST + 21
)


class HandLandmark(enum.IntEnum):
    """The 21 landmarks of a hand."""

    WRIST = 0
    THUMB_CMC = 1
    THUMB_MCP = 2
    THUMB_IP = 3
    THUMB_TIP = 4
    INDEX_FINGER_MCP = 5
    INDEX_FINGER_PIP = 6
    INDEX_FINGER_DIP = 7
    INDEX_FINGER_TIP = 8
    MIDDLE_FINGER_MCP = 9
    MIDDLE_FINGER_PIP = 10
    MIDDLE_FINGER_DIP = 11
    MIDDLE_FINGER_TIP = 12
    RING_FINGER_MCP = 13
    RING_FINGER_PIP = 14
    RING_FINGER_DIP = 15
    RING_FINGER_TIP = 16
    PINKY_MCP = 17
    PINKY_PIP = 18
    PINKY_DIP = 19
    PINKY_TIP = 20


def __getattr__(name: str) -> Absent:
    return absent(__name__, name)
