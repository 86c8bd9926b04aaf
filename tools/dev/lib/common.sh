# What every verb of ./dev uses: messages, and things to undo when the script ends.

say() { printf '%s\n' "$*" >&2; }
die() { say "dev: $*"; exit 1; }
die_usage() { say "dev: $*"; exit 2; }

# Runs each argument, last one first, when the script ends for whatever reason.
gem_cleanups=()
at_exit() { gem_cleanups+=("$1"); }
run_cleanups() {
  local status=$? i
  trap - EXIT
  trap '' INT TERM HUP
  for ((i = ${#gem_cleanups[@]} - 1; i >= 0; i--)); do eval "${gem_cleanups[i]}"; done
  exit "$status"
}
trap run_cleanups EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Processors to build and test with.
job_count() { nproc 2>/dev/null || echo 2; }
