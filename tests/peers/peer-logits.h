/* What the two programs say of a step's logits, in the same words, so that they can be compared. Plain C. */
#pragma once

#include <stdint.h>

typedef struct {
  int32_t best;     /* the first of the largest; -1: none is finite */
  float top;        /* its logit */
  float second;     /* the largest of the others */
  double deviation; /* the standard deviation of all */
} GemPeerLogits;

/* Of logits [n], n >= 2. */
GemPeerLogits
gem_peer_logits_read(const float *logits, unsigned n);

/* Writes "prompt ID ID ..." and "token ID TOP SECOND DEVIATION" lines on standard output. */
void
gem_peer_logits_print_prompt(const int32_t *tokens, unsigned n);
void
gem_peer_logits_print(const GemPeerLogits *self);
