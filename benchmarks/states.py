"""What scores say of a keypoint: those of COCO's keypoints by their annotated visibility.

python benchmarks/states.py ../shared/data/coco yolov8n-pose blazepose-full

People are matched to annotations of 64 x 64 pixels and more with 8 keypoints and more by the best
OKS of at least 0.5. v = 0 is not annotated (mostly outside the picture), 1 hidden, 2 visible.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import vitruvian
from vitruvian.body.skeletons import COCO17
from vitruvian.body.state import SEEN, VISIBLE, State, states


def main(folder: Path, names: list[str]) -> None:
    annotated = defaultdict(list)
    for each in json.loads((folder / "person_keypoints.json").read_text())["annotations"]:
        v = np.reshape(each["keypoints"], (17, 3))[:, 2]
        if not each.get("iscrowd") and (v > 0).sum() >= 8 and each["area"] >= 64**2:
            annotated[each["image_id"]].append(each)
    for name in names:
        many: dict[str, Any] = {"num_poses": 6} if name.startswith("blazepose") else {}
        model = vitruvian.load(name, **many)
        score, state, off = defaultdict(list), defaultdict(list), []
        for frame, poses in vitruvian.run(folder / "images", model):
            order = [poses.skeleton[keypoint] for keypoint in COCO17.keypoints]
            found = states(poses, frame.size)[:, order]
            for each in annotated[int(Path(frame.source).stem)]:
                truth = np.reshape(each["keypoints"], (17, 3)).astype(float)
                distance = np.linalg.norm(poses.xy[:, order] - truth[:, :2], axis=-1)
                spread = 2 * COCO17.sigmas * np.sqrt(each["area"])
                oks = np.exp(-((distance / spread) ** 2) / 2)[:, truth[:, 2] > 0].mean(axis=1)
                if not len(oks) or oks.max() < 0.5:
                    continue
                best = int(oks.argmax())
                for k, v in enumerate(truth[:, 2].astype(int)):
                    score[v].append(poses.score[best, order[k]])
                    state[v].append(found[best, k])
                    if v:
                        off.append((score[v][-1], distance[best, k] / np.sqrt(each["area"])))
        heads = " | ".join(each.name for each in State)
        print(f"{name}\n| v | keypoints | below {SEEN} | below {VISIBLE} | {heads} |")
        for v in sorted(score):
            low = " | ".join(f"{np.mean(np.array(score[v]) < t):.1%}" for t in (SEEN, VISIBLE))
            share = " | ".join(f"{np.mean(np.array(state[v]) == s):.1%}" for s in State)
            print(f"| {v} | {len(score[v])} | {low} | {share} |")
        values = np.array(off)
        for low, high in ((0, SEEN), (SEEN, VISIBLE), (VISIBLE, 1.01)):
            inside = values[(values[:, 0] >= low) & (values[:, 0] < high), 1]
            print(f"score {low} to {high}: median off by {np.median(inside):.3f} of sqrt(area)")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
