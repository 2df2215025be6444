#!/usr/bin/env bash
# sleap-io 0.9.5: labels that were read from an analysis file (.h5) without a video cannot be saved as .slp.
#
# Guess: the file is read, so it can be saved in the package's own format.
# Seen:  `load_file` gives a video without files; `save_file` takes the first of them: IndexError.
#        movement 0.15.0 writes such analysis files, since a data set of poses has no video.
#
# Output seen:
#   read: 4 frames
#   saved: IndexError: list index out of range
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet movement==0.15.0 sleap-io==0.9.5 numpy==2.4.6
cat >save.py <<'PY'
import numpy as np
import sleap_io
from movement.io import load_poses, save_poses

position = np.random.default_rng(0).random((4, 2, 3, 1))  # time, space, keypoint, person
data = load_poses.from_numpy(position, np.ones((4, 3, 1)), ["one"], ["nose", "knee", "ankle"], fps=25)
save_poses.to_sleap_analysis_file(data, "a.h5")
labels = sleap_io.load_file("a.h5")
print(f"read: {len(labels)} frames")
try:
    sleap_io.save_file(labels, "a.slp")
    print("saved")
except Exception as error:
    print(f"saved: {type(error).__name__}: {error}")
PY
HOME=$work env/bin/python -W ignore save.py 2>/dev/null | tee seen.txt
diff seen.txt - <<'SEEN'
read: 4 frames
saved: IndexError: list index out of range
SEEN
echo "as before"
