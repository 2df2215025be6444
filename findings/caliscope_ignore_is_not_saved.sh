#!/usr/bin/env bash
# Caliscope 0.11.8: a camera that is marked to be ignored is an ordinary one in the file.
#
# Guess: camera_array.toml keeps `ignore` of a camera, as it keeps `rotation_count` and `fisheye`.
# Seen:  neither camera_array.toml nor the export for aniposelib has it, and Caliscope itself reads the
#        camera back as not ignored: a camera left out of a calibration is in it for every reader.
#
# Output seen:
#   camera_array.toml: cam_id distortions error fisheye grid_count matrix rotation rotation_count size translation
#   aniposelib.toml: distortions fisheye matrix name rotation size translation
#   read back: {0: False, 1: False}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet caliscope==0.11.8
cat >cameras.py <<'PY'
from pathlib import Path

import numpy as np
import tomllib
from caliscope.cameras.camera_array import CameraArray, CameraData

cameras = CameraArray({
    i: CameraData(
        cam_id=i, size=(1280, 720), rotation_count=1, error=0.3, grid_count=20, ignore=i == 1,
        matrix=np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]]), distortions=np.zeros(5),
        rotation=np.eye(3), translation=np.array([0.5 * i, 0, 0]),
    )
    for i in (0, 1)
})
assert cameras.cameras[1].ignore
cameras.to_toml(Path("camera_array.toml"))
cameras.to_aniposelib_toml(Path("aniposelib.toml"))
for name in ("camera_array.toml", "aniposelib.toml"):
    tables = tomllib.loads(Path(name).read_text())
    tables = tables.get("cameras", tables)
    keys = {tuple(sorted(each)) for each in tables.values() if isinstance(each, dict) and "matrix" in each}
    assert len(keys) == 1, keys
    print(f"{name}: {' '.join(keys.pop())}")
back = CameraArray.from_toml(Path("camera_array.toml"))
print("read back:", {number: camera.ignore for number, camera in back.cameras.items()})
PY
env/bin/python cameras.py 2>/dev/null | tee seen.txt
diff seen.txt - <<'SEEN'
camera_array.toml: cam_id distortions error fisheye grid_count matrix rotation rotation_count size translation
aniposelib.toml: distortions fisheye matrix name rotation size translation
read back: {0: False, 1: False}
SEEN
echo "as before"
