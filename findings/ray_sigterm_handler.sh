#!/bin/bash
# Ray 2.60.0, seen 29 November 2026: ray.init() in the main thread replaces the program's own handler of
# SIGTERM, without a word, and ray.shutdown() does not bring it back.
#
#    Guess: a library leaves the program's signal handlers alone, or restores them at its shutdown.
#    Seen:  after ray.init() the handler is Ray's; SIGINT's stays the program's. After ray.shutdown()
#           SIGTERM's is still Ray's.
#
# Prints what is seen; exits with 1 if that changes.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/pip install -q "ray==2.60.0"
cat > case.py <<'P'
import signal
import sys

import ray


def own(number, frame):
    print("our handler")


def whose():
    return {
        name: "ours" if signal.getsignal(getattr(signal, name)) is own else "Ray's"
        for name in ("SIGINT", "SIGTERM")
    }


signal.signal(signal.SIGINT, own)
signal.signal(signal.SIGTERM, own)
before = whose()
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=40)
inside = whose()
ray.shutdown()
after = whose()
print("ray", ray.__version__)
for name, seen in (("before", before), ("after init", inside), ("after shutdown", after)):
    print(f"{name:15} SIGINT {seen['SIGINT']}, SIGTERM {seen['SIGTERM']}")
want = {"SIGINT": "ours", "SIGTERM": "Ray's"}
good = before == {"SIGINT": "ours", "SIGTERM": "ours"} and inside == want and after == want
sys.exit(0 if good else "that has changed")
P
export RAY_USAGE_STATS_ENABLED=0
v/bin/python case.py
