#include "tests/gem-test-learned.h"

#include "format/gem-learned-file.h"

/* The residual of one of the model's domains, block by block. */
static void
copy_tensors(GemModelFiles *files, const char *like, GemGgufWriter *writer)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) file = gem_model_files_open_pathway(files, like, &error);

  g_assert_no_error(error);
  for (guint i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);
    const void *data = gem_gguf_read_tensor(file, tensor, &error);

    g_assert_no_error(error);
    gem_gguf_writer_add_tensor_data(writer, tensor->name, tensor->type, tensor->rows, tensor->cols, data);
  }
}

char *
gem_test_learned_write(const GemTestEngine *test, const char *name, const char *like, float bias)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemModelFiles) files = gem_model_files_open(test->folder, &error);
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autofree char *file = g_strdup_printf("%s-%s.gguf", name, like);
  g_autofree char *path = g_build_filename(test->folder, file, NULL);
  g_autofree float *row = NULL;
  GemLearnedBase base;
  gboolean is_known;

  g_assert_no_error(error);
  g_assert_true(gem_learned_base_of_model(files, &base, NULL));
  row = g_new0(float, base.router_width);
  is_known = g_strv_contains((const char *const *)base.shape->domains, name);
  gem_learned_file_write(&base, name, is_known ? name : NULL, row, bias, writer, &error);
  g_assert_no_error(error);
  copy_tensors(files, like, writer);
  gem_gguf_writer_write(writer, path, &error);
  g_assert_no_error(error);
  return g_steal_pointer(&path);
}

GError *
gem_test_learned_try(GemEngine *engine, guint owner, const char *name, gboolean shared, const char *path)
{
  const GemLearnedDomain domain = {.name = name, .owner = owner, .shared = shared, .fd = -1, .file = path};
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  GError *error = NULL;

  gem_engine_add_learned_async(engine, &domain, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_add_learned_finish(engine, result, &error) == (error == NULL));
  return error;
}

void
gem_test_learned_add(
    const GemTestEngine *test, guint owner, const char *name, const char *like, gboolean shared)
{
  g_autofree char *path = gem_test_learned_write(test, name, like, GEM_TEST_LEARNED_ALWAYS);
  g_autoptr(GError) error = gem_test_learned_try(test->engine, owner, name, shared, path);

  g_assert_no_error(error);
}

GError *
gem_test_learned_remove(GemEngine *engine, guint owner, const char *name)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  GError *error = NULL;

  gem_engine_remove_learned_async(engine, owner, name, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_remove_learned_finish(engine, result, &error) == (error == NULL));
  return error;
}

void
gem_test_score_start(
    GemEngine *engine, const char *text, guint owner, const char *domain, GAsyncResult **slot)
{
  g_auto(GemRunOptions) options = {.owner = owner, .domain = g_strdup(domain)};

  *slot = NULL;
  gem_engine_score_async(engine, text, &options, NULL, gem_test_keep_result, slot);
}

double
gem_test_score_end(GemEngine *engine, GAsyncResult **slot)
{
  g_autoptr(GAsyncResult) result = gem_test_wait_result(slot);
  g_autoptr(GError) error = NULL;
  double likelihood = 0;
  guint64 tokens;

  gem_engine_score_finish(engine, result, &likelihood, &tokens, &error);
  g_assert_no_error(error);
  return likelihood;
}

double
gem_test_score(GemEngine *engine, const char *text, guint owner, const char *domain)
{
  GAsyncResult *slot;

  gem_test_score_start(engine, text, owner, domain, &slot);
  return gem_test_score_end(engine, &slot);
}

GemTestAnswer *
gem_test_turn(GemEngine *engine, const char *text, guint owner, const char *domain)
{
  g_auto(GemGenerateOptions) options = {.max_tokens = 12};
  g_auto(GemRunOptions) run = {.owner = owner, .domain = g_strdup(domain)};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(engine, &run, &error);

  g_assert_no_error(error);
  return gem_test_generate_routed(sequence, text, &options);
}

guint
gem_test_rows_of(GHashTable *table, const char *pathway)
{
  return GPOINTER_TO_UINT(g_hash_table_lookup(table, pathway));
}
