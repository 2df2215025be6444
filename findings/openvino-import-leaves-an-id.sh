#!/usr/bin/env bash
# `import openvino` (2026.4.1) is not only the runtime: it imports its model converter too, which with
# openvino-telemetry (2025.2.0, which pip installs with it) leaves an identifier of the user and a file of
# counts in ~/intel. No model is opened and nothing is asked for. With `openvino_telemetry` made
# impossible to import first, nothing is left, and the runtime works.
#
# Output seen (Python 3.11):
#   import openvino: ./intel/openvino_ga_cid ./intel/stats
#   without openvino_telemetry: nothing, CPU is there: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet openvino==2026.4.1 openvino-telemetry==2025.2.0 numpy==2.2.6
run() { # code
    rm -rf home && mkdir home
    env -i PATH="$PATH" HOME="$work/home" env/bin/python -c "$1"
}
left() { (cd home && find . -type f | sort | paste -sd ' ' -); }
{
    run "import openvino"
    echo "import openvino: $(left)"
    there=$(run "
import sys
sys.modules['openvino_telemetry'] = None
import openvino
print('CPU' in openvino.Core().available_devices)")
    echo "without openvino_telemetry: $(left | grep . || echo nothing), CPU is there: $there"
} | tee seen.txt
diff seen.txt - <<'SEEN'
import openvino: ./intel/openvino_ga_cid ./intel/stats
without openvino_telemetry: nothing, CPU is there: True
SEEN
echo "as before"
