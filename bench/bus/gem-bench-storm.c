#include "bench/bus/gem-bench-storm-private.h"

#include <math.h>

#include "bench/gem-bench-progress.h"
#include "clients/gem-client/gem-client-turn.h"
#include "dbus/gem-names.h"

static const char *const prompts[] = {
    "Patient has high temperature and a cough today",
    "The tenant shall pay the rent on the first day of each month",
    "What is the capital of France?",
    "Shares fell after the bank reported a loss",
    "Two trains leave at noon; when do they meet?",
    "Hello, how are you?",
    "Write a line about the rain in the north",
    "Das Wetter ist heute schön",
};

/* ---- texts ---- */

static void
text_free(gpointer data)
{
  GemStormText *text = data;

  g_free(text->answer);
  g_free(text->stream);
  g_free(text);
}

void
gem_storm_script_free(GemStormScript *self)
{
  g_ptr_array_unref(self->texts);
  g_free(self);
}

static GVariant *
length_option(guint tokens)
{
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(NULL);

  g_variant_dict_insert(&dict, "max_tokens", "u", tokens);
  return g_variant_dict_end(&dict);
}

static gboolean
ask_alone(GemRemote *remote, guint tokens, GemStormText *text, GError **error)
{
  g_autoptr(GVariant) reply = gem_remote_call_manager(
      remote, "Ask", g_variant_new("(s@a{sv})", text->prompt, length_option(tokens)), "(sa{sv})", error);

  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(sa{sv})", &text->answer, NULL);
  return TRUE;
}

static gboolean
append(const char *bytes, gsize length, gpointer data)
{
  g_string_append_len(data, bytes, (gssize)length);
  return TRUE;
}

static gboolean
read_turn(GemRemote *remote, const char *session, guint tokens, GemStormText *text, GError **error)
{
  g_autoptr(GString) stream = g_string_new(NULL);
  g_auto(GemTurnResult) result = {0};

  if (!gem_turn_run(remote, session, text->prompt, length_option(tokens), append, stream, &result, error)) {
    return FALSE;
  }
  if (result.reason > GEM_TURN_CONTEXT) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "a turn of the only client was not finished");
    return FALSE;
  }
  text->stream = g_string_free(g_steal_pointer(&stream), FALSE);
  return TRUE;
}

static gboolean
stream_alone(GemRemote *remote, guint tokens, GemStormText *text, GError **error)
{
  g_autoptr(GVariant) reply = gem_remote_call_manager(
      remote, "CreateSession", g_variant_new("(@a{sv})", g_variant_new_parsed("@a{sv} {}")), "(o)", error);
  g_autoptr(GVariant) closed = NULL;
  const char *session;

  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(&o)", &session);
  if (!read_turn(remote, session, tokens, text, error)) {
    return FALSE;
  }
  closed = gem_remote_call(remote, session, GEM_SESSION_INTERFACE, "Close", NULL, "()", error);
  return closed != NULL;
}

GemStormScript *
gem_storm_script_new(GemRemote *remote, guint tokens, GError **error)
{
  g_autoptr(GemStormScript) self = g_new0(GemStormScript, 1);
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(G_N_ELEMENTS(prompts));
  g_autoptr(GVariant) reply = NULL;
  gsize i;

  gem_bench_progress_prepare(progress, "the answers without a storm");
  self->texts = g_ptr_array_new_with_free_func(text_free);
  self->tokens = tokens;
  reply = gem_remote_call_manager(remote, "CountTokens", g_variant_new("(s)", prompts[0]), "(t)", error);
  if (reply == NULL) {
    return NULL;
  }
  g_variant_get(reply, "(t)", &self->probe);
  for (i = 0; i < G_N_ELEMENTS(prompts); i++) {
    GemStormText *text = g_new0(GemStormText, 1);

    text->prompt = prompts[i];
    g_ptr_array_add(self->texts, text);
    if (!ask_alone(remote, tokens, text, error) || !stream_alone(remote, tokens, text, error)) {
      return NULL;
    }
    gem_bench_progress_step(progress, "answers without a storm");
  }
  return g_steal_pointer(&self);
}

/* ---- the tally ---- */

void
gem_storm_tally_init(GemStormTally *self)
{
  *self = (GemStormTally){.notes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          .ask_ms = g_array_new(FALSE, FALSE, sizeof(double)),
                          .first_ms = g_array_new(FALSE, FALSE, sizeof(double)),
                          .whole_ms = g_array_new(FALSE, FALSE, sizeof(double)),
                          .served_ms = g_array_new(FALSE, FALSE, sizeof(double))};
}

