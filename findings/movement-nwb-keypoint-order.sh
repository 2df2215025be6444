#!/usr/bin/env bash
# movement 0.15.0 with pynwb 4.2.0 and ndx-pose 0.4.0: keypoints come back from an NWB file in alphabetical order.
#
# Guess: a data set that is written and read has its keypoints in their order, so that index 0 stays the nose.
# Seen:  `from_nwb_file` orders them by name, as HDF5 lists the groups of a file. Names and values still
#        belong together; whoever counts on the order of a skeleton mixes up joints.
#
# Output seen:
#   written: nose, left_knee, ankle; first x of nose 0
#   read: ankle, left_knee, nose; first x of nose 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet movement==0.15.0 pynwb==4.2.0 ndx-pose==0.4.0 numpy==2.4.6
cat >order.py <<'PY'
import numpy as np
from movement.io import load_poses, save_poses
from pynwb import NWBHDF5IO


def say(what, data):
    x = float(data.position.sel(keypoints="nose", space="x").values.ravel()[0])
    print(f"{what}: {', '.join(data.keypoints.values)}; first x of nose {x:g}")


position = np.arange(4 * 2 * 3 * 1, dtype=float).reshape(4, 2, 3, 1)  # time, space, keypoint, person
data = load_poses.from_numpy(position, np.ones((4, 3, 1)), ["one"], ["nose", "left_knee", "ankle"], fps=25)
say("written", data)
with NWBHDF5IO("a.nwb", "w") as file:
    file.write(save_poses.to_nwb_file(data))
say("read", load_poses.from_nwb_file("a.nwb"))
PY
HOME=$work env/bin/python -W ignore order.py 2>/dev/null | tee seen.txt
diff seen.txt - <<'SEEN'
written: nose, left_knee, ankle; first x of nose 0
read: ankle, left_knee, nose; first x of nose 0
SEEN
echo "as before"
