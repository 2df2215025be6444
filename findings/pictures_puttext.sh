#!/bin/bash
# OpenCV 5.0.0: cv2.putText draws letters of a TrueType font, and its `thickness` chooses the weight of
# the font. The customary edge, the text once in white with thickness + 2 and once more in black above
# it, is no edge any more: of 4.13 a hundred pixels stay white around the letters, of 5.0 next to none.
#
# Output seen (pixels brighter than 200 that are left of the white text, on black, thickness 3 under 1):
#   4.13.0: 99
#   5.0.0: 0
# The first number must be many times the second.
#
# Bash and Python 3.11 are needed; exits non-zero if any of this changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/seen.py" <<'PYTHON'
import cv2
import numpy as np

image = np.zeros((80, 160, 3), np.uint8)
for ink, thickness in ((255, 5), (0, 3)):
    cv2.putText(image, "12", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.25, (ink,) * 3, thickness, cv2.LINE_AA)
print(f"{cv2.__version__}: {(image.min(axis=-1) > 200).sum()}")
PYTHON
for pin in 4.13.0.92 5.0.0.93; do
    python3 -m venv "$work/$pin"
    "$work/$pin/bin/pip" install -q "opencv-python-headless==$pin" "numpy==2.4.6"
    "$work/$pin/bin/python" "$work/seen.py" | tee -a "$work/seen"
done
before=$(sed -n 's/^4.13.0: //p' "$work/seen")
after=$(sed -n 's/^5.0.0: //p' "$work/seen")
test "$before" -gt 50
test "$((after * 5))" -lt "$before"
