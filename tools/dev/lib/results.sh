# Counting what tests said, over the several runs of one `./dev test`.

gem_passed=0
gem_failed=0
gem_skipped=0

# Reads meson's testlog.json: one JSON object a line for each test program, with its TAP output. Prints "PASSED FAILED SKIPPED".
# A program that failed without a failed line of its own (it crashed, or took too long) counts as one failure.
count_meson_log() {
  awk '
    {
      gsub(/\\\\/, ""); gsub(/\\"/, "")
      result = ""; out = ""
      if (match($0, /"result": "[A-Z]*"/)) result = substr($0, RSTART + 11, RLENGTH - 12)
      if (match($0, /"stdout": "[^"]*"/)) out = substr($0, RSTART + 11, RLENGTH - 12)
      ok = not_ok = skip = 0
      n = split(out, line, /\\n/)
      for (i = 1; i <= n; i++) {
        if (line[i] ~ /^(not )?ok [0-9]+.*# *SKIP/) skip++
        else if (line[i] ~ /^ok [0-9]+/) ok++
        else if (line[i] ~ /^not ok [0-9]+/) not_ok++
      }
      if (ok + not_ok + skip == 0) {
        if (result == "SKIP") skip = 1
        else if (result == "OK" || result == "EXPECTEDFAIL") ok = 1
      }
      if (result !~ /^(OK|SKIP|EXPECTEDFAIL)$/ && not_ok == 0) not_ok = 1
      passed += ok; failed += not_ok; skipped += skip
    }
    END { print passed + 0, failed + 0, skipped + 0 }' "$1"
}

# require_tests DIR [MESON-TEST-ARGUMENT...]: dies where none has such a name, which meson takes for a success.
require_tests() {
  local dir=$1
  shift
  meson test -C "$dir" --no-rebuild --list "$@" >/dev/null 2>&1 && return
  if [ "$1" = --benchmark ]; then
    shift
    die "no benchmark is called $*; there are:" \
      "$(meson test -C "$dir" --no-rebuild --list --benchmark 2>/dev/null | sed 's/.* //' | tr '\n' ' ')"
  fi
  die "no test is called $*: 'meson test -C $dir --list' tells their names"
}

# run_meson_tests DIR TITLE [MESON-TEST-ARGUMENT...]: runs and counts.
run_meson_tests() {
  local dir=$1 title=$2 log status=0
  shift 2
  say "== $title"
  rm -f "$dir"/meson-logs/testlog*.json
  meson test -C "$dir" --no-rebuild --num-processes "$(job_count)" --print-errorlogs "$@" </dev/null >&2 || status=$?
  log=$(compgen -G "$dir/meson-logs/testlog*.json")
  if [ -z "$log" ]; then
    say "meson test left no log: it ended with status $status"
    gem_failed=$((gem_failed + 1))
    return
  fi
  add_counts "$log" "$status"
}

# add_counts LOG STATUS: adds what a log says to the totals; STATUS is that of meson test.
add_counts() {
  local counts
  counts=($(count_meson_log "$1"))
  # meson itself may be unhappy where no test is.
  [ "$2" = 0 ] || [ "${counts[1]}" -gt 0 ] || counts[1]=1
  gem_passed=$((gem_passed + counts[0]))
  gem_failed=$((gem_failed + counts[1]))
  gem_skipped=$((gem_skipped + counts[2]))
}

# count_tap FILE STATUS: adds lines of TAP to the totals; a script that ended before its plan is a failure.
count_tap() {
  local passed=0 not_passed=0
  if [ -f "$1" ]; then
    passed=$(grep -c '^ok ' "$1")
    not_passed=$(grep -c '^not ok ' "$1")
  fi
  grep -q '^1\.\.' "$1" 2>/dev/null || not_passed=$((not_passed + 1))
  [ "$2" = 0 ] || [ "$not_passed" -gt 0 ] || not_passed=1
  gem_passed=$((gem_passed + passed))
  gem_failed=$((gem_failed + not_passed))
}

# run_step TITLE COMMAND...: a check that is no test program; counts as one. Status 77: it was left out.
run_step() {
  local status=0
  say "== $1"
  shift
  ("$@") >&2 || status=$?
  case $status in
    0) gem_passed=$((gem_passed + 1)) ;;
    77) gem_skipped=$((gem_skipped + 1)) ;;
    *)
      say "failed: $*"
      gem_failed=$((gem_failed + 1))
      ;;
  esac
}

# The closing line; the status is that of the whole.
report_results() {
  [ "$gem_skipped" = 0 ] || echo "$gem_skipped skipped (each says why in the log above meson's summary)"
  echo "$gem_passed passed, $gem_failed failed"
  [ "$gem_failed" = 0 ] && [ "$gem_passed" -gt 0 ]
}
