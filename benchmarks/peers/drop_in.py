"""One program for `mediapipe` and for what replaces it; run by benchmarks/drop_in.py.

    python drop_in.py MODULE JOB

MODULE is imported as `mp`; the rest is the same program. A JOB is JSON: what (solutions or tasks),
sources (pictures, or a video
of 25 frames a second as an .npy array: OpenCV's versions decode otherwise), moving, complexity or
bundle, most, masks, touched (see there), out. Keeps all numbers in `out`, an .npz file, and
prints median seconds of an image and mean seconds of the processor.
"""

import importlib
import json
import sys
import time

import cv2
import numpy as np

WARM = 5  # first images, whose processor time does not count


def images(sources, moving):
    """RGB images, one after the other, and their time in milliseconds."""
    for source in sources:
        if not moving:
            yield cv2.cvtColor(cv2.imread(source), cv2.COLOR_BGR2RGB), 0
            continue
        for index, rgb in enumerate(np.load(source, mmap_mode="r")):
            yield np.array(rgb), index * 40


def numbers(points, *names):
    """(33, ...) of landmarks."""
    return [[getattr(point, name) for name in names] for point in points]


def solutions(mp, job):
    """Calls of Solutions: image -> image landmarks, world landmarks, mask, of 0 or 1 people."""
    pose = mp.solutions.pose.Pose(
        static_image_mode=not job["moving"],
        model_complexity=job["complexity"],
        enable_segmentation=job["masks"],
    )

    def run(rgb, _):
        result = pose.process(rgb)
        if result.pose_landmarks is None:
            return [], [], None
        image, world = result.pose_landmarks.landmark, result.pose_world_landmarks.landmark
        seen = ("x", "y", "z", "visibility")
        return [numbers(image, *seen)], [numbers(world, *seen)], result.segmentation_mask

    return pose, run


def tasks(mp, job):
    """The same of Tasks, of several people."""
    vision = mp.tasks.vision
    mode = vision.RunningMode.VIDEO if job["moving"] else vision.RunningMode.IMAGE
    task = vision.PoseLandmarker.create_from_options(
        vision.PoseLandmarkerOptions(
            base_options=mp.tasks.BaseOptions(model_asset_path=job["bundle"]),
            running_mode=mode,
            num_poses=job["most"],
            output_segmentation_masks=job["masks"],
        )
    )

    def run(rgb, stamp):
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)
        result = task.detect_for_video(image, stamp) if job["moving"] else task.detect(image)
        seen = ("x", "y", "z", "visibility", "presence")
        masks = result.segmentation_masks
        return (
            [numbers(person, *seen) for person in result.pose_landmarks],
            [numbers(person, *seen) for person in result.pose_world_landmarks],
            masks[0].numpy_view() if masks else None,
        )

    return task, run


def main(module, job):
    """Run it."""
    mp = importlib.import_module(module)
    handle, run = (solutions if job["what"] == "solutions" else tasks)(mp, job)
    times, cpu, count, people, worlds, masks = [], [], [], [], [], []
    with handle:
        for rgb, stamp in images(job["sources"], job["moving"]):
            if job.get("touched"):  # one number in a thousand is one more or less
                rgb.ravel()[::1000] ^= 1
            began, used = time.perf_counter(), time.process_time()
            image, world, mask = run(rgb, stamp)
            times.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
            count.append(len(image))
            people += image
            worlds += world
            if mask is not None and len(masks) < 20:
                masks.append(mask[:400:4, :400:4].mean(dtype=float))
    np.savez(job["out"], count=count, image=people, world=worlds, mask=masks, times=times)
    print(json.dumps({"seconds": np.median(times), "cpu": np.mean(cpu[WARM:])}))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
