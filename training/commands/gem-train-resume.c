#include "training/commands/gem-train-resume.h"

#include <string.h>

#include "training/arithmetic/gem-matmul.h"

#define KEY "train.options"

/* What is read, how often, and how it weighs: of a training whose text changes on the way. */
static const char *const of_text[] = {
    "data",          "tasks",         "general-share", "task-share",    "labelled-share",   "domain-power",
    "input-share",   "answer-weight", "answer-least",  "choice-weight", "contest-weight",   "contest-rivals",
    "passage-share", "copy-share",    "dropout",       "input-dropout", "residual-dropout", NULL};

GString *
gem_train_identity_new(const GemTrainingOptions *options, const GemCorpus *corpus)
{
  GString *identity = g_string_new(NULL);
  g_autofree char *digest = gem_corpus_digest(corpus);
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"rate", options->rate},
                 {"warm-up", options->warm_up},
                 {"decay-share", options->decay_share},
                 {"weight-decay", options->weight_decay},
                 {"batch-tokens", options->batch_tokens},
                 {"general-share", options->shares.general},
                 {"task-share", options->shares.task},
                 {"labelled-share", options->shares.labelled},
                 {"domain-power", options->shares.domain_power}};
  for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
    gem_run_identity_add_number(identity, numbers[i].name, numbers[i].value);
  }
  gem_run_identity_add_string(identity, "matmul", gem_matmul_is_rounded() ? "bf16" : "fp32");
  gem_run_identity_add_string(identity, "data", digest);
  return identity;
}

void
gem_train_identity_write(const GString *identity, GemGgufWriter *checkpoint)
{
  gem_gguf_writer_set_string(checkpoint, KEY, identity->str);
}

typedef struct {
  gboolean ended; /* the run that wrote the checkpoint, by --until */
  gboolean routed;
} Stand;

static gboolean
may_differ(const char *name, const char *there, const char *here, gpointer data)
{
  const Stand *stand = data;
  return gem_run_identity_is_lower_rate(name, there, here) ||
         (stand->ended && g_strv_contains(of_text, name)) || (!stand->routed && strcmp(name, "router") == 0);
}

gboolean
gem_train_identity_check(const GString *identity, GemGguf *checkpoint, gboolean routed, GError **error)
{
  const char *path = gem_gguf_get_name(checkpoint);
  Stand stand = {.ended = gem_gguf_has_key(checkpoint, GEM_TRAINER_UNTIL), .routed = routed};
  if (!gem_gguf_has_key(checkpoint, KEY)) {
    g_printerr(
        "%s does not tell its options, as of an earlier gem-train: that they are the same is not checked\n",
        path);
    return TRUE;
  }
  g_autofree char *kept = gem_gguf_get_string(checkpoint, KEY, error);
  if (kept == NULL) {
    return FALSE;
  }
  g_autofree char *differences = gem_run_identity_compare(kept, identity->str, may_differ, &stand);
  if (differences != NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s is the checkpoint of another training: %s; resume with the same options%s", path,
                differences,
                stand.ended ? "" : " (what is read may change where a run has ended by --until)");
  }
  return differences == NULL;
}

guint64
gem_train_routed_from(double routed_share, guint64 steps)
{
  return (guint64)((double)steps * (1.0 - routed_share));
}

gboolean
gem_train_routed_check(GemGguf *checkpoint, guint64 step, double routed_share, guint64 steps, GError **error)
{
  guint64 found = 0;
  if (!gem_gguf_get_uint(checkpoint, "train.steps", &found, error)) {
    return FALSE;
  }
  guint64 there = gem_train_routed_from(routed_share, found),
          here = gem_train_routed_from(routed_share, steps);
  if (there != here && step > MIN(there, here)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s: train.steps is %" G_GUINT64_FORMAT " there and %" G_GUINT64_FORMAT
                " on the command line, and of the %" G_GUINT64_FORMAT
                " that were made others would be of --routed-share; resume with the same options",
                gem_gguf_get_name(checkpoint), found, steps, step);
    return FALSE;
  }
  return TRUE;
}
