/*
 * A model's files missing, cut short and with bits flipped at random places: a clear error, or a service
 * that is unharmed; with the manifest as it was, which then tells, and with one that was made anew, so that
 * what stands behind it meets them too. GEM_TEST_THOROUGH=1: ten times as many places.
 */
#include <string.h>

#include <glib/gstdio.h>

#include "format/gem-model-files.h"
#include "tests/gem-test-engine.h"

#define CUTS   10u
#define FLIPS  100u
#define DOMAIN "legal"

typedef struct {
  GemTestEngine *test;
  const char *domain; /* NULL: a model without */
  char *path;
  char *bytes; /* of the file as it should be */
  gsize size;
  guint opened, refused; /* models that were tried */
  guint absent;          /* opened, without the pathway */
} Broken;

static guint
times(guint count)
{
  return g_getenv("GEM_TEST_THOROUGH") != NULL ? 10 * count : count;
}

/* ---- what must hold of any folder ---- */

static void
check_error(const Broken *self, const GError *error)
{
  g_assert_nonnull(error);
  g_assert_true(g_utf8_validate(error->message, -1, NULL));
  /* It names a file of the model. */
  if (strstr(error->message, self->test->folder) == NULL && strstr(error->message, ".gguf") == NULL) {
    g_test_message("which file? \"%s\"", error->message);
    g_test_fail();
  }
}

/* An answer of a few tokens with that pathway, or, where it cannot be had, by the router's choice. */
static void
ask(Broken *self, GemEngine *engine)
{
  g_autoptr(GError) error = NULL;
  GemGenerateOptions options = {.max_tokens = 4, .run = {.domain = (char *)self->domain}};
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(engine, &options.run, &error);
  GemTestAnswer *answer;

  if (sequence == NULL) {
    /* The name of the domain may be what was flipped. */
    if (!g_error_matches(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN)) {
      g_assert_error(error, GEM_ERROR, GEM_ERROR_PATHWAY);
      check_error(self, error);
    }
    self->absent++;
    options.run.domain = NULL;
    sequence = gem_engine_new_sequence(engine, &options.run, NULL);
    g_assert_nonnull(sequence);
  }
  answer = gem_test_generate(sequence, "the old house", &options);
  gem_test_answer_wait(answer);
  g_assert_no_error(answer->error);
  g_assert_cmpuint(answer->generated_tokens, <=, options.max_tokens);
  g_assert_true(g_utf8_validate(answer->text->str, -1, NULL));
  gem_test_answer_free(answer);
}

static void
try_model(Broken *self)
{
  g_autoptr(GError) error = NULL;
  GemEngine *engine = gem_engine_new(&self->test->config, &error);

  if (engine == NULL) {
    check_error(self, error);
    self->refused++;
    return;
  }
  g_assert_no_error(error);
  self->opened++;
  ask(self, engine);
  gem_engine_stop(engine);
  while (g_main_context_iteration(NULL, FALSE)) {
  }
  g_object_unref(engine);
}

/* ---- breaking it ---- */

static void
write_file(const Broken *self, const char *bytes, gsize size, gboolean make_manifest)
{
  FILE *file = fopen(self->path, "wb"); /* in place, as somebody with an editor would */

  g_assert_nonnull(file);
  g_assert_true(size == 0 || fwrite(bytes, size, 1, file) == 1);
  g_assert_cmpint(fclose(file), ==, 0);
  if (make_manifest) {
    gem_test_model_write_manifest(self->test->folder, &self->test->shape);
  }
}

static void
test_missing(Broken *self)
{
  g_assert_cmpint(g_unlink(self->path), ==, 0);
  try_model(self);
  write_file(self, self->bytes, self->size, FALSE);
}

static void
test_cut(Broken *self, GRand *random, gboolean make_manifest)
{
  guint i;

  for (i = 0; i < times(CUTS); i++) {
    /* Half of them near the beginning, where a file's structure is. */
    gsize most = i % 2 == 0 ? self->size : MIN(self->size, 4096);

    write_file(self, self->bytes, (gsize)(g_rand_double(random) * (double)most), make_manifest);
    try_model(self);
  }
  write_file(self, self->bytes, self->size, make_manifest);
}

static void
test_flipped(Broken *self, GRand *random, gboolean make_manifest)
{
  g_autofree char *bytes = g_memdup2(self->bytes, self->size);
  guint i;

  for (i = 0; i < times(FLIPS); i++) {
    gsize most = i % 2 == 0 ? self->size : MIN(self->size, 4096);
    gsize at = (gsize)(g_rand_double(random) * (double)most);
    char kept = bytes[at];

    bytes[at] ^= (char)(1 << g_rand_int_range(random, 0, 8));
    write_file(self, bytes, self->size, make_manifest);
    try_model(self);
    bytes[at] = kept;
  }
  write_file(self, self->bytes, self->size, make_manifest);
}

/* `trusted`: with a manifest that is made anew each time; FALSE: with the one that was there. */
static void
test_file(const char *file, gboolean llama, gboolean trusted)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(g_str_hash(file));
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  Broken self = {.test = test, .domain = llama ? NULL : DOMAIN};

  gem_test_engine_write(test, llama);
  self.path = g_build_filename(test->folder, file, NULL);
  g_assert_true(g_file_get_contents(self.path, &self.bytes, &self.size, NULL));
  try_model(&self);
  g_assert_cmpuint(self.opened, ==, 1);
  if (!trusted) {
    test_missing(&self);
  }
  test_cut(&self, random, trusted);
  test_flipped(&self, random, trusted);
  g_test_message("%s: %u models refused, %u run, %u of them without the pathway", file, self.refused,
                 self.opened, self.absent);
  /* A file that the manifest's hash is of is never run but as it was. */
  if (!trusted && !llama && !g_str_equal(file, "manifest")) {
    g_assert_cmpuint(self.opened - self.absent, ==, 1);
  }
  try_model(&self);
  g_free(self.path);
  g_free(self.bytes);
}

static void
test_general(void)
{
  test_file("general.gguf", FALSE, FALSE);
}

static void
test_general_trusted(void)
{
  test_file("general.gguf", FALSE, TRUE);
}

static void
test_router(void)
{
  test_file("router.gguf", FALSE, FALSE);
}

static void
test_router_trusted(void)
{
  test_file("router.gguf", FALSE, TRUE);
}

static void
test_pathway(void)
{
  test_file("pathway-" DOMAIN ".gguf", FALSE, FALSE);
}

static void
test_pathway_trusted(void)
{
  test_file("pathway-" DOMAIN ".gguf", FALSE, TRUE);
}

static void
test_manifest(void)
{
  test_file("manifest", FALSE, FALSE);
}

static void
test_lone(void)
{
  test_file("lone.gguf", TRUE, FALSE);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/broken-model/general", test_general);
  g_test_add_func("/broken-model/general-trusted", test_general_trusted);
  g_test_add_func("/broken-model/router", test_router);
  g_test_add_func("/broken-model/router-trusted", test_router_trusted);
  g_test_add_func("/broken-model/pathway", test_pathway);
  g_test_add_func("/broken-model/pathway-trusted", test_pathway_trusted);
  g_test_add_func("/broken-model/manifest", test_manifest);
  g_test_add_func("/broken-model/lone-file", test_lone);
  return g_test_run();
}
