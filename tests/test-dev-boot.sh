#!/bin/bash
# ./dev test --system tells whose fault it is that a container does not boot. A stand-in takes the place of systemd-nspawn. Speaks TAP.
set -u
cd "${GEM_SOURCE_DIR:?}" || exit 1

. tools/dev/lib/common.sh
. tools/dev/lib/results.sh
. tools/dev/lib/system.sh

number=0
folder=$(mktemp -d) || exit 1
at_exit 'rm -rf "$folder"'
mkdir -p "$folder/bin" "$folder/root" "$folder/payload"
PATH=$folder/bin:$PATH

# report NAME COMMAND...: ok when the command holds.
report() {
  local name=$1
  shift
  number=$((number + 1))
  if "$@"; then
    echo "ok $number $name"
  else
    echo "not ok $number $name"
    sed 's/^/# /' <<<"$message"
  fi
}

says() { [[ $message == *"$1"* ]]; }

# boot PLAIN: as test_suite_system does it, of a container that says "no way" and ends with 1, where a plain one ends with PLAIN.
boot() {
  rm -rf "$folder/out"
  mkdir "$folder/out"
  printf '%s\n' '#!/bin/bash' 'echo no way' "[[ \"\$*\" != *systemd.run=/bin/true* ]] || exit $1" 'exit 1' >"$folder/bin/systemd-nspawn"
  chmod +x "$folder/bin/systemd-nspawn"
  gem_failed=0 gem_skipped=0 status=0
  tests/system/boot-nspawn.sh "$folder/root" "$folder/payload" "$folder/out" 10 || status=$?
  judge_boot "$folder/root" "$folder/out" "$status" 2>"$folder/message"
  message=$(<"$folder/message")
}

boot 1
report "a machine that boots none is left out" [ "$gem_failed $gem_skipped" = "0 1" ]
report "and says so" says "no container boots on this machine"
report "with what the console said" says "no way"
boot 0
report "one that boots a plain one has failed" [ "$gem_failed $gem_skipped" = "1 0" ]
report "and says so" says "a plain container boots on this machine, this one ended with status 1"
report "with what the console said" says "no way"
echo "1..$number"
