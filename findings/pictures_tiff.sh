#!/bin/bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93): a colour TIFF of 16 bits that is decoded with
# IMREAD_COLOR_RGB | IMREAD_ANYDEPTH comes back with the right shape and dtype and with values that
# are not those of the file, without an error. The same flags are right for PNG, for 8 bits, for grey
# and for float; IMREAD_COLOR_BGR | IMREAD_ANYDEPTH is right for the TIFF, too.
#
# Output seen:
#   5.0.0 tif RGB: WRONG
#   5.0.0 tif BGR: right
#   5.0.0 png RGB: right
#   5.0.0 png BGR: right
#
# Bash and Python 3.11 are needed; exits non-zero if any of this changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "opencv-python-headless==5.0.0.93" "numpy==2.4.6"
cd "$work"
"$work/venv/bin/python" - <<'PYTHON' | tee seen
import cv2
import numpy as np

values = np.random.default_rng(0).integers(0, 4096, (32, 48, 3)).astype(np.uint16)
for suffix in ("tif", "png"):
    data = cv2.imencode(f".{suffix}", values)[1]
    for name, flag, want in (
        ("RGB", cv2.IMREAD_COLOR_RGB, values[..., ::-1]),
        ("BGR", cv2.IMREAD_COLOR_BGR, values),
    ):
        read = cv2.imdecode(data, flag | cv2.IMREAD_ANYDEPTH)
        assert (read.dtype, read.shape) == (values.dtype, values.shape)
        same = "right" if np.array_equal(read, want) else "WRONG"
        print(f"{cv2.__version__} {suffix} {name}: {same}")
PYTHON
grep -qx "5.0.0 tif RGB: WRONG" seen
test "$(grep -c ': right' seen)" = 3
