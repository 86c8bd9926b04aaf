#include "training/experiment/gem-experiment-variations.h"

#include <string.h>

#define WEIGHTS  .distill = -1.0, .contrast = -1.0
#define TERM     .term = GEM_QUANTIZATION_DECOUPLED
#define WINDOW   .window = -1
#define DEFAULTS WINDOW, TERM, WEIGHTS

/* What an adaptation is here: a frozen backbone, a residual, the router's row. */
#define FROZEN .learns = GEM_LEARNS_RESIDUAL, .row = TRUE
#define AKP    DEFAULTS, FROZEN

static const GemExperimentVariation variations[] = {
    {.name = "plain",
     .what = "ordinary fine-tuning of the whole dense network",
     DEFAULTS,
     .learns = GEM_LEARNS_GENERAL,
     .plain = TRUE},
    {.name = "akp-dense",
     .what = "the losses on the unfrozen dense network, as in the paper",
     DEFAULTS,
     .learns = GEM_LEARNS_GENERAL},
    {.name = "akp", .what = "frozen backbone, residual, the losses, the router's row", AKP},
    {.name = "plain-routed",
     .what = "task loss alone on general part and residual, labels for routes",
     DEFAULTS,
     .learns = GEM_LEARNS_ALL,
     .plain = TRUE},
    {.name = "frozen-plain", .what = "frozen backbone and residual, task loss alone", AKP, .plain = TRUE},
    {.name = "akp-label",
     .what = "as akp, labels for routes, the router as it was",
     DEFAULTS,
     .learns = GEM_LEARNS_RESIDUAL},
    {.name = "no-preservation", .what = "akp without distillation and contrast", WINDOW, TERM, FROZEN},
    {.name = "no-distillation", .what = "akp without distillation", WINDOW, TERM, .contrast = -1.0, FROZEN},
    {.name = "no-contrast", .what = "akp without contrast", WINDOW, TERM, .distill = -1.0, FROZEN},
    {.name = "no-quantization", .what = "akp without quantization", AKP, .unquantized = TRUE},
    {.name = "quantization-gradient",
     .what = "akp, the quantization term inside the gradient",
     WINDOW,
     WEIGHTS,
     FROZEN,
     .term = GEM_QUANTIZATION_GRADIENT},
    {.name = "quantization-forward",
     .what = "akp, quantized forward without the term",
     WINDOW,
     WEIGHTS,
     FROZEN,
     .term = GEM_QUANTIZATION_NONE},
    {.name = "dense-no-preservation",
     .what = "akp-dense without distillation and contrast",
     .against = "akp-dense",
     WINDOW,
     TERM,
     .learns = GEM_LEARNS_GENERAL},
    {.name = "dense-no-quantization",
     .what = "akp-dense without quantization",
     .against = "akp-dense",
     DEFAULTS,
     .learns = GEM_LEARNS_GENERAL,
     .unquantized = TRUE},
    {.name = "no-scar", .what = "akp with dense attention", AKP, .dense = TRUE},
    {.name = "window-0",
     .what = "akp without a local window: the paper's mask",
     TERM,
     WEIGHTS,
     FROZEN,
     .window = 0},
    {.name = "k-8", .what = "akp with the second set of centroids", AKP, .cluster_set = 1},
};

const GemExperimentPlan gem_experiment_plans[] = {
    {"forgetting", "sequential adaptation: what freezing gives and what the losses give",
     "plain,akp-dense,akp", FALSE},
    {"losses", "sequential adaptation of the residual: each loss left out",
     "frozen-plain,akp,no-preservation,no-distillation,no-contrast", FALSE},
    {"quantization", "the quantization term: none, decoupled, inside the gradient",
     "no-quantization,quantization-forward,akp,quantization-gradient", FALSE},
    {"ablations", "the paper's Table 5: without SCAR, without quantization, without knowledge preservation",
     "akp,no-scar,no-quantization,no-preservation,akp-dense,dense-no-quantization,dense-no-preservation",
     TRUE},
    {"attention", "SCAR's choices under adaptation: dense, window 0, k = 8", "akp,no-scar,window-0,k-8",
     TRUE},
};
const gsize gem_experiment_n_plans = G_N_ELEMENTS(gem_experiment_plans);

const GemExperimentVariation *
gem_experiment_variation_find(const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS(variations); i++) {
    if (strcmp(variations[i].name, name) == 0) {
      return &variations[i];
    }
  }
  return NULL;
}

void
gem_experiment_variation_apply(const GemExperimentVariation *self, GemAdaptOptions *options)
{
  GemAdaptOptions defaults;
  gem_adapt_options_init(&defaults, self->learns);
  options->learns = self->learns;
  options->rate = options->rate > 0.0 ? options->rate : defaults.rate;
  options->cluster_set = self->dense ? -1 : self->cluster_set;
  options->distill = self->distill >= 0.0 ? self->distill : defaults.distill;
  options->contrast = self->contrast >= 0.0 ? self->contrast : defaults.contrast;
  options->quantized = !self->unquantized;
  options->quantization_term = self->unquantized ? GEM_QUANTIZATION_NONE : self->term;
  if (self->plain) {
    gem_adapt_options_make_plain(options);
  }
}

GemVariant
gem_experiment_variation_variant(const GemExperimentVariation *self)
{
  return (GemVariant){.name = self->name,
                      .learning = GEM_VARIANT_ADAPTS,
                      .learns = self->learns,
                      .dense = self->dense,
                      .paper_mask = self->window == 0,
                      .cluster_set = self->cluster_set};
}

GemExportTypes
gem_experiment_variation_types(const GemExperimentVariation *self, const GemExportTypes *types)
{
  GemExportTypes own = *types;
  if (self->plain || self->unquantized) {
    own.domain = GEM_TYPE_F32;
    if (self->learns != GEM_LEARNS_RESIDUAL) {
      own.general = own.attention = GEM_TYPE_F32;
    }
  }
  return own;
}
