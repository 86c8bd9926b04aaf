/* A step of an answer allocates nothing, takes no lock and makes no system call: from the token that was
 * drawn, through router, the look at the memory limit, model and sampler, to the next. */
#include <unistd.h>

#include "daemon/engine/gem-sampler.h"
#include "daemon/engine/gem-admission.h"
#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-room.h"
#include "daemon/engine/gem-step.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-quiet.h"

#define PROMPT_TOKENS 20
#define WARM_TOKENS   20 /* those after the prompt */
#define QUIET_TOKENS  60
#define ALL_TOKENS    (PROMPT_TOKENS + WARM_TOKENS + QUIET_TOKENS)

typedef struct {
  GemTestEngine *test;
  GemModelFiles *files;
  GemRuntime *runtime;
  GemStep *step;
  GemSampler *sampler;
  GemSequenceState *sequence;
  guint32 token;
  gboolean admitted; /* without a look at anything but what is in memory */
} Scene;

static void
scene_init(Scene *self, guint threads)
{
  self->test = gem_test_engine_new();
  self->test->config.threads = threads;
  self->runtime = gem_test_engine_open_runtime(self->test, &self->files);
  self->step = gem_step_new(self->runtime, NULL);
  self->sampler = gem_sampler_new(0.8, 40, 0.9, 5);
  self->sequence = gem_sequence_state_new(self->runtime, 0);
  self->token = 1;
}

static void
scene_clear(Scene *self)
{
  gem_sequence_state_free(self->runtime, self->sequence);
  gem_sampler_free(self->sampler);
  gem_step_free(self->step);
  gem_runtime_close(self->runtime);
  gem_model_files_free(self->files);
  gem_test_engine_free(self->test);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

static void
draw(gpointer data, guint position, const float *logits)
{
  Scene *self = data;

  g_assert_true(gem_sampler_pick(self->sampler, logits, self->runtime->vocab, &self->token));
}

/* Appends n tokens, the last of them the one that was drawn, runs them and draws the next. */
static gboolean
advance(Scene *self, guint n)
{
  const GemRouting routing = {.causal = TRUE};
  GemStepSpan span = {.sequence = self->sequence, .rows = n, .output = draw, .data = self};

  for (guint i = 0; i < n; i++) {
    if (!gem_sequence_state_append(self->runtime, self->sequence, &self->token, 1, &routing, NULL, NULL)) {
      return FALSE;
    }
  }
  span.outputs_from = self->sequence->tokens->len - 1;
  self->admitted = gem_admission_is_free(self->runtime, &span, 1);
  return gem_step_run(self->step, &span, 1, NULL);
}

/* Scratch that all sequences share has grown after one of that length, and all domains are in memory. */
static void
warm_up(Scene *self)
{
  for (guint i = 0; i < self->runtime->shape->n_domains; i++) {
    g_assert_true(gem_pager_page_in(self->runtime->pager, i, NULL));
  }
  g_assert_true(advance(self, ALL_TOKENS));
  gem_sequence_state_free(self->runtime, self->sequence);
  self->sequence = gem_sequence_state_new(self->runtime, 0);
}

static void
check_quiet(guint threads)
{
  g_auto(Scene) scene = {0};
  GemTestQuiet quiet = {0};
  gboolean ran = TRUE;

  scene_init(&scene, threads);
  warm_up(&scene);
  gem_room_set_limit(scene.runtime, (guint64)1 << 40);
  /* A cache doubles as it grows; here it has its room from the start. */
  g_assert_true(gem_sequence_state_reserve(scene.runtime, scene.sequence, ALL_TOKENS, NULL));
  g_assert_true(advance(&scene, PROMPT_TOKENS));
  for (guint i = 0; i < WARM_TOKENS; i++) {
    g_assert_true(advance(&scene, 1));
  }
  for (guint i = 0; i < QUIET_TOKENS && ran && quiet.system_calls == 0; i++) {
    gem_test_quiet_begin();
    ran = advance(&scene, 1);
    quiet = gem_test_quiet_end();
    g_assert_cmpuint(quiet.allocations, ==, 0);
    g_assert_true(scene.admitted);
    if (threads == 1) {
      g_assert_cmpuint(quiet.locks, ==, 0);
      g_assert_cmpint(quiet.system_call, ==, -1);
    }
  }
  g_assert_true(ran);
}

/* The watch sees what it is there to see. */
static void
test_watch(void)
{
  GMutex mutex;
  GemTestQuiet quiet;

  if (!gem_test_quiet_can_watch()) {
    g_test_skip("this kernel cannot hand system calls to a test, or a sanitizer is in use");
    return;
  }
  g_mutex_init(&mutex);
  gem_test_quiet_begin();
  g_mutex_lock(&mutex);
  g_free(g_malloc(10));
  g_mutex_unlock(&mutex);
  (void)getppid();
  quiet = gem_test_quiet_end();
  g_mutex_clear(&mutex);
  g_assert_cmpuint(quiet.allocations, ==, 1);
  g_assert_cmpuint(quiet.locks, ==, 1);
  g_assert_cmpuint(quiet.system_calls, ==, 1);
}

static void
test_one_thread(void)
{
  if (!gem_test_quiet_can_watch()) {
    g_test_skip("this kernel cannot hand system calls to a test, or a sanitizer is in use");
    return;
  }
  check_quiet(1);
}

/* The other thread may have gone to sleep, if this machine is busy: then one system call, behind a lock,
 * wakes it. Memory is never asked for. */
static void
test_two_threads(void)
{
  if (!gem_test_quiet_can_watch()) {
    g_test_skip("this kernel cannot hand system calls to a test, or a sanitizer is in use");
    return;
  }
  check_quiet(2);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/quiet-step/watch", test_watch);
  g_test_add_func("/quiet-step/one-thread", test_one_thread);
  g_test_add_func("/quiet-step/two-threads", test_two_threads);
  return g_test_run();
}
