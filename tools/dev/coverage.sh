# SPDX-License-Identifier: BSD-3-Clause
# Which lines the tests run.

# coverage: what each file misses is in build/coverage/lines.txt, those below $1 % are shown
coverage() {
  local least=$1 report=build/coverage/lines.txt
  if [[ -d build/coverage ]]; then find build/coverage -name '*.gcda' -delete; fi # of an earlier run
  run_tests coverage
  say "counting lines"
  quietly coverage gcovr --root . --filter include/thaw/ --output $report build/coverage ||
    failed coverage "gcovr could not count"
  # a long name has a line of its own, and so have many missing lines
  awk -v least="$least" '
    /^include\// { name = $1; $1 = ""; $0 = $0; shown = 0 }
    name && $3 ~ /%$/ { shown = $3 + 0 < least; if (shown) print name ": " $3 " of " $1 " lines, not " $4; next }
    name && NF == 1 && shown { print "    " $1; next }
    /^TOTAL/ { total = $4 + 0; name = ""; print "thaw: " $3 " of " $2 " lines are run" }
    END { exit total < least }' $report || die "the tests run less than $least % of the lines (all files: $report)"
}

dev_coverage() {
  prepare
  set_up_gcovr
  coverage 95
}
