#!/bin/bash
# Twenty clients for two seconds, once in peace and once with a kill: nothing is lost, nothing stays. ./dev test --all runs the
# same with 500. Speaks TAP.
set -u

source_dir=${GEM_SOURCE_DIR:?GEM_SOURCE_DIR is the folder of the sources}
if [ ! -f "$source_dir/models/gem-mini/manifest" ] && [ ! -x "${GEM_BUILD_DIR:-$source_dir/build}/training/gem-train" ]; then
  echo "1..0 # SKIP there is no model, and no gem-train that could make one"
  exit 0
fi
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
number=0
# A sanitizer keeps freed memory aside, and books.
spare=${ASAN_OPTIONS:+4096}${TSAN_OPTIONS:+4096}
# The thread sanitizer's service writes a few tokens a second: an Ask of so many others would end with AskSeconds.
clients=${TSAN_OPTIONS:+6}
tokens=${TSAN_OPTIONS:+2}

# check NAME PATTERN OPTION...: the storm ends well, and says PATTERN.
check() {
  local name=$1 pattern=$2
  shift 2
  number=$((number + 1))
  if "$source_dir/dev" storm --clients "${clients:-20}" --tokens "${tokens:-16}" --seconds 2 --spare "${spare:-16}" "$@" >"$out" 2>&1 && grep -qE -- "$pattern" "$out"; then
    echo "ok $number $name"
  else
    echo "not ok $number $name"
  fi
  sed 's/^/# /' "$out"
}

# Something was right, and nothing else happened.
check "a storm" '^all +[1-9][0-9]* +0 +0 +0 +0 +0$'
check "a storm with a kill" '^1 kills, .* a call answered again after [0-9]+ ms' --kill 1
echo "1..$number"