void
gem_storm_tally_clear(GemStormTally *self)
{
  g_clear_pointer(&self->notes, g_hash_table_unref);
  g_clear_pointer(&self->ask_ms, g_array_unref);
  g_clear_pointer(&self->first_ms, g_array_unref);
  g_clear_pointer(&self->whole_ms, g_array_unref);
  g_clear_pointer(&self->served_ms, g_array_unref);
}

void
gem_storm_tally_note(GemStormTally *self, const char *note)
{
  guint so_far = GPOINTER_TO_UINT(g_hash_table_lookup(self->notes, note));

  g_hash_table_insert(self->notes, g_strdup(note), GUINT_TO_POINTER(so_far + 1));
}

guint
gem_storm_tally_sum(const GemStormTally *self, GemStormOutcome outcome)
{
  guint sum = 0, kind;

  for (kind = 0; kind < GEM_STORM_N_KINDS; kind++) {
    sum += self->counts[kind][outcome];
  }
  return sum;
}

gboolean
gem_storm_tally_is_well(const GemStormTally *self)
{
  return gem_storm_tally_sum(self, GEM_STORM_WRONG) == 0 &&
         gem_storm_tally_sum(self, GEM_STORM_FAILED) == 0 && gem_storm_tally_sum(self, GEM_STORM_LOST) == 0 &&
         gem_storm_tally_sum(self, GEM_STORM_RIGHT) > 0;
}

const char *
gem_storm_kind_name(GemStormKind kind)
{
  static const char *const names[GEM_STORM_N_KINDS] = {
      [GEM_STORM_ASK] = "ask",         [GEM_STORM_STREAM] = "stream", [GEM_STORM_CANCEL] = "cancel",
      [GEM_STORM_HANG_UP] = "hang up", [GEM_STORM_VANISH] = "vanish",
  };

  return names[kind];
}

/* ---- the storm ---- */

static gboolean
on_time(gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_REMOVE;
}

static gboolean
on_second(gpointer data)
{
  gem_bench_progress_step(data, "seconds of the storm");
  return G_SOURCE_CONTINUE;
}

/* Runs the main loop until `seconds` are over, or everything is, when `early` is set. */
static void
run_for(GemStorm *storm, const GemStormKills *kills, double seconds, gboolean early)
{
  gboolean late = FALSE;
  guint timer = g_timeout_add((guint)(seconds * 1e3), on_time, &late);

  while (!late && gem_storm_kills_get_error(kills) == NULL &&
         !(early && storm->present == 0 && storm->acts == 0 && gem_storm_kills_are_over(kills))) {
    g_main_context_iteration(NULL, TRUE);
  }
  if (!late) {
    g_source_remove(timer);
  }
}

gboolean
gem_storm_run(GemRemote *remote,
              const GemStormPlan *plan,
              const GemStormScript *script,
              GemStormTally *tally,
              GError **error)
{
  g_autoptr(GemStorm) storm = g_rc_box_new0(GemStorm);
  g_autoptr(GPtrArray) clients = g_ptr_array_new_with_free_func((GDestroyNotify)gem_storm_client_free);
  g_autoptr(GemStormKills) kills = NULL;
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new((guint)ceil(plan->seconds));
  gint64 began = g_get_monotonic_time();
  guint i, ticks;

  *storm = (GemStorm){.plan = plan, .script = script, .tally = tally, .present = plan->clients};
  kills = gem_storm_kills_new(storm, remote);
  for (i = 0; i < plan->clients; i++) {
    g_ptr_array_add(clients, gem_storm_client_new(storm, i));
  }
  ticks = g_timeout_add(1000, on_second, progress);
  run_for(storm, kills, plan->seconds, FALSE);
  g_source_remove(ticks);
  gem_bench_progress_prepare(progress, "waiting for what is owed");
  storm->stopping = TRUE;
  run_for(storm, kills, plan->patience, TRUE);
  tally->seconds = (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC;
  /* What is owed now is lost; the replies to calls of those who left come as errors of their connection. */
  g_ptr_array_set_size(clients, 0);
  run_for(storm, kills, plan->patience, TRUE);
  if (gem_storm_kills_get_error(kills) != NULL) {
    g_propagate_error(error, g_error_copy(gem_storm_kills_get_error(kills)));
    return FALSE;
  }
  return TRUE;
}
