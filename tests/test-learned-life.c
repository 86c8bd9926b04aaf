/*
 * How learned domains come and go: while turns run, under a memory limit, with files that do not hold and
 * routers that cannot have them.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/gem-test-learned.h"
#include "tests/gem-test-modules.h"

#define ALICE 1000u
#define BOB   1001u
#define TEXT  "what the user has said about it in all of the letters"

static void
set_up(GemTestEngine **test, gconstpointer data)
{
  *test = gem_test_engine_new();
  gem_test_engine_start(*test);
}

static void
tear_down(GemTestEngine **test, gconstpointer data)
{
  gem_test_engine_free(*test);
}

/* ---- while turns run ---- */

/* A turn that has begun keeps the domain to its end, whatever happens to it; then its memory is given back.
 */
static void
test_removed_meanwhile(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  g_autoptr(GemTestAnswer) finance = gem_test_turn(engine, TEXT, ALICE, "finance");
  double before = gem_test_score(engine, TEXT, ALICE, NULL);
  g_autoptr(GError) error = NULL;
  GAsyncResult *slot = NULL;
  GemTestHold *hold;

  gem_test_answer_wait(finance);
  gem_test_learned_add(*fixture, ALICE, "letters", "finance", FALSE);
  hold = gem_test_engine_hold(engine);
  g_autoptr(GemTestAnswer) running = gem_test_turn(engine, TEXT, ALICE, NULL);
  gem_engine_remove_learned_async(engine, ALICE, "letters", NULL, gem_test_keep_result, &slot);
  g_autoptr(GemTestAnswer) later = gem_test_turn(engine, TEXT, ALICE, NULL);
  gem_test_engine_let_go(hold);
  g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_remove_learned_finish(engine, result, &error));
  g_assert_no_error(error);
  gem_test_answer_wait(running);
  gem_test_answer_wait(later);
  g_assert_cmpstr(running->text->str, ==, finance->text->str);
  g_assert_cmpuint(running->degraded_tokens, ==, 0);
  g_assert_cmpuint(gem_test_rows_of(running->tokens_by_pathway, "letters"), >, 0);
  g_assert_cmpuint(gem_test_rows_of(later->tokens_by_pathway, "letters"), ==, 0);
  g_assert_cmpfloat(gem_test_score(engine, TEXT, ALICE, NULL), ==, before);
}

/* Its memory is counted, and given back with it. */
static void
test_removed(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  double before = gem_test_score(engine, TEXT, ALICE, NULL);
  guint64 resident = gem_engine_get_resident_bytes(engine);
  g_autoptr(GError) error = NULL;

  gem_test_learned_add(*fixture, ALICE, "letters", "finance", FALSE);
  gem_test_score(engine, TEXT, ALICE, NULL);
  g_assert_cmpuint(gem_engine_get_resident_bytes(engine), >, resident + 16 * 1024);
  error = gem_test_learned_remove(engine, ALICE, "letters");
  g_assert_no_error(error);
  g_assert_cmpuint(gem_engine_get_resident_bytes(engine), ==, resident);
  g_assert_cmpfloat(gem_test_score(engine, TEXT, ALICE, NULL), ==, before);
  error = gem_test_learned_remove(engine, ALICE, "letters");
  g_assert_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN);
}

/* One of the same name takes the place of the first: between turns, not in one. */
static void
test_another_version(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  g_autoptr(GemTestAnswer) finance = gem_test_turn(engine, TEXT, ALICE, "finance");
  double legal = gem_test_score(engine, TEXT, ALICE, "legal");
  g_autofree char *second = gem_test_learned_write(*fixture, "letters", "legal", GEM_TEST_LEARNED_ALWAYS);
  const GemLearnedDomain domain = {.name = "letters", .owner = ALICE, .fd = -1, .file = second};
  g_autoptr(GPtrArray) list = NULL;
  GAsyncResult *slot = NULL;
  GemTestHold *hold;

  gem_test_answer_wait(finance);
  gem_test_learned_add(*fixture, ALICE, "letters", "finance", FALSE);
  hold = gem_test_engine_hold(engine);
  g_autoptr(GemTestAnswer) running = gem_test_turn(engine, TEXT, ALICE, NULL);
  gem_engine_add_learned_async(engine, &domain, NULL, gem_test_keep_result, &slot);
  gem_test_engine_let_go(hold);
  g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_add_learned_finish(engine, result, NULL));
  gem_test_answer_wait(running);
  g_assert_cmpstr(running->text->str, ==, finance->text->str);
  g_assert_cmpfloat(gem_test_score(engine, TEXT, ALICE, NULL), ==, legal);
  list = gem_engine_list_learned(engine);
  g_assert_cmpuint(list->len, ==, 1);
}

