/* EdgeBench's suite, plan, run, state and results, with a stand-in that answers by the test's rules. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "bench/edge/gem-edge-result.h"
#include "bench/edge/gem-edge-run.h"
#include "tests/gem-test-folder.h"

#define assert_near(a, b) g_assert_cmpfloat_with_epsilon(a, b, 1e-9)

/* ---- the stand-in ---- */

typedef struct {
  GemEdgeAsker base;
  guint asked;
  guint interrupt_at; /* sends SIGINT with this question; 0: never */
  guint fail_at;      /* fails with this question; 0: never */
} Stand;

typedef struct {
  GemEdgeReply reply;
  GError *error;
  GemEdgeReplied replied;
  gpointer data;
} Answer;

static gboolean
give_answer(gpointer data)
{
  g_autofree Answer *answer = data;

  answer->replied(answer->error == NULL ? &answer->reply : NULL, answer->error, answer->data);
  gem_edge_reply_clear(&answer->reply);
  g_clear_error(&answer->error);
  return G_SOURCE_REMOVE;
}

/* Right in pathway "legal", and without one; elsewhere label 0, and "wrong". A text costs 1 nat a token with
 * its router's choice, 2 with pathway "legal", 3 with any other. */
static void
stand_ask(GemEdgeAsker *asker, const GemEdgeQuestion *question, GemEdgeReplied replied, gpointer data)
{
  Stand *self = (Stand *)asker;
  gboolean legal = g_strcmp0(question->domain, "legal") == 0;
  Answer *answer = g_new0(Answer, 1);

  self->asked++;
  answer->replied = replied;
  answer->data = data;
  answer->reply.seconds = self->asked;
  answer->reply.tokens = 10;
  answer->reply.fate = strstr(question->text, "long") != NULL ? GEM_BENCH_SKIPPED_CONTEXT : GEM_BENCH_USED;
  if (question->kind == GEM_EDGE_CHOOSE) {
    answer->reply.choice = question->domain == NULL || legal ? 1 : 0;
  } else if (question->kind == GEM_EDGE_WRITE) {
    answer->reply.answer = g_strdup(question->domain == NULL || legal ? "right one; two" : "wrong");
    answer->reply.written = 4;
    answer->reply.write_seconds = 2;
  } else if (question->kind == GEM_EDGE_SCORE) {
    answer->reply.log_likelihood = question->domain == NULL ? -10 : (legal ? -20 : -30);
  } else {
    answer->reply.routed = 5;
  }
  if (self->asked == self->fail_at) {
    answer->error = g_error_new(G_IO_ERROR, G_IO_ERROR_FAILED, "made to fail");
  }
  if (self->asked == self->interrupt_at) {
    kill(getpid(), SIGINT);
    /* With one question at a time nothing else can be pending. */
    while (!g_main_context_pending(NULL)) {
      g_usleep(1000);
    }
  }
  g_idle_add(give_answer, answer);
}

static gboolean
stand_look(GemEdgeAsker *asker, GemEdgeSight *ret_sight, GError **error)
{
  *ret_sight = (GemEdgeSight){.resident = 1000,
                              .process = 2000,
                              .page_ins = ((Stand *)asker)->asked,
                              .tokens = 10 * (gint64)((Stand *)asker)->asked};
  return TRUE;
}

static void
stand_free(GemEdgeAsker *asker)
{
}

static void
stand_init(Stand *self)
{
  *self = (Stand){.base = {.way = "bus", .ask = stand_ask, .look = stand_look, .free = stand_free}};
}

/* ---- the scene ---- */

typedef struct {
  char *folder, *state;
  GemEdgeEnergy *energy;
} Scene;

