/* A model as a whole: folders and lone files, each part missing, cut, altered or of another model. */
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "format/gem-model-files.h"
#include "format/gem-tokenizer.h"
#include "tests/gem-test-model.h"

typedef struct {
  char *dir;
  GemModelShape shape;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
  fixture->dir = gem_test_folder_new();
  gem_test_model_shape(&fixture->shape);
  gem_test_model_write(fixture->dir, &fixture->shape, GEM_TYPE_Q8_0, 1);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
  gem_test_folder_remove(fixture->dir);
  g_free(fixture->dir);
  gem_model_shape_clear(&fixture->shape);
}

static GemModelFiles *
open_good(const char *path)
{
  g_autoptr(GError) error = NULL;
  GemModelFiles *files = gem_model_files_open(path, &error);
  g_assert_no_error(error);
  return files;
}

static void
assert_open_refused(const char *path, GemFormatError code, const char *what)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemModelFiles) files = gem_model_files_open(path, &error);
  g_assert_null(files);
  g_assert_error(error, GEM_FORMAT_ERROR, (gint)code);
  if (strstr(error->message, what) == NULL) {
    g_error("'%s' does not say '%s'", error->message, what);
  }
}

static void
assert_pathway_refused(GemModelFiles *files, const char *domain, GemFormatError code, const char *what)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) pathway = gem_model_files_open_pathway(files, domain, &error);
  g_assert_null(pathway);
  g_assert_error(error, GEM_FORMAT_ERROR, (gint)code);
  if (strstr(error->message, what) == NULL) {
    g_error("'%s' does not say '%s'", error->message, what);
  }
}

/* Cuts the file to `length` bytes and, with flip, turns one bit of its middle. */
static void
damage(Fixture *fixture, const char *file, gssize length, gboolean flip)
{
  g_autofree char *path = g_build_filename(fixture->dir, file, NULL);
  g_autofree char *contents = NULL;
  gsize size = 0;
  g_assert_true(g_file_get_contents(path, &contents, &size, NULL));
  if (flip) {
    contents[size / 2] ^= 1;
  }
  g_assert_true(g_file_set_contents(path, contents, length < 0 ? (gssize)size : length, NULL));
}

/* Takes all bytes from under whoever has the file open or mapped. */
static void
cut_in_place(Fixture *fixture, const char *file)
{
  g_autofree char *path = g_build_filename(fixture->dir, file, NULL);
  g_assert_cmpint(truncate(path, 0), ==, 0);
}

static void
remove_file(Fixture *fixture, const char *file)
{
  g_autofree char *path = g_build_filename(fixture->dir, file, NULL);
  g_assert_cmpint(g_unlink(path), ==, 0);
}

static void
test_folder(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemModelFiles) files = open_good(fixture->dir);
  g_assert_cmpstr(files->name, ==, "test-model");
  g_assert_cmpuint(files->shape.n_domains, ==, 3);
  g_assert_cmpuint(files->router_shape.vocab, ==, files->shape.vocab);
  g_assert_nonnull(gem_gguf_find_tensor(files->general, "blk.1.scar_centroids_8.weight"));
  for (guint i = 0; i < 3; i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GemGguf) pathway = gem_model_files_open_pathway(files, files->shape.domains[i], &error);
    g_assert_no_error(error);
    g_assert_cmpuint(gem_gguf_find_tensor(pathway, "blk.0.ffn_down.weight")->cols, ==, 32);
  }
  assert_pathway_refused(files, "nonsense", GEM_FORMAT_ERROR_INVALID, "test-model");
  assert_pathway_refused(files, "general", GEM_FORMAT_ERROR_INVALID, "test-model");
}

