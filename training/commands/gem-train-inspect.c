/* `gem-train inspect`: what stands in a model's files, and what the model makes of a text; for any
 * Llama-architecture GGUF too. */
#include <string.h>

#include "format/gem-model-files.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/commands/gem-train-options.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-checkpoint.h"

#define LONGEST_TEXT 2048

typedef struct {
  char *text;
  gint top, greedy;
  gboolean dense, no_bos;
} InspectOptions;

static void
inspect_options_clear(InspectOptions *self)
{
  g_clear_pointer(&self->text, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(InspectOptions, inspect_options_clear)

static void
print_file(GemGguf *file)
{
  g_print("%s: %" G_GSIZE_FORMAT " bytes\n", gem_gguf_get_name(file), gem_gguf_get_size(file));
  for (guint i = 0; i < gem_gguf_n_keys(file); i++) {
    g_autofree char *value = gem_gguf_key_to_string(file, gem_gguf_key_name(file, i));
    g_print("  %-44s %s\n", gem_gguf_key_name(file, i), value);
  }
  for (guint i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);
    g_print("  %-44s %-5s %6" G_GSIZE_FORMAT " x %-6" G_GSIZE_FORMAT " %10" G_GSIZE_FORMAT " bytes\n",
            tensor->name, gem_type_name(tensor->type), tensor->rows, tensor->cols, tensor->bytes);
  }
}

static gboolean
print_model(const char *path, GError **error)
{
  if (!g_file_test(path, G_FILE_TEST_IS_DIR)) {
    g_autoptr(GemGguf) file = gem_gguf_open(path, error);
    if (file == NULL) {
      return FALSE;
    }
    print_file(file);
    return TRUE;
  }
  g_autoptr(GemManifest) manifest = gem_manifest_load(path, error);
  const char *const *files = manifest != NULL ? gem_manifest_get_files(manifest) : NULL;
  for (guint i = 0; files != NULL && files[i] != NULL; i++) {
    g_autofree char *full = g_build_filename(path, files[i], NULL);
    g_autoptr(GemGguf) file =
        gem_manifest_verify(manifest, files[i], error) ? gem_gguf_open(full, error) : NULL;
    if (file == NULL) {
      return FALSE;
    }
    print_file(file);
  }
  return manifest != NULL;
}

static guint
largest(const float *logits, guint n)
{
  guint best = 0;
  for (guint i = 1; i < n; i++) {
    best = logits[i] > logits[best] ? i : best;
  }
  return best;
}

/* The N largest logits, best first; spoils `logits`. */
static void
print_top(GemTokenizer *tokenizer, float *logits, guint vocab, gint top)
{
  for (gint i = 0; i < top && i < (gint)vocab; i++) {
    guint best = largest(logits, vocab);
    g_print("top %d: %u %.6f %s\n", i + 1, best, (double)logits[best],
            gem_tokenizer_token_piece(tokenizer, best));
    logits[best] = -G_MAXFLOAT;
  }
}

static void
next_logits(const GemBackboneCheckpoint *model,
            const InspectOptions *options,
            const GArray *tokens,
            GemBackbonePass *pass,
            float *logits)
{
  g_autoptr(GemBatch) batch = gem_batch_new(tokens->len);
  gem_batch_append(batch, (const guint32 *)(gpointer)tokens->data, tokens->len, GEM_ROUTE_GENERAL, 0.0f);
  memset(batch->target, 0xff, batch->n * sizeof(gint32));
  int set = model->backbone->shape.n_cluster_sets > 0 && !options->dense ? 0 : -1;
  GemLoss loss;
  gem_backbone_run(model->backbone, model->values, model->centroids->values, set, batch, 1.0f, pass, NULL,
                   NULL, &loss);
  gem_backbone_last_logits(model->backbone, model->values, batch, pass, logits);
}

static GemBackboneCheckpoint *
load_model(const char *path, GError **error)
{
  g_autoptr(GemBackboneCheckpoint) model = gem_backbone_checkpoint_load(path, LONGEST_TEXT, error);
  if (model == NULL) {
    return NULL;
  }
  if (model->tokenizer == NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--text: %s is a checkpoint and has no tokenizer; export it first", path);
    return NULL;
  }
  return g_steal_pointer(&model);
}

/* The text's tokens, if they and those that are to follow fit. */
static GArray *
encode_text(GemTokenizer *tokenizer, const InspectOptions *options, GError **error)
{
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  guint32 bos = gem_tokenizer_bos(tokenizer);
  if (!options->no_bos && bos != G_MAXUINT32) {
    g_array_append_val(tokens, bos);
  }
  if (!gem_tokenizer_encode(tokenizer, options->text, -1, tokens, NULL, error)) {
    g_prefix_error(error, "--text: ");
    return NULL;
  }
  if (tokens->len == 0 || tokens->len + (guint)options->greedy > LONGEST_TEXT) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--text: %u tokens, and --greedy=%d are to follow; 1 to %d fit", tokens->len, options->greedy,
                LONGEST_TEXT);
    return NULL;
  }
  return g_steal_pointer(&tokens);
}

