#!/usr/bin/env bash
# rerun-sdk 0.41.0: `rr.save` reports nothing when the file cannot be written any further. Logging goes
# on, nothing is raised, the process ends with 0, and the .rrd is cut off where the disk was full. Here
# the limit on the size of files (ulimit -f) stands in for the disk.
#
# Output seen:
#   without a limit: exit code 0, more than 1 MB: yes
#   at most 100 kB: exit code 0, more than 1 MB: no, an exception: no
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet rerun-sdk==0.41.0
cat >log.py <<'PY'
import signal

import numpy as np
import rerun as rr

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails with EFBIG, as ENOSPC would
rr.init("finding")
rr.save("a.rrd")
try:
    for i in range(50):
        rr.log(f"points/{i}", rr.Points3D(np.random.default_rng(i).random((4000, 3))))
    print("an exception: no")
except Exception as error:
    print("an exception:", type(error).__name__)
PY
big() { [ "$(stat -c %s a.rrd)" -gt 1000000 ] && echo yes || echo no; }
export RERUN_ANALYTICS=0
mkdir home
export HOME="$work/home"
{
    code=0
    timeout 60 env/bin/python log.py >said.txt 2>/dev/null || code=$?
    echo "without a limit: exit code $code, more than 1 MB: $(big)"
    rm -f a.rrd
    code=0
    (ulimit -f 100 && timeout 60 env/bin/python log.py >said.txt 2>/dev/null) || code=$?
    echo "at most 100 kB: exit code $code, more than 1 MB: $(big), $(cat said.txt)"
} | tee seen.txt
diff seen.txt - <<'SEEN'
without a limit: exit code 0, more than 1 MB: yes
at most 100 kB: exit code 0, more than 1 MB: no, an exception: no
SEEN
echo "as before"
