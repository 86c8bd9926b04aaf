/* `gem-train init`: a model folder with random weights, of any shape and type, for tests and benchmarks. */
#include "training/gem-checkpoint.h"
#include "training/gem-model-export.h"
#include "training/gem-presets.h"
#include "training/gem-train.h"

typedef struct {
  char *preset, *shape, *name, *output, *tokenizer, *type;
  gint64 seed;
} InitOptions;

static gboolean
init_model(const InitOptions *options, GError **error)
{
  g_auto(GemPreset) preset = {0};
  GemExportTypes types = gem_export_types_default;
  if (!gem_preset_get(options->preset, &preset, error) ||
      (options->shape && !gem_preset_apply_shape(&preset, options->shape, error))) {
    return FALSE;
  }
  if (options->type != NULL) {
    if (!gem_type_from_name(options->type, &types.general)) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                  "--type=%s: expected F32, F16, Q8_0, Q6_K or Q4_0", options->type);
      return FALSE;
    }
    types.attention = types.router = types.domain = types.general;
  }
  g_autoptr(GemTokenizer) tokenizer = NULL;
  if (options->tokenizer != NULL) {
    tokenizer = gem_checkpoint_open_tokenizer(options->tokenizer, error);
    if (tokenizer == NULL) {
      return FALSE;
    }
    preset.general.vocab = preset.router.vocab = gem_tokenizer_n_tokens(tokenizer);
  }
  g_autoptr(GemRouterNetwork) router =
      preset.router.n_domains > 0 ? gem_router_network_new(&preset.router, gem_preset_domains, 1) : NULL;
  g_autoptr(GemBackbone) backbone = gem_backbone_new(&preset.general, 1);
  g_autoptr(GemCentroids) centroids = gem_centroids_new(backbone, (guint64)options->seed);
  float *values = gem_parameters_alloc(backbone->parameters), *router_values = NULL;
  gem_parameters_init(backbone->parameters, (guint64)options->seed, values);
  if (router != NULL) {
    router_values = gem_parameters_alloc(router->parameters);
    gem_parameters_init(router->parameters, (guint64)options->seed, router_values);
  }
  GemExport export = {.backbone = backbone,
                      .values = values,
                      .centroids = centroids,
                      .router = router,
                      .router_values = router_values,
                      .tokenizer = tokenizer,
                      .name = options->name ? options->name : options->preset};
  gboolean done = gem_model_export(&export, &types, options->output, error);
  g_aligned_free(values);
  g_clear_pointer(&router_values, g_aligned_free);
  return done;
}

int
gem_train_init_command(int argc, char **argv)
{
  InitOptions o = {.seed = 1};
  const GOptionEntry entries[] = {
      {"preset", 0, 0, G_OPTION_ARG_STRING, &o.preset, "gem-mini (default), gem-80m or gem-tiny", "NAME"},
      {"shape", 0, 0, G_OPTION_ARG_STRING, &o.shape, "Changes to the preset: width=128,layers=2,...",
       "KEY=N,..."},
      {"type", 0, 0, G_OPTION_ARG_STRING, &o.type,
       "One block type for all parts (by part: 8, 6, 6 and 4 bits)", "TYPE"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &o.tokenizer,
       "A .gguf or .model file (bytes alone without it)", "FILE"},
      {"name", 0, 0, G_OPTION_ARG_STRING, &o.name, "The model's name (the preset's)", "NAME"},
      {"output", 0, 0, G_OPTION_ARG_FILENAME, &o.output, "The folder to write", "DIR"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &o.seed, "Of the weights (1)", "N"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GError) error = NULL;
  if (!gem_train_parse(&argc, &argv, entries, "--output DIR",
                       "Writes a model folder with random weights, for tests and benchmarks.")) {
    return 2;
  }
  if (o.output == NULL) {
    g_printerr("gem-train init: --output is needed; see --help\n");
    return 2;
  }
  o.preset = o.preset ? o.preset : g_strdup("gem-mini");
  gboolean done = init_model(&o, &error);
  g_free(o.preset);
  g_free(o.shape);
  g_free(o.type);
  g_free(o.tokenizer);
  g_free(o.name);
  g_free(o.output);
  return done ? 0 : gem_train_fail("init", error);
}
