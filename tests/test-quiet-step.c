/* A step of one answer or several allocates nothing, takes no lock and makes no system call: from the tokens
 * that were drawn, through router, the look at the memory limit, model and sampler, to the next. Caches that
 * grow and the delivery of text are no part of it. */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "daemon/engine/gem-admission.h"
#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-room.h"
#include "daemon/engine/gem-sampler.h"
#include "daemon/engine/gem-step.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-patience.h"
#include "tests/gem-test-quiet.h"

#define PROMPT_TOKENS  20
#define WARM_TOKENS    20 /* those after the prompt */
#define QUIET_TOKENS   60
#define ALL_TOKENS     (PROMPT_TOKENS + WARM_TOKENS + QUIET_TOKENS)
#define MOST_SEQUENCES 5
/* Of two threads' steps, the fewest that have to be quiet in one attempt. */
#define LEAST_QUIET (QUIET_TOKENS / 2 + 1)

typedef struct Scene Scene;

/* One of the texts that a step goes on with. */
typedef struct {
  Scene *scene;
  GemSampler *sampler;
  GemSequenceState *state;
  guint32 token;
} Text;

struct Scene {
  GemTestEngine *test;
  GemModelFiles *files;
  GemRuntime *runtime;
  GemStep *step;
  Text texts[MOST_SEQUENCES];
  guint n;
  gboolean admitted; /* without a look at anything but what is in memory */
};

/* Feed-forwards are large enough to be shared out to two threads. */
static void
scene_init(Scene *self, guint threads, guint n)
{
  self->test = gem_test_engine_new();
  self->test->config.threads = threads;
  self->test->shape.ffn = 2048;
  gem_test_engine_write(self->test, FALSE);
  self->runtime = gem_test_engine_open_runtime(self->test, &self->files);
  self->step = gem_step_new(self->runtime, NULL);
  self->n = n;
  for (guint i = 0; i < n; i++) {
    self->texts[i] = (Text){.scene = self,
                            .sampler = gem_sampler_new(0.8, 40, 0.9, 5 + i),
                            .state = gem_sequence_state_new(self->runtime, 0),
                            .token = 1 + i};
  }
}

