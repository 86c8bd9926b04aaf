/* EdgeBench's suite, plan, run, state and results, with a stand-in that answers by the test's rules. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include <glib/gstdio.h>

#include "bench/edge/gem-edge-result.h"
#include "tests/gem-test-edge.h"
#include "tests/gem-test-folder.h"

#define assert_near(a, b) g_assert_cmpfloat_with_epsilon(a, b, 1e-9)

static const GemEdgeScale nothing = {NULL, NULL, NULL};
static const GemEdgeRunOptions one_by_one = {.in_flight = 1, .max_tokens = 8};

static void
test_suite(GemTestEdge *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEdgeSuite) suite = gem_test_edge_read_suite(self, NULL, &error);
  g_autoptr(GemEdgeSuite) some = gem_test_edge_read_suite(self, "stem/*t,legal/pick", &error);
  g_autofree char *digest = gem_edge_suite_digest(suite);
  g_autofree char *other = gem_edge_suite_digest(some);
  static const GemEdgeForm forms[] = {GEM_EDGE_CHOICE, GEM_EDGE_ANSWER, GEM_EDGE_MENTIONS, GEM_EDGE_TEXT};
  guint i;

  g_assert_no_error(error);
  g_assert_cmpuint(suite->tasks->len, ==, 4);
  for (i = 0; i < 4; i++) {
    g_assert_cmpint(((GemEdgeTask *)suite->tasks->pdata[i])->form, ==, forms[i]);
  }
  g_assert_cmpstr(((GemEdgeTask *)suite->tasks->pdata[2])->name, ==, "list");
  g_assert_cmpuint(suite->domains->len, ==, 2);
  g_assert_cmpuint(some->tasks->len, ==, 2);
  g_assert_cmpstr(digest, !=, other);
  g_assert_null(gem_test_edge_read_suite(self, "legal/*,unused", &error));
  g_assert_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);
  g_assert_nonnull(strstr(error->message, "'unused'"));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "manifest.json", "{\"tasks\": [], \"suite\": [\"legal/pick\"]}");
  g_assert_null(gem_test_edge_read_suite(self, NULL, &error));
  g_assert_nonnull(strstr(error->message, "'legal/pick' is no task"));
}

/* A task that has no lines of the split is none that can be left out of the mean unsaid. */
static void
test_no_lines(GemTestEdge *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->folder, "tasks", "legal", "pick", "dev.jsonl", NULL);
  g_autofree char *message = g_strconcat(path, ": no lines", NULL);
  guint round;

  for (round = 0; round < 2; round++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GemEdgeSuite) others = gem_test_edge_read_suite(self, "stem/*", &error);

    g_assert_no_error(error);
    if (round == 0) {
      gem_test_write_text(self->folder, "tasks/legal/pick/dev.jsonl", "\n");
    } else {
      g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_assert_null(gem_test_edge_read_suite(self, NULL, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_assert_cmpstr(error->message, ==, message);
  }
}

/* 4 usable choices (a fifth has no usable target), 4 that are written; each scored and routed. */
static void
test_plan(GemTestEdge *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = gem_test_edge_read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, gem_test_edge_domains, 0, 1);
  g_autoptr(GemEdgePlan) transfer = gem_edge_plan_new(suite, gem_test_edge_domains, 1, 1);
  g_autoptr(GemEdgePlan) lacking = gem_edge_plan_new(suite, (const char *const[]){"legal", NULL}, 100, 1);

  g_assert_cmpuint(plan->items->len, ==, 8 + 2 * 8);
  g_assert_cmpuint(transfer->items->len, >=, 24 + 3 * (3 + 8)); /* the drawn choice may be the unusable one */
  g_assert_cmpuint(transfer->items->len, <=, 24 + 3 * (4 + 8));
  g_assert_cmpuint(lacking->items->len, ==, 24 + 2 * (8 + 8));
  g_assert_null(gem_edge_plan_get_pathway(plan, GEM_EDGE_ROUTED));
  g_assert_cmpstr(gem_edge_plan_get_pathway(plan, 1), ==, "stem");
  g_assert_cmpstr(gem_edge_plan_get_pathway(plan, 2), ==, "general");
}