static void
scene_set_up(Scene *self, gconstpointer data)
{
  self->folder = gem_test_folder_new();
  self->state = g_build_filename(self->folder, "state", NULL);
  self->energy = gem_edge_energy_new(self->folder);
  gem_test_write_text(
      self->folder, "manifest.json",
      "{\"tasks\": [{\"domain\": \"legal\", \"name\": \"pick\", \"form\": \"multiple choice\"},"
      "{\"domain\": \"stem\", \"name\": \"find\", \"form\": \"extractive QA\"},"
      "{\"domain\": \"stem\", \"name\": \"list\", \"form\": \"extraction (list)\"},"
      "{\"domain\": \"stem\", \"name\": \"tell\", \"form\": \"generation\"},"
      "{\"domain\": \"stem\", \"name\": \"unused\", \"form\": \"generation\"}],"
      "\"suite\": [\"legal/pick\", \"stem/find\", \"stem/list\", \"stem/tell\"]}");
  gem_test_write_text(self->folder, "tasks/legal/pick/labels.json", "[\"no\", \"yes\"]");
  gem_test_write_text(self->folder, "tasks/legal/pick/dev.jsonl",
                      "{\"input\": \"a\", \"target\": \"yes\"}\n{\"input\": \"b\", \"target\": \"yes\"}\n"
                      "{\"input\": \"c\", \"target\": \"no\"}\n{\"input\": \"d\", \"target\": \"maybe\"}\n"
                      "{\"input\": \"too long\", \"target\": \"no\"}\n");
  gem_test_write_text(self->folder, "tasks/stem/find/dev.jsonl",
                      "{\"input\": \"a\", \"target\": \"x\", \"refs\": [\"Right one, two.\"]}\n"
                      "{\"input\": \"b\", \"target\": \"the right\"}\n");
  gem_test_write_text(self->folder, "tasks/stem/list/dev.jsonl",
                      "{\"input\": \"a\", \"target\": \"two; three\"}\n");
  gem_test_write_text(self->folder, "tasks/stem/tell/dev.jsonl",
                      "{\"input\": \"a\", \"target\": \"right\"}\n");
}

static void
scene_tear_down(Scene *self, gconstpointer data)
{
  gem_edge_energy_free(self->energy);
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
  g_free(self->state);
}

static GemEdgeSuite *
read_suite(const Scene *self, const char *tasks, GError **error)
{
  const GemEdgeWish wish = {.folder = self->folder, .tasks = tasks, .split = "dev", .seed = 1};

  return gem_edge_suite_read(&wish, error);
}

static const char *const domains[] = {"stem", "legal", NULL};
static const char *const identity[] = {"model", "stand", "seed", "1", NULL};
static const GemEdgeScale nothing = {NULL, NULL, NULL};
static const GemEdgeRunOptions one_by_one = {.in_flight = 1, .max_tokens = 8};
static const GemEdgeRunOptions in_pairs = {.in_flight = 2, .max_tokens = 8};

/* ---- tests ---- */

static void
test_suite(Scene *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEdgeSuite) suite = read_suite(self, NULL, &error);
  g_autoptr(GemEdgeSuite) some = read_suite(self, "stem/*t,legal/pick", &error);
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
  g_assert_null(read_suite(self, "legal/*,unused", &error));
  g_assert_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);
  g_assert_nonnull(strstr(error->message, "'unused'"));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "manifest.json", "{\"tasks\": [], \"suite\": [\"legal/pick\"]}");
  g_assert_null(read_suite(self, NULL, &error));
  g_assert_nonnull(strstr(error->message, "'legal/pick' is no task"));
}

