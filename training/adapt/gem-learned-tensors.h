/*
 * The tensors of a backbone that learn in an adaptation, as a set of their own: masters in single precision,
 * gradients and moments are as large as what learns, not as the network. The network's own array holds what
 * runs: the masters as their files' block type will have them (fake quantization: the gradient passes
 * straight through), or as they are.
 */
#pragma once

#include "training/arithmetic/gem-lanes.h"
#include "training/network/gem-backbone.h"
#include "training/network/gem-model-export.h"

typedef enum {
  GEM_LEARNS_RESIDUAL, /* a domain's residual; the backbone is frozen */
  GEM_LEARNS_GENERAL,  /* the general part, through which all text runs: a dense network without domains */
  GEM_LEARNS_ALL,      /* the general part and a domain's residual, through which its text runs */
} GemLearns;

typedef struct {
  const GemBackbone *backbone;
  GemParameters *parameters; /* what learns, under the names and parts it has in the backbone */
  GemGradientMap map;        /* into an array of `parameters` */
  gsize *from;               /* [items] offsets in the backbone's values */
  GemType *types;            /* [items] of the files */
} GemLearnedTensors;

GemLearnedTensors *
gem_learned_tensors_new(const GemBackbone *backbone,
                        GemLearns learns,
                        gint8 domain,
                        const GemExportTypes *types);
void
gem_learned_tensors_free(GemLearnedTensors *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedTensors, gem_learned_tensors_free)

/* The masters from the backbone's values. */
void
gem_learned_tensors_take(const GemLearnedTensors *self, const float *values, float *masters);

/* The masters into the backbone's values, through their block types when `quantized`; lanes share the work.
 */
void
gem_learned_tensors_put(
    const GemLearnedTensors *self, const float *masters, gboolean quantized, GemLanes *lanes, float *values);

/* For masters `first` to `end`, whose quantized form is in `values`: returns sum (w - Q(w))^2 and adds factor
 * * 2 (w - Q(w)), its gradient where Q is held, to out[first .. end), which is laid out as the masters. */
double
gem_learned_tensors_quantization(const GemLearnedTensors *self,
                                 const float *masters,
                                 const float *values,
                                 gsize first,
                                 gsize end,
                                 double factor,
                                 float *out);
