"""Ways to run one network with OpenVINO: which are faster, and which give the same bits.

    python benchmarks/hints.py [pose_landmark_full.tflite] [--rounds 200]

All variants of a group take turns in one process. Figures are milliseconds a crop, the best wall
clock and the median CPU time; the wall clock's ratio to the group's first variant is what counts.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.models.blazepose import LANDMARK_SIDE, Landmarks, Options
from vitruvian.models.ready import pull
from vitruvian.network.openvino import import_openvino, openvino_core

F32 = {"INFERENCE_PRECISION_HINT": "f32"}
ONE = {
    **F32,
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,
}
TWO = {**ONE, "INFERENCE_NUM_THREADS": 2}
Run = Callable[[], list[np.ndarray]]


class Variants:
    """Variants of one network, on the same crops."""

    def __init__(self, file: Path) -> None:
        self.file = file
        random = np.random.default_rng(0)
        side = LANDMARK_SIDE
        # Not noise, whose activations are unlike those of an image.
        rough = random.integers(0, 256, (4, 8, 8, 3)).repeat(side // 8, 1).repeat(side // 8, 2)
        self.bytes = np.clip(rough + random.integers(-9, 10, rough.shape), 0, 255).astype(np.uint8)
        self.crops = self.bytes * np.float32(1 / 255)

    def model(self, batch: int = 1, inside: str = "") -> Any:
        """The network; what is done inside of it: scaling, or the order of the axes."""
        openvino = import_openvino()
        whole = openvino_core().read_model(self.file)
        kept = [whole.outputs[i] for i in Landmarks.outputs(Options())]
        model = openvino.Model(kept, whole.get_parameters())
        model.reshape([batch, *self.crops.shape[1:]])
        if inside:
            steps = openvino.preprocess.PrePostProcessor(model)
            given = steps.input()
            given.model().set_layout(openvino.Layout("NHWC"))
            if inside == "NCHW":
                given.tensor().set_layout(openvino.Layout("NCHW"))
            else:
                given.tensor().set_element_type(openvino.Type.u8)
                before = given.preprocess().convert_element_type(openvino.Type.f32)
                if inside == "scale":  # which OpenVINO moves into the weights of a convolution
                    before.scale(255)
                else:
                    before.custom(_scaled)
            model = steps.build()
        return model

    def run(
        self,
        settings: dict[str, Any],
        *,
        crops: int = 1,
        requests: int = 1,
        inside: str = "",
        share: bool = True,
    ) -> Run:
        """A function that runs all crops, in as many requests at the same time."""
        batch = crops // requests
        compiled = openvino_core().compile_model(self.model(batch, inside), "CPU", settings)
        asked = [compiled.create_infer_request() for _ in range(requests)]
        rows = self.bytes[:crops] if inside in ("scale", "multiply") else self.crops[:crops]
        if inside == "NCHW":
            rows = np.ascontiguousarray(rows.transpose(0, 3, 1, 2))
        parts = np.split(rows, requests)

        def run() -> list[np.ndarray]:
            for request, part in zip(asked, parts, strict=True):
                request.start_async([part], share_inputs=share)
            for request in asked:
                request.wait()
            each = [[part.data for part in request.output_tensors] for request in asked]
            return [np.concatenate(part) for part in zip(*each, strict=True)]

        return run


def _scaled(pixels: Any) -> Any:
    """0..255 -> 0..1, as numpy does it."""
    opset = importlib.import_module("openvino.opset13")
    return opset.multiply(pixels, opset.constant(np.float32(1 / 255))).output(0)


def scaled(variants: Variants) -> Run:
    """What is done today: scaling with numpy, then the network."""
    compiled = openvino_core().compile_model(variants.model(), "CPU", ONE)
    request = compiled.create_infer_request()
    rows = np.empty_like(variants.crops[:1])

    def run() -> list[np.ndarray]:
        np.multiply(variants.bytes[:1], np.float32(1 / 255), out=rows)
        request.infer([rows], share_inputs=True)
        return [np.array(part.data) for part in request.output_tensors]

    return run


def compare(title: str, runs: dict[str, Run], crops: int, rounds: int) -> None:
    """Print a table; the first variant is what the others are held against."""
    first, *_ = runs.values()
    exact = first()
    apart = {}
    for name, run in runs.items():
        pairs = zip(exact, run(), strict=True)
        apart[name] = max(float(np.abs(a - b).max()) for a, b in pairs)
    wall: dict[str, list[float]] = {name: [] for name in runs}
    used: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began, cpu = time.perf_counter(), time.process_time()
            run()
            used[name].append((time.process_time() - cpu) * 1e3 / crops)
            wall[name].append((time.perf_counter() - began) * 1e3 / crops)
    base = min(next(iter(wall.values())))
    print(f"\n| {title} | ms a crop | CPU ms | time | bits |\n|---|---|---|---|---|")
    for name in runs:
        took, cpu = min(wall[name]), statistics.median(used[name])
        bits = "the same" if apart[name] == 0 else f"{apart[name]:.0e} apart"
        print(f"| {name} | {took:.1f} | {cpu:.1f} | {took / base:.2f} | {bits} |", flush=True)


def main() -> None:
    """Read the words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="a landmark network of BlazePose")
    parser.add_argument("--rounds", type=int, default=200)
    words = parser.parse_args()
    variants = Variants(words.file or pull("blazepose-full")[1])
    run = variants.run
    pinned, hyper = {"ENABLE_CPU_PINNING": True}, {"ENABLE_HYPER_THREADING": False}
    much = {**F32, "PERFORMANCE_HINT": "THROUGHPUT"}
    streams = {**TWO, "NUM_STREAMS": 2}
    one = {
        "as it is (NHWC)": run(ONE),
        "given as NCHW": run(ONE, inside="NCHW"),
        "inputs copied": run(ONE, share=False),
        "pinned": run({**ONE, **pinned}),
        "no hyper-threading": run({**ONE, **hyper}),
        "THROUGHPUT": run({**much, "INFERENCE_NUM_THREADS": 1}),
    }
    compare("one crop, one thread", one, 1, words.rounds)
    given = {
        "scaled with numpy": scaled(variants),
        "multiplied inside": run(ONE, inside="multiply"),
        "`scale(255)` inside": run(ONE, inside="scale"),
    }
    compare("one crop of bytes, one thread", given, 1, words.rounds)
    two = {
        "LATENCY": run(TWO),
        "pinned": run({**TWO, **pinned}),
        "THROUGHPUT": run({**much, "INFERENCE_NUM_THREADS": 2}),
    }
    compare("one crop, two threads", two, 1, words.rounds)
    four = {
        "a batch of four": run(TWO, crops=4),
        "two of two, two streams": run(streams, crops=4, requests=2),
        "four of one, two streams": run(streams, crops=4, requests=4),
        "four of one, THROUGHPUT": run({**much, "INFERENCE_NUM_THREADS": 2}, crops=4, requests=4),
        "four of one, two streams, pinned": run({**streams, **pinned}, crops=4, requests=4),
    }
    compare("four crops, two threads", four, 4, words.rounds // 4)


if __name__ == "__main__":
    main()
