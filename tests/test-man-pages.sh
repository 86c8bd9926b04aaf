#!/bin/bash
# The man pages have every command and every option that the programs' --help tells of, and groff finds nothing wrong. Speaks TAP.
set -u

number=0

# report NAME WRONG: ok when nothing is wrong.
report() {
  number=$((number + 1))
  if [ -z "$2" ]; then
    echo "ok $number $1"
  else
    echo "not ok $number $1"
    sed 's/^/# /' <<<"$2"
  fi
}

# missing_words PAGE WORD...: those that do not stand in the text of the page.
missing_words() {
  local text word page=$1
  shift
  text=$(sed 's/\\-/-/g; s/\\f[A-Z]//g' "${GEM_SOURCE_DIR:?}/docs/man/$page")
  for word; do
    grep -qE -- "(^|[^-a-z])$word([^-a-z]|\$)" <<<"$text" || echo "not in the page: $word"
  done
}

# list_options: of a --help on standard input, the long ones.
list_options() {
  sed -n 's|^  \(-[A-Za-z], \)\{0,1\}\(--[a-z0-9-]*\).*|\2|p' | grep -vx -e --help | sort -u
}

# check_program PAGE PATH: its options, and its commands with theirs.
check_program() {
  local name=${2##*/} words word
  words=$("$2" --help | sed -n '/^[A-Z][a-z]*:$/,/^$/{s/^  \([a-z]*\) .*/\1/p}' | grep -vx "$name" | sort)
  report "the options of $name" "$(missing_words "$1" $("$2" --help | list_options))"
  if [ -n "$words" ]; then
    report "the commands of $name" "$(missing_words "$1" $words)"
  fi
  for word in $words; do
    report "the options of $name $word" "$(missing_words "$1" $("$2" "$word" --help | list_options))"
  done
}

if [ -n "${MESON_EXE_WRAPPER:-}" ]; then
  echo "1..0 # SKIP the programs are of another architecture"
  exit 0
fi
check_program gemd.8 "${GEM_BUILD_DIR:?}/daemon/gemd"
check_program gem-client.1 "$GEM_BUILD_DIR/clients/gem-client/gem-client"
check_program gem-bench.1 "$GEM_BUILD_DIR/bench/gem-bench"
if [ -x "$GEM_BUILD_DIR/training/gem-train" ]; then
  check_program gem-train.1 "$GEM_BUILD_DIR/training/gem-train"
fi
if command -v groff >/dev/null && groff -t -man -Tutf8 /dev/null >/dev/null 2>&1; then
  for page in "$GEM_SOURCE_DIR"/docs/man/*.[1-8]; do
    report "${page##*/} fits its lines" "$(groff -t -man -Tutf8 "$page" 2>&1 >/dev/null)"
  done
fi
if [ "$number" -lt 20 ]; then
  report "that there were commands to look for" "no more than $number checks"
fi
echo "1..$number"
