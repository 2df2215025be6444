"""MediaPipe 0.10.21 Solutions Holistic on a video or on pictures; run by benchmarks/holistic.py
and benchmarks/hands.py.

It runs in an environment of its own that has mediapipe, and knows nothing of vitruvian. Prints one
JSON object. What is timed starts when the model is loaded and ends with the last result, which is
not converted or written.
"""

import json
import resource
import sys
import time

import cv2
import mediapipe as mp

PARTS = ("pose", "left_hand", "right_hand", "face")


def frames(job):
    """RGB frames of a video, or of each picture."""
    if job["what"] == "pictures":
        for path in job["sources"]:
            yield cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
        return
    capture = cv2.VideoCapture(job["sources"][0])
    while True:
        ok, bgr = capture.read()
        if not ok:
            return
        yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def landmarks(job):
    """Pixels of the wrists and hands in each of unrelated pictures, by file."""
    found = {}
    with mp.solutions.holistic.Holistic(static_image_mode=True) as model:
        for path in job["sources"]:
            model.reset()  # even in static mode it keeps hands
            rgb = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
            height, width = rgb.shape[:2]
            result, found[path] = model.process(rgb), {}
            for side, wrist in (("left", 15), ("right", 16)):
                if result.pose_landmarks is not None:
                    at = result.pose_landmarks.landmark[wrist]
                    found[path][f"{side}_wrist"] = [at.x * width, at.y * height]
                hand = getattr(result, f"{side}_hand_landmarks")
                if hand is not None:
                    points = [[at.x * width, at.y * height] for at in hand.landmark]
                    found[path][f"{side}_hand"] = points
    print(json.dumps(found))


def main(job):
    """Run and report."""
    found, count = dict.fromkeys(PARTS, 0), 0
    with mp.solutions.holistic.Holistic(
        static_image_mode=job["what"] == "pictures", refine_face_landmarks=job["refined"]
    ) as model:
        model.process(next(frames(job)))
        model.reset()
        began, cpu = time.perf_counter(), time.process_time()
        for rgb in frames(job):
            result = model.process(rgb)
            count += 1
            for part in PARTS:
                found[part] += getattr(result, f"{part}_landmarks") is not None
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"frames": count, "found": found, "seconds": took, "cpu": cpu, "rss_mb": rss}))


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    (landmarks if asked["what"] == "landmarks" else main)(asked)
