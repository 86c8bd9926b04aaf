#include "bench/edge/gem-edge-run.h"

#include <glib-unix.h>
#include <signal.h>

#include "bench/gem-bench-progress.h"

/* Microseconds between two samples of the service. */
#define SAMPLE_PAUSE (5 * G_USEC_PER_SEC)

typedef struct {
  GemEdgePlan *plan;
  GemEdgeAsker *asker;
  GemEdgeState *state;
  GemEdgeEnergy *energy;
  const GemEdgeRunOptions *options;
  GemBenchProgress *progress;
  guint next, in_flight;
  gboolean stopped; /* by Ctrl-C */
  guint interrupt;  /* source; 0: it came */
  gint64 sampled;
  GemEdgeSight sight; /* of the sample before */
  GError *error;      /* the first */
} Run;

typedef struct {
  Run *run;
  guint index;
} Asked;

/* ---- samples ---- */

static gint64
counted_since(gint64 now, gint64 before)
{
  return now < 0 || before < 0 ? -1 : MAX(now - before, 0);
}

/* What was done since the sample before, and what is held now. */
static gboolean
take_sample(Run *run, GError **error)
{
  gint64 now = g_get_monotonic_time();
  GemEdgeSample sample = {.seconds = (double)(now - run->sampled) / G_USEC_PER_SEC};
  GemEdgeSight sight;

  if (!run->asker->look(run->asker, &sight, error)) {
    return FALSE;
  }
  sample.joules = gem_edge_energy_take(run->energy);
  sample.resident = sight.resident;
  sample.process = sight.process;
  sample.page_ins = counted_since(sight.page_ins, run->sight.page_ins);
  sample.page_in_failures = counted_since(sight.page_in_failures, run->sight.page_in_failures);
  sample.degraded_tokens = counted_since(sight.degraded_tokens, run->sight.degraded_tokens);
  sample.tokens = counted_since(sight.tokens, run->sight.tokens);
  run->sight = sight;
  run->sampled = now;
  return gem_edge_state_add_sample(run->state, &sample, error);
}

static gboolean
begin_samples(Run *run, GError **error)
{
  run->sampled = g_get_monotonic_time();
  gem_edge_energy_take(run->energy);
  return run->asker->look(run->asker, &run->sight, error);
}

/* ---- questions ---- */

static GemEdgeItem *
item_at(const Run *run, guint index)
{
  return &g_array_index(run->plan->items, GemEdgeItem, index);
}

static GemEdgeTask *
task_of(const Run *run, const GemEdgeItem *item)
{
  return run->plan->suite->tasks->pdata[item->task];
}

static void
on_replied(GemEdgeReply *reply, const GError *error, gpointer data)
{
  g_autofree Asked *asked = data;
  Run *run = asked->run;
  GemEdgeItem *item = item_at(run, asked->index);

  run->in_flight--;
  if (error != NULL) {
    if (run->error == NULL) {
      run->error = g_error_copy(error);
      g_prefix_error(&run->error, "%s, line %u: ", task_of(run, item)->full,
                     ((GemBenchLine *)task_of(run, item)->lines->pdata[item->line])->number);
    }
    return;
  }
  item->reply = *reply;
  reply->answer = NULL;
  item->done = TRUE;
  /* After an error, too: what was answered need not be asked again. */
  gem_edge_state_add_reply(run->state, asked->index, &item->reply, run->error == NULL ? &run->error : NULL);
  gem_bench_progress_step(run->progress, task_of(run, item)->full);
}

static void
ask_next(Run *run)
{
  const GemEdgeItem *item = item_at(run, run->next);
  const GemBenchLine *line = task_of(run, item)->lines->pdata[item->line];
  GemEdgeQuestion question = {
      .kind = item->kind,
      .text = line->input,
      .labels = line->labels,
      .max_tokens = run->options->max_tokens,
      .domain = gem_edge_plan_get_pathway(run->plan, item->pathway),
  };
  Asked *asked = g_new0(Asked, 1);

  asked->run = run;
  asked->index = run->next++;
  run->in_flight++;
  run->asker->ask(run->asker, &question, on_replied, asked);
}

static void
skip_done(Run *run)
{
  while (run->next < run->plan->items->len && item_at(run, run->next)->done) {
    run->next++;
  }
}

static gboolean
may_ask(const Run *run)
{
  return run->error == NULL && !run->stopped && run->next < run->plan->items->len;
}

/* Once: the second Ctrl-C ends the process, in case an answer never comes. */
static gboolean
on_interrupt(gpointer data)
{
  Run *run = data;

  run->stopped = TRUE;
  run->interrupt = 0;
  return G_SOURCE_REMOVE;
}

static void
ask_all(Run *run)
{
  skip_done(run);
  while (run->in_flight > 0 || may_ask(run)) {
    while (may_ask(run) && run->in_flight < run->options->in_flight) {
      ask_next(run);
      skip_done(run);
    }
    if (run->in_flight > 0) {
      g_main_context_iteration(NULL, TRUE);
    }
    if (run->error == NULL && g_get_monotonic_time() - run->sampled > SAMPLE_PAUSE) {
      take_sample(run, &run->error);
    }
  }
  if (run->error == NULL) {
    take_sample(run, &run->error);
  }
}

static guint
count_left(const GemEdgePlan *plan)
{
  guint i, left = 0;

  for (i = 0; i < plan->items->len; i++) {
    left += !g_array_index(plan->items, GemEdgeItem, i).done;
  }
  return left;
}

gboolean
gem_edge_run(GemEdgePlan *plan,
             GemEdgeAsker *asker,
             GemEdgeState *state,
             GemEdgeEnergy *energy,
             const GemEdgeRunOptions *options,
             GError **error)
{
  guint left = count_left(plan);
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(left);
  Run run = {.plan = plan,
             .asker = asker,
             .state = state,
             .energy = energy,
             .options = options,
             .progress = progress};

  if (left == 0) {
    return TRUE;
  }
  if (!begin_samples(&run, error)) {
    return FALSE;
  }
  run.interrupt = g_unix_signal_add(SIGINT, on_interrupt, &run);
  ask_all(&run);
  g_clear_handle_id(&run.interrupt, g_source_remove);
  if (run.error != NULL) {
    g_propagate_error(error, run.error);
    return FALSE;
  }
  if (run.next < plan->items->len) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "stopped with %u of %u questions left",
                count_left(plan), plan->items->len);
    return FALSE;
  }
  return TRUE;
}
