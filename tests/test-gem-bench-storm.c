/* gem-bench storm against a stand-in that does one thing wrong: whether each kind of loss is found. */
#include <string.h>

#include "clients/gem-client/gem-client-exit.h"
#include "tests/gem-test-client.h"

/* Asks and turns of the texts alone, before the storm. */
#define ALONE 8u

typedef struct {
  const char *name;
  GemTestFault fault;
  int status;
  const char *says; /* a pattern of what stands in the output */
} Case;

static const Case cases[] = {
    {"none", GEM_TEST_FAULT_NONE, GEM_EXIT_OK, "*\nall * 0 * 0 * 0 * 0 * 0\n*"},
    {"limit", GEM_TEST_FAULT_LIMIT, GEM_EXIT_OK, "* times: ask: org.gemd.Gem1.Error.LimitExceeded\n*"},
    {"deadline", GEM_TEST_FAULT_DEADLINE, GEM_EXIT_OK, "* times: ask: cut at AskSeconds\n*"},
    {"answer", GEM_TEST_FAULT_ANSWER, GEM_EXIT_FAILED, "* times: ask: another answer than when alone\n*"},
    {"no-answer", GEM_TEST_FAULT_NO_ANSWER, GEM_EXIT_FAILED, "* times: ask: no answer\n*"},
    {"text", GEM_TEST_FAULT_TEXT, GEM_EXIT_FAILED, "* times: stream: another text than when alone\n*"},
    {"no-end", GEM_TEST_FAULT_NO_END, GEM_EXIT_FAILED, "* times: stream: no end of file\n*"},
    {"no-finished", GEM_TEST_FAULT_FINISHED, GEM_EXIT_FAILED, "* times: stream: no Finished\n*"},
    {"two-finished", GEM_TEST_FAULT_TWICE, GEM_EXIT_FAILED, "* times: stream: a second Finished\n*"},
    {"reason", GEM_TEST_FAULT_REASON, GEM_EXIT_FAILED, "* times: stream: a turn ended with reason 6\n*"},
};

/* The service is this process, and a sanitizer keeps freed memory aside. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SPARE_MIB "4096"
#else
#define SPARE_MIB "16"
#endif

static void
test_fault(gconstpointer data)
{
  static const char *const arguments[] = {"storm",      "--clients", "12",      "--seconds", "1",
                                          "--patience", "1",         "--spare", SPARE_MIB,   NULL};
  const Case *one = data;
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};
  g_autoptr(GSubprocess) program = NULL;

  gem_test_service_set_fault(service, one->fault, ALONE);
  program = gem_test_program_start(service, "bench", "gem-bench", arguments, FALSE);
  gem_test_client_finish(program, NULL, &run);
  g_test_message("%s", run.out);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_true(g_pattern_match_simple(one->says, run.out));
  g_assert_cmpint(run.status, ==, one->status);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = g_strconcat("/gem-bench/storm/", cases[i].name, NULL);

    g_test_add_data_func(path, &cases[i], test_fault);
  }
  return g_test_run();
}
