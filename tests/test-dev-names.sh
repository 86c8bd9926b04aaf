#!/bin/bash
# ./dev bench and ./dev test say which names there are when they are given one that is none. Speaks TAP.
set -u
build=${GEM_BUILD_DIR:?}

. "${GEM_SOURCE_DIR:?}/tools/dev/lib/common.sh"
. "$GEM_SOURCE_DIR/tools/dev/lib/results.sh"

number=0

# report NAME STATUS: ok when STATUS is 0.
report() {
  number=$((number + 1))
  if [ "$2" = 0 ]; then
    echo "ok $number $1"
  else
    echo "not ok $number $1"
    sed 's/^/# /' <<<"$message"
  fi
}

message=$(require_tests "$build" --benchmark nonesuch 2>&1)
report "no such benchmark" $(($? == 0))
[[ $message == *"no benchmark is called nonesuch; there are: "*"limits"*"sampling"* ]]
report "benchmarks are listed" $?
[[ $message != *catalog* ]]
report "tests are not" $?
message=$(require_tests "$build" --benchmark limits 2>&1)
report "a benchmark" $?
message=$(require_tests "$build" nonesuch 2>&1)
report "no such test" $(($? == 0))
[[ $message == *"no test is called nonesuch: 'meson test -C $build --list'"* ]]
report "how tests are listed is told" $?
message=$(require_tests "$build" catalog 2>&1)
report "a test" $?
echo "1..$number"
