/*
 * From logits to the next token: greedy, or drawn after temperature, top-k and top-p with a generator of its
 * own, so that the same seed gives the same text everywhere. The vocabulary is never sorted: a few counts
 * over it (the kernels tally and gather) find how likely a token must be.
 */
#pragma once

#include <glib.h>

typedef struct GemSampler GemSampler;

/* temperature 0: greedy, the rest is ignored. top_k 0 and top_p 1: off. */
GemSampler *
gem_sampler_new(double temperature, guint top_k, double top_p, guint64 seed);
void
gem_sampler_free(GemSampler *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemSampler, gem_sampler_free)

/* The id, 0..n - 1, of the token chosen from logits [n]; the lowest id wins a tie. Top-p keeps the smallest
 * set of likeliest tokens whose share of what top-k left is at least top_p. FALSE when no logit is a number
 * that is finite. */
gboolean
gem_sampler_pick(GemSampler *self, const float *logits, guint n, guint32 *ret_token);

/* The sampler's generator, xoshiro256** seeded by splitmix64: a double in [0, 1). */
double
gem_sampler_next_uniform(GemSampler *self);