static void
test_scores(GemTestEdge *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = gem_test_edge_read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, gem_test_edge_domains, 100, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(NULL, gem_test_edge_identity, plan, NULL);
  g_autoptr(GemEdgeResult) result = NULL;
  g_autoptr(GError) error = NULL;
  const GemEdgeTaskResult *pick, *find;
  GemTestEdgeStand stand;

  gem_test_edge_stand_init(&stand);
  gem_edge_run(plan, &stand.base, state, self->energy, &gem_test_edge_in_pairs, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(stand.asked, ==, plan->items->len);
  result = gem_edge_result_new(plan, gem_edge_state_get_samples(state), &nothing);
  pick = &result->tasks[0];
  find = &result->tasks[1];
  g_assert_cmpuint(pick->score.fates[GEM_BENCH_USED], ==, 3);
  g_assert_cmpuint(pick->score.fates[GEM_BENCH_SKIPPED_LABELS], ==, 1);
  g_assert_cmpuint(pick->score.fates[GEM_BENCH_SKIPPED_CONTEXT], ==, 1);
  assert_near(pick->score.metrics[GEM_EDGE_ACCURACY].value, 2.0 / 3);
  assert_near(pick->f1.value, 0.4); /* of yes 4/5, of no 0 */
  assert_near(pick->score.majority_accuracy, 2.0 / 3);
  assert_near(pick->score.majority_f1, 0.4);
  assert_near(pick->score.chance_accuracy, 0.5);
  /* "x" or "Right one, two." for the first, 1 word of 3 and of 1 for the second. */
  assert_near(find->f1.value, (1 + 0.5) / 2);
  assert_near(find->score.metrics[GEM_EDGE_EXACT_MATCH].value, 0.5);
  assert_near(find->latency.token_p50, 0.5);
  assert_near(result->tasks[2].f1.value, 0.5); /* 1 right, 1 wrong, 1 lacking */
  assert_near(result->tasks[3].f1.value, 0.5); /* 1 word of 3 and of 1 */
  assert_near(result->domains[1].f1.value, (0.75 + 0.5 + 0.5) / 3);
  g_assert_cmpuint(result->class_tasks, ==, 1);
  /* 16 routed, of which 1 too long to be read, and its score and routes */
  g_assert_cmpuint(result->calls, ==, plan->items->len);
  g_assert_cmpint(result->tokens, ==, 10 * (gint64)result->calls); /* as the stand counts them */
  assert_near(result->routed_share, 0.5);
  g_assert_cmpuint(result->memory.resident_active, ==, 1000);
  g_assert_true(isnan(result->joules));
}

static void
test_transfer(GemTestEdge *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = gem_test_edge_read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, gem_test_edge_domains, 100, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(NULL, gem_test_edge_identity, plan, NULL);
  g_autoptr(GemEdgeResult) result = NULL;
  double stem = (0.75 + 0.5 + 0.5) / 3;
  GemTestEdgeStand stand;

  gem_test_edge_stand_init(&stand);
  g_assert_true(gem_edge_run(plan, &stand.base, state, self->energy, &gem_test_edge_in_pairs, NULL));
  result = gem_edge_result_new(plan, gem_edge_state_get_samples(state), &nothing);
  /* Rows legal, stem, general; columns legal, stem. Label 0 has 1 of 3 right: F1 of no 1/2, of yes 0. */
  assert_near(result->matrix[0], 0.4);
  assert_near(result->matrix[1], stem);
  assert_near(result->matrix[2], 0.25);
  assert_near(result->matrix[3], 0);
  assert_near(result->matrix[4], 0.25);
  assert_near(result->tasks[0].in, 0.4);
  assert_near(result->tasks[0].out, 0.25);
  assert_near(result->domains[0].forced.gg, (0.4 - stem) / 0.4);
  assert_near(result->domains[0].forced.dsi, 0.4 / stem);
  g_assert_true(isnan(result->domains[1].forced.gg)); /* nothing is right there */
  assert_near(result->domains[0].routed.gg, (0.4 - stem) / 0.4);
  assert_near(result->domains[0].same.gg, (0.4 - 0.25) / 0.4); /* down the column */
  g_assert_true(isnan(result->domains[1].same.gg));
  /* Of stem's three tasks all may be drawn as the best, 1 of 27, or none; legal has one. */
  assert_near(result->gg_forced.low, (0.4 - 0.75) / 0.4);
  assert_near(result->gg_forced.high, (0.4 - 0.5) / 0.4);
  assert_near(result->gap.low, (0.4 - 0.25) / 0.4);
  assert_near(result->gap.high, (0.4 - 0.25) / 0.4);
  assert_near(result->domains[0].perplexity.routed, exp(1));
  assert_near(result->domains[0].perplexity.own, exp(2));
  assert_near(result->domains[0].perplexity.others, exp(3));
  assert_near(result->domains[1].perplexity.own, exp(3));
}

/* A run that is interrupted, and one that fails, go on from what they have. */
static void
test_resume(GemTestEdge *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = gem_test_edge_read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, gem_test_edge_domains, 0, 1);
  guint total = plan->items->len, before = 0, round;
  GemTestEdgeStand stand;

  for (round = 0; round < 3; round++) {
    g_autoptr(GemEdgePlan) again = gem_edge_plan_new(suite, gem_test_edge_domains, 0, 1);
    g_autoptr(GError) error = NULL;
    g_autoptr(GemEdgeState) state = gem_edge_state_open(self->state, gem_test_edge_identity, again, &error);

    g_assert_no_error(error);
    gem_test_edge_stand_init(&stand);
    stand.interrupt_at = round == 0 ? 5 : 0;
    stand.fail_at = round == 1 ? 3 : 0;
    g_assert_cmpint(gem_edge_run(again, &stand.base, state, self->energy,
                                 round == 0 ? &one_by_one : &gem_test_edge_in_pairs, &error),
                    ==, round == 2);
    if (round == 0) {
      g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_cmpuint(stand.asked, ==, 5);
      before = stand.asked;
    } else if (round == 1) {
      g_assert_error(error, G_IO_ERROR, G_IO_ERROR_FAILED);
      g_assert_true(g_str_has_prefix(error->message, "legal/pick, line 5: ") ||
                    g_str_has_prefix(error->message, "stem/"));
      before += stand.asked - 1; /* all but the one that failed */
    } else {
      g_assert_no_error(error);
      g_assert_cmpuint(before + stand.asked, ==, total);
    }
  }
}

