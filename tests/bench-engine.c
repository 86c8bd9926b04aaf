/*
 * What the engine does in a second: start-up, prefill, decode for one and for four sequences, and the bytes
 * that stay resident.
 *
 *     bench-engine MODEL [PLUGIN-FOLDER]
 *
 * Without a folder the modules are those of the build tree named by GEM_BUILD_DIR. Each figure is the median
 * of some runs.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/gem-engine.h"

enum { RUNS = 3, PROMPT_TOKENS = 512, DECODED_TOKENS = 64, SEQUENCES = 4 };

/* One generation, as far as the benchmark looks at it. */
typedef struct {
  GemSequence *sequence;
  GemGeneration *generation;
  gboolean finished;
  guint prompt_tokens, generated_tokens;
  double prefill_seconds, decode_seconds;
} Run;

static void
take_finish(const GemGenerateStats *stats, const GError *error, gpointer data)
{
  Run *run = data;

  if (error != NULL) {
    g_printerr("bench-engine: %s\n", error->message);
    exit(1);
  }
  run->finished = TRUE;
  run->prompt_tokens = stats->prompt_tokens;
  run->generated_tokens = stats->generated_tokens;
  run->prefill_seconds = stats->prefill_seconds;
  run->decode_seconds = stats->decode_seconds;
}

static void
fail(const GError *error)
{
  g_printerr("bench-engine: %s\n", error->message);
  exit(1);
}

static void
run_start(Run *run, GemEngine *engine, const char *prompt, guint max_tokens, guint64 seed)
{
  /* Drawn, not greedy: a random model that repeats one token would end, or loop, too early. */
  GemGenerateOptions options = {
      .max_tokens = max_tokens, .temperature = 1, .seed = seed, .raw = TRUE, .slide = FALSE};
  GemGenerationEvents events = {.finished = take_finish};
  g_autoptr(GError) error = NULL;

  *run = (Run){.sequence = gem_engine_new_sequence(engine, NULL, &error)};
  if (run->sequence == NULL) {
    fail(error);
  }
  run->generation = gem_sequence_generate(run->sequence, prompt, &options, &events, run, NULL, &error);
  if (run->generation == NULL) {
    fail(error);
  }
}

static void
run_wait(Run *run)
{
  while (!run->finished) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_clear_object(&run->generation);
}

static int
compare_doubles(const void *a, const void *b)
{
  double difference = *(const double *)a - *(const double *)b;

  return difference < 0 ? -1 : difference > 0 ? 1 : 0;
}

static double
median(double *values, guint n)
{
  qsort(values, n, sizeof *values, compare_doubles);
  return values[n / 2];
}

/* A text of about that many tokens. */
static char *
make_prompt(GemEngine *engine, guint tokens)
{
  static const char sentence[] =
      "The quick brown fox jumps over the lazy dog while the court hears the case. ";
  GString *text = g_string_new(NULL);
  guint64 count = 0;

  while (count < tokens) {
    g_string_append(text, sentence);
    gem_engine_count_tokens(engine, text->str, &count, NULL);
  }
  return g_string_free(text, FALSE);
}

static double
prefill_speed(GemEngine *engine, const char *prompt)
{
  double speeds[RUNS];

  for (guint i = 0; i < RUNS; i++) {
    Run run;

    run_start(&run, engine, prompt, 1, i);
    run_wait(&run);
    g_clear_object(&run.sequence);
    speeds[i] = run.prompt_tokens / run.prefill_seconds;
  }
  return median(speeds, RUNS);
}

/* Tokens of all sequences together in a second of decoding. */
static double
decode_speed(GemEngine *engine, guint sequences)
{
  double speeds[RUNS];

  for (guint i = 0; i < RUNS; i++) {
    Run runs[SEQUENCES];
    double seconds = 0;
    guint tokens = 0;

    for (guint j = 0; j < sequences; j++) {
      run_start(&runs[j], engine, "The quick brown fox", DECODED_TOKENS, i * SEQUENCES + j);
    }
    for (guint j = 0; j < sequences; j++) {
      run_wait(&runs[j]);
      g_clear_object(&runs[j].sequence);
      tokens += runs[j].generated_tokens;
      seconds = MAX(seconds, runs[j].decode_seconds);
    }
    speeds[i] = tokens / seconds;
  }
  return median(speeds, RUNS);
}

static GemEngine *
start(const char *model, const char *plugins, double *ret_seconds)
{
  const char *dirs[] = {plugins, NULL};
  GemEngineConfig config = {.model_path = model, .plugin_dirs = dirs, .threshold_percent = -1};
  g_autoptr(GError) error = NULL;
  gint64 began = g_get_monotonic_time();
  GemEngine *engine = gem_engine_new(&config, &error);

  if (engine == NULL) {
    fail(error);
  }
  *ret_seconds = (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC;
  return engine;
}

static double
start_time(const char *model, const char *plugins)
{
  double seconds[RUNS];

  for (guint i = 0; i < RUNS; i++) {
    g_autoptr(GemEngine) engine = start(model, plugins, &seconds[i]);

    gem_engine_stop(engine);
  }
  return median(seconds, RUNS);
}

int
main(int argc, char **argv)
{
  const char *build = g_getenv("GEM_BUILD_DIR");
  g_autofree char *plugins = NULL;
  g_autoptr(GemEngine) engine = NULL;
  g_autofree char *prompt = NULL;
  double seconds;

  if (argc < 2 || argc > 3 || (argc == 2 && build == NULL)) {
    g_printerr("usage: bench-engine MODEL [PLUGIN-FOLDER]\n");
    return 2;
  }
  plugins = argc == 3 ? g_strdup(argv[2]) : g_build_filename(build, "plugins", NULL);
  g_print("start-up          %8.1f ms\n", start_time(argv[1], plugins) * 1e3);
  engine = start(argv[1], plugins, &seconds);
  g_print("model             %s, attention %s\n", gem_engine_get_model_name(engine),
          gem_engine_get_attention(engine));
  g_print("resident at start %8.2f MB\n", (double)gem_engine_get_resident_bytes(engine) / 1e6);
  prompt = make_prompt(engine, PROMPT_TOKENS);
  g_print("prefill           %8.1f tokens/s, %d tokens, with routes\n", prefill_speed(engine, prompt),
          PROMPT_TOKENS);
  g_print("decode, 1 stream  %8.1f tokens/s\n", decode_speed(engine, 1));
  g_print("decode, %d streams %8.1f tokens/s together\n", SEQUENCES, decode_speed(engine, SEQUENCES));
  g_print("resident at end   %8.2f MB, pathways that were used among it\n",
          (double)gem_engine_get_resident_bytes(engine) / 1e6);
  gem_engine_stop(engine);
  return 0;
}
