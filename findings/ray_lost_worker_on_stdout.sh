#!/bin/bash
# Ray 2.60.0, seen 30 November 2026: ray.init(log_to_driver=False) does not keep Ray from printing to the
# program's standard output. When a worker is killed, "(raylet) A worker died or was killed ..." comes there.
#
#    Guess: with log_to_driver=False and logging_level=ERROR nothing of Ray is on standard output; what
#           it has to say comes as an exception, or on standard error.
#    Seen:  errors of the cluster are printed to standard output in a thread of their own, beside the
#           exception. RAY_DEDUP_LOGS_SKIP_REGEX, a setting of the removal of duplicates, silences them.
#
# Prints what is seen; exits with 1 if that changes.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/pip install -q "ray==2.60.0"
cat > case.py <<'P'
import os
import signal
import time

import ray

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=40)


@ray.remote
class Actor:
    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)


try:
    ray.get(Actor.remote().end.remote())
except ray.exceptions.RayError:
    pass
time.sleep(5)  # the message comes later
ray.shutdown()
P
export RAY_USAGE_STATS_ENABLED=0
v/bin/python case.py > plain 2> errors
RAY_DEDUP_LOGS_SKIP_REGEX="A worker died" v/bin/python case.py > silenced
echo "standard output: $(cut -c1-80 plain)"
echo "with RAY_DEDUP_LOGS_SKIP_REGEX: $(wc -l < silenced) lines"
grep -q "A worker died or was killed" plain && [ ! -s silenced ] || { echo "that has changed"; exit 1; }
