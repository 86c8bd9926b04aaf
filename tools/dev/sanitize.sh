# sanitize: build and test with address and undefined-behaviour sanitizers
#
# In ./build-sanitize. The last line is "N passed, N failed".

. "$GEM_VERB_DIR/lib/results.sh"
. "$GEM_VERB_DIR/lib/suites.sh"
ensure_needs build bus test sanitize
test_suite_sanitize
report_results