static GemPathwayState
state_of_only(GemEngine *engine)
{
  g_autoptr(GPtrArray) list = gem_engine_list_learned(engine);

  g_assert_cmpuint(list->len, ==, 1);
  return ((const GemLearnedInfo *)list->pdata[0])->state;
}

static void
drop_all_memory(GemEngine *engine)
{
  GAsyncResult *slot = NULL;

  gem_engine_relieve_async(engine, GEM_RELIEF_ALL_BUT_GENERAL, NULL, gem_test_keep_result, &slot);
  g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_relieve_finish(engine, result, NULL, NULL));
}

/* A conversation whose tokens went to a domain that is gone: the one that waits to be run goes through
 * general alone, and is counted; those that are run again later do, too, and are not counted twice. */
static void
test_removed_between_turns(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  const GemRunOptions run = {.owner = ALICE};
  g_auto(GemGenerateOptions) options = {.max_tokens = 4};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(engine, &run, &error);

  gem_test_learned_add(*fixture, ALICE, "letters", "finance", FALSE);
  g_autoptr(GemTestAnswer) first = gem_test_generate(sequence, TEXT, &options);
  gem_test_answer_wait(first);
  g_assert_cmpint(first->reason, ==, GEM_FINISH_LIMIT);
  error = gem_test_learned_remove(engine, ALICE, "letters");
  g_assert_no_error(error);
  g_autoptr(GemTestAnswer) second = gem_test_generate(sequence, TEXT, &options);
  gem_test_answer_wait(second);
  g_assert_no_error(second->error);
  g_assert_cmpuint(second->degraded_tokens, ==, 1);
  g_assert_cmpuint(gem_test_rows_of(second->tokens_by_pathway, "learned"), ==, 0);

  drop_all_memory(engine);
  g_autoptr(GemTestAnswer) third = gem_test_generate(sequence, TEXT, &options);
  gem_test_answer_wait(third);
  g_assert_no_error(third->error);
  g_assert_cmpuint(third->degraded_tokens, ==, 0);
}

/* Another user's conversation: the turn that runs ends as it began, the next one has nothing to do with the
 * domain, nor have the tokens of those before it, which are all run again there. */
static void
test_unshared_between_turns(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  const GemRunOptions run = {.owner = BOB};
  g_auto(GemGenerateOptions) options = {.max_tokens = 4};
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(engine, &run, NULL);
  GemTestHold *hold;

  gem_test_learned_add(*fixture, ALICE, "letters", "finance", TRUE);
  hold = gem_test_engine_hold(engine);
  g_autoptr(GemTestAnswer) first = gem_test_generate(sequence, TEXT, &options);
  g_assert_true(gem_engine_share_learned(engine, ALICE, "letters", FALSE, NULL));
  gem_test_engine_let_go(hold);
  gem_test_answer_wait(first);
  g_assert_cmpuint(gem_test_rows_of(first->tokens_by_pathway, "letters"), ==,
                   first->prompt_tokens + first->generated_tokens - 1);
  drop_all_memory(engine);
  g_assert_cmpint(state_of_only(engine), ==, GEM_PATHWAY_ABSENT);

  g_autoptr(GemTestAnswer) second = gem_test_generate(sequence, TEXT, &options);
  gem_test_answer_wait(second);
  g_assert_no_error(second->error);
  g_assert_cmpuint(gem_test_rows_of(second->public_tokens_by_pathway, "learned"), ==, 0);
  g_assert_cmpint(state_of_only(engine), ==, GEM_PATHWAY_ABSENT);

  /* Shared once more: for what comes from then on. */
  g_assert_true(gem_engine_share_learned(engine, ALICE, "letters", TRUE, NULL));
  g_autoptr(GemTestAnswer) third = gem_test_generate(sequence, TEXT, &options);
  gem_test_answer_wait(third);
  g_assert_cmpuint(gem_test_rows_of(third->tokens_by_pathway, "letters"), ==,
                   third->prompt_tokens + third->generated_tokens - 1);
}

