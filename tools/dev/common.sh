# SPDX-License-Identifier: BSD-3-Clause
# What the commands share: words, logs, the one set-up, work in parallel.

say() { printf 'thaw: %s\n' "$*"; }
die() {
  say "$*" >&2
  trap 'rm -rf "$tmp"' EXIT # nothing more to say
  exit 1
}

# quietly <name> <command...>: the command and its output go to .deps/log/<name>.log
quietly() {
  printf '$ %s\n' "${*:2}" >>"$log/$1.log"
  "${@:2}" >>"$log/$1.log" 2>&1
}

# complaints <log>: errors and warnings of pip, apt and Python, each below its command; 1 if there are none
complaints() {
  awk '/^\$ / { command = $0; next }
    /^(ERROR|WARNING|E|W|Err:[0-9]+|[A-Za-z_.]+Error):? / {
      if (command) print command
      command = ""
      print
      found = 1
    }
    END { exit !found }' "$1"
}

# failed <name> <what failed>: shows what that log complains of, or else its end, then one line
failed() {
  local said
  said=$(complaints "$log/$1.log") || said=$(<"$log/$1.log")
  tail -n 12 <<<"$said" | cut -c 1-300 | sed 's/^/  | /' >&2
  die "$2 (the whole story: .deps/log/$1.log)"
}

# at_least <version> <minimum>
at_least() { [[ $1 == [0-9]* ]] && printf '%s\n' "$2" "${1#*:}" | sort --version-sort --check=quiet; }

# set_up <step...>: what is not there yet, one step after the other; a step may have words of its own: "step word"
set_up() {
  local step
  mkdir -p "$log"
  exec 9>"$deps/lock"
  flock -n 9 || { say "waiting for another ./dev that sets this machine up" && flock 9; }
  rm -rf "$deps"/tmp.* "${log:?}"/*
  mkdir "$tmp"
  trap 'rm -rf "$tmp"; say "stopped before the end; what was going on is in .deps/log/" >&2' EXIT
  for step in "$@"; do $step; done
  rm -rf "$tmp"
  trap - EXIT
  exec 9>&-
}

# prepare [python]: all that builds and tests stand on; `python`: and one that has pip
prepare() { set_up "set_up_packages ${1:-}" set_up_torch set_up_data; }

dev_setup() { prepare; }

# in_parallel "<words>" <command...>: the command with each word behind it, one per processor at a time; fails if one
# fails
in_parallel() {
  local word failures
  failures=$(mktemp)
  for word in $1; do
    (($(jobs -rp | wc -l) < $(nproc))) || wait -n || true
    ("${@:2}" "$word" || echo "$word" >>"$failures") &
  done
  wait
  word=$(<"$failures")
  rm "$failures"
  [[ -z $word ]]
}
