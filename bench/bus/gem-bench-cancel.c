#include "bench/bus/gem-bench-cancel.h"

#include "clients/gem-client/gem-client-turn.h"
#include "dbus/gem-names.h"

/* An answer is cancelled within so many microseconds after its first byte: some tokens of a fast model. */
#define DECODE_MICROSECONDS 20000
/* How long the main loop is left alone between two looks at the clock, in microseconds. */
#define PAUSE_MICROSECONDS 50

/* A turn; times are monotonic, 0: not yet. */
typedef struct {
  GemRemote *remote;
  char *session;
  GemTurn *turn;
  gint64 called, first, cancelled, ended;
} Round;

static void
round_clear(Round *round)
{
  g_clear_pointer(&round->turn, gem_turn_free);
  if (round->session != NULL) {
    /* One that cannot be closed is closed when this connection ends. */
    g_autoptr(GVariant) closed =
        gem_remote_call(round->remote, round->session, GEM_SESSION_INTERFACE, "Close", NULL, "()", NULL);

    g_clear_pointer(&round->session, g_free);
  }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Round, round_clear)

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
note_arrival(const char *bytes, gsize length, gpointer data)
{
  Round *round = data;

  if (round->first == 0) {
    round->first = g_get_monotonic_time();
  }
  return TRUE;
}

static void
note_end(gpointer data)
{
  ((Round *)data)->ended = g_get_monotonic_time();
}

static GVariant *
turn_options(const GemBenchCancelPlan *plan)
{
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(NULL);

  g_variant_dict_insert(&dict, "raw", "b", TRUE);
  g_variant_dict_insert(&dict, "max_tokens", "u", plan->tokens);
  return g_variant_dict_end(&dict);
}

static gboolean
start(Round *round, const GemBenchCancelPlan *plan, GError **error)
{
  g_autoptr(GVariant) reply = gem_remote_call_manager(round->remote, "CreateSession",
                                                      g_variant_new("(@a{sv})", plan->session), "(o)", error);

  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(o)", &round->session);
  round->called = g_get_monotonic_time();
  round->turn = gem_turn_start(round->remote, round->session, plan->prompt, turn_options(plan), note_arrival,
                               note_end, round, error);
  return round->turn != NULL;
}

static void
turn_main_loop(void)
{
  if (!g_main_context_iteration(NULL, FALSE)) {
    g_usleep(PAUSE_MICROSECONDS);
  }
}

static void
wait_end(const Round *round)
{
  while (round->ended == 0) {
    turn_main_loop();
  }
}

/* Until the first byte, or the end. */
static void
wait_first(const Round *round)
{
  while (round->first == 0 && round->ended == 0) {
    turn_main_loop();
  }
}

static void
wait_until(const Round *round, gint64 moment)
{
  while (g_get_monotonic_time() < moment && round->ended == 0) {
    turn_main_loop();
  }
}

/* Cancels, waits, and notes how long it took, unless the turn ended by itself. */
static gboolean
cancel(Round *round, GArray *times, GError **error)
{
  g_auto(GemTurnResult) result = {0};
  double milliseconds;

  round->cancelled = g_get_monotonic_time();
  if (round->ended == 0) {
    gem_turn_cancel(round->turn);
    wait_end(round);
  }
  if (!gem_turn_finish(round->turn, &result, error)) {
    return FALSE;
  }
  if (result.reason == GEM_TURN_CANCELLED) {
    milliseconds = (double)(round->ended - round->cancelled) / 1e3;
    g_array_append_val(times, milliseconds);
  }
  return TRUE;
}

/* Microseconds from the call to the first byte of an answer. */
static gboolean
measure_first(GemRemote *remote, const GemBenchCancelPlan *plan, gint64 *ret_microseconds, GError **error)
{
  g_auto(Round) round = {.remote = remote};
  g_auto(GemTurnResult) result = {0};

  if (!start(&round, plan, error)) {
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
  g_auto(Round) round = {.remote = remote};

  if (!start(&round, plan, error)) {
    return FALSE;
  }
  wait_until(&round, round.called + delay);
  return cancel(&round, times, error);
}

static gboolean
cancel_in_decode(
    GemRemote *remote, const GemBenchCancelPlan *plan, gint64 delay, GArray *times, GError **error)
{
  g_auto(Round) round = {.remote = remote};

  if (!start(&round, plan, error)) {
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
