"""MediaPipe 0.10.21 Solutions on a video or on pictures; run by benchmarks/blazepose.py and run.py.

It runs in an environment of its own that has mediapipe, and knows nothing of vitruvian. Prints one
JSON object. What is timed starts when the model is loaded and ends when the last line is written.
With `lines` it prints one for each frame instead: people, and the seconds that they took.
"""

import json
import resource
import sys
import time

import cv2
import mediapipe as mp


def line(result, size, index, seconds):
    """What vitruvian writes of a frame: pixels, visibility, metres."""
    people = []
    if result.pose_landmarks:
        image, world = result.pose_landmarks.landmark, result.pose_world_landmarks.landmark
        people = [
            {
                "xy": [[round(p.x * size[0], 4), round(p.y * size[1], 4)] for p in image],
                "score": [round(p.visibility, 6) for p in image],
                "xyz": [[round(p.x, 6), round(p.y, 6), round(p.z, 6)] for p in world],
            }
        ]
    return json.dumps({"index": index, "time": seconds, "size": size, "people": people}) + "\n"


def video(path, out, complexity):
    """Follow one person through a video, as its own examples do it."""
    with mp.solutions.pose.Pose(model_complexity=complexity) as pose:
        began, cpu, frames, found = time.perf_counter(), time.process_time(), 0, 0
        capture = cv2.VideoCapture(path)
        with open(out, "w") as file:  # noqa: PTH123
            while True:
                ok, bgr = capture.read()
                if not ok:
                    break
                seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                result = pose.process(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
                found += result.pose_landmarks is not None
                file.write(line(result, (bgr.shape[1], bgr.shape[0]), frames, seconds))
                frames += 1
        return report(began, cpu, frames, found)


def pictures(paths, complexity):
    """Each picture on its own, from file to landmarks; the first one warms up."""
    times = []
    with mp.solutions.pose.Pose(static_image_mode=True, model_complexity=complexity) as pose:
        pose.process(cv2.cvtColor(cv2.imread(paths[0]), cv2.COLOR_BGR2RGB))
        began, cpu, found = time.perf_counter(), time.process_time(), 0
        for path in paths:
            start = time.perf_counter()
            result = pose.process(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB))
            times.append(time.perf_counter() - start)
            found += result.pose_landmarks is not None
        return {**report(began, cpu, len(paths), found), "times": times}


def lines(what, sources, complexity):
    """Each frame of a video, followed, or each picture on its own, as a line of JSON."""
    with mp.solutions.pose.Pose(
        static_image_mode=what == "pictures", model_complexity=complexity
    ) as pose:
        for source in sources:
            capture = cv2.VideoCapture(source) if what == "video" else None
            index = 0
            while capture is not None or index == 0:
                began = time.perf_counter()
                bgr = cv2.imread(source) if capture is None else capture.read()[1]
                if bgr is None:
                    break
                at = 0.0 if capture is None else capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                result = pose.process(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
                said = json.loads(line(result, (bgr.shape[1], bgr.shape[0]), index, at))
                said |= {"source": source, "seconds": time.perf_counter() - began}
                print(json.dumps(said), flush=True)
                index += 1


def report(began, cpu, frames, found):
    """Seconds of the clock and of the processor, and the most memory so far."""
    return {
        "frames": frames,
        "found": found,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    if job.get("lines"):
        lines(job["what"], job["sources"], job["complexity"])
    elif job["what"] == "video":
        print(json.dumps(video(job["video"], job["out"], job["complexity"])))
    else:
        print(json.dumps(pictures(job["pictures"], job["complexity"])))