/* His own of that name, which hides hers: what his conversation has of hers stays, since it is still shared.
 */
static void
test_hidden_between_turns(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  const GemRunOptions run = {.owner = BOB};
  g_auto(GemGenerateOptions) options = {.max_tokens = 4};
  g_autofree char *expected = NULL;

  gem_test_learned_add(*fixture, ALICE, "letters", "finance", TRUE);
  for (guint round = 0; round < 2; round++) {
    g_autoptr(GemSequence) sequence = gem_engine_new_sequence(engine, &run, NULL);
    g_autoptr(GemTestAnswer) first = gem_test_generate(sequence, TEXT, &options);

    gem_test_answer_wait(first);
    gem_test_learned_add(*fixture, BOB, "letters", "legal", FALSE);
    if (round == 1) {
      drop_all_memory(engine); /* hers is needed again */
    }
    g_autoptr(GemTestAnswer) second = gem_test_generate(sequence, TEXT, &options);
    gem_test_answer_wait(second);
    g_assert_cmpuint(second->degraded_tokens, ==, 0);
    if (round == 0) {
      expected = g_strdup(second->text->str);
    }
    g_assert_cmpstr(second->text->str, ==, expected);
    g_autoptr(GError) error = gem_test_learned_remove(engine, BOB, "letters");
    g_assert_no_error(error);
  }
}

/* ---- memory ---- */

/* As many as there may be, of as many users; each is paged in for its owner, and goes for another's. */
static void
test_many(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  static const char *const likes[] = {"legal", "finance", "stem"};
  g_autofree char *path = gem_test_learned_write(*fixture, "letters", "legal", GEM_TEST_LEARNED_ALWAYS);
  g_autoptr(GError) error = NULL;
  GemEngineCounters counters;
  guint64 limit = 0;
  double expected[G_N_ELEMENTS(likes)];

  for (guint i = 0; i < G_N_ELEMENTS(likes); i++) {
    expected[i] = gem_test_score(engine, TEXT, ALICE, likes[i]);
  }
  /* All three of the model: no more than so many at a time. */
  limit = gem_engine_get_resident_bytes(engine);
  for (guint i = 0; i < GEM_MAX_LEARNED; i++) {
    gem_test_learned_add(*fixture, i, "letters", likes[i % G_N_ELEMENTS(likes)], FALSE);
  }
  error = gem_test_learned_try(engine, GEM_MAX_LEARNED, "letters", FALSE, path);
  g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_nonnull(strstr(error->message, "47"));
  g_clear_error(&error);

  gem_engine_set_memory_limit(engine, limit + 96 * 1024);
  for (guint i = 0; i < GEM_MAX_LEARNED; i++) {
    g_assert_cmpfloat(gem_test_score(engine, TEXT, i, NULL), ==, expected[i % G_N_ELEMENTS(likes)]);
    g_assert_cmpuint(gem_engine_get_resident_bytes(engine), <=, limit + 96 * 1024);
  }
  gem_engine_get_counters(engine, &counters);
  g_assert_cmpuint(counters.paging.page_outs_budget, >, GEM_MAX_LEARNED / 2);

  error = gem_test_learned_remove(engine, 5, "letters");
  g_assert_no_error(error);
  error = gem_test_learned_try(engine, GEM_MAX_LEARNED, "letters", FALSE, path);
  g_assert_no_error(error);
  g_assert_cmpfloat(gem_test_score(engine, TEXT, GEM_MAX_LEARNED, NULL), ==, expected[0]);
}

/* ---- files and routers that do not hold ---- */

static void
assert_refused(GError *error, const char *path, const char *field)
{
  g_assert_error(error, GEM_ERROR, GEM_ERROR_PATHWAY);
  g_test_message("%s", error->message);
  g_assert_nonnull(strstr(error->message, path));
  g_assert_nonnull(strstr(error->message, field));
  g_error_free(error);
}

