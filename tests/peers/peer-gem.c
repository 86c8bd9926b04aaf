/*
 * gemd's greedy tokens, by the engine run in this process:
 *
 *   peer-gem greedy MODEL [-t THREADS] [-n TOKENS] <TEXTS
 *
 * Input and output are those of peer-llama greedy; --backend and --plugin-dir are as of gem-bench.
 */
#include <stdio.h>
#include <string.h>

#include "bench/direct/gem-bench-model.h"
#include "bench/gem-bench-command.h"
#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-step.h"
#include "tests/peers/peer-logits.h"

#define BLOCK       128u  /* rows of a prompt in a step */
#define MOST_TEXT   1024u /* tokens of a text */
#define MOST_TOKENS 65536

typedef struct {
  GemBenchModel *model;
  GemStep *step;
  GemSequenceState *sequence;
  GemPeerLogits logits; /* of the last row that ran */
} Peer;

static void
peer_clear(Peer *self)
{
  if (self->sequence != NULL) {
    gem_sequence_state_free(self->model->runtime, self->sequence);
  }
  g_clear_pointer(&self->step, gem_step_free);
  g_clear_pointer(&self->model, gem_bench_model_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Peer, peer_clear)

static void
read_logits(gpointer data, guint position, const float *logits)
{
  Peer *self = data;

  self->logits = gem_peer_logits_read(logits, self->model->runtime->vocab);
}

/* Appends tokens and runs them through general alone. */
static gboolean
run_tokens(Peer *self, const guint32 *tokens, guint n, GError **error)
{
  const GemRouting routing = {.forced = TRUE, .route = GEM_ROUTE_GENERAL, .causal = TRUE};
  GemRuntime *runtime = self->model->runtime;

  if (!gem_sequence_state_append(runtime, self->sequence, tokens, n, &routing, NULL, error)) {
    return FALSE;
  }
  while (gem_sequence_state_pending(self->sequence) > 0) {
    GemStepSpan span = {
        .sequence = self->sequence,
        .rows = MIN(BLOCK, gem_sequence_state_pending(self->sequence)),
        .outputs_from = self->sequence->tokens->len - 1,
        .output = read_logits,
        .data = self,
    };

    if (!gem_step_run(self->step, &span, 1, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
continue_text(Peer *self, const char *text, guint n, GError **error)
{
  g_autoptr(GArray) prompt = g_array_new(FALSE, FALSE, sizeof(guint32));
  guint i;

  if (!gem_tokenizer_encode_template(self->model->runtime->tokenizer, NULL, text, prompt, error)) {
    return FALSE;
  }
  if (prompt->len == 0 || prompt->len > MOST_TEXT) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED, "a text of %u tokens; 1 to %u are allowed",
                prompt->len, MOST_TEXT);
    return FALSE;
  }
  gem_peer_logits_print_prompt((const gint32 *)(gpointer)prompt->data, prompt->len);
  gem_sequence_state_truncate(self->sequence, 0);
  if (!run_tokens(self, (const guint32 *)(gpointer)prompt->data, prompt->len, error)) {
    return FALSE;
  }
  for (i = 0; i < n; i++) {
    guint32 token = (guint32)self->logits.best;

    gem_peer_logits_print(&self->logits);
    if (self->logits.best < 0) {
      g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "the model gave no finite logits");
      return FALSE;
    }
    if (i + 1 < n && !run_tokens(self, &token, 1, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* The texts of standard input, one a line. */
static GStrv
read_texts(GError **error)
{
  g_autoptr(GIOChannel) input = g_io_channel_unix_new(fileno(stdin));
  g_autofree char *all = NULL;
  gsize length;

  if (g_io_channel_read_to_end(input, &all, &length, error) != G_IO_STATUS_NORMAL) {
    return NULL;
  }
  return g_strsplit(g_strchomp(all), "\n", -1);
}

static gboolean
open_peer(Peer *self, const GemBenchModelOptions *options, const char *path, guint tokens, GError **error)
{
  GemBenchModelWish wish = {.path = path, .context = MOST_TEXT + tokens};

  self->model = gem_bench_model_open(options, &wish, error);
  if (self->model == NULL) {
    return FALSE;
  }
  self->step = gem_step_new(self->model->runtime, NULL);
  self->sequence = gem_sequence_state_new(self->model->runtime, self->model->runtime->cluster_set);
  return TRUE;
}

static gboolean
greedy(const GemBenchModelOptions *options, const char *path, gint tokens, GError **error)
{
  g_auto(Peer) self = {0};
  g_auto(GStrv) texts = read_texts(error);

  if (texts == NULL || !open_peer(&self, options, path, (guint)tokens, error)) {
    return FALSE;
  }
  for (guint i = 0; texts[i] != NULL; i++) {
    if (!continue_text(&self, texts[i], (guint)tokens, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Parses the command line into `options` and `ret_tokens`; leaves the command and the model in argv[1...]. */
static gboolean
parse(int *argc, char ***argv, GemBenchModelOptions *options, gint *ret_tokens, GError **error)
{
  const GOptionEntry own[] = {
      {"tokens", 'n', 0, G_OPTION_ARG_INT, ret_tokens, "Tokens to write after each text (128)", "N"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *model = gem_bench_model_entries(options);
  g_autoptr(GOptionContext) context = g_option_context_new("greedy MODEL <TEXTS");

  *ret_tokens = 128;
  g_option_context_add_main_entries(context, own, NULL);
  g_option_context_add_main_entries(context, model, NULL);
  if (!g_option_context_parse(context, argc, argv, error)) {
    return FALSE;
  }
  if (*argc != 3 || strcmp((*argv)[1], "greedy") != 0) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "greedy MODEL is wanted");
    return FALSE;
  }
  return gem_bench_check_range("tokens", *ret_tokens, 1, MOST_TOKENS, error);
}

int
main(int argc, char **argv)
{
  g_auto(GemBenchModelOptions) options = {0};
  g_autoptr(GError) error = NULL;
  gint tokens;

  if (!parse(&argc, &argv, &options, &tokens, &error)) {
    g_printerr("peer-gem: %s\n", error->message);
    return 2;
  }
  if (!greedy(&options, argv[2], tokens, &error)) {
    g_printerr("peer-gem: %s\n", error->message);
    return 1;
  }
  return 0;
}
