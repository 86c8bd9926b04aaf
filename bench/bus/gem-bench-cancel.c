#include "bench/bus/gem-bench-cancel.h"

#include "bench/bus/gem-bench-turn.h"

/* An answer is cancelled within so many microseconds after its first byte: some tokens of a fast model. */
#define DECODE_MICROSECONDS 20000
/* How long the main loop is left alone between two looks at the clock, in microseconds. */
#define PAUSE_MICROSECONDS 50

void
gem_bench_cancel_times_init(GemBenchCancelTimes *self)
{
  self->prefill = g_array_new(FALSE, FALSE, sizeof(double));
  self->decode = g_array_new(FALSE, FALSE, sizeof(double));
}

void
gem_bench_cancel_times_clear(GemBenchCancelTimes *self)
{
  g_array_unref(self->prefill);
  g_array_unref(self->decode);
}

static gboolean
start(GemBenchTurn *round, GemRemote *remote, const GemBenchCancelPlan *plan, GError **error)
{
  return gem_bench_turn_open(round, remote, plan->session, error) &&
         gem_bench_turn_start(round, plan->prompt, plan->tokens, error);
}

static void
turn_main_loop(void)
{
  if (!g_main_context_iteration(NULL, FALSE)) {
    g_usleep(PAUSE_MICROSECONDS);
  }
}

static void
wait_end(const GemBenchTurn *round)
{
  while (round->ended == 0) {
    turn_main_loop();
  }
}

/* Until the first byte, or the end. */
static void
wait_first(const GemBenchTurn *round)
{
  while (round->first == 0 && round->ended == 0) {
    turn_main_loop();
  }
}

static void
wait_until(const GemBenchTurn *round, gint64 moment)
{
  while (g_get_monotonic_time() < moment && round->ended == 0) {
    turn_main_loop();
  }
}

/* Cancels, waits, and notes how long it took, unless the turn ended by itself. */
static gboolean
cancel(GemBenchTurn *round, GArray *times, GError **error)
{
  g_auto(GemTurnResult) result = {0};
  gint64 cancelled = g_get_monotonic_time();
  double milliseconds;

  if (round->ended == 0) {
    gem_turn_cancel(round->turn);
    wait_end(round);
  }
  if (!gem_turn_finish(round->turn, &result, error)) {
    return FALSE;
  }
  if (result.reason == GEM_TURN_CANCELLED) {
    milliseconds = (double)(round->ended - cancelled) / 1e3;
    g_array_append_val(times, milliseconds);
  }
  return TRUE;
}

/* Microseconds from the call to the first byte of an answer. */
static gboolean
measure_first(GemRemote *remote, const GemBenchCancelPlan *plan, gint64 *ret_microseconds, GError **error)
{
  g_auto(GemBenchTurn) round = {0};
  g_auto(GemTurnResult) result = {0};

  if (!start(&round, remote, plan, error)) {
    return FALSE;
  }
  wait_end(&round);
  if (!gem_turn_finish(round.turn, &result, error)) {
    return FALSE;
  }
  *ret_microseconds = (round.first != 0 ? round.first : round.ended) - round.called;
  return TRUE;
}

static gboolean
cancel_in_prefill(
    GemRemote *remote, const GemBenchCancelPlan *plan, gint64 delay, GArray *times, GError **error)
{
  g_auto(GemBenchTurn) round = {0};

  if (!start(&round, remote, plan, error)) {
    return FALSE;
  }
  wait_until(&round, round.called + delay);
  return cancel(&round, times, error);
}

static gboolean
cancel_in_decode(
    GemRemote *remote, const GemBenchCancelPlan *plan, gint64 delay, GArray *times, GError **error)
{
  g_auto(GemBenchTurn) round = {0};

  if (!start(&round, remote, plan, error)) {
    return FALSE;
  }
  wait_first(&round);
  wait_until(&round, g_get_monotonic_time() + delay);
  return cancel(&round, times, error);
}

gboolean
gem_bench_cancel_run(GemRemote *remote,
                     const GemBenchCancelPlan *plan,
                     guint rounds,
                     GemBenchProgress *progress,
                     GemBenchCancelTimes *times,
                     GError **error)
{
  gint64 first;

  if (!measure_first(remote, plan, &first, error)) {
    return FALSE;
  }
  for (guint i = 0; i < rounds; i++) {
    if (!cancel_in_prefill(remote, plan, first * (2 * i + 1) / (2 * rounds), times->prefill, error)) {
      return FALSE;
    }
    gem_bench_progress_step(progress, "turns");
  }
  for (guint i = 0; i < rounds; i++) {
    if (!cancel_in_decode(remote, plan, (gint64)DECODE_MICROSECONDS * i / rounds, times->decode, error)) {
      return FALSE;
    }
    gem_bench_progress_step(progress, "turns");
  }
  return TRUE;
}