/* A line that the disk has no room for leaves nothing behind that the next one would be appended to. */
static void
test_full_disk(GemTestEdge *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = gem_test_edge_read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, gem_test_edge_domains, 0, 1),
                         kept = gem_edge_plan_new(suite, gem_test_edge_domains, 0, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(self->state, gem_test_edge_identity, plan, NULL),
                          again = NULL;
  g_autoptr(GError) error = NULL;
  const GemEdgeReply reply = {.fate = GEM_BENCH_USED, .answer = (char *)"what is written"};
  struct rlimit before, room;
  GStatBuf file;

  g_assert_cmpint(g_stat(self->state, &file), ==, 0);
  g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
  room = (struct rlimit){(rlim_t)file.st_size + 10, before.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &room), ==, 0);
  g_assert_false(gem_edge_state_add_reply(state, 0, &reply, &error));
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED);
  g_clear_error(&error);
  g_assert_true(gem_edge_state_add_reply(state, 1, &reply, &error));
  g_clear_pointer(&state, gem_edge_state_free);
  again = gem_edge_state_open(self->state, gem_test_edge_identity, kept, &error);
  g_assert_no_error(error);
  g_assert_nonnull(again);
  g_assert_false(g_array_index(kept->items, GemEdgeItem, 0).done);
  g_assert_true(g_array_index(kept->items, GemEdgeItem, 1).done);
}

