/*
 * A batch of sequences of different lengths, one after another ("ragged"): sequence s holds tokens start[s]
 * .. start[s + 1] - 1. Attention never crosses from one sequence to the next.
 */
#pragma once

#include "training/gem-forks.h"

#define GEM_ROUTE_GENERAL (-1)

typedef struct {
  gsize capacity;      /* tokens that the arrays hold */
  gsize n;             /* tokens in use */
  guint32 *token;      /* [n] */
  gint32 *target;      /* [n] the class wanted: the next token, or the domain; -1: none */
  float *weight;       /* [n] of the token's loss */
  guint32 *position;   /* [n] in its sequence */
  gint8 *route;        /* [n] index of the domain, or GEM_ROUTE_GENERAL */
  guint32 *prefix;     /* [n_sequences] router only: the first `prefix` tokens see each other both ways */
  GemForks *forks;     /* rows (`at`) whose target is to be told from other tokens, rising */
  GArray *fork_weight; /* float, of each fork's loss */
  GArray *start;       /* guint32, n_sequences + 1 values, the first is 0 */
} GemBatch;

GemBatch *
gem_batch_new(gsize capacity);
/* Wipes the tokens. */
void
gem_batch_free(GemBatch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBatch, gem_batch_free)

void
gem_batch_clear(GemBatch *self);
gsize
gem_batch_n_sequences(const GemBatch *self);
/* Free tokens. */
gsize
gem_batch_room(const GemBatch *self);

/* Appends one sequence of `n` tokens, all of one route; targets are the next tokens with weight `weight`, the
 * last has none. n <= room. */
void
gem_batch_append(GemBatch *self, const guint32 *tokens, gsize n, gint8 route, float weight);

/* The target of `row`, which is not before the last such row, is to be told from the `n` tokens `others`. */
void
gem_batch_add_fork(GemBatch *self, guint32 row, const guint32 *others, guint32 n, float weight);

/* Sum of the weights of all tokens that have a target, and of all forks. */
double
gem_batch_total_weight(const GemBatch *self);
