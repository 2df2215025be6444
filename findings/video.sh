#!/bin/bash
# PyAV 18.1.0 (FFmpeg 8.1), seen 28 November 2026: two things about packets and time stamps that a
# good guess gets wrong.
#
# 1. `frame.pts` of H.264 with B-frames in AVI is no presentation time, though pictures come out in
#    the order in which they are shown. AVI has none; PyAV switches AVFMT_FLAG_GENPTS on for every
#    container, and FFmpeg then guesses from decoding times. With the flag off it is None.
#    Guess: 0 1 2 3 4 5 6 7 8 9 10 11, or None.
#    Seen:  1 3 4 2 6 7 5 9 10 8 12 11; without the flag None throughout.
# 2. A packet of 0 bytes in the middle (AVI: "show the frame before on") ends the decoder when it is
#    decoded, as the flush packet behind the last one does: every packet after it raises EOFError.
#    Guess: no picture for it, and the next packets go on.
#    Seen:  10 packets before it, then av.error.EOFError.
#
# Prints what is seen; exits with 1 if that changes.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/pip install -q "av==18.1.0" "numpy==2.3.5"
cat > case.py <<'P'
import sys
import av
import numpy as np


def film(path, codec, **options):
    with av.open(path, "w") as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            rgb = np.full((48, 64, 3), 20 * i, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        file.mux(stream.encode(None))


film("b.avi", "libx264", bf="2")
with av.open("b.avi") as file:
    frames = list(file.decode(video=0))
    stamps = [frame.pts for frame in frames]
    shown = [round(float(f.to_ndarray(format="rgb24").mean()) / 20) for f in frames]
with av.open("b.avi") as file:
    file.flags &= ~av.container.core.Flags.gen_pts.value
    bare = [frame.pts for frame in file.decode(video=0)]
print("pictures", shown, "pts", stamps, "without GENPTS", bare)

film("p.mp4", "libx264", bf="0")
decoded, error = 0, None
with av.open("p.mp4") as file:
    stream = file.streams.video[0]
    for packet in file.demux(stream):
        if decoded == 10:
            empty = av.Packet()
            empty.stream = stream
            empty.decode()
        try:
            packet.decode()
        except Exception as raised:
            error = type(raised).__name__
            break
        decoded += 1
print("packets decoded", decoded, "then", error)
same = stamps == [1, 3, 4, 2, 6, 7, 5, 9, 10, 8, 12, 11] and shown == list(range(12))
sys.exit(not (same and bare == [None] * 12 and (decoded, error) == (10, "EOFError")))
P
v/bin/python case.py
