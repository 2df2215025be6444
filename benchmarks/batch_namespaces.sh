#!/bin/bash
# A batch on a Ray cluster of two machines of which one is lost in the middle. As root, on Linux:
#
#    benchmarks/batch_namespaces.sh VIDEOS [kill|unplug] [words of `vitruvian batch`, such as --model]
#
# The machines are two network namespaces, joined by a virtual cable. When both are at work, the raylet of
# the second is killed (SIGKILL), or its cable is unplugged, so that its worker goes on, out of reach.
# The job must end with all sources done, with the records that a run without Ray gives.
set -eu
videos=$1 how=${2:-kill}; shift; shift || true
work=$(mktemp -d) port=6391
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d " \n"); export RAY_AUTH_TOKEN
one() { ip netns exec vitruvian1 "$@"; }
two() { ip netns exec vitruvian2 "$@"; }
end() {
  for name in vitruvian1 vitruvian2; do
    ip netns pids $name | xargs -r kill -9
    ip netns del $name
  done
  rm -rf "$work"
}
ip netns add vitruvian1; ip netns add vitruvian2; trap end EXIT
ip link add cable1 netns vitruvian1 type veth peer name cable2 netns vitruvian2
for i in 1 2; do
  ip -n vitruvian$i link set lo up
  ip -n vitruvian$i addr add 10.77.0.$i/24 dev cable$i
  ip -n vitruvian$i link set cable$i up
done
one ray start --head --node-ip-address 10.77.0.1 --port $port --num-cpus 1 --include-dashboard false \
  --temp-dir "$work/ray" > "$work/log" 2>&1
two ray start --address 10.77.0.1:$port --node-ip-address 10.77.0.2 --num-cpus 1 >> "$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
batch() { vitruvian batch "$videos" --save json --log "$work/log.jsonl" "$@"; }
export -f batch; export videos work
one bash -c 'batch "$@"' - --out "$work/out" --ray 10.77.0.1:$port "$@" & job=$!
# Each machine has a folder in the making.
until [ "$(ls -d "$work"/out/.vitruvian/batch-work/*/* 2> /dev/null | wc -l)" -ge 2 ]; do sleep 0.05; done
case $how in
  kill) pkill -9 -x raylet --ns "$(ip netns pids vitruvian2 | head -1)" --nslist net ;;
  unplug) ip -n vitruvian2 link set cable2 down ;;
esac
echo "$how: $(date +%T)"
wait $job; code=$?
echo "ended: $(date +%T), exit code $code; attempts that were lost: $(grep -c '"retry"' "$work/log.jsonl")"
vitruvian batch "$videos" --save json --out "$work/alone" --quiet "$@"
(cd "$work/out" && find . -name poses.jsonl -o -name events.jsonl) | sort > "$work/files"
[ -s "$work/files" ]
while read -r file; do cmp "$work/out/$file" "$work/alone/$file"; done < "$work/files"
echo "$(wc -l < "$work/files") records are those of a run without Ray"
[ $code = 0 ]
