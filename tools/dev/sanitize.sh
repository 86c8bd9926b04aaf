# sanitize [thread]: build and test with address and undefined-behaviour sanitizers, or with the thread sanitizer
#
# In ./build-sanitize, all tests; or in ./build-sanitize-thread, those of the daemon, the engine and the modules, with GLib told
# apart by tests/tsan (what a GLib that was built without the sanitizer hands from thread to thread). The last line is
# "N passed, N failed".

. "$GEM_VERB_DIR/lib/results.sh"
. "$GEM_VERB_DIR/lib/suites.sh"
case ${1:-address} in
  address) suite=test_suite_sanitize ;;
  thread) suite=test_suite_sanitize_thread ;;
  *) die_usage "sanitize: 'thread' or nothing, not '$1'" ;;
esac
ensure_needs build bus test sanitize
"$suite"
report_results
