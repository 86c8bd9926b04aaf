/*
 * A batch of sequences of different lengths, one after another ("ragged"): sequence s holds tokens start[s]
 * .. start[s + 1] - 1. Attention never crosses from one sequence to the next.
 */
#pragma once

#include "training/text/gem-forks.h"

#define GEM_ROUTE_GENERAL (-1)

/* Sequences that begin with the same `answer` tokens and go on with one choice each, whose tokens' mean log
 * likelihoods are to tell the first, which is right, from the others. */
typedef struct {
  guint32 sequence; /* the first */
  guint32 n;        /* sequences, 2 or more */
  guint32 answer;   /* index of the choice's first token in each of them, 1 or more */
  float weight;     /* of its loss */
} GemContest;

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
  GArray *contests;    /* GemContest, by sequence */
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

/* The last `n` >= 2 sequences are choices after the same `answer` >= 1 tokens; the first of them is right. */
void
gem_batch_add_contest(GemBatch *self, guint32 n, guint32 answer, float weight);

/* Sum of the weights of all tokens that have a target, of all forks and of all contests. */
double
gem_batch_total_weight(const GemBatch *self);
