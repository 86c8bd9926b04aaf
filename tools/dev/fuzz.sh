# fuzz [SECONDS] [NAME...]: run the fuzzers, each for 60 seconds or SECONDS
#
# NAMEs are those of tests/fuzz: arguments configuration gguf learned manifest text vocabulary; without any: all. Built with clang,
# coverage counters and sanitizers in ./build-fuzz; what they find out stays in ./build-fuzz/corpus for the next time, and an
# input that breaks something in ./build-fuzz/crashes. At the end stands how many inputs each has tried. The last line is "N passed, N failed".

. "$GEM_VERB_DIR/lib/results.sh"
. "$GEM_VERB_DIR/lib/fuzz.sh"

seconds=60
case ${1:-} in
  [0-9]*)
    seconds=$1
    shift
    ;;
esac
case $seconds in
  *[!0-9]* | 0) die_usage "fuzz: '$seconds' is no number of seconds" ;;
esac
for name in "$@"; do
  [ -f "tests/fuzz/fuzz-$name.c" ] || die_usage "fuzz: no fuzzer '$name'; ./dev fuzz --help lists them"
done
ensure_needs build fuzz
test_suite_fuzz "$seconds" "$@"
report_results
