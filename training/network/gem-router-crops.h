/*
 * What the router is trained on: crops of a document's text, cut as callers cut theirs. All labels of a crop
 * are the document's domain, or none.
 */
#pragma once

#include "training/text/gem-corpus.h"

#define GEM_ROUTER_SHORTEST_CROP 4u
#define GEM_ROUTER_LONGEST_CROP  128u

typedef struct GemRouterCrops GemRouterCrops;

/* Keeps a reference to the tokenizer. Errors: those of gem_tokenizer_encode_template. */
GemRouterCrops *
gem_router_crops_new(GemTokenizer *tokenizer, const char *ask_template, GError **error);
void
gem_router_crops_free(GemRouterCrops *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRouterCrops, gem_router_crops_free)

/* Appends one crop of a draw of GEM_ROUTER_SHORTEST_CROP tokens or more, as far as it fits. Any thread. */
void
gem_router_crops_append(const GemRouterCrops *self, GemBatch *batch, const GemDraw *draw, GemRandom *random);
