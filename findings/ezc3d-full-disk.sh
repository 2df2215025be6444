#!/usr/bin/env bash
# ezc3d 1.7.2 (Python 3.11, Linux): `c3d.write` says nothing when the disk is full.
#
# Expected from other writers (and from `open(...).write` in Python): an error, OSError 28, when what is
# written does not fit. Seen: `write` returns None, no exception, though not a byte could be stored. The
# file's name here is a link to /dev/full, the device on which every write fails with "No space left on
# device"; on a real full disk the file is cut short, and `write` returns as well.
#
# So a program that writes C3D files must look at what was stored: vitruvian holds the header against the
# size and the points against what was given, and refuses otherwise (src/vitruvian/formats/c3d.py).
#
# Output seen:
#   python's open().write: OSError 28
#   ezc3d 1.7.2 write: None, no error
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ezc3d==1.7.2 numpy==2.4.6
ln -s /dev/full "$folder/full.c3d"
"$folder/venv/bin/python" - "$folder/full.c3d" <<'PYTHON'
import importlib.metadata
import sys

import ezc3d
import numpy as np

path = sys.argv[1]
try:
    with open(path, "wb") as file:
        file.write(bytes(100_000))
    sys.exit("python's open().write says nothing")
except OSError as error:
    print("python's open().write: OSError", error.errno)
file = ezc3d.c3d()
point = file["parameters"]["POINT"]
point["RATE"]["value"], point["LABELS"]["value"] = [100.0], ["a"]
file["data"]["points"] = np.ones((4, 1, 5000))
said = file.write(path)  # raises if this has changed
print(f"ezc3d {importlib.metadata.version('ezc3d')} write: {said}, no error")
PYTHON
