#include "tests/peers/peers-speed.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "bench/gem-bench-statistics.h"
#include "tests/peers/peers-process.h"

GemPeersSpeed *
gem_peers_speed_new(const char *path)
{
  GemPeersSpeed *self = g_new0(GemPeersSpeed, 1);
  g_autofree char *name = g_path_get_basename(path);
  guint run, kind;

  self->file = g_str_has_suffix(name, ".gguf") ? g_strndup(name, strlen(name) - strlen(".gguf"))
                                               : g_steal_pointer(&name);
  for (run = 0; run < GEM_PEERS_N_RUNS; run++) {
    for (kind = 0; kind < GEM_PEERS_N_KINDS; kind++) {
      self->figures[run][kind] = g_array_new(FALSE, FALSE, sizeof(double));
    }
  }
  return self;
}

void
gem_peers_speed_free(GemPeersSpeed *self)
{
  guint run, kind;

  for (run = 0; run < GEM_PEERS_N_RUNS; run++) {
    for (kind = 0; kind < GEM_PEERS_N_KINDS; kind++) {
      g_array_unref(self->figures[run][kind]);
    }
  }
  g_free(self->descriptions[0]);
  g_free(self->descriptions[1]);
  g_free(self->file);
  g_free(self);
}

/* ---- what a program printed ---- */

/* The median of a member {"values": [...]}; NAN where it has none. */
static double
read_median(JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member(object, name);
  JsonObject *spread = node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
  JsonNode *list = spread != NULL ? json_object_get_member(spread, "values") : NULL;
  JsonArray *values = list != NULL && JSON_NODE_HOLDS_ARRAY(list) ? json_node_get_array(list) : NULL;
  guint i, n = values != NULL ? json_array_get_length(values) : 0;
  g_autofree double *copy = g_new(double, n);

  for (i = 0; i < n; i++) {
    copy[i] = json_array_get_double_element(values, i);
  }
  return n > 0 ? gem_bench_median(copy, n) : (double)NAN;
}

static char *
describe(JsonObject *object)
{
  return g_strdup_printf("%s, %s", json_object_get_string_member_with_default(object, "version", "?"),
                         json_object_get_string_member_with_default(object, "kernels", "?"));
}

gboolean
gem_peers_speed_take(GemPeersSpeed *self, GemPeersRun run, const char *json, GError **error)
{
  g_autoptr(JsonNode) root = json_from_string(json, error);
  char **description = &self->descriptions[run == GEM_PEERS_GEMD || run == GEM_PEERS_GEMD_DEEP ? 0 : 1];
  JsonObject *object;
  double figures[GEM_PEERS_N_KINDS];
  guint kind;

  if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
    g_clear_error(error);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the results are no JSON object");
    return FALSE;
  }
  object = json_node_get_object(root);
  figures[GEM_PEERS_PREFILL] = read_median(object, json_object_has_member(object, "turn_tokens_per_second")
                                                       ? "turn_tokens_per_second"
                                                       : "prefill_tokens_per_second");
  figures[GEM_PEERS_DECODE] = read_median(object, "decode_tokens_per_second");
  figures[GEM_PEERS_LOAD] = read_median(object, "load_ms");
  figures[GEM_PEERS_PEAK] =
      json_object_get_double_member_with_default(object, "peak_resident_bytes", (double)NAN);
  for (kind = 0; kind < GEM_PEERS_N_KINDS; kind++) {
    g_array_append_val(self->figures[run][kind], figures[kind]);
  }
  g_free(*description);
  *description = describe(object);
  return TRUE;
}

/* ---- runs ---- */

static gboolean
is_gemd(GemPeersRun run)
{
  return run == GEM_PEERS_GEMD || run == GEM_PEERS_GEMD_DEEP;
}

static gboolean
is_deep(GemPeersRun run)
{
  return run != GEM_PEERS_GEMD && run != GEM_PEERS_LLAMA;
}

static void
add_number(GStrvBuilder *words, const char *option, guint number)
{
  g_autofree char *text = g_strdup_printf("%u", number);

  g_strv_builder_add_many(words, option, text, NULL);
}

/* The command line of a run. A deep run reads no prompt beyond its context; gemd's router has none. gem-bench
 * writes its results to the file `results`, peer-llama prints them. */
static GStrv
words_of(GemPeersRun run, const char *path, const GemPeersWish *wish, const char *results)
{
  g_autoptr(GStrvBuilder) words = g_strv_builder_new();
  g_autofree char *program = gem_peers_program(is_gemd(run) ? "bench/gem-bench" : "tests/peers/peer-llama");
  gboolean is_router = is_gemd(run) && wish->router != NULL;

  g_strv_builder_add_many(words, program, is_router ? "router" : "speed", is_router ? wish->router : path,
                          NULL);
  add_number(words, "-t", wish->threads);
  add_number(words, "-p", is_deep(run) ? 0 : wish->prompt);
  add_number(words, "-n", wish->tokens);
  add_number(words, "-r", wish->rounds);
  if (!is_router) {
    add_number(words, "-d", is_deep(run) ? wish->depth : 0);
  }
  if (is_gemd(run)) {
    g_strv_builder_add_many(words, "--json", results, NULL);
  }
  if (run == GEM_PEERS_LLAMA_DEEP) {
    g_strv_builder_add(words, "-8");
  }
  return g_strv_builder_end(words);
}

static gboolean
measure_run(GemPeersSpeed *self,
            GemPeersRun run,
            const char *path,
            const GemPeersWish *wish,
            const char *results,
            GError **error)
{
  g_auto(GStrv) words = words_of(run, path, wish, results);
  g_autofree char *printed = gem_peers_run((const char *const *)words, NULL, error), *written = NULL;

  if (printed == NULL || (is_gemd(run) && !g_file_get_contents(results, &written, NULL, error))) {
    return FALSE;
  }
  return gem_peers_speed_take(self, run, is_gemd(run) ? written : printed, error);
}

static gboolean
measure_turn(
    GemPeersSpeed *self, const char *path, const GemPeersWish *wish, const char *results, GError **error)
{
  guint run;

  for (run = 0; run < GEM_PEERS_N_RUNS; run++) {
    if ((wish->depth > 0 || !is_deep(run)) && !measure_run(self, run, path, wish, results, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
gem_peers_speed_measure(GemPeersSpeed *self, const char *path, const GemPeersWish *wish, GError **error)
{
  g_autofree char *folder = g_dir_make_tmp("gem-peers-XXXXXX", error), *results = NULL;
  gboolean done = folder != NULL;
  guint turn;

  if (!done) {
    return FALSE;
  }
  results = g_build_filename(folder, "results.json", NULL);
  for (turn = 0; done && turn < wish->turns; turn++) {
    done = measure_turn(self, path, wish, results, error);
  }
  g_unlink(results);
  g_rmdir(folder);
  return done;
}

GArray *
gem_peers_speed_ratios(const GemPeersSpeed *self, GemPeersRun gemd, GemPeersRun llama, GemPeersKind kind)
{
  const GArray *above = self->figures[gemd][kind], *below = self->figures[llama][kind];
  GArray *ratios = g_array_new(FALSE, FALSE, sizeof(double));
  guint i;

  for (i = 0; i < MIN(above->len, below->len); i++) {
    double ratio = g_array_index(above, double, i) / g_array_index(below, double, i);

    g_array_append_val(ratios, ratio);
  }
  return ratios;
}
