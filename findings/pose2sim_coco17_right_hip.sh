#!/usr/bin/env bash
# Pose2Sim 0.10.49: the marker set of COCO's 17 keypoints has the right hip where a knee is.
#
# Guess: RHip of OpenSim_Setup/Markers_Coco17.xml mirrors LHip, as in its other marker sets.
# Seen:  it has the place of the left knee in the femur, but in the pelvis: 0.40 m below its origin. Scale
#        tool then has 0.13 m between RHip and RKnee of the model, makes the thighs of a person 2.3 times
#        too long, and inverse kinematics has marker errors of 130 mm. Markers_Halpe26.xml has the
#        same names, and the hips right (OpenSim 4.6, docs/rig.md: 31 mm, of a made-up walker).
#
# Output seen (x y z in metres, in the pelvis):
#   Coco17: LHip -0.064 -0.081 -0.105, RHip -0.005 -0.398 -0.001
#   Halpe26: LHip -0.064 -0.081 -0.105, RHip -0.064 -0.081 0.105
#   Coco133: LHip -0.064 -0.081 -0.105, RHip -0.064 -0.081 0.105
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --no-deps Pose2Sim==0.10.49
cat >hips.py <<'PY'
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

(package,) = find_spec("Pose2Sim").submodule_search_locations
for name in ("Coco17", "Halpe26", "Coco133"):
    markers = ElementTree.parse(Path(package) / "OpenSim_Setup" / f"Markers_{name}.xml").iter("Marker")
    hips = {each.get("name"): each for each in markers if each.get("name") in ("LHip", "RHip")}
    assert all(each.findtext("socket_parent_frame") == "/bodyset/pelvis" for each in hips.values())
    places = {hip: map(float, hips[hip].findtext("location").split()) for hip in ("LHip", "RHip")}
    said = (f"{hip} {' '.join(f'{x:.3f}' for x in place)}" for hip, place in places.items())
    print(f"{name}: {', '.join(said)}")
PY
env/bin/python hips.py | tee seen.txt
diff seen.txt - <<'SEEN'
Coco17: LHip -0.064 -0.081 -0.105, RHip -0.005 -0.398 -0.001
Halpe26: LHip -0.064 -0.081 -0.105, RHip -0.064 -0.081 0.105
Coco133: LHip -0.064 -0.081 -0.105, RHip -0.064 -0.081 0.105
SEEN
echo "as before"
