#!/bin/bash
# The completion of gem-client offers what gem-client takes. Speaks TAP.
set -u

. "${GEM_SOURCE_DIR:?}/clients/gem-client/completion/gem-client"
client=${GEM_BUILD_DIR:?}/clients/gem-client/gem-client
number=0

# complete_words WORD...: what is offered for the last of them.
complete_words() {
  COMP_WORDS=(gem-client "$@")
  COMP_CWORD=$#
  _gem_client
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

if [ -n "${MESON_EXE_WRAPPER:-}" ]; then
  echo "1..0 # SKIP gem-client is of another architecture"
  exit 0
fi
verbs=$("$client" --help | sed -n '/^Verbs:/,/^$/{s/^  \([a-z]*\) .*/\1/p}' | sort)
expect "the verbs" "$(complete_words '' | grep -v ^--)" "$verbs"
for verb in $verbs; do
  expect "the options of $verb" "$(complete_words "$verb" --)" \
    "$("$client" "$verb" --help | sed -n 's|^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\).*|\2|p' | sort)"
done
expect "a verb that was begun" "$(complete_words sta)" status
echo "1..$number"