static void
scene_clear(Scene *self)
{
  if (self->test == NULL) { /* the test was skipped */
    return;
  }
  for (guint i = 0; i < self->n; i++) {
    gem_sequence_state_free(self->runtime, self->texts[i].state);
    gem_sampler_free(self->texts[i].sampler);
  }
  gem_step_free(self->step);
  gem_runtime_close(self->runtime);
  gem_model_files_free(self->files);
  gem_test_engine_free(self->test);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

static void
draw(gpointer data, guint position, const float *logits)
{
  Text *text = data;

  g_assert_true(gem_sampler_pick(text->sampler, logits, text->scene->runtime->vocab, &text->token));
}

/* Appends to each text n tokens, the last of them the one that was drawn, runs them in one step and draws the
 * next. */
static gboolean
advance(Scene *self, guint n)
{
  const GemRouting routing = {.causal = TRUE};
  GemStepSpan spans[MOST_SEQUENCES];

  for (guint i = 0; i < self->n; i++) {
    Text *text = &self->texts[i];
    for (guint j = 0; j < n; j++) {
      if (!gem_sequence_state_append(self->runtime, text->state, &text->token, 1, &routing, NULL, NULL)) {
        return FALSE;
      }
    }
    spans[i] = (GemStepSpan){.sequence = text->state,
                             .rows = n,
                             .outputs_from = text->state->tokens->len - 1,
                             .output = draw,
                             .data = text};
  }
  self->admitted = gem_admission_is_free(self->runtime, spans, self->n);
  return gem_step_run(self->step, spans, self->n, NULL);
}

/* New texts with a prompt, and some tokens on. A cache doubles as it grows; here it has its room from the
 * start. */
static void
begin_texts(Scene *self)
{
  for (guint i = 0; i < self->n; i++) {
    Text *text = &self->texts[i];
    gem_sequence_state_free(self->runtime, text->state);
    text->state = gem_sequence_state_new(self->runtime, 0);
    g_assert_true(gem_sequence_state_reserve(self->runtime, text->state, ALL_TOKENS, NULL));
  }
  g_assert_true(advance(self, PROMPT_TOKENS));
  for (guint i = 0; i < WARM_TOKENS; i++) {
    g_assert_true(advance(self, 1));
  }
}

/* Scratch that all sequences share has grown after one of that length, and all domains are in memory. */
static void
warm_up(Scene *self)
{
  for (guint i = 0; i < self->runtime->shape->n_domains; i++) {
    g_assert_true(gem_pager_page_in(self->runtime->pager, i, NULL));
  }
  g_assert_true(advance(self, ALL_TOKENS));
  gem_room_set_limit(self->runtime, (guint64)1 << 40);
}

/* Whether the next step takes no lock and makes no system call. None may ask for memory, nor for room. */
static gboolean
step_is_quiet(Scene *self)
{
  gem_test_quiet_begin();
  gboolean ran = advance(self, 1);
  GemTestQuiet quiet = gem_test_quiet_end();

  g_assert_true(ran);
  g_assert_cmpuint(quiet.allocations, ==, 0);
  g_assert_true(self->admitted);
  return quiet.locks == 0 && quiet.system_calls == 0;
}

static gboolean
can_watch(void)
{
  if (!gem_test_quiet_can_watch()) {
    g_test_skip("this kernel cannot hand system calls to a test, or a sanitizer is in use");
    return FALSE;
  }
  return TRUE;
}

/* The watch sees what it is there to see. */
static void
test_watch(void)
{
  GMutex mutex;
  GemTestQuiet quiet;

  if (!can_watch()) {
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

/* `data`: sequences. */
static void
test_one_thread(gconstpointer data)
{
  g_auto(Scene) scene = {0};

  if (!can_watch()) {
    return;
  }
  scene_init(&scene, 1, GPOINTER_TO_UINT(data));
  warm_up(&scene);
  begin_texts(&scene);
  for (guint i = 0; i < QUIET_TOKENS; i++) {
    g_assert_true(step_is_quiet(&scene));
  }
}

static gint64
cpu_nanoseconds(clockid_t clock)
{
  struct timespec time;
  clock_gettime(clock, &time);
  return (gint64)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* How many of the next steps are quiet. 0 when the other thread, which spins between two calls, was hardly
 * there: a caller that was left alone wakes nobody. */
static guint
count_quiet(Scene *self)
{
  gint64 all = -cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID), own = -cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  guint quiet = 0;

  for (guint i = 0; i < QUIET_TOKENS; i++) {
    quiet += step_is_quiet(self) ? 1 : 0;
  }
  own += cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  all += cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  return all - own > own / 2 ? quiet : 0;
}

/* Others want as many processors as there are. */
static gboolean
machine_is_busy(void)
{
  double load = 0;
  return getloadavg(&load, 1) == 1 && load >= g_get_num_processors();
}

/* The other thread goes to sleep when its caller is kept from its processor for a while: then one system
 * call, behind a lock, wakes it. Most steps have no need of it. */
static void
test_two_threads(gconstpointer data)
{
  g_auto(Scene) scene = {0};
  gint64 deadline = gem_test_deadline(20);
  guint most = 0;

  if (!can_watch()) {
    return;
  }
  scene_init(&scene, 2, GPOINTER_TO_UINT(data));
  warm_up(&scene);
  while (most < LEAST_QUIET && g_get_monotonic_time() < deadline) {
    begin_texts(&scene);
    guint quiet = count_quiet(&scene);
    most = MAX(most, quiet);
    g_usleep(60000); /* a caller that was left alone is it no longer */
  }
  g_test_message("%u of %d steps were quiet", most, QUIET_TOKENS);
  if (most < LEAST_QUIET && machine_is_busy()) {
    g_test_skip("this machine is too busy: two threads hardly ever had a processor each");
    return;
  }
  g_assert_cmpuint(most, >=, LEAST_QUIET);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/quiet-step/watch", test_watch);
  g_test_add_data_func("/quiet-step/one-thread", GUINT_TO_POINTER(1), test_one_thread);
  g_test_add_data_func("/quiet-step/one-thread/sequences", GUINT_TO_POINTER(MOST_SEQUENCES), test_one_thread);
  g_test_add_data_func("/quiet-step/two-threads", GUINT_TO_POINTER(1), test_two_threads);
  g_test_add_data_func("/quiet-step/two-threads/sequences", GUINT_TO_POINTER(MOST_SEQUENCES),
                       test_two_threads);
  return g_test_run();
}
