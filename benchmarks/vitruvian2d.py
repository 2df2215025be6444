r"""vitruvian-2d on whole pictures of COCO: OKS-AP by finder and by how each person is looked at.

    python benchmarks/vitruvian2d.py ../shared/data/coco --yolo yolov8n-pose

Beside it, what BlazePose and YOLOv8n-pose make of the same pictures. The first rows have the true
boxes (of everybody whom COCO has labelled), the others find the people themselves. --yolo may also
be a file; without it the rows that need one are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vitruvian.evaluate.coco import coco_average_precision
from vitruvian.formats.coco import results
from vitruvian.frame import Frame
from vitruvian.models.load import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="coco of the shared data")
    parser.add_argument("--yolo", help="a YOLOv8-pose model or file")
    asked = parser.parse_args()
    annotations = asked.data / "person_keypoints.json"
    given, yolo = str(annotations), asked.yolo
    whole = (0.85, 1.0, 1.2)
    rows: list[tuple[str, str, dict]] = [
        ("vitruvian-2d, true boxes", "vitruvian-2d", {"find": given}),
        ("  and flip", "vitruvian-2d", {"find": given, "flip": True}),
        ("  and flip, scales", "vitruvian-2d", {"find": given, "flip": True, "scales": whole}),
        ("  and refine", "vitruvian-2d", {"find": given, "refine": "pga"}),
        ("  argmax", "vitruvian-2d", {"find": given, "decode": "argmax"}),
        ("  integral", "vitruvian-2d", {"find": given, "decode": "integral"}),
        ("vitruvian-2d, BlazePose's detector", "vitruvian-2d", {}),
        ("blazepose-full", "blazepose-full", {"num_poses": 20}),
    ]
    if yolo:
        rows += [
            ("vitruvian-2d, YOLOv8n's boxes", "vitruvian-2d", {"find": yolo, "conf": 0.05}),
            ("YOLOv8n-pose", yolo, {"conf": 0.001}),
        ]
    truth = json.loads(annotations.read_text())
    frames = [Frame.read(asked.data / "images" / image["file_name"]) for image in truth["images"]]
    for name, model_name, options in rows:
        model = load(model_name, **options)
        found = [entry for frame in frames for entry in results(frame, model([frame])[0])]
        got = coco_average_precision(truth, found)
        print(
            f"{name:36} AP {got['AP']:.3f}  AP50 {got['AP50']:.3f}  {len(found)} people", flush=True
        )


if __name__ == "__main__":
    main()
