# valgrind: run the tests of files, tokenizer and engine under valgrind
#
# In ./build, with plain C kernels (GEM_CPU_KERNELS). Errors and definite leaks fail a test; tests/valgrind/suppressions lists what is GLib's. The last line
# is "N passed, N failed".

. "$GEM_VERB_DIR/lib/results.sh"
. "$GEM_VERB_DIR/lib/suites.sh"
ensure_needs build bus test valgrind
test_suite_valgrind
report_results