/* A task that has no lines of the split is none that can be left out of the mean unsaid. */
static void
test_no_lines(Scene *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->folder, "tasks", "legal", "pick", "dev.jsonl", NULL);
  g_autofree char *message = g_strconcat(path, ": no lines", NULL);
  guint round;

  for (round = 0; round < 2; round++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GemEdgeSuite) others = read_suite(self, "stem/*", &error);

    g_assert_no_error(error);
    if (round == 0) {
      gem_test_write_text(self->folder, "tasks/legal/pick/dev.jsonl", "\n");
    } else {
      g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_assert_null(read_suite(self, NULL, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_assert_cmpstr(error->message, ==, message);
  }
}

/* 4 usable choices (a fifth has no usable target), 4 that are written; each scored and routed. */
static void
test_plan(Scene *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, domains, 0, 1);
  g_autoptr(GemEdgePlan) transfer = gem_edge_plan_new(suite, domains, 1, 1);
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
test_scores(Scene *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, domains, 100, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(NULL, identity, plan, NULL);
  g_autoptr(GemEdgeResult) result = NULL;
  g_autoptr(GError) error = NULL;
  const GemEdgeTaskResult *pick, *find;
  Stand stand;

  stand_init(&stand);
  gem_edge_run(plan, &stand.base, state, self->energy, &in_pairs, &error);
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
test_transfer(Scene *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, domains, 100, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(NULL, identity, plan, NULL);
  g_autoptr(GemEdgeResult) result = NULL;
  double stem = (0.75 + 0.5 + 0.5) / 3;
  Stand stand;

  stand_init(&stand);
  g_assert_true(gem_edge_run(plan, &stand.base, state, self->energy, &in_pairs, NULL));
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
test_resume(Scene *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, domains, 0, 1);
  guint total = plan->items->len, before = 0, round;
  Stand stand;

  for (round = 0; round < 3; round++) {
    g_autoptr(GemEdgePlan) again = gem_edge_plan_new(suite, domains, 0, 1);
    g_autoptr(GError) error = NULL;
    g_autoptr(GemEdgeState) state = gem_edge_state_open(self->state, identity, again, &error);

    g_assert_no_error(error);
    stand_init(&stand);
    stand.interrupt_at = round == 0 ? 5 : 0;
    stand.fail_at = round == 1 ? 3 : 0;
    g_assert_cmpint(
        gem_edge_run(again, &stand.base, state, self->energy, round == 0 ? &one_by_one : &in_pairs, &error),
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
test_full_disk(Scene *self, gconstpointer data)
{
  g_autoptr(GemEdgeSuite) suite = read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, domains, 0, 1),
                         kept = gem_edge_plan_new(suite, domains, 0, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(self->state, identity, plan, NULL), again = NULL;
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
  again = gem_edge_state_open(self->state, identity, kept, &error);
  g_assert_no_error(error);
  g_assert_nonnull(again);
  g_assert_false(g_array_index(kept->items, GemEdgeItem, 0).done);
  g_assert_true(g_array_index(kept->items, GemEdgeItem, 1).done);
}

/* What was kept is what comes out, with or without a last line that was cut short; and of no other run. */
static void
test_state(Scene *self, gconstpointer data)
{
  static const char *const other[] = {"model", "stand", "seed", "2", NULL};
  g_autoptr(GemEdgeSuite) suite = read_suite(self, NULL, NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, domains, 0, 1);
  g_autoptr(GemEdgePlan) kept = gem_edge_plan_new(suite, domains, 0, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(self->state, identity, plan, NULL);
  g_autoptr(GemEdgeState) again = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  g_autofree char *cut = NULL;
  Stand stand;
  guint i;

  stand_init(&stand);
  g_assert_true(gem_edge_run(plan, &stand.base, state, self->energy, &in_pairs, NULL));
  g_assert_true(g_file_get_contents(self->state, &text, NULL, NULL));
  cut = g_strconcat(text, "{\"index\": 0, \"cho", NULL);
  g_assert_null(gem_edge_state_open(self->state, identity, kept, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_clear_error(&error);
  g_clear_pointer(&state, gem_edge_state_free);
  g_assert_true(g_file_set_contents(self->state, cut, -1, NULL));
  again = gem_edge_state_open(self->state, identity, kept, &error);
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
  stand_init(&stand);
  g_assert_true(gem_edge_run(kept, &stand.base, again, self->energy, &in_pairs, NULL));
  g_assert_cmpuint(stand.asked, ==, 0);
  g_clear_pointer(&again, gem_edge_state_free);
  g_assert_null(gem_edge_state_open(self->state, other, kept, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_nonnull(strstr(error->message, "its seed is '1', and this one's '2'"));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "state",
                      "{\"edge_state\":\"2\", \"model\": \"stand\", \"seed\": \"1\"}\n"
                      "{\"index\": 1000}\n");
  g_assert_null(gem_edge_state_open(self->state, identity, kept, &error));
  g_assert_nonnull(strstr(error->message, "line 2: no answer of this run"));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "state", "{\"edge_state\":\"1\",\"model\":\"stand\",\"seed\":\"1\"}\n");
  g_assert_null(gem_edge_state_open(self->state, identity, kept, &error));
  g_assert_nonnull(strstr(error->message, "by another rule"));
  g_clear_error(&error);
  g_clear_pointer(&text, g_free);
  gem_test_write_text(self->folder, "state", "[1]");
  g_assert_null(gem_edge_state_open(self->state, identity, kept, &error));
  g_assert_nonnull(strstr(error->message, "no state of gem-bench edge"));
  g_assert_true(g_file_get_contents(self->state, &text, NULL, NULL));
  g_assert_cmpstr(text, ==, "[1]");
}

/* The result of a run on legal/pick. */
typedef struct {
  const char *model, *split;
  int limit, seed;
  double f1, standard_error;
} Result;

static void
write_result(const Scene *self, const char *file, const Result *result)
{
  g_autofree char *text = g_strdup_printf(
      "{\"run\": {\"model\": \"%s\", \"split\": \"%s\", \"limit\": %d, \"seed\": %d}, \"tasks\": "
      "[{\"domain\": \"legal\", \"name\": \"pick\", \"f1\": {\"value\": %g, \"standard_error\": %g}}]}",
      result->model, result->split, result->limit, result->seed, result->f1, result->standard_error);

  gem_test_write_text(self->folder, file, text);
}

/* Of the files that were written, for a run of `limit` dev lines with seed 1. */
static GemEdgeSpecialist *
read_specialists(const Scene *self, guint n, guint limit, GError **error)
{
  g_autofree char *first = g_build_filename(self->folder, "first.json", NULL);
  g_autofree char *second = g_build_filename(self->folder, "second.json", NULL);
  const char *const paths[] = {first, n > 1 ? second : NULL, NULL};
  const GemEdgeWish wish = {.split = "dev", .limit = limit, .seed = 1};

  return gem_edge_specialist_read(paths, &wish, error);
}

/* A linear model is a specialist, too; the better of the two counts. */
static void
test_linear_specialist(Scene *self)
{
  static const Result model = {"m", "dev", 7, 1, 0.75, 0.1};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEdgeSpecialist) specialist = NULL;

  gem_test_write_text(self->folder, "first.json",
                      "{\"tasks\": [{\"task\": \"legal/pick\", \"dev\": {\"linear\": {\"accuracy\": 0.9, "
                      "\"f1\": 0.8, \"f1_error\": 0.02}}}, {\"task\": \"legal/tell\", \"dev\": {\"linear\": "
                      "{\"accuracy\": 0.6, \"f1\": 0.5, \"f1_error\": 0.03}}}]}");
  write_result(self, "second.json", &model);
  specialist = read_specialists(self, 2, 7, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(specialist->model, ==, "linear, m");
  assert_near(gem_edge_specialist_get(specialist, "legal/pick").value, 0.8);
  assert_near(gem_edge_specialist_get(specialist, "legal/tell").standard_error, 0.03);
}

static void
test_specialist(Scene *self, gconstpointer data)
{
  static const Result better = {"m", "dev", 7, 1, 0.75, 0.1}, worse = {"n", "dev", 7, 1, 0.5, 0.2};
  static const Result others[] = {
      {"m", "test", 7, 1, 0.75, 0.1}, {"m", "dev", 8, 1, 0.75, 0.1}, {"m", "dev", 7, 2, 0.75, 0.1}};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEdgeSpecialist) specialist = NULL;
  gsize i;

  write_result(self, "first.json", &better);
  write_result(self, "second.json", &worse);
  specialist = read_specialists(self, 2, 7, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(specialist->model, ==, "m, n");
  assert_near(gem_edge_specialist_get(specialist, "legal/pick").value, 0.75);
  assert_near(gem_edge_specialist_get(specialist, "legal/pick").standard_error, 0.1);
  g_assert_true(isnan(gem_edge_specialist_get(specialist, "legal/other").value));
  g_assert_true(isnan(gem_edge_specialist_get(NULL, "legal/pick").value));
  for (i = 0; i < G_N_ELEMENTS(others); i++) {
    write_result(self, "first.json", &others[i]);
    g_assert_null(read_specialists(self, 1, 7, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_assert_nonnull(strstr(error->message, "other lines"));
    g_clear_error(&error);
  }
  gem_test_write_text(self->folder, "first.json", "{\"tasks\": [{}]}");
  g_assert_null(read_specialists(self, 1, 7, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_nonnull(strstr(error->message, "first.json: neither"));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "first.json",
                      "{\"run\": {\"split\": 5, \"model\": \"m\"}, \"tasks\": []}");
  g_assert_null(read_specialists(self, 1, 7, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error(&error);
  gem_test_write_text(self->folder, "first.json",
                      "{\"run\": {\"split\": \"dev\", \"model\": 5}, \"tasks\": []}");
  g_assert_null(read_specialists(self, 1, 7, &error));
  g_assert_nonnull(strstr(error->message, "first.json: neither"));
  test_linear_specialist(self);
  assert_near(gem_edge_specialist_top((GemEdgeScore){0.75, 0.1}, 0.5), 0.75);
  g_assert_true(isnan(gem_edge_specialist_top((GemEdgeScore){0.75, 0.1}, 0.56)));
}

static void
test_baselines(Scene *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->folder, "baselines.json", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEdgeBaselines) baselines = NULL;

  gem_test_write_text(self->folder, "baselines.json",
                      "{\"tasks\": [{\"task\": \"legal/pick\", \"test\": {}, \"dev\": {\"linear\": "
                      "{\"accuracy\": 0.5, \"f1\": 0.25}}}]}");
  baselines = gem_edge_baselines_read(path, "dev", &error);
  g_assert_no_error(error);
  assert_near(gem_edge_baselines_get(baselines, "legal/pick").accuracy, 0.5);
  assert_near(gem_edge_baselines_get(baselines, "legal/pick").f1, 0.25);
  g_assert_true(isnan(gem_edge_baselines_get(baselines, "legal/other").f1));
  g_assert_true(isnan(gem_edge_baselines_get(NULL, "legal/pick").f1));
  g_assert_null(gem_edge_baselines_read(path, "test", &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_nonnull(strstr(error->message, "of test lines"));
}

/* A task's F1 on the specialist's scale, and the baseline beside it. */
static void
test_scale(Scene *self, gconstpointer data)
{
  static const Result specialised = {"m", "dev", 0, 1, 0.75, 0.01};
  g_autofree char *baseline_path = g_build_filename(self->folder, "baselines.json", NULL);
  g_autoptr(GemEdgeSuite) suite = read_suite(self, "legal/*", NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, domains, 100, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(NULL, identity, plan, NULL);
  g_autoptr(GemEdgeSpecialist) specialist = NULL;
  g_autoptr(GemEdgeBaselines) baselines = NULL;
  g_autoptr(GemEdgeResult) result = NULL;
  GemEdgeScale scale;
  double chance;
  Stand stand;

  gem_test_write_text(self->folder, "baselines.json",
                      "{\"tasks\": [{\"task\": \"legal/pick\", \"dev\": {\"linear\": {\"accuracy\": 0.5, "
                      "\"f1\": 0.25}}}]}");
  write_result(self, "first.json", &specialised);
  specialist = read_specialists(self, 1, 0, NULL);
  baselines = gem_edge_baselines_read(baseline_path, "dev", NULL);
  scale = (GemEdgeScale){.specialist = specialist, .baselines = baselines};
  stand_init(&stand);
  g_assert_true(gem_edge_run(plan, &stand.base, state, self->energy, &in_pairs, NULL));
  result = gem_edge_result_new(plan, gem_edge_state_get_samples(state), &scale);
  chance = result->tasks[0].score.chance_f1;
  assert_near(chance, (2 * (1.0 / 3) / 2 / (1.0 / 3 + 0.5) + 2 * (2.0 / 3) / 2 / (2.0 / 3 + 0.5)) / 2);
  assert_near(result->tasks[0].normalised, (0.4 - chance) / (0.75 - chance));
  assert_near(result->matrix_normalised[0], result->tasks[0].normalised);
  assert_near(result->matrix_normalised[1], (0.25 - chance) / (0.75 - chance)); /* without a pathway */
  assert_near(result->domains[0].linear, 0.25);
  g_assert_true(isnan(result->gap.low)); /* a single task */
  /* 2 of 3 are right, as the majority is; a linear model that is right nowhere is beaten, the majority not.
   */
  g_assert_false(gem_edge_result_beats_linear(&result->tasks[0], FALSE));
  result->tasks[0].linear.accuracy = 0;
  g_assert_true(gem_edge_result_beats_linear(&result->tasks[0], FALSE));
  g_assert_false(gem_edge_result_beats_linear(&result->tasks[0], TRUE));
  g_assert_cmpstr(result->specialist, ==, "m");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                                  \
  g_test_add("/gem-edge/" name, Scene, NULL, scene_set_up, function, scene_tear_down)
  ADD("suite", test_suite);
  ADD("no-lines", test_no_lines);
  ADD("plan", test_plan);
  ADD("scores", test_scores);
  ADD("transfer", test_transfer);
  ADD("resume", test_resume);
  ADD("full-disk", test_full_disk);
  ADD("state", test_state);
  ADD("specialist", test_specialist);
  ADD("baselines", test_baselines);
  ADD("scale", test_scale);
#undef ADD
  return g_test_run();
}
