#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Trains on several machines: network namespaces of this one, over links that are slow, and that are cut.
#   tools/several_hosts.sh [--tests DIR] [--benchmarks DIR]        about two minutes; takes root, ip and tc
# Each line says what was seen, and whether it is as it should be; the exit status is 0 only if all is, 77 where such
# machines cannot be made. Without benchmarks (cmake --preset bench) what is a matter of speed is left out.
# shellcheck disable=SC2329 # the trap and check call functions by name
set -uo pipefail
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..
tests=$root/build/dev/tests benchmarks=$root/build/bench/benchmarks
while (($#)); do
  case $1 in
    --tests | --benchmarks) declare "${1#--}=${2:?}" && shift 2 ;;
    *) grep -v SPDX "${BASH_SOURCE[0]}" | sed -n '2,5s/^# //p' >&2 && exit 2 ;;
  esac
done
program=$tests/learner_run_in_processes
[[ -x $program ]] || { echo "there is no $program: run ./dev test, or name its folder by --tests" >&2 && exit 2; }
leave_out() { echo "SKIPPED: $*" && exit 77; }
((EUID == 0)) || leave_out "making network namespaces takes root"
[[ -n $(command -v ip) && -n $(command -v tc) ]] || leave_out "there is no ip or no tc: apt install iproute2"

