/*
 * Files of pathways that are cut short, altered, replaced or removed while answers run through them: nothing
 * crashes, who needs the pathway is told why it cannot be had, nobody else notices, and it comes back with
 * the right file.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-engine.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-patience.h"

#define PROMPT     "the old house on the hill and the garden behind it"
#define LEGAL_FILE "pathway-legal.gguf"
#define TOKENS     100
#define PATIENCE   30
#define ROUNDS     40

typedef enum { CUT, ALTERED, REPLACED, REMOVED } Damage;

typedef struct {
  GemTestEngine *test;
  char *cache; /* where packed matrices are kept; NULL: nowhere */
  char *path;  /* of legal's file */
  char *good;  /* what it should hold */
  gsize length;
} Scene;

static void
scene_init(Scene *self)
{
  self->test = gem_test_engine_new();
  self->test->config.threshold_percent = 0;
  self->test->config.cache_dir = self->cache;
  gem_test_engine_start(self->test);
  self->path = g_build_filename(self->test->folder, LEGAL_FILE, NULL);
  g_assert_true(g_file_get_contents(self->path, &self->good, &self->length, NULL));
}

static void
scene_clear(Scene *self)
{
  gem_test_engine_free(self->test);
  if (self->cache != NULL) {
    gem_test_folder_remove(self->cache);
  }
  g_free(self->cache);
  g_free(self->path);
  g_free(self->good);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

/* Another file takes the name. */
static void
put(const Scene *self, const char *contents, gsize length)
{
  g_autoptr(GError) error = NULL;

  g_file_set_contents_full(self->path, contents, (gssize)length, G_FILE_SET_CONTENTS_CONSISTENT, 0644,
                           &error);
  g_assert_no_error(error);
}

static void
repair(const Scene *self)
{
  put(self, self->good, self->length);
}

static void
damage(const Scene *self, Damage kind)
{
  g_autofree char *other = g_memdup2(self->good, self->length);
  FILE *file;

  switch (kind) {
  case CUT:
    g_assert_cmpint(truncate(self->path, (off_t)self->length / 2), ==, 0);
    break;
  case ALTERED:
    file = g_fopen(self->path, "r+b");
    g_assert_nonnull(file);
    g_assert_cmpint(fseek(file, -1, SEEK_END), ==, 0);
    g_assert_cmpint(fputc(self->good[self->length - 1] ^ 1, file), !=, EOF);
    g_assert_cmpint(fclose(file), ==, 0);
    break;
  case REPLACED:
    other[self->length - 1] ^= 1;
    put(self, other, self->length);
    break;
  case REMOVED:
    g_assert_cmpint(g_unlink(self->path), ==, 0);
    break;
  }
}

/* ---- answers ---- */

static GemTestAnswer *
start(GemSequence *sequence, const char *domain, guint64 seed)
{
  g_auto(GemGenerateOptions)
      options = {.max_tokens = TOKENS, .temperature = 1, .seed = seed, .run = {.domain = g_strdup(domain)}};

  return gem_test_generate(sequence, PROMPT, &options);
}

static char *
text_alone(const Scene *self, const char *domain, guint64 seed)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(self->test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) answer = start(sequence, domain, seed);

  gem_test_answer_wait(answer);
  g_assert_no_error(answer->error);
  return g_strdup(answer->text->str);
}

static void
page_out(const Scene *self)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;

  gem_engine_page_out_async(self->test->engine, "legal", NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_page_finish(self->test->engine, result, NULL));
}

static void
check_failed(const GemTestAnswer *answer)
{
  g_assert_error(answer->error, GEM_ERROR, GEM_ERROR_PATHWAY);
  g_assert_nonnull(strstr(answer->error->message, LEGAL_FILE));
}

static gboolean
is_known_broken(const Scene *self)
{
  g_autoptr(GemPathwayInfo) info = gem_engine_get_pathway(self->test->engine, "legal");

  return info->reason != NULL;
}

/* Nobody asks for it: the engine sees by itself that there is another file. */
static void
wait_for_repair(const Scene *self)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)gem_test_patience(PATIENCE) * G_USEC_PER_SEC;

  while (is_known_broken(self)) {
    g_assert_cmpint(g_get_monotonic_time(), <, deadline);
    gem_test_run_main_loop(20);
  }
}

/* ---- one damage, in the middle of an answer ---- */

/* Holds the answer where it is. FALSE: it was done before. */
static gboolean
pause_in_the_middle(const Scene *self, GemTestAnswer *answer)
{
  while (answer->text_events == 0 && !answer->finished) {
    g_main_context_iteration(NULL, TRUE);
  }
  gem_generation_set_paused(answer->generation, TRUE);
  /* An end that came before the pause is heard of before this is done. */
  page_out(self);
  return !answer->finished;
}

/* Two answers run; the file of the one's pathway is damaged, and the pathway is not in memory. FALSE: the
 * engine was done before. */
