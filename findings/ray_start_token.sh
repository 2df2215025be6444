#!/bin/bash
# Ray 2.60.0, seen 30 November 2026: after one ray.init() on a machine, `ray start --address` cannot join a
# cluster that `ray start --head` has started there, in the same environment.
#
#    Guess: both commands read the same settings, so that a second node may join.
#    Seen:  ray.init() writes ~/.ray/auth_token. `ray start --head` then wants a token of everybody;
#           `ray start --address` sends none (RAY_AUTH_MODE is not set), and fails: InvalidAuthToken.
#           With RAY_AUTH_MODE=token for both it joins.
#
# Prints what is seen; exits with 1 if that changes.
set -eu
W=$(mktemp -d); cd "$W"
python3 -m venv v; v/bin/pip install -q "ray==2.60.0"
export RAY_USAGE_STATS_ENABLED=0 HOME=$W/home; mkdir home
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$W"' EXIT
until_said() { for _ in $(seq 600); do grep -q "$1" "$2" && return; sleep 0.2; done; cat "$2"; exit 1; }
second_node() { # what becomes of it; both are ended again
  v/bin/ray start --block --num-cpus 1 --head --port 6397 --include-dashboard false > head 2>&1 & head=$!
  until_said "runtime started" head
  v/bin/ray start --block --num-cpus 1 --address 127.0.0.1:6397 > second 2>&1 & second=$!
  until_said "runtime started\|InvalidAuthToken" second
  grep -o "runtime started\|InvalidAuthToken" second | head -1
  kill $second $head 2> /dev/null || true; wait
}
v/bin/python -c "import ray; ray.init(num_cpus=1, include_dashboard=False)" > /dev/null 2>&1
echo "ray.init() has written ~/.ray/$(ls home/.ray)"
second_node > plain
export RAY_AUTH_MODE=token
second_node > token
echo "a second node: $(cat plain); with RAY_AUTH_MODE=token: $(cat token)"
[ "$(cat plain token | tr '\n' ,)" = "InvalidAuthToken,runtime started," ] || { echo "that has changed"; exit 1; }
