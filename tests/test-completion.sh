#!/bin/bash
# The completions of gem-client and gem-bench offer what the programs take. Speaks TAP.
set -u

. "${GEM_SOURCE_DIR:?}/clients/gem-client/completion/gem-client"
. "$GEM_SOURCE_DIR/bench/completion/gem-bench"
number=0

# complete_words PROGRAM WORD...: what is offered for the last of them.
complete_words() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  "_${1//-/_}"
  printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"} | sort
}

expect() {
  number=$((number + 1))
  if [ "$2" = "$3" ]; then
    echo "ok $number $1"
  else
    echo "not ok $number $1"
    diff <(echo "$2") <(echo "$3") | sed 's/^/# /'
  fi
}

# check_program PATH: its words, as the first list of its --help has them, and the options of each.
check_program() {
  local name=${1##*/} words word
  words=$("$1" --help | sed -n '/^[A-Z][a-z]*:$/,/^$/{s/^  \([a-z]*\) .*/\1/p}' | sort)
  expect "the words of $name" "$(complete_words "$name" '' | grep -v ^--)" "$words"
  for word in $words; do
    expect "the options of $name $word" "$(complete_words "$name" "$word" --)" \
      "$("$1" "$word" --help | sed -n 's|^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\).*|\2|p' | sort)"
  done
}

if [ -n "${MESON_EXE_WRAPPER:-}" ]; then
  echo "1..0 # SKIP the programs are of another architecture"
  exit 0
fi
check_program "${GEM_BUILD_DIR:?}/clients/gem-client/gem-client"
check_program "$GEM_BUILD_DIR/bench/gem-bench"
expect "a verb that was begun" "$(complete_words gem-client stat)" "$(printf 'stats\nstatus')"
expect "a command that was begun" "$(complete_words gem-bench pa)" paging
echo "1..$number"
