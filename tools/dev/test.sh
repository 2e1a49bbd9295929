# SPDX-License-Identifier: BSD-3-Clause
# Tests: as they are, and under sanitizers.

# run_tests <preset> <option of ctest...>
run_tests() {
  configure "$1"
  build "$1"
  local result=0 record=build/$1/Testing/Temporary/LastTest.log
  rm -f "$record"
  ctest --preset "$@" || result=1
  [[ ! -e $record ]] || show_skipped "$record"
  ((result == 0)) || die "tests failed: see above"
}

# show_skipped <ctest's log>: why tests were skipped, and which; ctest itself tells of none that was skipped in part
show_skipped() {
  awk '
    function because(reason) {
      gsub(/^ +| +$/, "", reason)
      if (!(reason in tests)) reasons[++n] = reason
      else if (index(", " tests[reason] ", ", ", " test ", ")) return
      tests[reason] = tests[reason] (tests[reason] ? ", " : "") test
    }
    sub(/^[0-9]+\/[0-9]+ Testing: /, "") { test = $0 }
    /^Output:$/ { count = 0 }
    { output[++count] = $0 }
    /: SKIPPED:$/ { # by Catch2, which breaks long lines
      getline
      for (reason = ""; (getline line) > 0 && line ~ /[^ ]/; reason = reason line) sub(/^ +/, " ", line)
      because(reason)
    }
    sub(/^SKIPPED: /, "") { because($0) }
    sub(/^Skip regular expression found in output. Regex=\[/, "") {
      pattern = substr($0, 1, length - 1)
      for (i = 1; i < count && output[i] !~ pattern; ++i);
      because(output[i])
    }
    END { for (i = 1; i <= n; ++i) print "thaw: skipped: " reasons[i] " (" tests[reasons[i]] ")" }' "$1"
}

dev_test() {
  prepare
  run_tests dev "$@"
}

dev_sanitize() {
  prepare
  set_up_clang
  run_tests sanitize "$@"
}

dev_races() {
  prepare
  run_tests races "$@"
}