# Hosts 0 to 3 at a switch, each a namespace. Host h is 10.0.0.<h + 1> on its net0, whose other end is port<h>; and
# 10.0.1.<h + 1> on its far0, from where packets take 10 ms to any other host, where the kernel has TUN devices.
work=$(mktemp -d) hosts=(0 1 2 3) patience=5 bad=0 network=net0 first=10.0.0.1
clean_up() {
  local each
  for each in "${hosts[@]}" switch; do
    ip netns pids "thaw-$$-$each" 2>/dev/null | xargs -r kill -KILL
    ip netns del "thaw-$$-$each" 2>/dev/null
  done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
on() { ip netns exec "thaw-$$-$1" "${@:2}"; }
make_hosts() {
  local host
  ip netns add "thaw-$$-switch" && on switch ip link add bridge type bridge && on switch ip link set bridge up || return
  for host in "${hosts[@]}"; do
    ip netns add "thaw-$$-$host" &&
      on "$host" ip link add net0 type veth peer name "port$host" netns "thaw-$$-switch" &&
      on "$host" ip addr add "10.0.0.$((host + 1))/24" dev net0 &&
      on "$host" ip link set lo up && on "$host" ip link set net0 up &&
      on switch ip link set "port$host" master bridge up && link "$host" 1000000 || return
  done
}
make_far() {
  local host
  for host in "${hosts[@]}"; do
    on "$host" ip tuntap add dev far0 mode tun && on "$host" ip addr add "10.0.1.$((host + 1))/24" dev far0 &&
      on "$host" ip link set far0 mtu 60000 up || return
  done
  on 0 "$tests/delay_line" 10 "${hosts[@]/#/thaw-$$-}" &
  disown # without a word when it is killed
}
# link <host> <kbit/s>: of its link, each way
link() {
  shape "$1" net0 "$2" && shape switch "port$1" "$2"
}
shape() {
  local burst=$(($3 / 8 > 3000 ? $3 / 8 : 3000)) # bytes: a millisecond, or two packets
  on "$1" tc qdisc replace dev "$2" root tbf rate "$3kbit" burst "$burst" latency 200ms
}
make_hosts 2>"$work/said" || leave_out "no network namespaces here: $(tail -n 1 "$work/said")"

# start <hosts> <program> <argument>...: a process on each of the first
start() {
  local host
  processes=() && rm -f "$work"/said?
  for ((host = 0; host < $1; ++host)); do
    on "$host" env RANK="$host" LOCAL_RANK=0 WORLD_SIZE="$1" MASTER_ADDR=$first MASTER_PORT=29500 \
      GLOO_SOCKET_IFNAME=$network OMP_NUM_THREADS=1 THAW_TIMEOUT=$patience \
      timeout -k 1 120 "${@:2}" >"$work/said$host" 2>&1 &
    processes+=($!)
  done
  begin=${EPOCHREALTIME/./}
}
# finish: waits for all; sets how each ended, and the seconds since begin
finish() {
  local each
  statuses=''
  for each in "${processes[@]}"; do wait "$each" && statuses+='0 ' || statuses+="$? "; done
  took=$(((${EPOCHREALTIME/./} - begin) / 10000))
  seconds=$(printf '%d.%02d' $((took / 100)) $((took % 100)))
}
# check <what> <command>...: whether it is so
check() {
  "${@:2}" >/dev/null && echo "ok: $1" && return
  bad=1 && echo "NOT SO: $1; they ended with $statuses"
  tail -n 3 "$work"/said? | sed 's/^/  | /'
}
ended_well() { [[ $statuses == *0* && $statuses != *[1-9]* ]]; }
# difference <folder>: the largest to the run alone of that case
difference() { "$program" compare "$work/alone-$1/result-0" "$work/$2/result-0" 2>&1; }
as_alone() { ended_well && difference "$@" && cmp "$work/$2/result-0" "$work/$2/result-1"; }

for case in plan resumed; do
  mkdir "$work/alone-$case"
  "$program" $case "$work/alone-$case" >"$work/said" 2>&1 || { cat "$work/said" && exit 1; }
done

# 1: a slow link, and one that is slower
mkdir "$work/slow" "$work/slower"
link 0 2000 && link 1 2000
patience=60
start 2 "$program" plan "$work/slow" && finish
check "two hosts at 2 Mbit/s end alike to the byte, and $(difference plan slow) from one alone; $seconds s" \
  as_alone plan slow
link 1 500
start 2 "$program" plan "$work/slower" && finish
as_before() { as_alone plan slower && cmp "$work/slow/result-0" "$work/slower/result-0"; }
check "where one has 0.5 Mbit/s both take $seconds s, and end as before to the byte" as_before

# 2: hosts that are far from each other
if make_far 2>"$work/said"; then
  network=far0 first=10.0.1.1
  mkdir "$work/far"
  start 3 "$program" plan "$work/far" && finish
  off="$(difference plan far) from one alone"
  check "three hosts, 10 ms from each other, end alike to the byte, and $off; $seconds s" as_alone plan far
else
  echo "SKIPPED: hosts far from each other; $(tail -n 1 "$work/said")"
fi

# What else runs here disturbs the times, hence nice and three tries.
# measure <hosts> <benchmark> <row>: sets what the row's groups are, and whether its target is met
measure() {
  for try in 1 2 3; do
    start "$1" nice -n -10 "$benchmarks/$2" --quick && finish
    read -ra seen < <(sed -nE "s/^$3 .*/\1 \2 \3 \4/p" "$work/said0"; echo '? ? ? ?')
    met=$(grep -E "^$3 .* met *\$" "$work/said0") && return
  done
}
is_met() { ended_well && [[ -n $met ]]; }
if [[ -x $benchmarks/data_parallel && -x $benchmarks/short_sums ]]; then
  number='([0-9.]+)' # what processes agree on in a step is so short
  measure 4 short_sums "sum of (40) bytes over 4 processes +$number +$number +ms +${number}x"
  check "over four hosts on $network a sum of 40 bytes takes ${seen[1]} ms, by Gloo's allreduce ${seen[2]} ms; try $try" is_met
  network=net0 first=10.0.0.1
  link 0 1000000 && link 1 1000000 # backward and sending at the same time
  measure 2 data_parallel "both, to $number backward \\+ $number sending +$number +[0-9.]+ +s +${number}x"
  both="both ${seen[2]} s: ${seen[3]} of their sum"
  check "at 1 Gbit/s backward takes ${seen[0]} s, sending ${seen[1]} s, $both; try $try" is_met
else
  echo "SKIPPED: what is a matter of speed; there is no data_parallel or no short_sums in $benchmarks"
fi
network=net0 first=10.0.0.1

# 3: a link that is cut in the middle of a step, and a run that goes on with fewer hosts
for host in "${hosts[@]}"; do link "$host" 100000; done
wait_for() { for ((i = 0; i < 600; ++i)); do [[ -e $1 ]] && return || sleep 0.05; done && return 1; }
newest() { find "$1/runs" -name 'checkpoint-*' 2>/dev/null | sort | tail -n 1; }
all_say() { [[ $statuses == "$1" ]] && ((took < 100 * (patience + 15))) && ! grep -EL "$2" "$work"/said? | grep -q .; }
for host in 2 0; do # the last; the first, which writes checkpoints and is where all met
  folder=cut-$host after=$((host == 2 ? 2 : 1)) patience=5
  mkdir "$work/$folder"
  start 3 "$program" resumed "$work/$folder" 1 14 wait
  wait_for "$work/$folder/waiting"
  on switch ip link set "port$host" down
  begin=${EPOCHREALTIME/./}
  rm "$work/$folder/waiting" && finish
  check "the link of host $host is cut: all three end with an error after $seconds s, at a time-out of $patience s" \
    all_say '1 1 1 ' '^rank . of 3: .* failed: '
  on switch ip link set "port$host" up
  newest=$(newest "$work/$folder")
  patience=60
  start $after "$program" resumed "$work/$folder" && finish
  goes_on() { ended_well && grep "resumed from $newest, 0 passed over" "$work/said0" && difference resumed "$folder"; }
  check "by $after it goes on from $(basename "$newest"), and ends $(difference resumed "$folder") from one left be" \
    goes_on
done
on switch ip link set port1 down
patience=5
start 2 "$program" plan "$work/none" && finish
check "a host that cannot be reached: both say so after $seconds s" all_say '1 1 ' 'did not meet at 10.0.0.1:29500'
exit $bad
