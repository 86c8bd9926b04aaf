/* gemd.conf: defaults, every key, and what a bad file gets. */
#include <glib/gstdio.h>

#include "daemon/base/gem-config.h"
#include "dbus/gem-error.h"

static char *
write_file(const char *dir, const char *text)
{
  char *path = g_build_filename(dir, "gemd.conf", NULL);

  g_assert_true(g_file_set_contents(path, text, -1, NULL));
  return path;
}

static gboolean
load_text(GemConfig *config, const char *text, GError **error)
{
  g_autofree char *dir = g_dir_make_tmp("gem-config-XXXXXX", NULL);
  g_autofree char *path = write_file(dir, text);
  gboolean loaded = gem_config_load(config, path, error);

  g_unlink(path);
  g_rmdir(dir);
  return loaded;
}

static void
test_defaults(void)
{
  g_autoptr(GemConfig) config = gem_config_new();
  g_autoptr(GError) error = NULL;

  g_assert_true(load_text(config, "# nothing\n", &error));
  g_assert_no_error(error);
  g_assert_cmpstr(config->model, ==, "gem-mini");
  g_assert_null(config->attention);
  g_assert_null(config->backend);
  g_assert_cmpint(config->threshold_percent, ==, -1);
  g_assert_cmpuint(config->context_tokens, ==, 2048);
  g_assert_cmpuint(config->ask_tokens, ==, 256);
  g_assert_cmpuint(config->adapt_seconds, ==, 900);
  g_assert_false(config->kv_half);
  g_assert_true(config->memory_pressure);
  g_assert_cmpuint(config->memory_limit, ==, 0);
  g_assert_false(config->page_in_degrade);
}

static void
test_every_key(void)
{
  g_autoptr(GemConfig) config = gem_config_new();
  g_autoptr(GError) error = NULL;

  g_assert_true(load_text(
      config,
      "[gemd]\nModel=other\nBackend=cpu\nAttention=dense\nClusters=8\nThreshold=0.55\n"
      "ContextTokens=512\nKvCache=f16\nPrefillBlock=64\nMaxSessions=3\n"
      "MaxSessionsPerUser=2\nMaxRequests=9\nMaxRequestsPerUser=1\nMaxStreams=12\n"
      "MaxStreamsPerUser=11\nStreamSeconds=7\nMaxTokens=1000\nMaxTokensPerUser=100\nMaxKvCache=3G\n"
      "MaxKvCachePerUser=2048K\nMaxCalls=8\nMaxCallsPerUser=7\n"
      "MaxCallsPerClient=5\nAskTokens=32\nAskSeconds=4\nParallelAsks=2\nMaxHolds=6\nMaxHoldsPerUser=0\n"
      "MemoryPressure=off\nMemoryLimit=700K\nPageInPolicy=degrade\n",
      &error));
  g_assert_no_error(error);
  g_assert_cmpstr(config->model, ==, "other");
  g_assert_cmpstr(config->backend, ==, "cpu");
  g_assert_cmpstr(config->attention, ==, "dense");
  g_assert_cmpuint(config->clusters, ==, 8);
  g_assert_cmpint(config->threshold_percent, ==, 55);
  g_assert_cmpuint(config->context_tokens, ==, 512);
  g_assert_true(config->kv_half);
  g_assert_cmpuint(config->prefill_block, ==, 64);
  g_assert_cmpuint(config->max_sessions, ==, 3);
  g_assert_cmpuint(config->max_sessions_per_user, ==, 2);
  g_assert_cmpuint(config->max_requests, ==, 9);
  g_assert_cmpuint(config->max_requests_per_user, ==, 1);
  g_assert_cmpuint(config->max_streams, ==, 12);
  g_assert_cmpuint(config->max_streams_per_user, ==, 11);
  g_assert_cmpuint(config->stream_seconds, ==, 7);
  g_assert_cmpuint(config->max_tokens, ==, 1000);
  g_assert_cmpuint(config->max_tokens_per_user, ==, 100);
  g_assert_cmpuint(config->max_kv_cache, ==, G_GUINT64_CONSTANT(3) << 30);
  g_assert_cmpuint(config->max_kv_cache_per_user, ==, 2 << 20);
  g_assert_cmpuint(config->max_calls, ==, 8);
  g_assert_cmpuint(config->max_calls_per_user, ==, 7);
  g_assert_cmpuint(config->max_calls_per_client, ==, 5);
  g_assert_cmpuint(config->ask_tokens, ==, 32);
  g_assert_cmpuint(config->ask_seconds, ==, 4);
  g_assert_cmpuint(config->parallel_asks, ==, 2);
  g_assert_cmpuint(config->max_holds, ==, 6);
  g_assert_cmpuint(config->max_holds_per_user, ==, 0);
  g_assert_false(config->memory_pressure);
  g_assert_cmpuint(config->memory_limit, ==, 700 << 10);
  g_assert_true(config->page_in_degrade);
}

