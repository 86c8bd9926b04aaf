/* `gem-train export`: checkpoints to a model folder, or to a Llama-architecture file, quantized. */
#include <string.h>

#include "training/commands/gem-train-options.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-checkpoint.h"
#include "training/network/gem-model-export.h"
#include "training/network/gem-progress.h"

typedef struct {
  char *backbone, *router, *tokenizer, *name, *output, *types;
  gboolean llama, all_licences;
} ExportOptions;

static void
export_options_clear(ExportOptions *self)
{
  g_free(self->backbone);
  g_free(self->router);
  g_free(self->tokenizer);
  g_free(self->name);
  g_free(self->output);
  g_free(self->types);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ExportOptions, export_options_clear)

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

/* The router that the model needs, if it has domains and they are wanted. */
static gboolean
load_router(const ExportOptions *options,
            const GemModelShape *shape,
            GemRouterCheckpoint **ret_router,
            GError **error)
{
  if (shape->n_domains == 0 || options->llama) {
    *ret_router = NULL;
    return TRUE;
  }
  if (options->router == NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s has domains: --router is needed",
                options->backbone);
    return FALSE;
  }
  g_autoptr(GemRouterCheckpoint) router = gem_router_checkpoint_load(options->router, 1, error);
  if (router == NULL ||
      !gem_checkpoint_check_licences(router->all_licences, options->all_licences, options->router, error) ||
      !gem_router_checkpoint_check(router, options->router, shape, options->backbone, error)) {
    return FALSE;
  }
  *ret_router = g_steal_pointer(&router);
  return TRUE;
}

/* The router's file when it is to be written as it is: a model's own, and no other type is asked for. */
static const char *
find_router_file(const ExportOptions *options, const GemRouterCheckpoint *router)
{
  gboolean typed = options->types != NULL && strstr(options->types, "router=") != NULL;
  return router != NULL && router->is_exported && !typed ? options->router : NULL;
}

static gboolean
export_model(const ExportOptions *options, GError **error)
{
  GemExportTypes types = gem_export_types_default;
  g_autoptr(GemRouterCheckpoint) router = NULL;
  if (options->types != NULL && !parse_types(options->types, &types, error)) {
    return FALSE;
  }
  g_autoptr(GemBackboneCheckpoint) backbone = gem_backbone_checkpoint_load(options->backbone, 1, error);
  if (backbone == NULL ||
      !gem_checkpoint_check_licences(backbone->all_licences, options->all_licences, options->backbone,
                                     error) ||
      !load_router(options, &backbone->backbone->shape, &router, error)) {
    return FALSE;
  }
  g_autoptr(GemTokenizer) tokenizer = gem_checkpoint_open_tokenizer(options->tokenizer, error);
  if (tokenizer == NULL ||
      !gem_checkpoint_check_vocabulary(tokenizer, options->tokenizer, backbone->backbone->shape.vocab,
                                       options->backbone, error)) {
    return FALSE;
  }
  gem_progress_take_signals(); /* what is half written goes */
  const GemExport export = {.backbone = backbone->backbone,
                            .values = backbone->values,
                            .centroids = backbone->centroids,
                            .router = router ? router->network : NULL,
                            .router_values = router ? router->values : NULL,
                            .router_file = find_router_file(options, router),
                            .tokenizer = tokenizer,
                            .name = options->name,
                            .all_licences = backbone->all_licences || (router && router->all_licences)};
  return options->llama ? gem_model_export_llama(&export, &types, options->output, error)
                        : gem_model_export(&export, &types, options->output, error);
}

static gboolean
parse(ExportOptions *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"backbone", 0, 0, G_OPTION_ARG_FILENAME, &self->backbone, "Checkpoint of pretrain, or a model folder",
       "FILE"},
      {"router", 0, 0, G_OPTION_ARG_FILENAME, &self->router,
       "Checkpoint of router, or a model's router.gguf, which stays as it is", "FILE"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &self->tokenizer, "A .gguf or SentencePiece .model file",
       "FILE"},
      {"name", 0, 0, G_OPTION_ARG_STRING, &self->name, "The model's name", "NAME"},
      {"output", 0, 0, G_OPTION_ARG_FILENAME, &self->output, "The folder to write", "DIR"},
      {"llama", 0, 0, G_OPTION_ARG_NONE, &self->llama,
       "Write the general part alone, as one GGUF file of Llama architecture: --output names it", NULL},
      {"types", 0, 0, G_OPTION_ARG_STRING, &self->types,
       "general=Q8_0,attention=Q6_K,router=Q6_K,domain=Q4_0", "PART=TYPE,..."},
      {"all-licences", 0, 0, G_OPTION_ARG_NONE, &self->all_licences,
       "Also what has learned from tasks that are not permissive: for measuring, never to ship", NULL},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context =
      g_option_context_new("--backbone FILE --router FILE --tokenizer FILE --name NAME --output DIR");
  g_option_context_set_summary(
      context, "Writes a model folder from checkpoints; each part in its own number of bits.");
  gem_train_options_add(context, entries);
  return gem_train_options_parse(context, argc, argv, 0, NULL, error) &&
         gem_train_options_need("backbone", self->backbone, error) &&
         gem_train_options_need("tokenizer", self->tokenizer, error) &&
         gem_train_options_need("name", self->name, error) &&
         gem_train_options_need("output", self->output, error) &&
         (!self->llama || (gem_train_options_check_other(self->output, self->backbone, error) &&
                           gem_train_options_check_other(self->output, self->tokenizer, error) &&
                           gem_train_options_check_apart(self->output, error)));
}

int
gem_train_export_command(int argc, char **argv)
{
  g_auto(ExportOptions) options = {0};
  g_autoptr(GError) error = NULL;
  gboolean done = parse(&options, argc, argv, &error) && export_model(&options, &error);
  return done ? 0 : gem_train_fail("export", error);
}