/* Writes the file with one byte of the bytes after the first `mark` changed, or cut there. */
static void
damage(const char *path, const char *mark, gsize offset, gboolean cut)
{
  g_autofree char *bytes = NULL;
  gsize length;
  const char *found;

  g_assert_true(g_file_get_contents(path, &bytes, &length, NULL));
  found = memmem(bytes, length, mark, strlen(mark));
  g_assert_nonnull(found);
  offset += (gsize)(found - bytes) + strlen(mark);
  g_assert_cmpuint(offset, <, length);
  bytes[offset] ^= 1;
  g_assert_true(g_file_set_contents(path, bytes, cut ? (gssize)offset : (gssize)length, NULL));
}

static void
test_refused(GemTestEngine **fixture, gconstpointer data)
{
  static const struct {
    const char *mark;
    gsize offset; /* after it: in the value */
    gboolean cut;
    const char *field;
  } cases[] = {
      {"gem.learned.version", 4, FALSE, "gem.learned.version"},
      {"gem.learned.general_sha256", 14, FALSE, "gem.learned.general_sha256"},
      {"gem.learned.router_sha256", 14, FALSE, "gem.learned.router_sha256"},
      {"gempathway.block_count", 4, FALSE, "gempathway.block_count"},
      {"gempathway.domain", 14, FALSE, "gempathway.domain"},
      {"router.row.weigh", 0, FALSE, "router.row.weight"},
      {"router.row.bias", 0, TRUE, ""},
  };
  GemEngine *engine = (*fixture)->engine;
  double before = gem_test_score(engine, TEXT, ALICE, NULL);
  g_autoptr(GPtrArray) list = NULL;

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = gem_test_learned_write(*fixture, "letters", "legal", GEM_TEST_LEARNED_ALWAYS);

    damage(path, cases[i].mark, cases[i].offset, cases[i].cut);
    assert_refused(gem_test_learned_try(engine, ALICE, "letters", FALSE, path), path, cases[i].field);
  }
  g_autofree char *path = gem_test_learned_write(*fixture, "letters", "legal", GEM_TEST_LEARNED_ALWAYS);
  assert_refused(gem_test_learned_try(engine, ALICE, "others", FALSE, path), path, "gem.learned.name");
  assert_refused(gem_test_learned_try(engine, ALICE, "letters", FALSE, "/nowhere.gguf"), "/nowhere.gguf", "");
  list = gem_engine_list_learned(engine);
  g_assert_cmpuint(list->len, ==, 0);
  g_assert_cmpfloat(gem_test_score(engine, TEXT, ALICE, NULL), ==, before);
}

/* The descriptor is what counts, not what stands at the path later. */
static void
test_descriptor(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  double finance = gem_test_score(engine, TEXT, ALICE, "finance");
  g_autofree char *path = gem_test_learned_write(*fixture, "letters", "finance", GEM_TEST_LEARNED_ALWAYS);
  GemLearnedDomain domain = {.name = "letters", .owner = ALICE, .file = "learned.gguf"};
  GAsyncResult *slot = NULL;

  domain.fd = open(path, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint(domain.fd, >=, 0);
  gem_engine_add_learned_async(engine, &domain, NULL, gem_test_keep_result, &slot);
  close(domain.fd);
  g_assert_cmpint(g_unlink(path), ==, 0);
  g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_add_learned_finish(engine, result, NULL));
  g_assert_cmpfloat(gem_test_score(engine, TEXT, ALICE, NULL), ==, finance);
}

/* Bytes that are others than those that were checked: its tokens go without, and are counted. */
static void
test_changed_later(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  double general = gem_test_score(engine, TEXT, ALICE, "general");
  g_autofree char *path = gem_test_learned_write(*fixture, "letters", "finance", GEM_TEST_LEARNED_ALWAYS);
  g_autoptr(GError) error = gem_test_learned_try(engine, ALICE, "letters", FALSE, path);
  g_auto(GemRunOptions) run = {.owner = ALICE, .domain = g_strdup("letters")};
  const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

  g_assert_no_error(error);
  g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
  g_assert_cmpfloat(gem_test_score(engine, TEXT, ALICE, NULL), ==, general);
  g_autoptr(GemTestAnswer) answer = gem_test_turn(engine, TEXT, ALICE, NULL);
  gem_test_answer_wait(answer);
  g_assert_cmpuint(answer->degraded_tokens, ==, answer->prompt_tokens + answer->generated_tokens - 1);
  g_assert_null(gem_engine_new_sequence(engine, &run, &error));
  assert_refused(g_steal_pointer(&error), path, "changed");
}