static void
test_auto_is_null(void)
{
  g_autoptr(GemConfig) config = gem_config_new();
  g_autoptr(GError) error = NULL;

  g_assert_true(load_text(config, "[gemd]\nAttention=dense\n", &error));
  g_assert_true(load_text(config, "[gemd]\nAttention=auto\nBackend=auto\n", &error));
  g_assert_no_error(error);
  g_assert_null(config->attention);
  g_assert_null(config->backend);
}

static void
test_update(void)
{
  g_autoptr(GemConfig) config = gem_config_new();
  g_autoptr(GemConfig) other = gem_config_new();
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) taken = NULL, later = NULL;

  g_assert_true(load_text(other,
                          "[gemd]\nModel=other\nThreads=3\nKvCache=f16\nAskTokens=32\nMaxSessionsPerUser=2\n"
                          "MaxKvCache=5000000\nMemoryLimit=6000000\nPageInPolicy=degrade\n",
                          &error));
  gem_config_update(config, other, &taken, &later);
  g_assert_true(g_strv_equal((const char *const *)taken,
                             (const char *const[]){"Model", "MemoryLimit", "PageInPolicy",
                                                   "MaxSessionsPerUser", "MaxKvCache", "AskTokens", NULL}));
  g_assert_true(g_strv_equal((const char *const *)later, (const char *const[]){"Threads", "KvCache", NULL}));
  g_assert_cmpuint(config->ask_tokens, ==, 32);
  g_assert_cmpuint(config->max_sessions_per_user, ==, 2);
  g_assert_cmpuint(config->max_kv_cache, ==, 5000000);
  g_assert_cmpuint(config->memory_limit, ==, 6000000);
  g_assert_true(config->page_in_degrade);
  g_assert_cmpstr(config->model, ==, "other");
  g_assert_cmpuint(config->threads, ==, 0);
  g_assert_false(config->kv_half);
}