static gboolean
damage_in_the_middle(const Scene *self, Damage kind, guint64 seed)
{
  g_autofree char *legal = text_alone(self, "legal", seed);
  g_autofree char *stem = text_alone(self, "stem", seed);
  g_autoptr(GemSequence) one = gem_engine_new_sequence(self->test->engine, NULL, NULL);
  g_autoptr(GemSequence) two = gem_engine_new_sequence(self->test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) needs = start(one, "legal", seed);
  g_autoptr(GemTestAnswer) other = start(two, "stem", seed);
  g_autoptr(GemTestAnswer) routed = NULL;
  g_autofree char *again = NULL;
  gboolean paused = pause_in_the_middle(self, needs);

  if (paused) {
    damage(self, kind);
  }
  gem_generation_set_paused(needs->generation, FALSE);
  gem_test_answer_wait(needs);
  gem_test_answer_wait(other);
  g_assert_no_error(other->error);
  g_assert_cmpstr(other->text->str, ==, stem);
  if (!paused) {
    return FALSE;
  }
  check_failed(needs);
  g_assert_true(g_str_has_prefix(legal, needs->text->str));
  g_assert_true(is_known_broken(self));
  /* Text that the router sends there does without, and says so. */
  g_object_unref(two);
  two = gem_engine_new_sequence(self->test->engine, NULL, NULL);
  routed = start(two, NULL, seed);
  gem_test_answer_wait(routed);
  g_assert_no_error(routed->error);
  g_assert_cmpuint(routed->degraded_tokens, >, 0);

  repair(self);
  wait_for_repair(self);
  again = text_alone(self, "legal", seed);
  g_assert_cmpstr(again, ==, legal);
  return TRUE;
}

static void
test_in_the_middle(gconstpointer kind)
{
  g_auto(Scene) scene = {0};
  guint64 seed = 1;

  scene_init(&scene);
  while (!damage_in_the_middle(&scene, (Damage)GPOINTER_TO_UINT(kind), seed)) {
    g_assert_cmpuint(seed++, <, 100);
  }
}

/* What is in memory does not need its file. */
static void
test_resident(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *expected = NULL;

  scene_init(&scene);
  expected = text_alone(&scene, "legal", 1);
  for (Damage kind = CUT; kind <= REMOVED; kind++) {
    g_autofree char *text = NULL;

    damage(&scene, kind);
    text = text_alone(&scene, "legal", 1);
    g_assert_cmpstr(text, ==, expected);
    repair(&scene);
  }
}

/* ---- a file that never stands still ---- */

typedef struct {
  const Scene *scene;
  gint stop; /* atomic */
} Saboteur;

static gpointer
sabotage(gpointer data)
{
  Saboteur *self = data;

  while (!g_atomic_int_get(&self->stop)) {
    damage(self->scene, CUT);
    repair(self->scene);
    damage(self->scene, REMOVED);
    repair(self->scene);
    damage(self->scene, REPLACED);
    repair(self->scene);
  }
  return NULL;
}

/* Whenever it is read: an answer is right, or it says why there is none. What is kept of it, where something
 * is, is right as well. */
static void
test_restless(gconstpointer keeps)
{
  g_auto(Scene) scene = {.cache = keeps != NULL ? gem_test_folder_new() : NULL};
  Saboteur saboteur = {.scene = &scene};
  g_autofree char *legal = NULL, *stem = NULL, *after = NULL;
  GThread *thread;

  scene_init(&scene);
  legal = text_alone(&scene, "legal", 1);
  stem = text_alone(&scene, "stem", 1);
  thread = g_thread_new("saboteur", sabotage, &saboteur);
  for (guint round = 0; round < ROUNDS; round++) {
    g_autoptr(GemSequence) one = gem_engine_new_sequence(scene.test->engine, NULL, NULL);
    g_autoptr(GemSequence) two = gem_engine_new_sequence(scene.test->engine, NULL, NULL);
    g_autoptr(GemTestAnswer) needs = NULL;
    g_autoptr(GemTestAnswer) other = start(two, "stem", 1);

    page_out(&scene);
    if (!is_known_broken(&scene)) {
      needs = start(one, "legal", 1);
      gem_test_answer_wait(needs);
    }
    gem_test_answer_wait(other);
    g_assert_cmpstr(other->text->str, ==, stem);
    if (needs != NULL && needs->error != NULL) {
      check_failed(needs);
    } else if (needs != NULL) {
      g_assert_cmpstr(needs->text->str, ==, legal);
    } else {
      gem_test_run_main_loop(20);
    }
  }
  g_atomic_int_set(&saboteur.stop, TRUE);
  g_thread_join(thread);
  wait_for_repair(&scene);
  page_out(&scene);
  after = text_alone(&scene, "legal", 1);
  g_assert_cmpstr(after, ==, legal);
  if (scene.cache != NULL) {
    g_autofree char *folder = g_build_filename(scene.cache, "cpu", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_assert_nonnull(dir);
    g_assert_nonnull(g_dir_read_name(dir)); /* of stem, at least */
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/changing-files/cut", GUINT_TO_POINTER(CUT), test_in_the_middle);
  g_test_add_data_func("/changing-files/altered", GUINT_TO_POINTER(ALTERED), test_in_the_middle);
  g_test_add_data_func("/changing-files/replaced", GUINT_TO_POINTER(REPLACED), test_in_the_middle);
  g_test_add_data_func("/changing-files/removed", GUINT_TO_POINTER(REMOVED), test_in_the_middle);
  g_test_add_func("/changing-files/resident", test_resident);
  g_test_add_data_func("/changing-files/restless", NULL, test_restless);
  g_test_add_data_func("/changing-files/restless-kept", "", test_restless);
  return g_test_run();
}