/* Cancelled before it is in: nothing is, and its place is free. */
static void
test_cancelled(GemTestEngine **fixture, gconstpointer data)
{
  GemEngine *engine = (*fixture)->engine;
  g_autofree char *path = gem_test_learned_write(*fixture, "letters", "finance", GEM_TEST_LEARNED_ALWAYS);
  const GemLearnedDomain domain = {.name = "letters", .owner = ALICE, .fd = -1, .file = path};

  for (guint i = 0; i <= GEM_MAX_LEARNED; i++) {
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GAsyncResult *slot = NULL;

    gem_engine_add_learned_async(engine, &domain, cancellable, gem_test_keep_result, &slot);
    g_cancellable_cancel(cancellable);
    g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
    g_assert_false(gem_engine_add_learned_finish(engine, result, &error));
    g_assert_error(error, GEM_ERROR, GEM_ERROR_CANCELLED);
  }
  gem_test_learned_add(*fixture, ALICE, "letters", "finance", FALSE);
}

/* A router of ABI 1.1 routes as ever, and says why there can be none. */
static void
test_old_router(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *router_folder = g_build_filename(folder, "router", NULL);
  g_autofree char *built = gem_test_build_path("tests", "plugin-old", "bert.so", NULL);
  g_autofree char *module = g_build_filename(router_folder, "bert.so", NULL);
  const char *dirs[] = {folder, test->plugin_dir, NULL};
  g_autofree char *bytes = NULL;
  gsize length;
  GError *error = NULL;

  g_assert_cmpint(g_mkdir(router_folder, 0755), ==, 0);
  g_assert_true(g_file_get_contents(built, &bytes, &length, NULL));
  g_assert_true(g_file_set_contents(module, bytes, (gssize)length, NULL));
  g_assert_cmpint(g_chmod(module, 0644), ==, 0);
  test->config.plugin_dirs = dirs;
  gem_test_engine_start(test);
  g_autofree char *path = gem_test_learned_write(test, "letters", "finance", GEM_TEST_LEARNED_ALWAYS);
  gem_test_score(test->engine, TEXT, ALICE, NULL);
  error = gem_test_learned_try(test->engine, ALICE, "letters", FALSE, path);
  assert_refused(error, "bert", "plugin ABI 1.1");
  gem_test_folder_remove(folder);
}

/* A lone file has no router; another model has another's files. */
static void
test_other_models(void)
{
  g_autoptr(GemTestEngine) taught = gem_test_engine_new();
  g_autoptr(GemTestEngine) lone = gem_test_engine_new();
  g_autoptr(GemTestEngine) other = gem_test_engine_new();

  gem_test_engine_start(taught);
  g_autofree char *path = gem_test_learned_write(taught, "letters", "finance", GEM_TEST_LEARNED_ALWAYS);
  gem_test_engine_write(lone, TRUE);
  gem_test_engine_start(lone);
  assert_refused(gem_test_learned_try(lone->engine, ALICE, "letters", FALSE, path), "lone", "no router");
  other->shape.router_threshold = 0.25F;
  gem_test_engine_write(other, FALSE);
  gem_test_engine_start(other);
  assert_refused(gem_test_learned_try(other->engine, ALICE, "letters", FALSE, path), path,
                 "gem.learned.general_sha256");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, GemTestEngine *, NULL, set_up, function, tear_down)
  ADD("/learned-life/removed-meanwhile", test_removed_meanwhile);
  ADD("/learned-life/removed", test_removed);
  ADD("/learned-life/another-version", test_another_version);
  ADD("/learned-life/removed-between-turns", test_removed_between_turns);
  ADD("/learned-life/unshared-between-turns", test_unshared_between_turns);
  ADD("/learned-life/hidden-between-turns", test_hidden_between_turns);
  ADD("/learned-life/many", test_many);
  ADD("/learned-life/refused", test_refused);
  ADD("/learned-life/descriptor", test_descriptor);
  ADD("/learned-life/changed-later", test_changed_later);
  ADD("/learned-life/cancelled", test_cancelled);
#undef ADD
  g_test_add_func("/learned-life/old-router", test_old_router);
  g_test_add_func("/learned-life/other-models", test_other_models);
  return g_test_run();
}