static void
test_bad_files(void)
{
  static const struct {
    const char *text, *named;
  } cases[] = {
      {"[gemd]\nContextToken=12\n", "*gemd.conf: unknown key \"ContextToken\"*"},
      {"[gem]\nModel=a\n", "*gemd.conf: unknown group [gem]*"},
      {"[gemd]\nContextTokens=8\n", "*gemd.conf: ContextTokens=8: *from 16 to 65536*"},
      {"[gemd]\nContextTokens=-1\n", "*ContextTokens=-1*"},
      {"[gemd]\nMaxKvCache=512\n", "*gemd.conf: MaxKvCache=512: *bytes from 1M to *"},
      {"[gemd]\nMaxKvCache=99999999G\n", "*MaxKvCache=99999999G: *"},
      {"[gemd]\nMaxKvCache=\n", "*MaxKvCache=: *"},
      {"[gemd]\nMaxKvCache=M\n", "*MaxKvCache=M: *"},
      {"[gemd]\nMaxKvCache=2T\n", "*MaxKvCache=2T: *"},
      {"[gemd]\nContextTokens=many\n", "*ContextTokens=many*"},
      {"[gemd]\nContextTokens=99999999999999999999\n", "*ContextTokens=99999999999999999999*"},
      {"[gemd]\nThreshold=1.5\n", "*Threshold=1.5*0 to 1*"},
      {"[gemd]\nThreshold=0.705\n", "*Threshold=0.705*two decimals*"},
      {"[gemd]\nThreshold=nan\n", "*Threshold=nan*"},
      {"[gemd]\nThreshold=\n", "*Threshold=:*"},
      {"[gemd]\nMemoryPressure=on\n", "*MemoryPressure=on*auto or off*"},
      {"[gemd]\nMemoryLimit=-1\n", "*MemoryLimit=-1: *bytes from 0M to *"},
      {"[gemd]\nPageInPolicy=never\n", "*PageInPolicy=never: wait or degrade*"},
      {"[gemd]\nKvCache=q4_0\n", "*KvCache=q4_0*q8_0 or f16*"},
      {"[gemd]\nAttention=../x\n", "*Attention=../x*"},
      {"[gemd]\nModel=../x\n", "*Model=../x*"},
      {"[gemd]\nModel=\n", "*Model=:*"},
      {"[gemd]\nAskSeconds=21\n", "*AskSeconds=21*from 1 to 20*"},
      {"ContextTokens\n", "*gemd.conf: *"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GemConfig) config = gem_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_false(load_text(config, cases[i].text, &error));
    g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION);
    if (!g_pattern_match_simple(cases[i].named, error->message)) {
      g_test_message("\"%s\" is not like \"%s\"", error->message, cases[i].named);
      g_test_fail();
    }
  }
}

static void
test_no_file(void)
{
  g_autoptr(GemConfig) config = gem_config_new();
  g_autoptr(GError) error = NULL;

  g_assert_false(gem_config_load(config, "/nowhere/gemd.conf", &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_nonnull(g_strstr_len(error->message, -1, "/nowhere/gemd.conf"));
}

/* The file that is installed says nothing but comments, and each commented key is one that is known. */
static void
test_installed_file(void)
{
  g_autofree char *path = g_build_filename(g_getenv("GEM_SOURCE_DIR"), "daemon", "base", "gemd.conf", NULL);
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  g_autoptr(GString) enabled = g_string_new("");
  g_autoptr(GError) error = NULL;
  g_autoptr(GemConfig) config = gem_config_new();

  g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
  lines = g_strsplit(text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++) {
    gboolean key = lines[i][0] == '#' && g_ascii_isupper(lines[i][1]);

    g_assert_true(lines[i][0] == '#' || lines[i][0] == '[' || lines[i][0] == '\0');
    g_string_append_printf(enabled, "%s\n", lines[i] + (key ? 1 : 0));
  }
  g_assert_true(load_text(config, enabled->str, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(config->max_sessions, ==, 64);
}

static void
test_find_model(void)
{
  g_autofree char *dir = g_dir_make_tmp("gem-models-XXXXXX", NULL);
  g_autofree char *model = g_build_filename(dir, "gem-mini", NULL);
  g_autofree char *found = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GemConfig) config = gem_config_new();

  config->model_dirs = g_strsplit(dir, "\n", -1);
  g_assert_null(gem_config_find_model(config, config->model, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_NOT_READY);
  g_assert_nonnull(g_strstr_len(error->message, -1, dir));

  g_assert_cmpint(g_mkdir(model, 0755), ==, 0);
  found = gem_config_find_model(config, config->model, NULL);
  g_assert_cmpstr(found, ==, model);
  g_free(config->model);
  config->model = g_strdup("/some/model.gguf");
  g_free(found);
  found = gem_config_find_model(config, config->model, NULL);
  g_assert_cmpstr(found, ==, "/some/model.gguf");
  g_rmdir(model);
  g_rmdir(dir);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/config/defaults", test_defaults);
  g_test_add_func("/config/every-key", test_every_key);
  g_test_add_func("/config/auto-is-null", test_auto_is_null);
  g_test_add_func("/config/update", test_update);
  g_test_add_func("/config/bad-files", test_bad_files);
  g_test_add_func("/config/no-file", test_no_file);
  g_test_add_func("/config/installed-file", test_installed_file);
  g_test_add_func("/config/find-model", test_find_model);
  return g_test_run();
}
