#include "bench/bus/gem-bench-streams.h"

#include <math.h>

#include "bench/bus/gem-bench-turn.h"

typedef struct {
  GemRemote *remote;
  const GemBenchStreamsPlan *plan;
  GemBenchProgress *progress;
  guint n, running;
  GemBenchTurn *streams; /* [n] */
} Run;

static void
run_clear(Run *run)
{
  guint i;

  for (i = 0; i < run->n; i++) {
    gem_bench_turn_clear(&run->streams[i]);
  }
  g_free(run->streams);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static void
note_end(gpointer data)
{
  Run *run = data;

  run->running--;
  gem_bench_progress_step(run->progress, "turns");
}

/* Sessions first, so that the turns begin as close together as calls can. */
static gboolean
start_all(Run *run, GError **error)
{
  guint i;

  for (i = 0; i < run->n; i++) {
    const GPtrArray *sessions = run->plan->sessions;

    run->streams[i].over = note_end;
    run->streams[i].data = run;
    if (!gem_bench_turn_open(&run->streams[i], run->remote, sessions->pdata[i % sessions->len], error)) {
      return FALSE;
    }
  }
  for (i = 0; i < run->n; i++) {
    run->running++;
    if (!gem_bench_turn_start(&run->streams[i], run->plan->prompt, run->plan->tokens, error)) {
      return FALSE;
    }
    /* What has come from the turns before is to get its time now. */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
  }
  return TRUE;
}

/* A turn that did not run to an end of its own measures nothing. */
static gboolean
check_turn(const GemTurnResult *turn, GError **error)
{
  const char *reason = "", *message = "";

  if (turn->reason <= GEM_TURN_CONTEXT) {
    return TRUE;
  }
  g_variant_lookup(turn->stats, "reason", "&s", &reason);
  g_variant_lookup(turn->stats, "message", "&s", &message);
  g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "a turn was not finished: %s %s", reason, message);
  return FALSE;
}

static double
seconds(gint64 from, gint64 to)
{
  return from == 0 ? NAN : (double)(to - from) / G_USEC_PER_SEC;
}

static gboolean
read_stream(const GemBenchTurn *stream, GemBenchStream *ret_stream, GError **error)
{
  g_auto(GemTurnResult) turn = {0};
  GemBenchStream figures = {0};

  if (!gem_turn_finish(stream->turn, &turn, error) || !check_turn(&turn, error)) {
    return FALSE;
  }
  g_variant_lookup(turn.stats, "prompt_tokens", "u", &figures.prompt_tokens);
  g_variant_lookup(turn.stats, "generated_tokens", "u", &figures.written_tokens);
  g_variant_lookup(turn.stats, "prefill_seconds", "d", &figures.prefill_seconds);
  g_variant_lookup(turn.stats, "decode_seconds", "d", &figures.decode_seconds);
  figures.first = stream->first == 0 ? NAN : seconds(stream->called, stream->first);
  figures.write = seconds(stream->first, stream->ended);
  figures.whole = seconds(stream->called, stream->ended);
  *ret_stream = figures;
  return TRUE;
}

/* From the first byte of any to the end of the last. */
static double
write_seconds(const Run *run)
{
  gint64 first = 0, last = 0;
  guint i;

  for (i = 0; i < run->n; i++) {
    const GemBenchTurn *stream = &run->streams[i];

    if (stream->first != 0 && (first == 0 || stream->first < first)) {
      first = stream->first;
    }
    last = MAX(last, stream->ended);
  }
  return seconds(first, last);
}

gboolean
gem_bench_streams_run(GemRemote *remote,
                      const GemBenchStreamsPlan *plan,
                      guint n,
                      GemBenchProgress *progress,
                      GemBenchStream *ret_streams,
                      GemBenchStreamsTotal *ret_total,
                      GError **error)
{
  g_auto(Run) run = {.remote = remote, .plan = plan, .progress = progress, .n = n};
  guint i;

  run.streams = g_new0(GemBenchTurn, n);
  if (!start_all(&run, error)) {
    return FALSE;
  }
  while (run.running > 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  for (i = 0; i < n; i++) {
    if (!read_stream(&run.streams[i], &ret_streams[i], error)) {
      return FALSE;
    }
  }
  ret_total->write = write_seconds(&run);
  return gem_bench_read_service_memory(remote, &ret_total->memory, error);
}