static void
print_ids(const char *label, const GArray *tokens, guint first)
{
  g_print("%s:", label);
  for (guint i = first; i < tokens->len; i++) {
    g_print(" %u", g_array_index(tokens, guint32, i));
  }
  g_print("\n");
}

/* Appends the likeliest token again and again, until the end of the text or of the number wanted. */
static void
run_greedy(const GemBackboneCheckpoint *model,
           const InspectOptions *options,
           GArray *tokens,
           GemBackbonePass *pass,
           float *logits)
{
  guint n_prompt = tokens->len;
  guint32 next = G_MAXUINT32;
  for (gint i = 0; i < options->greedy && next != gem_tokenizer_eos(model->tokenizer); i++) {
    next_logits(model, options, tokens, pass, logits);
    next = largest(logits, model->backbone->shape.vocab);
    g_array_append_val(tokens, next);
  }
  print_ids("greedy", tokens, n_prompt);
  g_autofree char *text = gem_tokenizer_decode(model->tokenizer, &g_array_index(tokens, guint32, n_prompt),
                                               tokens->len - n_prompt);
  g_print("greedy text: %s\n", text);
}

static gboolean
run_text(const char *path, const InspectOptions *options, GError **error)
{
  g_autoptr(GemBackboneCheckpoint) model = gem_matmul_select("fp32", error) ? load_model(path, error) : NULL;
  g_autoptr(GArray) tokens = model != NULL ? encode_text(model->tokenizer, options, error) : NULL;
  if (tokens == NULL) {
    return FALSE;
  }
  guint vocab = model->backbone->shape.vocab;
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new(model->backbone);
  g_autofree float *logits = g_new(float, vocab);
  print_ids("tokens", tokens, 0);
  if (options->top > 0) {
    next_logits(model, options, tokens, pass, logits);
    print_top(model->tokenizer, logits, vocab, options->top);
  }
  if (options->greedy > 0) {
    run_greedy(model, options, tokens, pass, logits);
  }
  return TRUE;
}

static gboolean
parse(InspectOptions *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"text", 0, 0, G_OPTION_ARG_STRING, &self->text,
       "Show what the model makes of this text (general pathway)", "TEXT"},
      {"top", 0, 0, G_OPTION_ARG_INT, &self->top, "With --text: the N likeliest next tokens, with logits",
       "N"},
      {"greedy", 0, 0, G_OPTION_ARG_INT, &self->greedy, "With --text: N greedy tokens", "N"},
      {"dense", 0, 0, G_OPTION_ARG_NONE, &self->dense, "Attention without SCAR's mask", NULL},
      {"no-bos", 0, 0, G_OPTION_ARG_NONE, &self->no_bos, "No begin-of-text token before the text", NULL},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context = g_option_context_new("MODEL");
  g_option_context_set_summary(context, "Shows a model folder, a GGUF file or a checkpoint.");
  gem_train_options_add(context, entries);
  return gem_train_options_parse(context, argc, argv, 1, "MODEL", error) &&
         gem_train_options_check("top", self->top, 0, G_MAXINT, error) &&
         gem_train_options_check("greedy", self->greedy, 0, LONGEST_TEXT, error);
}

int
gem_train_inspect_command(int argc, char **argv)
{
  g_auto(InspectOptions) options = {.top = 5};
  g_autoptr(GError) error = NULL;
  if (!parse(&options, argc, argv, &error)) {
    return gem_train_fail("inspect", error);
  }
  const char *path = argv[1];
  gboolean done = options.text != NULL ? run_text(path, &options, &error) : print_model(path, &error);
  return done ? 0 : gem_train_fail("inspect", error);
}
