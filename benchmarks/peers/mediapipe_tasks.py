"""MediaPipe's Tasks on pictures or a video, for `run.py`: run by the Python of its own environment.

    python mediapipe_tasks.py bundle DETECTOR.tflite LANDMARKS.tflite OUT.task
    python mediapipe_tasks.py JOB

Knows nothing of vitruvian. The bundle that Google offers for download is a zip of the two networks
with a description of their input; `bundle` makes one of the networks in MediaPipe's own wheel,
which needs version 0.10.21. A JOB is JSON: what, sources, bundle, most. One line of JSON for each
frame; with `out` they go into that file, and the time that it took is printed, for `all.py`. For
`live_peer.py` it is: what ("live"), bundle, most, frames (.npy of RGB), seconds; one line of JSON.
"""

import json
import resource
import sys
import threading
import time
import zipfile
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision


def described(file, mean, deviation):
    """A network with what Tasks must know of its input."""
    from mediapipe.tasks.python.metadata.metadata_writers import metadata_writer

    writer = metadata_writer.MetadataWriter.create(bytearray(Path(file).read_bytes()))
    writer.add_image_input([mean], [deviation])
    return bytes(writer.populate()[0])


def bundle(detector, landmarks, out):
    """Both networks as Tasks wants them: one looks at -1..1, the other at 0..1."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        file.writestr("pose_detector.tflite", described(detector, 127.5, 127.5))
        file.writestr("pose_landmarks_detector.tflite", described(landmarks, 0.0, 255.0))


def person(image, world, size):
    """One person in pixels and metres."""
    return {
        "xy": [[p.x * size[0], p.y * size[1]] for p in image],
        "score": [p.visibility for p in image],
        "presence": [p.presence for p in image],
        "xyz": [[p.x, p.y, p.z] for p in world],
    }


def answer(found, source, index, at, bgr, seconds, file=None):
    """What is said of a frame."""
    size = (bgr.shape[1], bgr.shape[0])
    pairs = zip(found.pose_landmarks, found.pose_world_landmarks, strict=True)
    people = [person(image, world, size) for image, world in pairs]
    line = {"source": source, "index": index, "time": at, "size": size, "people": people}
    print(json.dumps({**line, "seconds": seconds}), file=file, flush=file is None)
    return len(people)


def image_of(bgr):
    """As MediaPipe takes it."""
    return mp.Image(image_format=mp.ImageFormat.SRGB, data=cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def main(job):
    """Pictures each on its own; a video as a video, which follows and smooths."""
    moving = job["what"] == "video"
    options = vision.PoseLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=job["bundle"]),
        running_mode=vision.RunningMode.VIDEO if moving else vision.RunningMode.IMAGE,
        num_poses=job["most"],
    )
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        if not moving:
            for source in job["sources"]:
                began = time.perf_counter()
                bgr = cv2.imread(source)
                found = landmarker.detect(image_of(bgr))
                answer(found, source, 0, 0.0, bgr, time.perf_counter() - began)
            return
        (source,) = job["sources"]
        if "out" in job:
            print(json.dumps(timed(landmarker, source, job["out"])))
            return
        capture, index = cv2.VideoCapture(source), 0
        while True:
            began = time.perf_counter()
            ok, bgr = capture.read()
            if not ok:
                return
            at = capture.get(cv2.CAP_PROP_POS_MSEC)
            found = landmarker.detect_for_video(image_of(bgr), round(at))
            answer(found, source, index, at / 1000, bgr, time.perf_counter() - began)
            index += 1


def timed(landmarker, source, out):
    """A video into a file of JSON lines: seconds of the clock and of the processor, and memory."""
    began, cpu, people, index = time.perf_counter(), time.process_time(), 0, 0
    capture = cv2.VideoCapture(source)
    with open(out, "w") as file:  # noqa: PTH123
        while True:
            ok, bgr = capture.read()
            if not ok:
                break
            at = capture.get(cv2.CAP_PROP_POS_MSEC)
            found = landmarker.detect_for_video(image_of(bgr), round(at))
            people += answer(found, source, index, at / 1000, bgr, 0.0, file)
            index += 1
    return {
        "frames": index,
        "people": people,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def live(job):
    """Results of LIVE_STREAM: a frame waits while another is worked on, as it wants it."""
    frames, room, found = np.load(job["frames"]), threading.Semaphore(2), []

    def on_result(result, image, at):
        found.append((time.perf_counter(), len(result.pose_landmarks)))
        room.release()

    options = vision.PoseLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=job["bundle"]),
        running_mode=vision.RunningMode.LIVE_STREAM,
        num_poses=job["most"],
        result_callback=on_result,
    )
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        pushed, began = 0, time.perf_counter()
        while time.perf_counter() - began < job["seconds"]:
            room.acquire(timeout=0.5)  # no result comes for a frame that is dropped
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=frames[pushed % len(frames)])
            pushed += 1
            landmarker.detect_async(image, round(pushed * 1000 / 30))
    told = {"rate": (len(found) - 1) / (found[-1][0] - found[0][0]), "pushed": pushed}
    print(json.dumps({**told, "results": len(found), "people": sum(n for _, n in found)}))


if __name__ == "__main__":
    if sys.argv[1] == "bundle":
        bundle(*sys.argv[2:])
    else:
        given = json.loads(sys.argv[1])
        (live if given["what"] == "live" else main)(given)
