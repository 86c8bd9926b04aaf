/* `gem-train export`: checkpoints to a model folder, quantized. */
#include <string.h>

#include "training/gem-checkpoint.h"
#include "training/gem-model-export.h"
#include "training/gem-train.h"

typedef struct {
  char *backbone, *router, *tokenizer, *name, *output, *types;
} ExportOptions;

static gboolean
parse_types(const char *text, GemExportTypes *types, GError **error)
{
  g_auto(GStrv) pairs = g_strsplit(text, ",", -1);
  for (guint i = 0; pairs[i] != NULL; i++) {
    g_auto(GStrv) pair = g_strsplit(pairs[i], "=", 2);
    GemType *type = g_strcmp0(pair[0], "general") == 0     ? &types->general
                    : g_strcmp0(pair[0], "attention") == 0 ? &types->attention
                    : g_strcmp0(pair[0], "router") == 0    ? &types->router
                    : g_strcmp0(pair[0], "domain") == 0    ? &types->domain
                                                           : NULL;
    if (type == NULL || pair[1] == NULL || !gem_type_from_name(pair[1], type)) {
      g_set_error(
          error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
          "--types: '%s'; expected general, attention, router or domain = F32, F16, Q8_0, Q6_K or Q4_0",
          pairs[i]);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
export_model(const ExportOptions *options, GError **error)
{
  GemExportTypes types = gem_export_types_default;
  if (options->types != NULL && !parse_types(options->types, &types, error)) {
    return FALSE;
  }
  g_autoptr(GemBackboneCheckpoint) backbone = gem_backbone_checkpoint_load(options->backbone, 1, error);
  if (backbone == NULL) {
    return FALSE;
  }
  g_autoptr(GemRouterCheckpoint) router = NULL;
  if (backbone->backbone->shape.n_domains > 0) {
    router = options->router != NULL ? gem_router_checkpoint_load(options->router, 1, error) : NULL;
    if (router == NULL) {
      if (options->router == NULL) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s has domains: --router is needed",
                    options->backbone);
      }
      return FALSE;
    }
  }
  g_autoptr(GemTokenizer) tokenizer = gem_checkpoint_open_tokenizer(options->tokenizer, error);
  if (tokenizer == NULL) {
    return FALSE;
  }
  GemExport export = {.backbone = backbone->backbone,
                      .values = backbone->values,
                      .centroids = backbone->centroids,
                      .router = router ? router->network : NULL,
                      .router_values = router ? router->values : NULL,
                      .tokenizer = tokenizer,
                      .name = options->name};
  return gem_model_export(&export, &types, options->output, error);
}

int
gem_train_export_command(int argc, char **argv)
{
  ExportOptions o = {0};
  const GOptionEntry entries[] = {
      {"backbone", 0, 0, G_OPTION_ARG_FILENAME, &o.backbone, "Checkpoint of pretrain", "FILE"},
      {"router", 0, 0, G_OPTION_ARG_FILENAME, &o.router, "Checkpoint of router", "FILE"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &o.tokenizer, "A .gguf or SentencePiece .model file",
       "FILE"},
      {"name", 0, 0, G_OPTION_ARG_STRING, &o.name, "The model's name", "NAME"},
      {"output", 0, 0, G_OPTION_ARG_FILENAME, &o.output, "The folder to write", "DIR"},
      {"types", 0, 0, G_OPTION_ARG_STRING, &o.types, "general=Q8_0,attention=Q6_K,router=Q6_K,domain=Q4_0",
       "PART=TYPE,..."},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GError) error = NULL;
  if (!gem_train_parse(&argc, &argv, entries,
                       "--backbone FILE --router FILE --tokenizer FILE --name NAME --output DIR",
                       "Writes a model folder from checkpoints; each part in its own number of bits.")) {
    return 2;
  }
  if (o.backbone == NULL || o.tokenizer == NULL || o.name == NULL || o.output == NULL) {
    g_printerr("gem-train export: --backbone, --tokenizer, --name and --output are needed; see --help\n");
    return 2;
  }
  gboolean done = export_model(&o, &error);
  g_free(o.backbone);
  g_free(o.router);
  g_free(o.tokenizer);
  g_free(o.name);
  g_free(o.output);
  g_free(o.types);
  return done ? 0 : gem_train_fail("export", error);
}
