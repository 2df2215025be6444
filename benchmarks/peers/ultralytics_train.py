"""Ultralytics' training, as `train_yolo.py` asks for it: run by the Python of its own environment.

Reads one JSON job from its first argument; answers with a JSON line for each epoch. See
`ultralytics_pose.py` for what the environment needs.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

job = json.loads(sys.argv[1])
os.environ["YOLO_CONFIG_DIR"] = job["folder"]
answers, sys.stdout = sys.stdout, sys.stderr

import torch  # noqa: E402
from ultralytics_pose import YOLO  # noqa: E402


def say(**what: object) -> None:
    print(json.dumps(what), file=answers, flush=True)


def main() -> None:
    torch.set_num_threads(job["threads"])
    model = YOLO(job["weights"], task="pose")
    if "tensors" in job:  # the same start as ours: batch norms with statistics
        model.model.load_state_dict(torch.load(job["tensors"], weights_only=True))
        model.save(job["start"])
        return
    started = [time.perf_counter(), time.process_time()]

    def begin(_: object) -> None:
        started[:] = [time.perf_counter(), time.process_time()]

    def end(_: object) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
        say(seconds=seconds, cpu=cpu, peak_mb=peak)

    model.add_callback("on_train_epoch_start", begin)
    model.add_callback("on_train_epoch_end", end)
    model.train(
        **job["settings"],
        data=job["data"],
        device="cpu",
        workers=0,
        val=False,
        plots=False,
        amp=False,
        verbose=False,
        project=job["folder"],
        name="theirs",
        exist_ok=True,
    )
    say(weights=str(Path(job["folder"], "theirs", "weights", "last.pt")))


if __name__ == "__main__":
    main()
