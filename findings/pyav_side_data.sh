#!/bin/bash
# PyAV 18.1.0, seen 29 November 2026: reading `frame.side_data` makes the frame part of a reference
# cycle, so dropping the frame does not free its pixels; they stay until Python's cyclic garbage
# collector runs, which with few new Python objects takes hundreds of frames.
#
#    Guess: a decoded frame that is no longer referenced is freed at once, as without the access.
#    Seen:  of 200 dropped frames 0 wait for the collector if only `frame.rotation` is read; with
#           `frame.side_data` all 200 do, and the process keeps their pixels (1.5 MB each here).
#
# Prints what is seen; exits with 1 if that changes.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/pip install -q "av==18.1.0" "numpy==2.3.5"
cat > case.py <<'P'
import gc
import sys

import av
import numpy as np

with av.open("a.mp4", "w") as file:
    stream = file.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 1280, 800, "yuv420p"
    for i in range(200):
        rgb = np.full((800, 1280, 3), i, np.uint8)
        file.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
    file.mux(stream.encode(None))


def waiting(look):
    """Frames that only the collector frees, and how much memory they keep, in MB."""
    gc.collect()
    gc.disable()
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * 4096
    with av.open("a.mp4") as container:
        for frame in container.decode(video=0):
            look(frame)
        del frame
    with open("/proc/self/statm") as file:
        kept = (int(file.read().split()[1]) * 4096 - before) // 2**20
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    number = sum(type(each).__name__ == "VideoFrame" for each in gc.garbage)
    gc.garbage.clear()
    gc.enable()
    return number, kept


plain = waiting(lambda frame: frame.rotation)
asked = waiting(lambda frame: frame.side_data)
print("frames that wait for the collector, MB kept: rotation", plain, "side_data", asked)
sys.exit(not (plain[0] == 0 and asked[0] == 200 and asked[1] > plain[1] + 100))
P
v/bin/python case.py
