/*
 * What a sequence leaves behind beside its text, which test-wipe.c looks for: the memory of its keys and
 * values and of its routes goes back to the system as zeros, and no tile of it is ever another sequence's.
 * The program's own free() looks at what comes by.
 */
#include <malloc.h>
#include <string.h>

#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-step.h"
#include "tests/gem-test-engine.h"

/* Sanitizers have a malloc of their own, which has to be the only one. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define TOKENS 100u
/* Places that are looked at: the tiles of all layers' lists, and routes. */
#define MOST_PLACES 1024u

typedef struct {
  const guint8 *places[MOST_PLACES];
  guint n;
  guint wiped, dirty; /* places that were in memory given back: as zeros, or not */
} Watch;

static Watch *watch;

#ifndef SANITIZED

void
__libc_free(void *memory);

static gboolean
holds(const guint8 *memory, gsize bytes, const guint8 *place)
{
  return (guintptr)place >= (guintptr)memory && (guintptr)place < (guintptr)memory + bytes;
}

static gboolean
is_zero(const guint8 *memory, gsize bytes)
{
  for (gsize i = 0; i < bytes; i++) {
    if (memory[i] != 0) {
      return FALSE;
    }
  }
  return TRUE;
}

static void
look_at(const guint8 *memory)
{
  gsize bytes = malloc_usable_size((void *)memory);
  Watch *self = watch;

  for (guint i = 0; i < self->n; i++) {
    if (holds(memory, bytes, self->places[i])) {
      /* From the place on: what stands before it may be the allocator's. */
      gboolean zero = is_zero(self->places[i], 16);

      self->wiped += zero ? 1 : 0;
      self->dirty += zero ? 0 : 1;
    }
  }
}

__attribute__((visibility("default"))) void
free(void *memory)
{
  if (memory != NULL && watch != NULL) {
    look_at(memory);
  }
  __libc_free(memory);
}
#endif

/* A place of 16 bytes that hold something. */
static void
add_place(Watch *self, const guint8 *place)
{
  g_assert_cmpuint(self->n, <, MOST_PLACES);
  for (guint i = 0; i < 16; i++) {
    if (place[i] != 0) {
      self->places[self->n++] = place;
      return;
    }
  }
}

static void
add_list(Watch *self, const GemKeyValueList *list)
{
  for (guint tile = list->first_tile; tile * GEM_KEY_VALUE_TILE < list->count; tile++) {
    add_place(self, list->tiles[tile - list->first_tile]);
  }
}

static void
watch_sequence(Watch *self, const GemRuntime *runtime, const GemSequenceState *sequence)
{
  for (guint layer = 0; layer < runtime->shape->layers; layer++) {
    GemAttentionSpan span = gem_kv_cache_get_span(sequence->cache, layer, 1);

    add_list(self, &span.in_order);
    for (guint c = 0; c < span.n_clusters; c++) {
      add_list(self, &span.lists[c]);
    }
  }
  add_place(self, sequence->routes->data);
}

static void
ignore_output(gpointer data, guint position, const float *logits)
{
}

/* A sequence of random tokens that were all run. */
static GemSequenceState *
run_sequence(GemRuntime *runtime, GemStep *step, guint32 seed)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(seed);
  GemSequenceState *sequence = gem_sequence_state_new(runtime, 0);
  const GemRouting routing = {.forced = TRUE, .route = 1};
  GemStepSpan span = {
      .sequence = sequence, .rows = TOKENS, .outputs_from = TOKENS - 1, .output = ignore_output};
  guint32 tokens[TOKENS];

  for (guint i = 0; i < TOKENS; i++) {
    tokens[i] = (guint32)g_rand_int_range(random, 1, (gint32)runtime->vocab);
  }
  g_assert_true(gem_sequence_state_append(runtime, sequence, tokens, TOKENS, &routing, NULL, NULL));
  g_assert_true(gem_step_run(step, &span, 1, NULL));
  return sequence;
}

typedef struct {
  GemTestEngine *test;
  GemModelFiles *files;
  GemRuntime *runtime;
  GemStep *step;
} Scene;

static void
setup(Scene *self, gconstpointer data)
{
  self->test = gem_test_engine_new();
  self->runtime = gem_test_engine_open_runtime(self->test, &self->files);
  self->step = gem_step_new(self->runtime, NULL);
}

static void
teardown(Scene *self, gconstpointer data)
{
  gem_step_free(self->step);
  gem_runtime_close(self->runtime);
  gem_model_files_free(self->files);
  gem_test_engine_free(self->test);
}

/* Two sequences that live side by side share no tile. */
static void
test_not_shared(Scene *self, gconstpointer data)
{
  GemSequenceState *one = run_sequence(self->runtime, self->step, 1);
  GemSequenceState *other = run_sequence(self->runtime, self->step, 2);
  g_autofree Watch *of_one = g_new0(Watch, 1);
  g_autofree Watch *of_other = g_new0(Watch, 1);

  watch_sequence(of_one, self->runtime, one);
  watch_sequence(of_other, self->runtime, other);
  g_assert_cmpuint(of_one->n, >, self->runtime->shape->layers * (TOKENS / GEM_KEY_VALUE_TILE));
  for (guint i = 0; i < of_one->n; i++) {
    for (guint j = 0; j < of_other->n; j++) {
      g_assert_true(of_one->places[i] != of_other->places[j]);
    }
  }
  gem_sequence_state_free(self->runtime, one);
  gem_sequence_state_free(self->runtime, other);
}

/* Every place that held something is zeros when its memory goes back, and all of it does go back. */
static void
test_wiped(Scene *self, gconstpointer data)
{
  GemSequenceState *sequence = run_sequence(self->runtime, self->step, 3);
  g_autofree Watch *places = g_new0(Watch, 1);

#ifdef SANITIZED
  g_test_skip("a sanitizer is in use");
#else
  watch_sequence(places, self->runtime, sequence);
  watch = places;
#endif
  gem_sequence_state_free(self->runtime, sequence);
  watch = NULL;
  g_assert_cmpuint(places->dirty, ==, 0);
  g_assert_cmpuint(places->wiped, ==, places->n);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/kv-wipe/not-shared", Scene, NULL, setup, test_not_shared, teardown);
  g_test_add("/kv-wipe/wiped", Scene, NULL, setup, test_wiped, teardown);
  return g_test_run();
}
