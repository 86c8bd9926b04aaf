#include "training/adapt/gem-adapt-identity.h"

#include "training/network/gem-run-identity.h"

#define KEY "adapt.options"

#define DIGEST_LENGTH 16u /* of 64 digits: by chance no two are alike */

static const char *
learns_name(GemLearns learns)
{
  static const char *const names[] = {
      [GEM_LEARNS_RESIDUAL] = "residual", [GEM_LEARNS_GENERAL] = "general", [GEM_LEARNS_ALL] = "all"};
  return names[learns];
}

static void
add_text(GString *to, const char *name, const GemAdaptText *texts, gsize n)
{
  g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
  for (gsize i = 0; i < n; i++) {
    const guint32 frame[] = {texts[i].n, texts[i].answer, (guint32)texts[i].domain, texts[i].group};
    g_checksum_update(checksum, (const guchar *)(gconstpointer)frame, sizeof frame);
    g_checksum_update(checksum, (const guchar *)(gconstpointer)texts[i].tokens,
                      (gssize)(texts[i].n * sizeof(guint32)));
  }
  g_string_append_printf(to, " %s=%.*s", name, (int)DIGEST_LENGTH, g_checksum_get_string(checksum));
}

char *
gem_adapt_identity_new(const GemAdaptData *data, const GemAdaptOptions *options)
{
  gboolean general = options->learns == GEM_LEARNS_GENERAL;
  gboolean replays = options->replay_tokens > 0 && (options->distill > 0.0 || options->contrast > 0.0);
  g_autoptr(GString) text = g_string_new(NULL);
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"domain", general ? -1.0 : options->domain},
                 {"cluster-set", options->cluster_set},
                 {"sequence", options->sequence},
                 {"batch-tokens", options->batch_tokens},
                 {"replay-tokens", replays ? options->replay_tokens : 0.0},
                 {"power", options->power},
                 {"replay-power", options->replay_power},
                 {"warm-up", (double)options->warm_up},
                 {"rate", options->rate},
                 {"decay-share", options->decay_share},
                 {"weight-decay", options->weight_decay},
                 {"answer-weight", options->answer_weight},
                 {"answer-least", options->answer_least},
                 {"distill", options->distill},
                 {"contrast", options->contrast},
                 {"temperature", options->temperature},
                 {"teacher-routed", options->teacher_routed},
                 {"quantization", options->quantization},
                 {"quantization-term", options->quantization_term},
                 {"quantized", options->quantized}};
  g_string_append_printf(text, "learns=%s", learns_name(options->learns));
  for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
    gem_run_identity_add_number(text, numbers[i].name, numbers[i].value);
  }
  add_text(text, "text", data->texts, data->n_texts);
  add_text(text, "replay", data->replay, replays ? data->n_replay : 0);
  return g_strdup(text->str);
}

void
gem_adapt_identity_write(const char *identity, GemGgufWriter *checkpoint)
{
  gem_gguf_writer_set_string(checkpoint, KEY, identity);
}

static gboolean
may_differ(const char *name, const char *there, const char *here, gpointer data)
{
  return gem_run_identity_is_lower_rate(name, there, here);
}

gboolean
gem_adapt_identity_check(const char *identity, GemGguf *checkpoint, GError **error)
{
  g_autofree char *kept = gem_gguf_get_string(checkpoint, KEY, error);
  if (kept == NULL) {
    return FALSE;
  }
  g_autofree char *differences = gem_run_identity_compare(kept, identity, may_differ, NULL);
  if (differences != NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s is the checkpoint of another adaptation: %s; resume with the same options and text",
                gem_gguf_get_name(checkpoint), differences);
  }
  return differences == NULL;
}
