"""Recordings for the Rerun viewer (rerun.io): frames, joints and bones in 2D and 3D, the camera.

Entities under `scene` are in metres, in the axes of the poses; `scene/camera` holds the camera and
its image if its pose is known. Otherwise the image is under `picture`.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, pip_install
from vitruvian.formats.atomic_file import AtomicFile
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.picture_files.encode import encode_picture
from vitruvian.rendering.draw import COLOURS, VISIBLE

JPEG_QUALITY = 75
JOINT, BONE = 0.015, 0.008  # metres, radii
JOINT_2D, BONE_2D = 3.0, 1.5  # pixels, radii


class Rerun:
    """Writes an .rrd file of a video or images; needs the `rerun` extra."""

    def __init__(self, path: Path, visible: float = VISIBLE) -> None:
        try:
            import rerun  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise VitruvianError(
                f"'{path}' needs rerun; install it with: {pip_install('rerun')}"
            ) from None
        self.rerun: Any = rerun
        self.part, self.visible = AtomicFile(path), visible
        self.stream: Any = None
        self.there: dict[str, set[str]] = {}  # entity -> people logged under it

    def __enter__(self) -> Rerun:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Add a frame."""
        if self.stream is None:
            self._begin(poses)
        stream: Any = self.stream
        stream.set_time("frame", sequence=frame.index)
        stream.set_time("time", duration=frame.seconds)
        xyz = poses.xyz if poses.world is None else poses.world
        located = poses.world is not None or poses.origin == "camera"
        picture = "scene/camera" if located else "picture"
        if located and all(frame.size):
            self._log_camera(frame, in_world=poses.world is not None)
        if frame.pixels is not None:
            data = encode_picture(frame.rgb, ".jpg", quality=JPEG_QUALITY)
            image = self.rerun.EncodedImage(contents=data, media_type="image/jpeg")
            stream.log(f"{picture}/image", image)
        rr = self.rerun
        flat = rr.Points2D, rr.LineStrips2D, JOINT_2D, BONE_2D
        self._log_people(f"{picture}/people", poses, poses.xy, flat)
        if xyz is not None:
            deep = rr.Points3D, rr.LineStrips3D, JOINT, BONE
            self._log_people("scene/people", poses, xyz, deep)
        self.copy.check()

    def _begin(self, poses: Poses) -> None:
        rr = self.rerun
        import rerun.blueprint as rrb  # pyright: ignore[reportMissingImports]

        there = poses.origin == "camera" or poses.world is not None
        flat = rrb.Spatial2DView(origin="scene/camera" if there else "picture")
        solid = poses.xyz is not None or poses.world is not None
        views = [flat, rrb.Spatial3DView(origin="scene")] if solid else [flat]
        blueprint = rrb.Blueprint(rrb.Horizontal(*views))
        self.copy = _Copy(self.part.begin())
        stream = rr.RecordingStream("vitruvian")
        stream.save(self.copy.end, default_blueprint=blueprint)
        self.copy.opened()
        self.stream = stream
        skeleton = poses.skeleton
        names = [
            rr.AnnotationInfo(id=k, label=name, color=COLOURS[side])
            for k, (name, side) in enumerate(zip(skeleton.keypoints, skeleton.sides, strict=True))
        ]
        person = rr.AnnotationInfo(id=0, label="person")
        described = rr.ClassDescription(info=person, keypoint_annotations=names)
        self.stream.log("/", rr.AnnotationContext([described]), static=True)
        if poses.world is None:
            self.stream.log("scene", rr.ViewCoordinates.RDF, static=True)

    def _log_camera(self, frame: Frame, *, in_world: bool) -> None:
        rr, camera = self.rerun, (frame.camera or Camera.view(frame.size)).scaled(frame.size)
        pinhole = rr.Pinhole(
            image_from_camera=camera.matrix,
            resolution=camera.size,
            camera_xyz=rr.ViewCoordinates.RDF,
        )
        self.stream.log("scene/camera", pinhole)
        if in_world and camera.extrinsics is not None:
            place = np.linalg.inv(camera.extrinsics)
            moved = rr.Transform3D(translation=place[:3, 3], mat3x3=place[:3, :3])
            self.stream.log("scene/camera", moved)

    def _log_people(
        self, entity: str, poses: Poses, places: np.ndarray, kinds: tuple[Any, Any, float, float]
    ) -> None:
        """Log joints and bones; `places`: (N, K, 2) pixels or (N, K, 3) metres."""
        points, strips, joint, bone = kinds
        sides, bones = poses.skeleton.sides, poses.skeleton.bones
        now: set[str] = set()
        for row, body in enumerate(places):
            name = str(poses.person[row] if poses.person[row] >= 0 else row + 1)
            now.add(name)
            known = np.isfinite(body).all(axis=-1) & (poses.score[row] >= self.visible)
            which = np.flatnonzero(known)
            dots = points(body[which], radii=joint, class_ids=0, keypoint_ids=which)
            self.stream.log(f"{entity}/{name}/joints", dots)
            ends = [(a, b) for a, b in bones if known[a] and known[b]]
            colours = [COLOURS[sides[a] * (sides[a] == sides[b])] for a, b in ends]
            lines = strips(body[np.array(ends, int).reshape(-1, 2)], radii=bone, colors=colours)
            self.stream.log(f"{entity}/{name}/bones", lines)
        for name in self.there.get(entity, set()) - now:
            self.stream.log(f"{entity}/{name}", self.rerun.Clear(recursive=True))
        self.there[entity] = now

    def __exit__(self, *_: object) -> None:
        try:
            if self.stream is not None:
                self.stream.flush()
                self.stream.disconnect()
                self.copy.close()
                self.part.finish()
        finally:
            self.part.leave()

    @property
    def paths(self) -> list[Path]:
        """The output files."""
        return [self.part.path] if self.stream is not None else []


class _Copy:
    """Pipes the output of Rerun into a file.

    On a full disk, Rerun's own file output drops data silently or hangs on close (rerun-sdk 0.41).
    The pipe always accepts data, and write errors are kept.
    """

    def __init__(self, path: Path) -> None:
        """`path`: output file."""
        self.error: OSError | None = None
        self.file = path.open("wb")
        read, self._write = os.pipe()
        self.end = f"/dev/fd/{self._write}"  # where Rerun writes
        self._thread = threading.Thread(target=self._run, args=(read,), daemon=True)
        self._thread.start()

    def opened(self) -> None:
        """Close our write end, so that the pipe ends when Rerun's closes."""
        os.close(self._write)

    def _run(self, read: int) -> None:
        with open(read, "rb", buffering=0) as pipe:  # a file descriptor
            try:
                with self.file:
                    shutil.copyfileobj(pipe, self.file)
            except OSError as error:
                self.error = error
                while pipe.read(1 << 16):
                    pass

    def check(self) -> None:
        """Raise the OSError of a failed write."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Wait for the remaining data, then `check`."""
        self._thread.join()
        self.check()
