#!/usr/bin/env bash
# OpenCV 5's FileStorage writes an array of one axis (rvec, tvec, a list of distortion coefficients) in
# another form than OpenCV 4 does, and than both write everything else.
#
# opencv-python-headless 4.13.0.92: tag !!opencv-matrix, with rows and cols (3 and 1).
# opencv-python-headless 5.0.0.93:  tag !!opencv-nd-matrix, with sizes, and no rows and cols.
#
# In YAML the tag is unknown to whoever has made a constructor for opencv-matrix only (PyYAML raises
# ConstructorError); in YAML, JSON and XML alike, readers that ask for rows and cols do not find them.
# OpenCV 4.13 itself reads the new form, as (3, 1).
#
# Output seen:
#   4.13.0: tvec: !!opencv-matrix rows: 3 cols: 1
#   5.0.0: tvec: !!opencv-nd-matrix sizes: [ 3 ]
#   4.13.0 reads what 5.0.0 wrote as (3, 1)
#   PyYAML with a constructor for opencv-matrix only: ConstructorError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for version in 4.13.0.92 5.0.0.93; do
    python3 -m venv "$version"
    "$version/bin/pip" install --quiet "numpy==2.2.6" "opencv-python-headless==$version" pyyaml==6.0.3
done
cat >write.py <<'PY'
import sys

import cv2
import numpy as np

file = cv2.FileStorage(sys.argv[1], cv2.FILE_STORAGE_WRITE)
file.write("tvec", np.array([0.1, 0.2, 3.0]))
file.write("K", np.eye(3))
file.release()
lines = [line.strip() for line in open(sys.argv[1])]
at = next(i for i, line in enumerate(lines) if line.startswith("tvec"))
sizes = [line for line in lines[at + 1 : at + 3] if line.split(":")[0] in ("rows", "cols", "sizes")]
print(f"{cv2.__version__}:", lines[at], *sizes)
PY
cat >read.py <<'PY'
import sys

import cv2
import yaml

file = cv2.FileStorage(sys.argv[1], cv2.FILE_STORAGE_READ)
print(cv2.__version__, "reads what 5.0.0 wrote as", file.getNode("tvec").mat().shape)


class Loader(yaml.SafeLoader):
    """With the constructor that everybody writes."""


Loader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, deep=True)
)
try:
    yaml.load(open(sys.argv[1]), Loader)
    told = "read"
except yaml.constructor.ConstructorError:
    told = "ConstructorError"
print("PyYAML with a constructor for opencv-matrix only:", told)
PY
{
    4.13.0.92/bin/python write.py four.yml
    5.0.0.93/bin/python write.py five.yml
    4.13.0.92/bin/python read.py five.yml
} | tee seen.txt
diff seen.txt - <<'SEEN'
4.13.0: tvec: !!opencv-matrix rows: 3 cols: 1
5.0.0: tvec: !!opencv-nd-matrix sizes: [ 3 ]
4.13.0 reads what 5.0.0 wrote as (3, 1)
PyYAML with a constructor for opencv-matrix only: ConstructorError
SEEN
echo "as before"
