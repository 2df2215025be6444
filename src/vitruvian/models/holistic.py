"""Whole bodies: hands and faces, as in MediaPipe Holistic, of people whose bodies are known.

A person stays one row of `Poses` with one skeleton: the keypoints of the body, then 21 of the left
hand, 21 of the right one and 468 or 478 of the face; of BlazePose that is `holistic543` or what is
left of it. `Poses.part("left_hand")` has one part. A hand or a face that was not found is NaN with
score 0; the score, and presence, of its landmarks is that of the whole hand or face. The world
landmarks of hands are moved so that their wrist is the body's; a face has no metres. `depth` of a
hand is relative to its wrist.

Source: specs/holistic.md, as `vitruvian.models.hands_face`. Deviations: everyone has hands and a
face, not one person; unrelated pictures do not know each other's hands; any body can have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, own_keypoints, with_parts
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.hands_face import (
    HAND_OUTPUTS,
    HAND_POINTS,
    SURE,
    FaceLandmarks,
    HandLandmarks,
    Look,
    PartLandmarks,
    face_from_body,
    hand_from_body,
)
from vitruvian.models.model import Model
from vitruvian.models.options import PoseOptions, StreamDefaults
from vitruvian.models.ready import pull_files
from vitruvian.models.zoo import (
    FACE_DETECTOR,
    FACE_MESH,
    HAND_FILES,
    REFINED_FACE_MESH,
    WHOLE,
    entry,
)
from vitruvian.network.openvino import OpenVino
from vitruvian.network.threads import imap
from vitruvian.weights.download import sha256

WRIST_SEEN = 0.1  # visibility above which a wrist has a hand: hand_visibility_from_...pbtxt
SIDES = ("left", "right")
AT_ONCE = 16  # people whose crops are in memory at the same time
# From the wrist to the middle of a hand, in forearms; and a forearm in upper arms and in distances
# of the shoulders: the longest of the three counts, as what points to the camera looks short.
# Chosen with benchmarks/hands_of_bodies.py; of hands that holistic finds are found with 0.25 84 and
# 92 % (yolov8n-pose, vitruvian-2d), with 0.3 73 and 83 %, with 0.4 47 and 55 %.
REACH, UPPER_ARM, SHOULDERS = 0.25, 0.9, 0.7
HEAD = 11  # landmarks of BlazePose's head, which are the first


@dataclass(frozen=True, eq=False)
class Places:
    """Where a skeleton says that hands and faces are; each a number of a keypoint."""

    skeleton: Skeleton
    wrists: tuple[int, int]
    # Per side, of the hand: the pinky's and the index finger's base, or a point in its middle.
    knuckles: tuple[tuple[int, ...], ...]
    arms: tuple[tuple[int, int], ...]  # or, per side, elbow and shoulder
    head: tuple[int, ...]
    eyes: tuple[int, int]  # right, left

    @classmethod
    def of(cls, skeleton: Skeleton, hands: bool, face: bool) -> Places:
        """Of these parts.

        Raises:
            VitruvianError: the skeleton lacks wrists and elbows, or the face.
        """
        known = {word: own[0] for word, own in skeleton.places.items() if len(own) == 1}

        def both(*words: str) -> tuple[tuple[int, ...], ...]:
            """Per side the numbers of these; none if one is lacking."""
            names = [[f"{side}_{word}" for word in words] for side in SIDES]
            if not all(name in known for side in names for name in side):
                return ()
            return tuple(tuple(known[name] for name in side) for side in names)

        knuckles = both("pinky", "index") or both("pinky_1", "index_1") or both("hand")
        wrists, arms = both("wrist"), both("elbow", "shoulder") or both("elbow")
        if hands and not (wrists and (knuckles or arms)):
            raise VitruvianError(
                f"hands need wrists and elbows, and {skeleton.name} has none; leave hands out"
            )
        eyes = both("eye") or both("ear")
        if face and not eyes:
            raise VitruvianError(
                f"a face needs eyes or ears, and {skeleton.name} has none; leave face out, or "
                "choose a skeleton that has, such as coco17"
            )
        names = ("nose", *(f"{side}_{part}" for side in SIDES for part in ("eye", "ear")))
        head = tuple(known[name] for name in names if name in known)
        if skeleton == BLAZEPOSE33:
            head = tuple(range(HEAD))
        return cls(
            skeleton,
            tuple(side[0] for side in wrists),  # type: ignore[arg-type]
            knuckles,
            arms,  # type: ignore[arg-type]
            head,
            tuple(side[0] for side in reversed(eyes)),  # type: ignore[arg-type]
        )

    def hands(self, bodies: Poses) -> Regions:
        """Rough squares around 2 N hands, the left and the right one of each person."""
        wrist = bodies.xy[:, list(self.wrists)]
        if self.knuckles:
            pinky, index = (bodies.xy[:, [side[k] for side in self.knuckles]] for k in (0, -1))
        else:
            pinky = index = self._middles(bodies)
        return hand_from_body(np.stack([wrist, pinky, index], axis=2).reshape(-1, 3, 2))

    def _middles(self, bodies: Poses) -> np.ndarray:
        """(N, 2, 2) pixels, middles of hands where the forearm goes on; see `REACH`."""
        wrist = bodies.xy[:, list(self.wrists)]
        elbow, *shoulder = (bodies.xy[:, list(each)] for each in zip(*self.arms, strict=True))
        forearm = wrist - elbow
        length = np.linalg.norm(forearm, axis=-1)
        long = [length]
        if shoulder:
            long.append(UPPER_ARM * np.linalg.norm(elbow - shoulder[0], axis=-1))
            across = np.linalg.norm(shoulder[0][:, 0] - shoulder[0][:, 1], axis=-1)
            long.append(np.repeat(SHOULDERS * across[:, None], 2, axis=1))
        reach = np.float32(REACH) * np.max(long, axis=0)
        return wrist + forearm * (reach / np.maximum(length, np.float32(1e-6)))[..., None]

    def faces(self, bodies: Poses) -> Regions:
        """Rough squares around N faces."""
        return face_from_body(bodies.xy[:, list(self.head)], bodies.xy[:, list(self.eyes)])


class Parts:
    """Adds hands and faces to the bodies of a frame."""

    def __init__(
        self,
        hands: HandLandmarks | None,
        face: FaceLandmarks | None,
        body: Skeleton = BLAZEPOSE33,
        *,
        mediapipe: bool = False,
    ) -> None:
        """Put them together.

        Args:
            hands: None: they are not looked for.
            face: the same.
            body: the skeleton of bodies.
            mediapipe: whether streams do what MediaPipe does: no hand or face is smoothed, and each
                is looked for anew in each frame.

        Raises:
            VitruvianError: bodies do not show where those are.
        """
        self.hands, self.face, self.smoothed = hands, face, not mediapipe
        self.places = Places.of(body, hands is not None, face is not None)
        points = 0 if face is None else face.points
        self.kept = own_keypoints(body, hands is not None, points)
        self.skeleton = with_parts(body, hands is not None, points)
        self.body = body.only(self.kept, body.name)

    def __call__(self, frame: Frame, bodies: Poses, before: Poses | None = None) -> Poses:
        """The same people with hands and faces.

        Args:
            frame: the image.
            bodies: with the skeleton of bodies.
            before: what this gave for the previous frame of the same stream, with track ids; None:
                unknown.
        """
        n, more = len(bodies), len(self.skeleton) - len(self.kept)
        xyz, world = (np.full((n, more, 3), np.nan, np.float32) for _ in range(2))
        score, last = np.zeros((n, more), np.float32), np.full((n, more, 2), np.nan, np.float32)
        sure = np.zeros((n, more), bool)
        if before is not None:
            rows = {who: row for row, who in enumerate(before.person.tolist()) if who >= 0}
            for row, who in enumerate(bodies.person.tolist()):
                if who in rows:
                    last[row] = before.xy[rows[who], len(self.kept) :]
                    if self.smoothed:
                        sure[row] = before.score[rows[who], len(self.kept) :] > SURE
        for first in range(0, n, AT_ONCE):
            few = slice(first, first + AT_ONCE)
            known = last[few], sure[few]
            self._find(frame, bodies.take(few), *known, xyz[few], world[few], score[few])
        raw = bodies.raw
        return replace(
            self._with(frame, bodies, xyz, world, score),
            raw=None if raw is None else self._with(frame, raw, xyz, world, score),
        )

    def _find(
        self,
        frame: Frame,
        bodies: Poses,
        last: np.ndarray,
        sure: np.ndarray,
        xyz: np.ndarray,
        world: np.ndarray,
        score: np.ndarray,
    ) -> None:
        """Fill in (N, P, 3) pixels and metres and (N, P) scores of what is found."""
        n, begun = len(bodies), list[tuple[Callable[[], Look], Callable[[PartLandmarks], None]]]()
        hands = len(SIDES) * HAND_POINTS if self.hands is not None else 0
        if self.hands is not None:
            last_hand, sure_hand, hand, metres, hand_score = (
                part[:, :hands].reshape(n, len(SIDES), HAND_POINTS, *part.shape[2:])
                for part in (last, sure, xyz, world, score)
            )
            rough = self.places.hands(bodies)
            wrist = bodies.score[:, list(self.places.wrists)].ravel().astype(np.float64)
            rows = np.flatnonzero((wrist > WRIST_SEEN) & _sound(rough))
            who, side = np.divmod(rows, len(SIDES))

            def put_hands(found: PartLandmarks) -> None:
                hand[who, side], metres[who, side] = found.xyz, found.world
                hand_score[who, side] = found.score[:, None]

            if len(rows):
                known = last_hand[who, side], sure_hand[who, side, 0]
                begun.append((self.hands.start(frame, rough.take(rows), *known), put_hands))
        if self.face is not None:
            rough = self.places.faces(bodies)
            ours = np.flatnonzero(_sound(rough))

            def put_faces(found: PartLandmarks) -> None:
                xyz[ours, hands:] = found.xyz
                score[ours, hands:] = found.score[:, None]

            if len(ours):
                known = last[ours, hands:], sure[ours, hands]
                begun.append((self.face.start(frame, rough.take(ours), *known), put_faces))
        # Networks of one part run while another's results are read.
        looks = [(follow(), put) for follow, put in begun]
        for look, put in looks:
            put(look())

    def _with(
        self, frame: Frame, bodies: Poses, xyz: np.ndarray, world: np.ndarray, score: np.ndarray
    ) -> Poses:
        """Bodies with (N, P, 3) pixels and metres and (N, P) scores of their parts."""
        metres, added = bodies.xyz, world.copy()
        if metres is not None and self.hands is not None:
            for i, wrist in enumerate(self.places.wrists):
                hand = added[:, i * HAND_POINTS : (i + 1) * HAND_POINTS]
                hand += (metres[:, wrist] - hand[:, 0])[:, None]
        if len(self.kept) < len(bodies.skeleton):
            bodies = bodies.with_keypoints(self.body, self.kept)
        camera = frame.camera if bodies.world is not None else None
        more = {
            "xy": xyz[..., :2],
            "score": score,
            "presence": score,
            "depth": xyz[..., 2],
            "xyz": added,
            "world": None if camera is None else camera.scaled(frame.size).to_world(added),
        }
        if bodies.maps is not None:
            n, _, *size = bodies.maps.shape
            more["maps"] = np.zeros((n, score.shape[1], *size), bodies.maps.dtype)
        joined = {
            name: np.concatenate([own, more[name]], axis=1)
            for name in more
            if (own := getattr(bodies, name)) is not None
        }
        return replace(bodies, skeleton=self.skeleton, **joined)


def _sound(regions: Regions) -> np.ndarray:
    """(M,) bool, whether there is something to look at."""
    return np.all(np.isfinite(regions.centre) & (regions.size > 0), axis=1)


class WholeBody:
    """A model of bodies with hands and faces. Stateless; a stream follows both, see `Stream`."""

    def __init__(self, body: Model, parts: Parts, weights: Mapping[str, str]) -> None:
        """Put them together.

        Args:
            body: the model of bodies.
            parts: what is added to its poses.
            weights: name and SHA-256 of the files of the parts, for records.
        """
        self.body, self.parts = body, parts
        self.name, self.options = body.name, body.options
        self.weights = {**body.weights, **weights}
        self.wanted = StreamDefaults()

    @property
    def skeleton(self) -> Skeleton:
        """Of the poses it gives."""
        return self.parts.skeleton

    @property
    def runs_on(self) -> str:
        """What computes the network of the body."""
        return self.body.runs_on

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None
    ) -> list[Poses]:
        """Everyone in each frame; `look`: regions of the bodies, by default the detector runs."""
        bodies = self.body(frames, look)
        return [self.parts(*pair) for pair in zip(frames, bodies, strict=True)]

    def stream(self, frames: Iterable[Frame]) -> Iterator[Poses]:
        """Everyone in each of unrelated frames, in order; several in parallel, see `TopDown`."""
        streams = int(self.options.get("streams") or 1)
        one = lambda frame: self([frame])[0]  # noqa: E731
        return map(one, frames) if streams == 1 else imap(one, frames, streams)


def add_parts(body: Any, options: PoseOptions) -> WholeBody:
    """A model of bodies with the parts of the options; their networks are downloaded if needed.

    Args:
        body: a model that has a skeleton.
        options: of the model, which say the parts.

    Raises:
        VitruvianError: bodies do not show where the parts are, or a network is not available.
    """
    Places.of(body.skeleton, bool(options.hands), bool(options.face))
    hands, mesh = HAND_FILES, REFINED_FACE_MESH if options.refine_face else FACE_MESH
    files = (*(hands if options.hands else ()), *((FACE_DETECTOR, mesh) if options.face else ()))
    # ONNX Runtime's devices have other names than those of OpenVINO, which runs these networks.
    device = options.device if getattr(options, "runtime", "openvino") == "openvino" else "CPU"
    networks, weights = dict[str, OpenVino](), dict[str, str]()
    for file, path in zip(files, pull_files(entry(WHOLE), files), strict=True):
        weights[path.name] = sha256(path)
        networks[file.name] = OpenVino(
            path,
            outputs=HAND_OUTPUTS if file is hands[1] else None,
            # The others silently compute several rows wrongly, or have a batch of 1 inside.
            batch=file in (hands[1], FACE_MESH),
            device=device,
            precision=options.precision,
            threads=options.threads,
            streams=options.streams,
        )
    parts = Parts(
        HandLandmarks(*(networks[file.name] for file in hands), presence=options.hand_presence)
        if options.hands
        else None,
        FaceLandmarks(
            networks[FACE_DETECTOR.name],
            networks[mesh.name],
            refined=options.refine_face,
            conf=options.face_conf,
            nms_iou=options.face_nms_iou,
            presence=options.face_presence,
        )
        if options.face
        else None,
        body.skeleton,
        mediapipe=getattr(options, "compat", "") == "solutions",
    )
    return WholeBody(body, parts, weights)
