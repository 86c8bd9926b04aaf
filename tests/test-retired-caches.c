/*
 * The caches of a model that another took the place of: what relief takes from it and from the one that is
 * served. Real engines in the model host, without a bus.
 */
#include "daemon/service/gem-model-host.h"
#include "tests/gem-test-engine.h"

#define PROMPT "the rain in the north"
#define NEXT   "and the wind"
#define TOKENS 24

typedef struct {
  GemTestEngine *files; /* a model; no engine of its own */
  GemConfig *config;
  GemModelHost *host;
} World;

static void
on_settled(gpointer data)
{
  *(gboolean *)data = TRUE;
}

static void
set_up(World *self, gconstpointer data)
{
  gboolean settled = FALSE;

  self->files = gem_test_engine_new();
  gem_test_engine_write(self->files, FALSE);
  self->config = gem_config_new();
  g_free(self->config->model);
  self->config->model = g_strdup(self->files->model_path);
  g_strfreev(self->config->plugin_dirs);
  self->config->plugin_dirs = g_strdupv((GStrv)self->files->dirs);
  self->config->context_tokens = 256;
  self->host = gem_model_host_new(self->config);
  gem_model_host_when_settled(self->host, on_settled, &settled);
  while (!settled) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_no_error(gem_model_host_get_error(self->host));
}

static void
tear_down(World *self, gconstpointer data)
{
  gem_model_host_free(self->host);
  while (g_main_context_iteration(NULL, FALSE)) {
  }
  gem_config_unref(self->config);
  gem_test_engine_free(self->files);
}

/* The same model once more. */
static GemEngine *
load_another(World *self)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  GemEngine *engine;

  gem_model_host_load_async(self->host, self->config->model, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  engine = gem_model_host_load_finish(result, &error);
  g_assert_no_error(error);
  return engine;
}

/* As the daemon does, of all engines that are in memory: bytes that each gave back. */
static void
relieve_all(World *self, GemRelief step, guint64 *ret_freed, guint n)
{
  g_autoptr(GPtrArray) engines = gem_model_host_list_engines(self->host);

  g_assert_cmpuint(engines->len, ==, n);
  for (guint i = 0; i < n; i++) {
    GAsyncResult *slot = NULL;
    g_autoptr(GAsyncResult) result = NULL;

    gem_engine_relieve_async(engines->pdata[i], step, NULL, gem_test_keep_result, &slot);
    result = gem_test_wait_result(&slot);
    g_assert_true(gem_engine_relieve_finish(engines->pdata[i], result, &ret_freed[i], NULL));
  }
}

/* A turn of the first model is paused, its reader being slow, when the other takes its place: its cache goes,
 * beside that of a session on the one that is served, and it writes the same afterwards. Then the model goes.
 */
static void
test_relief(World *self, gconstpointer data)
{
  const GemGenerateOptions options = {.max_tokens = TOKENS};
  g_autoptr(GemServedModel) old = gem_served_model_ref(gem_model_host_get_model(self->host));
  GemEngine *retired = gem_served_model_get_engine(old);
  GemEngine *served = load_another(self);
  g_autoptr(GemSequence) expected_sequence = gem_engine_new_sequence(served, NULL, NULL);
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(retired, NULL, NULL);
  guint64 freed[2] = {0};
  GemTestHold *hold;
  GemEngineCounters counters;

  /* What both turns are to write, on the model that has its peace; it stays there, idle, with its cache. */
  g_autoptr(GemTestAnswer) expected_first = gem_test_generate(expected_sequence, PROMPT, &options);
  g_autoptr(GemTestAnswer) first = gem_test_generate(sequence, PROMPT, &options);
  gem_test_answer_wait(expected_first);
  gem_test_answer_wait(first);
  g_autoptr(GemTestAnswer) expected = gem_test_generate(expected_sequence, NEXT, &options);
  gem_test_answer_wait(expected);
  g_assert_cmpuint(first->cache_bytes, >, 0);

  gem_served_model_begin_work(old);
  hold = gem_test_engine_hold(retired);
  g_autoptr(GemTestAnswer) second = gem_test_generate(sequence, NEXT, &options);
  gem_generation_set_paused(second->generation, TRUE);
  gem_test_engine_let_go(hold);
  gem_model_host_replace(self->host, served, 0, 600);
  g_assert_true(gem_served_model_is_retired(old));

  /* What somebody waits for stays: no cache is idle to the steps before. */
  relieve_all(self, GEM_RELIEF_READ_AHEAD, freed, 2);
  g_assert_cmpuint(freed[0] + freed[1], ==, 0);
  relieve_all(self, GEM_RELIEF_COLD_PATHWAYS, freed, 2);
  relieve_all(self, GEM_RELIEF_IDLE_CACHES, freed, 2);
  g_assert_cmpuint(freed[0], >=, expected->cache_bytes);
  g_assert_cmpuint(freed[1], >=, first->cache_bytes);
  gem_engine_get_counters(retired, &counters);
  g_assert_cmpuint(counters.cache_drops_relief, ==, 1);
  relieve_all(self, GEM_RELIEF_IDLE_CACHES, freed, 2);
  g_assert_cmpuint(freed[0] + freed[1], ==, 0);

  gem_generation_set_paused(second->generation, FALSE);
  gem_test_answer_wait(second);
  g_assert_no_error(second->error);
  g_assert_cmpstr(second->text->str, ==, expected->text->str);
  g_assert_cmpuint(second->generated_tokens, ==, expected->generated_tokens);

  gem_served_model_end_work(old);
  for (guint engines = 2; engines > 1;) {
    g_autoptr(GPtrArray) list = NULL;

    g_main_context_iteration(NULL, TRUE);
    list = gem_model_host_list_engines(self->host);
    engines = list->len;
  }
  g_assert_cmpuint(gem_engine_get_resident_bytes(retired), ==, 0);
}

/* All steps while a turn of the retired model runs: between its steps, and it does not notice. */
static void
test_relief_of_running(World *self, gconstpointer data)
{
  const GemGenerateOptions options = {.max_tokens = 3 * TOKENS};
  g_autoptr(GemServedModel) old = gem_served_model_ref(gem_model_host_get_model(self->host));
  GemEngine *retired = gem_served_model_get_engine(old);
  GemEngine *served = load_another(self);
  g_autofree char *expected = gem_test_greedy(served, PROMPT, 3 * TOKENS, NULL);
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(retired, NULL, NULL);
  guint64 freed[2];
  GemTestHold *hold;

  gem_served_model_begin_work(old);
  hold = gem_test_engine_hold(retired);
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, PROMPT, &options);
  gem_model_host_replace(self->host, served, 0, 600);
  gem_test_engine_let_go(hold);
  for (GemRelief step = GEM_RELIEF_READ_AHEAD; step <= GEM_RELIEF_ALL_BUT_GENERAL; step++) {
    relieve_all(self, step, freed, 2);
  }
  gem_test_answer_wait(answer);
  g_assert_no_error(answer->error);
  g_assert_cmpstr(answer->text->str, ==, expected);
  gem_served_model_end_work(old);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/retired-caches/relief", World, NULL, set_up, test_relief, tear_down);
  g_test_add("/retired-caches/relief-of-running", World, NULL, set_up, test_relief_of_running, tear_down);
  return g_test_run();
}
