#!/usr/bin/env bash
# Pose2Sim 0.10.49 divides the lens coefficients of a Qualisys calibration by 64: lenses without distortion.
#
# A .qca.txt has focal lengths and the principal point in 64ths of a pixel, and k1, k2, p1, p2, which
# have no unit (they belong to the plane one metre away).
#
# Guess: a conversion divides the former by 64 and leaves the latter.
# Seen:  `Pose2Sim.calibration()` divides all by 64. `calib_qca_to_toml`, a program of the same package,
#        too, and it has thousandths of metres as metres, and images one pixel too small.
#
# Which of the two is right, says Pose2Sim's own demo: lenses fitted by OpenCV to its photographs of a
# chessboard (7 of a camera) have the k1 of the demo's .qca.txt to 8 %. HumanCalib
# (docs/article/02_DATASETS.md, September 2026) sees the same in the LBMC data set, which has been
# converted so: with the file's coefficients errors at the edges of images are 11 to 13 % less, a 64th of
# them is as good as none.
#
# Output seen:
#   written: k1 -0.064, at 1 -2 1.5 m, 1920 x 1080
#   calibration(): k1 -0.001, translation -1 1.5 2, size 1920 1080
#   calib_qca_to_toml: k1 -0.001, translation -0.001 0.0015 0.002, size 1919 1079
#   cam01: k1 -0.0462 in the file, -0.0007 a 64th, -0.0499 of 7 photographs
#   cam02: k1 -0.0478 in the file, -0.0007 a 64th, -0.0479 of 6 photographs
#   cam03: k1 -0.0467 in the file, -0.0007 a 64th, -0.0436 of 6 photographs
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME=$work MPLBACKEND=Agg
python3 -m venv env
# Its own requirements are 2 GB; these are those of its conversions.
env/bin/pip install --quiet --no-deps Pose2Sim==0.10.49
env/bin/pip install --quiet numpy==2.2.6 opencv-python-headless==5.0.0.93 lxml toml rtoml \
    matplotlib pandas scipy c3d anytree
demo=$(env/bin/python -c "import Pose2Sim; print(Pose2Sim.__path__[0])")/Demo_SinglePerson
mkdir -p project/calibration
cp "$demo/Config.toml" project # calibration_type = 'convert', convert_from = 'qualisys'
cat >project/calibration/walk.qca.txt <<'QCA'
<?xml version='1.0' encoding='ASCII'?>
<calibration created="2024-01-01" type="regular" wandLength="600">
<results std-dev="0.5" min-max-diff="0.0"/><cameras>
<camera active="1" avg-residual="0.5" serial="21401" model="Miqus Video" viewrotation="0">
<fov_marker left="0" top="0" right="1919" bottom="1079"/>
<fov_video left="0" top="0" right="1919" bottom="1079"/>
<transform x="1000" y="-2000" z="1500" r11="1" r12="0" r13="0" r21="0" r22="0" r23="1"
 r31="0" r32="-1" r33="0"/>
<intrinsic focallength="9" focalLengthU="96000" focalLengthV="96064" centerPointU="61440"
 centerPointV="34560" skew="0" radialDistortion1="-0.064" radialDistortion2="0.128"
 radialDistortion3="0" tangentalDistortion1="0.0064" tangentalDistortion2="0.0128"/>
</camera></cameras></calibration>
QCA
(cd project && ../env/bin/python -c "from Pose2Sim import Pose2Sim; Pose2Sim.calibration()") &>log.txt
env/bin/calib_qca_to_toml -i project/calibration/walk.qca.txt -o utility.toml >>log.txt
cat >photographs.py <<'PY'
import sys
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

demo = Path(sys.argv[1]) / "calibration"
across, down = 4, 7  # inner corners, of squares of 60 mm
flat = np.stack(np.meshgrid(range(across), range(down), [0]), axis=-1).reshape(-1, 3)
board = (0.06 * flat).astype(np.float32)
flags = cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE
for number, camera in enumerate(ElementTree.parse(demo / "Calib.qca.txt").iter("camera"), 1):
    if number == 4:  # one of its boards is found upside down
        continue
    name = f"cam{number:02d}"
    corners = list[np.ndarray]()
    for path in sorted((demo / "intrinsics" / f"int_{name}_img").glob("*.jpg")):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        found, xy = cv2.findChessboardCornersSB(image, (across, down), flags=flags)
        corners += [xy.reshape(-1, 1, 2)] if found else []
    size = image.shape[::-1]
    boards = [board] * len(corners)
    _, _, lens, *_ = cv2.calibrateCamera(boards, corners, size, None, None, flags=cv2.CALIB_FIX_K3)
    k1, file = lens.ravel()[0], float(camera.find("intrinsic").get("radialDistortion1"))
    print(
        f"{name}: k1 {file:.4f} in the file, {file / 64:.4f} a 64th, "
        f"{k1:.4f} of {len(corners)} photographs"
    )
    assert 0.9 < k1 / file < 1.1, "changed"
PY
cat >told.py <<'PY'
import sys

import toml

for name, path in (("calibration()", sys.argv[1]), ("calib_qca_to_toml", sys.argv[2])):
    camera = next(table for table in toml.load(path).values() if "matrix" in table)
    shift = " ".join(f"{x:g}" for x in camera["translation"])
    size = " ".join(f"{x:g}" for x in camera["size"])
    print(f"{name}: k1 {camera['distortions'][0]:g}, translation {shift}, size {size}")
PY
{
    echo "written: k1 -0.064, at 1 -2 1.5 m, 1920 x 1080"
    env/bin/python told.py project/calibration/Calib_qualisys.toml utility.toml
} | tee seen.txt
diff seen.txt - <<'SEEN'
written: k1 -0.064, at 1 -2 1.5 m, 1920 x 1080
calibration(): k1 -0.001, translation -1 1.5 2, size 1920 1080
calib_qca_to_toml: k1 -0.001, translation -0.001 0.0015 0.002, size 1919 1079
SEEN
env/bin/python photographs.py "$demo"
echo "as before"
