#!/usr/bin/env bash
# onnxruntime 1.32.0 for Linux has telemetry built in. Importing it is enough: it leaves an identifier of
# the machine and a database below ~/.cache, also if `disable_telemetry_events()` is the first call
# after the import, and some seconds later it looks up its maker's event host (not part of this script,
# which has to run without a network). `ORT_DISABLE_TELEMETRY=1` in the environment before the import
# keeps it from that; in the process itself, `os.environ` before the import is early enough.
#
# Output seen (onnxruntime 1.32.0, numpy 2.2.6, Python 3.11):
#   plain import: 2 files
#   disable_telemetry_events() after it: 2 files
#   ORT_DISABLE_TELEMETRY=1 in the environment: 0 files
#   os.environ before the import: 0 files
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet onnxruntime==1.32.0 numpy==2.2.6
left() { # a label, code, and variables: how many files the code leaves in a new home
    rm -rf home && mkdir home
    env -i PATH="$PATH" HOME="$work/home" "${@:3}" env/bin/python -c "$2" >/dev/null
    echo "$1: $(find home -type f | wc -l) files"
}
{
    left "plain import" "import onnxruntime"
    left "disable_telemetry_events() after it" \
        "import onnxruntime; onnxruntime.disable_telemetry_events()"
    left "ORT_DISABLE_TELEMETRY=1 in the environment" "import onnxruntime" ORT_DISABLE_TELEMETRY=1
    left "os.environ before the import" \
        "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import onnxruntime"
} | tee seen.txt
diff seen.txt - <<'SEEN'
plain import: 2 files
disable_telemetry_events() after it: 2 files
ORT_DISABLE_TELEMETRY=1 in the environment: 0 files
os.environ before the import: 0 files
SEEN
echo "as before"