/* The folder's files may change or go after they were read. */
static void
test_changed_later(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemModelFiles) files = open_good(fixture->dir);
  g_autoptr(GemGguf) pathway = gem_model_files_open_pathway(files, "legal", NULL);
  cut_in_place(fixture, "general.gguf");
  cut_in_place(fixture, "pathway-legal.gguf");
  const GemTensor *tensor = gem_gguf_find_tensor(pathway, "blk.1.ffn_up.weight");
  g_autoptr(GError) error = NULL;
  const void *blocks = gem_gguf_read_tensor(pathway, tensor, &error);
  if (blocks != NULL) {
    float row[64];
    gem_dequantize_row(tensor->type, blocks, row, 64);
    g_assert_cmpfloat(row[0] * row[0], <, 1.0f);
  } else {
    /* So slow a machine that the file was trusted to lie still when it was opened. */
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  }
  assert_pathway_refused(files, "legal", GEM_FORMAT_ERROR_MISMATCH, "pathway-legal.gguf has 0 bytes");
}

/* A file that lies still is not kept in memory: what is cut from under its reader is refused, not read. */
static void
test_changed_while_read(Fixture *fixture, gconstpointer data)
{
  g_usleep(2100000);
  g_autoptr(GemModelFiles) files = open_good(fixture->dir);
  g_autoptr(GError) error = NULL;
  const GemTensor *norm = gem_gguf_find_tensor(files->general, "output_norm.weight");
  g_assert_nonnull(gem_gguf_read_tensor(files->general, norm, &error));
  g_assert_true(gem_model_files_check_unchanged(files, &error));
  cut_in_place(fixture, "general.gguf");
  g_assert_false(gem_model_files_check_unchanged(files, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_assert_nonnull(strstr(error->message, "general.gguf: changed"));
  g_clear_error(&error);
  const GemTensor *embedding = gem_gguf_find_tensor(files->general, "token_embd.weight");
  g_assert_null(gem_gguf_read_tensor(files->general, embedding, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
}

static void
test_broken_parts(Fixture *fixture, gconstpointer data)
{
  const char *parts[] = {"general.gguf", "router.gguf"};
  for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
    damage(fixture, parts[i], -1, TRUE);
    assert_open_refused(fixture->dir, GEM_FORMAT_ERROR_MISMATCH, parts[i]);
    damage(fixture, parts[i], 100, FALSE);
    assert_open_refused(fixture->dir, GEM_FORMAT_ERROR_MISMATCH, parts[i]);
    gem_test_model_write_manifest(fixture->dir, &fixture->shape);
    assert_open_refused(fixture->dir, GEM_FORMAT_ERROR_MALFORMED, parts[i]);
    remove_file(fixture, parts[i]);
    assert_open_refused(fixture->dir, GEM_FORMAT_ERROR_MISSING, parts[i]);
    gem_test_model_write(fixture->dir, &fixture->shape, GEM_TYPE_Q8_0, 1);
  }
  remove_file(fixture, "manifest");
  assert_open_refused(fixture->dir, GEM_FORMAT_ERROR_MISSING, "manifest");
  remove_file(fixture, "router.gguf");
  const char *const without_router[] = {"general.gguf", NULL};
  g_assert_true(gem_manifest_write(fixture->dir, "n", without_router, NULL));
  assert_open_refused(fixture->dir, GEM_FORMAT_ERROR_MISSING, "router.gguf is not listed");
}

/* A pathway that is absent, altered, or unlisted leaves the folder and the other pathways usable. */
static void
test_broken_pathways(Fixture *fixture, gconstpointer data)
{
  damage(fixture, "pathway-legal.gguf", -1, TRUE);
  remove_file(fixture, "pathway-finance.gguf");
  g_autoptr(GemModelFiles) files = open_good(fixture->dir);
  assert_pathway_refused(files, "legal", GEM_FORMAT_ERROR_MISMATCH, "pathway-legal.gguf has SHA-256");
  assert_pathway_refused(files, "finance", GEM_FORMAT_ERROR_MISSING, "pathway-finance.gguf");
  g_autoptr(GemGguf) stem = gem_model_files_open_pathway(files, "stem", NULL);
  g_assert_nonnull(stem);

  gem_test_model_write_manifest(fixture->dir, &fixture->shape);
  g_autoptr(GemModelFiles) unlisted = open_good(fixture->dir);
  assert_pathway_refused(unlisted, "finance", GEM_FORMAT_ERROR_MISSING, "pathway-finance.gguf is not listed");
}

/* Writes the pathway files of another shape over those of the folder. */
static void
write_foreign_pathways(Fixture *fixture, const GemModelShape *foreign)
{
  g_autofree char *dir = gem_test_folder_new();
  gem_test_model_write(dir, foreign, GEM_TYPE_Q8_0, 2);
  for (guint i = 0; i < fixture->shape.n_domains; i++) {
    g_autofree char *file = gem_model_pathway_file(fixture->shape.domains[i]);
    g_autofree char *from = g_build_filename(dir, file, NULL);
    g_autofree char *to = g_build_filename(fixture->dir, file, NULL);
    g_assert_cmpint(g_rename(from, to), ==, 0);
  }
  gem_test_folder_remove(dir);
  gem_test_model_write_manifest(fixture->dir, &fixture->shape);
}

static void
test_foreign_pathways(Fixture *fixture, gconstpointer data)
{
  g_auto(GemModelShape) foreign = {0};
  gem_test_model_shape(&foreign);
  foreign.domain_ffn = 64;
  write_foreign_pathways(fixture, &foreign);
  g_autoptr(GemModelFiles) files = open_good(fixture->dir);
  assert_pathway_refused(files, "stem", GEM_FORMAT_ERROR_MISMATCH,
                         "feed_forward_length: 64, but the model has 32");
  g_clear_pointer(&files, gem_model_files_free);

  foreign.domain_ffn = 32;
  foreign.layers = 1;
  write_foreign_pathways(fixture, &foreign);
  files = open_good(fixture->dir);
  assert_pathway_refused(files, "stem", GEM_FORMAT_ERROR_MISMATCH, "block_count: 1, but the model has 2");
  g_clear_pointer(&files, gem_model_files_free);

  g_autofree char *stem = g_build_filename(fixture->dir, "pathway-stem.gguf", NULL);
  g_autofree char *legal = g_build_filename(fixture->dir, "pathway-legal.gguf", NULL);
  g_assert_cmpint(g_rename(stem, legal), ==, 0);
  gem_test_model_write_manifest(fixture->dir, &fixture->shape);
  files = open_good(fixture->dir);
  assert_pathway_refused(files, "legal", GEM_FORMAT_ERROR_MISMATCH, "\"stem\", but \"legal\" is needed");
}

/* A router of other domains or of another vocabulary is refused. */
static void
test_foreign_router(Fixture *fixture, gconstpointer data)
{
  g_auto(GemModelShape) foreign = {0};
  gem_test_model_shape(&foreign);
  char *first = foreign.domains[0];
  foreign.domains[0] = foreign.domains[1];
  foreign.domains[1] = first;
  g_autofree char *dir = gem_test_folder_new();
  gem_test_model_write(dir, &foreign, GEM_TYPE_Q8_0, 1);
  g_autofree char *from = g_build_filename(dir, "router.gguf", NULL);
  g_autofree char *to = g_build_filename(fixture->dir, "router.gguf", NULL);
  g_assert_cmpint(g_rename(from, to), ==, 0);
  gem_test_folder_remove(dir);
  gem_test_model_write_manifest(fixture->dir, &fixture->shape);
  assert_open_refused(fixture->dir, GEM_FORMAT_ERROR_MISMATCH, "gemrouter.domains");
}

static void
test_without_domains(Fixture *fixture, gconstpointer data)
{
  g_auto(GemModelShape) shape = {0};
  gem_test_model_shape(&shape);
  for (guint i = 0; i < 3; i++) {
    g_clear_pointer(&shape.domains[i], g_free);
  }
  shape.n_domains = 0;
  shape.tied = FALSE;
  g_autofree char *dir = gem_test_folder_new();
  gem_test_model_write(dir, &shape, GEM_TYPE_F16, 3);
  g_autoptr(GemModelFiles) files = open_good(dir);
  g_assert_null(files->router);
  g_assert_false(files->shape.tied);
  g_assert_cmpuint(files->shape.n_cluster_sets, ==, 2);
  assert_pathway_refused(files, "legal", GEM_FORMAT_ERROR_INVALID, "test-model");
  gem_test_folder_remove(dir);
}

/* The tokenizer that the test model carries is one that the daemon can use. */
static void
test_tokenizer(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemModelFiles) files = open_good(fixture->dir);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemTokenizer) tokenizer = gem_tokenizer_new_from_gguf(files->general, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(gem_tokenizer_n_tokens(tokenizer), ==, files->shape.vocab);
  g_assert_cmpuint(gem_tokenizer_bos(tokenizer), ==, GEM_TEST_BOS);
  g_assert_cmpuint(gem_tokenizer_eos(tokenizer), ==, GEM_TEST_EOS);
  g_assert_cmpuint(gem_tokenizer_find_control(tokenizer, "<|user|>"), ==, GEM_TEST_USER);
  g_assert_cmpuint(gem_tokenizer_find_control(tokenizer, "<|model|>"), ==, GEM_TEST_MODEL);

  const char *text = "over the hill and 7 caf\xc3\xa9s";
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_assert_true(gem_tokenizer_encode(tokenizer, text, -1, tokens, NULL, &error));
  g_assert_cmpuint(tokens->len, <, strlen(text));
  g_autofree char *decoded =
      gem_tokenizer_decode(tokenizer, (const guint32 *)(void *)tokens->data, tokens->len);
  g_assert_cmpstr(decoded, ==, text);
}

static void
test_lone_file(Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename(fixture->dir, "tiny-llama.gguf", NULL);
  fixture->shape.kv_heads = 2;
  gem_test_model_write_llama(path, &fixture->shape, GEM_TYPE_Q4_0, 4);
  g_autoptr(GemModelFiles) files = open_good(path);
  g_assert_cmpstr(files->name, ==, "tiny-llama");
  g_assert_null(files->manifest);
  g_assert_null(files->router);
  g_assert_cmpuint(files->shape.n_domains, ==, 0);
  g_assert_cmpuint(files->shape.n_cluster_sets, ==, 0);
  g_assert_cmpuint(files->shape.kv_heads, ==, 2);
  g_assert_cmpint(gem_gguf_find_tensor(files->general, "blk.0.attn_k.weight")->type, ==, GEM_TYPE_Q4_0);
  assert_pathway_refused(files, "legal", GEM_FORMAT_ERROR_INVALID, "tiny-llama");

  g_autofree char *general = g_build_filename(fixture->dir, "general.gguf", NULL);
  assert_open_refused(general, GEM_FORMAT_ERROR_MISMATCH, "open its folder");
  g_autofree char *router = g_build_filename(fixture->dir, "router.gguf", NULL);
  assert_open_refused(router, GEM_FORMAT_ERROR_UNSUPPORTED, "gemrouter");
  g_autofree char *absent = g_build_filename(fixture->dir, "absent.gguf", NULL);
  assert_open_refused(absent, GEM_FORMAT_ERROR_MISSING, "absent.gguf");
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
  } tests[] = {
      {"/model-files/folder", test_folder},
      {"/model-files/changed-later", test_changed_later},
      {"/model-files/changed-while-read", test_changed_while_read},
      {"/model-files/broken-parts", test_broken_parts},
      {"/model-files/broken-pathways", test_broken_pathways},
      {"/model-files/foreign-pathways", test_foreign_pathways},
      {"/model-files/foreign-router", test_foreign_router},
      {"/model-files/without-domains", test_without_domains},
      {"/model-files/tokenizer", test_tokenizer},
      {"/model-files/lone-file", test_lone_file},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
  }
  return g_test_run();
}
