/*
 * The arithmetic of the forward pass. One table of functions per instruction set; `gem_kernels_reference` is
 * the plain C one that all others are checked against. Row-major everywhere: a matrix of [n][d] is n rows of
 * d floats. Nothing here allocates, fails, locks or knows GLib.
 */
#pragma once

#include "kernels/gem-types.h"

/* Keys or values of one layer of one sequence: row j starts at data + j * row_bytes and holds kv_heads *
 * head_dim values of `type` (F32, F16 or Q8_0); head h starts at h * head_bytes in it. */
typedef struct {
  GemType type;
  const uint8_t *data;
  size_t row_bytes;
  size_t head_bytes;
} GemKvRows;

typedef struct {
  const char *name; /* "reference", "avx512", ... */

  /* y[n][rows] = x[n][cols] W^T, W stored as `rows` rows of `cols` values of `type`. */
  void (*linear)(
      GemType type, const void *weights, size_t rows, size_t cols, const float *x, size_t n, float *y);

  /* y[n][d] = x / sqrt(mean(x^2) + eps) * weight[d]; y may be x. */
  void (*rms_norm)(const float *x, const float *weight, size_t n, size_t d, float eps, float *y);

  /* Rotates pairs (2i, 2i + 1) of the first `rope_dim` values of each head by positions[row] *
   * base^(-2i/rope_dim). x is [n][heads][head_dim]. */
  void (*rope)(float *x,
               const uint32_t *positions,
               size_t n,
               size_t heads,
               size_t head_dim,
               size_t rope_dim,
               float base);

  /* x[n] becomes exp(x - max) / sum; n >= 1. */
  void (*softmax)(float *x, size_t n);

  /* out[count] = silu(gate) * up; out may be gate. */
  void (*swiglu)(const float *gate, const float *up, size_t count, float *out);

  /* x[count] becomes 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
  void (*gelu)(float *x, size_t count);

  /* cluster[i] = argmax_j cos(u[i], centroids[j]); u is [n][d], centroids [k][d] of unit length, k <= 256;
   * the lowest j wins a tie. The paper's SCAR, section on sparse cross-attention: d(x, mu) = 1 -
   * x.mu/(|x||mu|). */
  void (*scar_assign)(const float *u, size_t n, size_t d, const float *centroids, size_t k, uint8_t *cluster);

  /* One query row over gathered keys: out[heads][head_dim] = softmax(q k^T / sqrt(head_dim)) v over the
   * `count` rows named by `visible` (ascending; NULL: rows 0 .. count - 1). Grouped-query: head h reads kv
   * head h * kv_heads / heads. `scores` is scratch of `count` floats. count >= 1. */
  void (*attend)(const float *q,
                 size_t heads,
                 size_t kv_heads,
                 size_t head_dim,
                 const GemKvRows *keys,
                 const GemKvRows *values,
                 const uint32_t *visible,
                 size_t count,
                 float *scores,
                 float *out);
} GemKernels;

/* The plain C kernels. Static, never NULL. */
const GemKernels *
gem_kernels_reference(void);
