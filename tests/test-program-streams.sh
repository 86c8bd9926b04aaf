#!/bin/bash
# Every program ends with an error where what it wrote on standard output did not arrive, and says so. Speaks TAP.
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

# check_unwritten NAME STATUS MESSAGE: how a program ended whose output could not be written.
check_unwritten() {
  report "$1" "$([ "$2" = 1 ] && [[ $3 == *': standard output: '* ]] || echo "it ends with $2, and says: $3")"
}

# check_program PATH OPTION: one that makes it write.
check_program() {
  local name=${1##*/} message status out
  if [ -w /dev/full ]; then
    message=$("$1" "$2" 2>&1 >/dev/full)
    check_unwritten "$name $2, nothing has room" $? "$message"
  fi
  message=$("$1" "$2" 2>&1 >&-)
  check_unwritten "$name $2, closed" $? "$message"
  exec {out}> >(:)
  wait $!
  message=$(trap '' PIPE; "$1" "$2" 2>&1 >&"$out")
  status=$?
  exec {out}>&-
  report "$name $2, the reader is gone" "$([ "$status" = 1 ] && [ -z "$message" ] || echo "it ends with $status, and says: $message")"
  "$1" "$2" >&- 2>&-
  status=$?
  report "$name $2, all closed" "$([ "$status" = 1 ] || echo "it ends with $status")"
  message=$("$1" "$2" 2>&1 >/dev/null)
  status=$?
  report "$name $2, written" "$([ "$status" = 0 ] && [ -z "$message" ] || echo "it ends with $status, and says: $message")"
}

if [ -n "${MESON_EXE_WRAPPER:-}" ]; then
  echo "1..0 # SKIP the programs are of another architecture"
  exit 0
fi
check_program "${GEM_BUILD_DIR:?}/daemon/gemd" --help
check_program "$GEM_BUILD_DIR/daemon/gemd" --version
check_program "$GEM_BUILD_DIR/clients/gem-client/gem-client" --help
check_program "$GEM_BUILD_DIR/bench/gem-bench" --help
for path in training/gem-train adaptation/trainer/gem-adapt; do
  if [ -x "$GEM_BUILD_DIR/$path" ]; then
    check_program "$GEM_BUILD_DIR/$path" --version
  fi
done
if [ -x "$GEM_BUILD_DIR/training/gem-train" ]; then
  check_program "$GEM_BUILD_DIR/training/gem-train" --help
fi
echo "1..$number"
