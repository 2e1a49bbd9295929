#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Measures what planning.py fits its cost model to, and what it is held against.
#   benchmarks/planning.sh [--program FILE] [--only WORD] > benchmarks/planning.jsonl
# Processes on this machine, and on hosts that are network namespaces at a switch, over links of tc's speed. Takes root,
# ip, tc and 10 minutes, in which other programs get little. WORD: table, counts, alone, sums or steps.
# shellcheck disable=SC2329 # the trap calls a function by name
set -euo pipefail
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..
program=$root/build/bench/benchmarks/planning only=''
while (($#)); do
  case $1 in
    --program | --only) declare "${1#--}=${2:?}" && shift 2 ;;
    *) grep -v SPDX "${BASH_SOURCE[0]}" | sed -n '2,5s/^# //p' >&2 && exit 2 ;;
  esac
done
[[ -x $program ]] || { echo "there is no $program: run ./dev bench, or name it by --program" >&2 && exit 2; }
((EUID == 0)) && [[ -n $(command -v ip) && -n $(command -v tc) ]] || {
  echo "this takes root, ip and tc" >&2 && exit 77
}
# What else runs here disturbs the times: where the kernel shares processors out by session, nice alone does nothing.
[[ $(ps -o sid= $$ | tr -d ' ') == "$$" ]] || exec setsid --wait "$0" --program "$program" ${only:+--only "$only"}
renice -n -10 -p $$ >/dev/null
[[ ! -w /proc/self/autogroup ]] || echo -10 >/proc/$$/autogroup
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0

hosts=(0 1 2 3)
clean_up() {
  local each
  for each in "${hosts[@]}" switch; do
    ip netns pids "thaw-$$-$each" 2>/dev/null | xargs -r kill -KILL
    ip netns del "thaw-$$-$each" 2>/dev/null || true
  done
}
trap clean_up EXIT
trap 'exit 130' INT TERM
on() { ip netns exec "thaw-$$-$1" "${@:2}"; }
shape() { on "$1" tc qdisc replace dev "$2" root tbf rate "$3mbit" burst $(($3 * 125)) latency 200ms; }
# links <Mbit/s>: of all hosts, each way
links() {
  local host
  for host in "${hosts[@]}"; do shape "$host" net0 "$1" && shape switch "port$host" "$1"; done
}
ip netns add "thaw-$$-switch" && on switch ip link add bridge type bridge && on switch ip link set bridge up
for host in "${hosts[@]}"; do
  ip netns add "thaw-$$-$host"
  on "$host" ip link add net0 type veth peer name "port$host" netns "thaw-$$-switch"
  on "$host" ip addr add "10.0.0.$((host + 1))/24" dev net0
  on "$host" ip link set lo up && on "$host" ip link set net0 up
  on switch ip link set "port$host" master bridge up
done

# here <processes> <argument>...: on this machine; what the first says
port=$((20000 + RANDOM % 10000))
here() {
  local rank started=()
  port=$((port + 1))
  for ((rank = 1; rank < $1; ++rank)); do
    RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=$1 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port GLOO_SOCKET_IFNAME=lo \
      "$program" "${@:2}" >/dev/null & started+=($!)
  done
  RANK=0 LOCAL_RANK=0 WORLD_SIZE=$1 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port GLOO_SOCKET_IFNAME=lo "$program" "${@:2}"
  wait "${started[@]}"
}
# apart <processes> <argument>...: each on a host of its own
apart() {
  local rank started=()
  port=$((port + 1))
  local said=(env WORLD_SIZE="$1" LOCAL_RANK=0 MASTER_ADDR=10.0.0.1 MASTER_PORT=$port GLOO_SOCKET_IFNAME=net0
    "$program")
  for ((rank = 1; rank < $1; ++rank)); do
    RANK=$rank on "$rank" "${said[@]}" "${@:2}" >/dev/null & started+=($!)
  done
  RANK=0 on 0 "${said[@]}" "${@:2}"
  wait "${started[@]}"
}
# beside <argument>...: alone, while another one keeps the second processor as busy
beside() {
  local other
  WORLD_SIZE=1 RANK=0 "$program" "$@" >/dev/null & other=$!
  WORLD_SIZE=1 RANK=0 "$program" "$@"
  wait $other
}
part() { [[ -z $only || $only == "$1" ]] && echo "$1: load $(cut -d' ' -f1 /proc/loadavg)" >&2; }

if part table; then "$program" table; fi
if part counts; then here 2 counts; fi
if part alone; then
  beside steps resnet34 alone
  beside steps deit_tiny alone 1 3 5 6
  beside cached resnet34 alone
fi
if part sums; then
  for n in 2 3 4 8 16; do here $n messages loopback; done
  for rate in 1000 250 4000; do
    links $rate
    for n in 2 3 4; do apart $n messages "$rate Mbit/s"; done
  done
fi
if part steps; then
  here 2 steps resnet34 loopback
  here 2 steps deit_tiny loopback 1 3 6
  here 2 cached resnet34 loopback
  here 4 cached resnet34 loopback
  links 1000
  apart 2 steps resnet34 "1000 Mbit/s"
  apart 4 steps resnet34 "1000 Mbit/s" 1 2 6
  apart 2 steps deit_tiny "1000 Mbit/s" 1 3 6
  apart 2 cached resnet34 "1000 Mbit/s"
  links 250
  apart 2 steps resnet34 "250 Mbit/s" 1 2 3 6
fi
