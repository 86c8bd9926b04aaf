#include "training/experiment/gem-variants.h"

#include <string.h>

#define RETRAINED .learning = GEM_VARIANT_RETRAINS
#define AS_BASE   RETRAINED, .network = "base"
#define PLAIN     .learning = GEM_VARIANT_ADAPTS, .learns = GEM_LEARNS_GENERAL, .plain = TRUE
#define AKP       .learning = GEM_VARIANT_ADAPTS, .learns = GEM_LEARNS_RESIDUAL
#define AKP_DENSE .learning = GEM_VARIANT_ADAPTS, .learns = GEM_LEARNS_GENERAL
#define BITS(n)                                                                                              \
  {                                                                                                          \
    .name = "bits-" #n, .what = "every matrix in " #n " bits, simulated", .bits = n                          \
  }
#define PRUNED(percent)                                                                                      \
  {                                                                                                          \
    .name = "pruned-" #percent, .what = #percent " % of each matrix set to 0, the smallest",                 \
    .unquantized = TRUE, .pruned = (percent) / 100.0                                                         \
  }
#define RATE(mode, suffix, value, ...)                                                                       \
  {                                                                                                          \
    .name = mode "-" suffix, .what = mode " at a peak rate of " suffix, .rate = value, __VA_ARGS__           \
  }

static const GemVariant variants[] = {
    {.name = "start", .what = "the model as it is"},
    {.name = "base", .what = "retrained with nothing changed", RETRAINED},
    {.name = "no-quantization", .what = "base in single precision", AS_BASE, .unquantized = TRUE},
    {.name = "no-scar", .what = "dense attention, retrained", RETRAINED, .dense = TRUE},
    {.name = "window-0",
     .what = "no local window: the paper's mask, retrained",
     RETRAINED,
     .paper_mask = TRUE},
    {.name = "k-8", .what = "the second set of centroids, retrained", RETRAINED, .cluster_set = 1},
    {.name = "centroids-fixed",
     .what = "centroids by chance that never move, retrained",
     RETRAINED,
     .fixed_centroids = TRUE},
    {.name = "exclusive",
     .what = "a pathway in place of the general feed-forward, as wide as both, retrained",
     RETRAINED,
     .pathway = GEM_PATHWAY_EXCLUSIVE},
    {.name = "exclusive-narrow",
     .what = "a pathway in place of the general feed-forward, no wider, retrained",
     RETRAINED,
     .pathway = GEM_PATHWAY_NARROW},
    {.name = "router-4-bit", .what = "base with the router in Q4_0", AS_BASE, .four_bits = TRUE},
    {.name = "router-anew",
     .what = "base with a router of the same size, trained anew",
     AS_BASE,
     .router = GEM_ROUTER_ANEW},
    {.name = "router-small",
     .what = "base with a router of two thirds of the size, trained as router-anew",
     AS_BASE,
     .router = GEM_ROUTER_SMALL},
    {.name = "fp32", .what = "nothing quantized", .unquantized = TRUE},
    BITS(8),
    BITS(7),
    BITS(6),
    BITS(5),
    BITS(4),
    BITS(3),
    BITS(2),
    PRUNED(10),
    PRUNED(20),
    PRUNED(30),
    PRUNED(40),
    PRUNED(50),
    PRUNED(60),
    PRUNED(70),
    PRUNED(80),
    {.name = "general-alone", .what = "the dense network before it is tuned", .general_alone = TRUE},
    {.name = "chatbot", .what = "ordinary fine-tuning of the dense network on the domain alone", PLAIN},
    {.name = "gem-adapted", .what = "the domain's residual learns, all else is frozen", AKP},
    RATE("plain", "3e-5", 3e-5, PLAIN),
    RATE("plain", "1e-4", 1e-4, PLAIN),
    RATE("plain", "3e-4", 3e-4, PLAIN),
    RATE("plain", "1e-3", 1e-3, PLAIN),
    RATE("plain", "3e-3", 3e-3, PLAIN),
    RATE("akp-dense", "1e-4", 1e-4, AKP_DENSE),
    RATE("akp-dense", "3e-4", 3e-4, AKP_DENSE),
    RATE("akp-dense", "1e-3", 1e-3, AKP_DENSE),
    RATE("akp", "3e-4", 3e-4, AKP),
    RATE("akp", "1e-3", 1e-3, AKP),
    RATE("akp", "3e-3", 3e-3, AKP),
    RATE("akp", "1e-2", 1e-2, AKP),
};

const GemVariantPlan gem_variant_plans[] = {
    {.name = "model",
     .what = "what the model is made of, each retrained from the same start on the same tokens",
     .variants = "start,base,no-quantization,no-scar,window-0,k-8,centroids-fixed,exclusive,exclusive-narrow,"
                 "router-4-bit,router-anew,router-small"},
    {.name = "bits",
     .what = "the same number of bits everywhere, 8 to 2, nothing retrained",
     .variants = "fp32,bits-8,bits-7,bits-6,bits-5,bits-4,bits-3,bits-2",
     .trend = GEM_TREND_BITS},
    {.name = "compression",
     .what = "ever more of each matrix set to 0, nothing retrained",
     .variants = "fp32,pruned-10,pruned-20,pruned-30,pruned-40,pruned-50,pruned-60,pruned-70,pruned-80",
     .trend = GEM_TREND_PRUNED},
    {.name = "chatbot",
     .what = "a model tuned on healthcare alone, in its domain and outside, beside the model with pathways",
     .variants = "start,general-alone,chatbot,gem-adapted",
     .domains = "healthcare"},
    {.name = "rates",
     .what = "the rate of each mode, by the dev score of the domain that learns",
     .variants = "start,plain-3e-5,plain-1e-4,plain-3e-4,plain-1e-3,plain-3e-3,akp-dense-1e-4,akp-dense-3e-4,"
                 "akp-dense-1e-3,akp-3e-4,akp-1e-3,akp-3e-3,"
                 "akp-1e-2",
     .domains = "healthcare,legal",
     .own_only = TRUE},
};
const gsize gem_variant_n_plans = G_N_ELEMENTS(gem_variant_plans);

const GemVariant *
gem_variant_find(const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS(variants); i++) {
    if (strcmp(variants[i].name, name) == 0) {
      return &variants[i];
    }
  }
  return NULL;
}

gboolean
gem_variant_is_dense_network(const GemVariant *self)
{
  return self->general_alone || (self->learning == GEM_VARIANT_ADAPTS && self->learns == GEM_LEARNS_GENERAL);
}

GemExportTypes
gem_variant_types(const GemVariant *variant, const GemExportTypes *types)
{
  if (variant->unquantized || variant->plain) {
    return (GemExportTypes){GEM_TYPE_F32, GEM_TYPE_F32, GEM_TYPE_F32, GEM_TYPE_F32};
  }
  GemExportTypes own = *types;
  own.router = variant->four_bits ? GEM_TYPE_Q4_0 : own.router;
  return own;
}
