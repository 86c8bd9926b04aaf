/* The model that a domain is learned on, as its files say it: a learned file fits no other. */
#pragma once

#include "adaptation/gem-adapt-packet.h"

typedef struct {
  char *folder;
  char *general_sha256, *router_sha256; /* as its manifest has them */
  char *identity;                       /* both, ':' between */
} GemLearnedModel;

/* Of the model at `folder`, counted by reference (atomic), by what was read when it was loaded: whatever
 * becomes of its files, it is known which model is served. NULL for a hash: it has no such file.
 * NOT_SUPPORTED for one that has no router, and so nothing that could route to a learned domain. */
GemLearnedModel *
gem_learned_model_new(const char *folder,
                      const char *general_sha256,
                      const char *router_sha256,
                      GError **error);
GemLearnedModel *
gem_learned_model_ref(GemLearnedModel *self);
void
gem_learned_model_unref(GemLearnedModel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedModel, gem_learned_model_unref)

/* Opens general part, router and pathways for reading, and puts them into `start`. Hashes the files: not on
 * the main loop. A pathway that does not hold is left out, as the service does. MODEL when the others are no
 * longer those that the model was loaded from, FAILED when that cannot be told now. */
gboolean
gem_learned_model_open(const GemLearnedModel *self, GemAdaptStart *start, GError **error);
