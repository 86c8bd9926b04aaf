/* `gem-train init`: a model folder or a Llama-architecture file with random weights, of any shape and type,
 * for tests and benchmarks. */
#include "training/commands/gem-train-options.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-checkpoint.h"
#include "training/network/gem-model-export.h"
#include "training/network/gem-progress.h"

typedef struct {
  char *preset, *shape, *name, *output, *tokenizer, *type;
  gint64 seed;
  gboolean llama, loud;
} InitOptions;

static void
init_options_clear(InitOptions *self)
{
  g_free(self->preset);
  g_free(self->shape);
  g_free(self->name);
  g_free(self->output);
  g_free(self->tokenizer);
  g_free(self->type);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(InitOptions, init_options_clear)

static gboolean
parse_type(const char *text, GemExportTypes *types, GError **error)
{
  GemType type;
  if (!gem_type_from_name(text, &type)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--type=%s: expected F32, F16, Q8_0, Q6_K or Q4_0", text);
    return FALSE;
  }
  *types = (GemExportTypes){type, type, type, type};
  return TRUE;
}

/* The deviation of what starts with zeros, when it is to be heard. */
#define LOUD_DEVIATION 0.02f

static void
make_loud(const GemParameters *parameters)
{
  for (guint i = 0; i < parameters->items->len; i++) {
    GemParameter *parameter = parameters->items->pdata[i];
    if (parameter->deviation == 0.0f) {
      parameter->deviation = LOUD_DEVIATION;
    }
  }
}

static float *
random_values(const GemParameters *parameters, gint64 seed)
{
  float *values = gem_parameters_alloc(parameters);
  gem_parameters_init(parameters, (guint64)seed, values);
  return values;
}

/* Takes over the preset's shape. */
static gboolean
write_random(const InitOptions *options,
             GemPreset *preset,
             GemTokenizer *tokenizer,
             const GemExportTypes *types,
             GError **error)
{
  g_autoptr(GemRouterNetwork) router =
      preset->router.n_domains > 0
          ? gem_router_network_new(&preset->router, (const char *const *)preset->general.domains, 1)
          : NULL;
  g_autoptr(GemBackbone) backbone = gem_backbone_new(&preset->general, 1);
  g_autoptr(GemCentroids) centroids = gem_centroids_new(backbone, (guint64)options->seed);
  if (options->loud) {
    make_loud(backbone->parameters);
  }
  float *values = random_values(backbone->parameters, options->seed);
  float *router_values = router != NULL ? random_values(router->parameters, options->seed) : NULL;
  const char *preset_name = options->preset != NULL ? options->preset : GEM_PRESET_DEFAULT;
  gem_progress_take_signals(); /* what is half written goes */
  const GemExport export = {.backbone = backbone,
                            .values = values,
                            .centroids = centroids,
                            .router = router,
                            .router_values = router_values,
                            .tokenizer = tokenizer,
                            .name = options->name != NULL ? options->name : preset_name};
  gboolean done = options->llama ? gem_model_export_llama(&export, types, options->output, error)
                                 : gem_model_export(&export, types, options->output, error);
  g_aligned_free(values);
  g_clear_pointer(&router_values, g_aligned_free);
  return done;
}

static gboolean
init_model(const InitOptions *options, GError **error)
{
  g_auto(GemPreset) preset = {0};
  GemExportTypes types = gem_export_types_default;
  if (!gem_preset_get_shaped(options->preset, options->shape, &preset, error) ||
      (options->type != NULL && !parse_type(options->type, &types, error))) {
    return FALSE;
  }
  g_autoptr(GemTokenizer) tokenizer = NULL;
  if (options->tokenizer != NULL) {
    tokenizer = gem_checkpoint_open_tokenizer(options->tokenizer, error);
    if (tokenizer == NULL) {
      return FALSE;
    }
    preset.general.vocab = preset.router.vocab = gem_tokenizer_n_tokens(tokenizer);
  }
  return write_random(options, &preset, tokenizer, &types, error);
}

static gboolean
parse(InitOptions *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"preset", 0, 0, G_OPTION_ARG_STRING, &self->preset, "gem-mini (default), gem-80m or gem-tiny", "NAME"},
      {"shape", 0, 0, G_OPTION_ARG_STRING, &self->shape, "Changes to the preset: width=128,layers=2,...",
       "KEY=N,..."},
      {"type", 0, 0, G_OPTION_ARG_STRING, &self->type,
       "One block type for all parts (by part: 8, 6, 6 and 4 bits)", "TYPE"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &self->tokenizer,
       "A .gguf or .model file (bytes alone without it)", "FILE"},
      {"name", 0, 0, G_OPTION_ARG_STRING, &self->name, "The model's name (the preset's)", "NAME"},
      {"output", 0, 0, G_OPTION_ARG_FILENAME, &self->output, "The folder to write", "DIR"},
      {"llama", 0, 0, G_OPTION_ARG_NONE, &self->llama,
       "Write the general part alone, as one GGUF file of Llama architecture: --output names it", NULL},
      {"loud", 0, 0, G_OPTION_ARG_NONE, &self->loud,
       "Random weights in the domains' residuals too, which start silent: each changes what is answered",
       NULL},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &self->seed, "Of the weights", "N"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context = g_option_context_new("--output DIR");
  g_option_context_set_summary(context, "Writes a model with random weights, for tests and benchmarks.");
  gem_train_options_add(context, entries);
  return gem_train_options_parse(context, argc, argv, 0, NULL, error) &&
         gem_train_options_need("output", self->output, error) &&
         (!self->llama || gem_train_options_check_apart(self->output, error)) &&
         gem_train_options_check("seed", (double)self->seed, 0, GEM_TRAIN_MOST_SEED, error);
}

int
gem_train_init_command(int argc, char **argv)
{
  g_auto(InitOptions) options = {.seed = 1};
  g_autoptr(GError) error = NULL;
  gboolean done = parse(&options, argc, argv, &error) && init_model(&options, &error);
  return done ? 0 : gem_train_fail("init", error);
}
