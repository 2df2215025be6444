"""The pictures of rig.md, by `vitruvian calibrate`, from rendered boards and made-up people.

python docs/rig.py
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import vitruvian as vit
from vitruvian.body.skeletons import COCO17
from vitruvian.multiview.boards import Board

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
import boards  # noqa: E402  # pyright: ignore[reportMissingImports]
import rigs  # noqa: E402  # pyright: ignore[reportMissingImports]

LENS = np.array([-0.08, 0.03, 0.0005, 0.0])
VIEWS = 24


def main() -> None:
    """Calibrate two made-up phones."""
    board, size = Board.of("chessboard:9x6", 25, None, None), (960, 540)
    rng = np.random.default_rng(4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phones = []
        for n, camera in enumerate(rigs.cameras(2), 1):
            matrix = np.array([[680.0 + 4 * n, 0, 483], [0, 681 + 4 * n, 268], [0, 0, 1]])
            phones.append(replace(camera, matrix=matrix, size=size, distortion=LENS))
            rays = boards.fine_rays(phones[-1])
            for i in range(VIEWS):
                pose = boards.placed(rng, board, 0.34)
                path = folder / f"phone{n}" / f"{i:02}.png"
                path.parent.mkdir(exist_ok=True)
                cv2.imwrite(str(path), boards.rendered(rays, board, *pose))
        vit.calibrate(
            [folder / "phone1", folder / "phone2"], board="chessboard:9x6", square_mm=25,
            place=False, out=folder / "lenses.toml", say=print,
        )  # fmt: skip
        (HERE / "rig_lens.png").write_bytes((folder / "lenses_coverage.png").read_bytes())
        seconds = np.arange(600) / 30
        # That walker is a mirror image, which no model of a body fits: its left is on the right.
        body = rigs.walker(seconds)[:, COCO17.mirror]
        for n, camera in enumerate(phones, 1):
            view = rigs.seen(camera, f"phone{n}", body[None], seconds, rng)
            with vit.open_sink(folder / f"phone{n}.jsonl") as sink:
                for frame, poses in view.pairs:
                    sink.write(replace(frame, size=size), poses)
        records = [folder / f"phone{n}.jsonl" for n in (1, 2)]
        vit.calibrate(
            records, intrinsics=folder / "lenses.toml", length="left_shoulder,right_shoulder=0.38",
            out=folder / "rig.toml", say=print,
        )  # fmt: skip
        (HERE / "rig_setup.png").write_bytes((folder / "rig_setup.png").read_bytes())
        vit.triangulate(records, folder / "rig.toml", out=folder / "walk.trc", say=print)
        far = np.linalg.norm(phones[0].centre - phones[1].centre)
        print(f"in truth the phones are {far:.3f} m apart")


if __name__ == "__main__":
    main()