/* What was kept is what comes out, with or without a last line that was cut short; and of no other run. */
static void
test_state(GemTestEdge *self, gconstpointer data)
{
  static const char *const other[] = {"model", "stand", "seed", "2", NULL};
  g_autoptr(GemEdgeSuite) suite = gem_test_edge_read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, gem_test_edge_domains, 0, 1);
  g_autoptr(GemEdgePlan) kept = gem_edge_plan_new(suite, gem_test_edge_domains, 0, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(self->state, gem_test_edge_identity, plan, NULL);
  g_autoptr(GemEdgeState) again = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  g_autofree char *cut = NULL;
  GemTestEdgeStand stand;
  guint i;

  gem_test_edge_stand_init(&stand);
  g_assert_true(gem_edge_run(plan, &stand.base, state, self->energy, &gem_test_edge_in_pairs, NULL));
  g_assert_true(g_file_get_contents(self->state, &text, NULL, NULL));
  cut = g_strconcat(text, "{\"index\": 0, \"cho", NULL);
  g_assert_null(gem_edge_state_open(self->state, gem_test_edge_identity, kept, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_clear_error(&error);
  g_clear_pointer(&state, gem_edge_state_free);
  g_assert_true(g_file_set_contents(self->state, cut, -1, NULL));
  again = gem_edge_state_open(self->state, gem_test_edge_identity, kept, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(gem_edge_state_get_samples(again)->len, ==, 1);
  g_assert_cmpint(g_array_index(gem_edge_state_get_samples(again), GemEdgeSample, 0).page_ins, ==,
                  plan->items->len);
  for (i = 0; i < plan->items->len; i++) {
    const GemEdgeItem *a = &g_array_index(plan->items, GemEdgeItem, i);
    const GemEdgeItem *b = &g_array_index(kept->items, GemEdgeItem, i);

    g_assert_true(b->done);
    g_assert_cmpint(a->reply.fate, ==, b->reply.fate);
    g_assert_cmpuint(a->reply.choice, ==, b->reply.choice);
    g_assert_cmpstr(a->reply.answer, ==, b->reply.answer);
    g_assert_cmpuint(a->reply.written, ==, b->reply.written);
    g_assert_cmpuint(a->reply.routed, ==, b->reply.routed);
    assert_near(a->reply.log_likelihood, b->reply.log_likelihood);
    assert_near(a->reply.seconds, b->reply.seconds);
  }
  gem_test_edge_stand_init(&stand);
  g_assert_true(gem_edge_run(kept, &stand.base, again, self->energy, &gem_test_edge_in_pairs, NULL));
  g_assert_cmpuint(stand.asked, ==, 0);
  g_clear_pointer(&again, gem_edge_state_free);
  g_assert_null(gem_edge_state_open(self->state, other, kept, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_nonnull(strstr(error->message, "its seed is '1', and this one's '2'"));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "state",
                      "{\"edge_state\":\"2\", \"model\": \"stand\", \"seed\": \"1\"}\n"
                      "{\"index\": 1000}\n");
  g_assert_null(gem_edge_state_open(self->state, gem_test_edge_identity, kept, &error));
  g_assert_nonnull(strstr(error->message, "line 2: no answer of this run"));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "state", "{\"edge_state\":\"1\",\"model\":\"stand\",\"seed\":\"1\"}\n");
  g_assert_null(gem_edge_state_open(self->state, gem_test_edge_identity, kept, &error));
  g_assert_nonnull(strstr(error->message, "by another rule"));
  g_clear_error(&error);
  g_clear_pointer(&text, g_free);
  gem_test_write_text(self->folder, "state", "[1]");
  g_assert_null(gem_edge_state_open(self->state, gem_test_edge_identity, kept, &error));
  g_assert_nonnull(strstr(error->message, "no state of gem-bench edge"));
  g_assert_true(g_file_get_contents(self->state, &text, NULL, NULL));
  g_assert_cmpstr(text, ==, "[1]");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                                  \
  g_test_add("/gem-edge/" name, GemTestEdge, NULL, gem_test_edge_set_up, function, gem_test_edge_tear_down)
  ADD("suite", test_suite);
  ADD("no-lines", test_no_lines);
  ADD("plan", test_plan);
  ADD("scores", test_scores);
  ADD("transfer", test_transfer);
  ADD("resume", test_resume);
  ADD("full-disk", test_full_disk);
  ADD("state", test_state);
#undef ADD
  return g_test_run();
}
