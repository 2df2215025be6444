#!/bin/bash
# PyAV 18.1.0 (SVT-AV1 4.1.0 in its wheel), seen 30 November 2026: encoding AV1 with `libsvtav1` as
# root gives the thread that encodes the scheduling class SCHED_FIFO with priority 99, and it keeps
# it after the file is closed. Threads and processes that it starts later inherit it. Everything
# else on the machine then waits whenever such a process computes: tests that made a clip in AV1
# took two thirds of a machine of two cores from all other programs.
#
#    Guess: an encoder leaves the scheduling of the program that uses it alone, as libx264 does.
#    Seen:  libx264: policy 0 (SCHED_OTHER), priority 0, before, while and after.
#           libsvtav1: policy 1 (SCHED_FIFO), priority 99, from the first frame on; after `close`,
#           in a new thread, and in a new process as well.
#
# Way out: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)) afterwards.
# Needs root (or CAP_SYS_NICE). Prints what is seen; exits with 1 if that changes, with 2 where the
# process may not have a real-time priority.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/pip install -q "av==18.1.0" "numpy==2.3.5"
cat > case.py <<'P'
import os
import subprocess
import sys
import threading

import av
import numpy as np


def policy():
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def encode(codec):
    """Policy and priority: before, while encoding, afterwards, in a new thread and process."""
    seen = [policy()]
    with av.open(f"{codec}.mp4", "w") as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        grey = np.full((64, 64, 3), 128, np.uint8)
        file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        seen.append(policy())
        file.mux(stream.encode(None))
    seen.append(policy())
    thread = threading.Thread(target=lambda: seen.append(policy()))
    thread.start()
    thread.join()
    ask = "import os; print(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)"
    text = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout
    return [*seen, tuple(map(int, text.split()))]


usual = os.sched_getscheduler(0), os.sched_getparam(0)
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
except PermissionError:
    print("a real-time priority is not allowed here; run it as root")
    sys.exit(2)
os.sched_setscheduler(0, *usual)
h264, av1 = encode("libx264"), encode("libsvtav1")
os.sched_setscheduler(0, *usual)
print("policy, priority: before, while encoding, closed, new thread, new process")
print("libx264  ", *h264)
print("libsvtav1", *av1)
sys.exit(not (h264 == [(0, 0)] * 5 and av1 == [(0, 0)] + [(1, 99)] * 4))
P
v/bin/python case.py 2>/dev/null
