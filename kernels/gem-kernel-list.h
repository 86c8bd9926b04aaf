/*
 * Every kernel, once: KERNEL(result, name, parameters). The table of functions, its completion from a lesser
 * instruction set, kernelcheck and its benchmark all come from this list, so that no kernel can be there
 * without a check.
 *
 * Row-major everywhere: [n][d] is n rows of d floats. Nothing allocates, fails, locks or knows GLib. A row's
 * result never depends on the rows beside it. Where a comment says "the same bits", every instruction set
 * gives exactly what the reference gives; elsewhere results agree within float rounding.
 */
#pragma once

/* clang-format off */
#define GEM_KERNEL_LIST(KERNEL)                                                                              \
  /* ---- matrices: gem-packed.h ---- */                                                                     \
                                                                                                             \
  /* `rows` stored rows, blocks of `type` as the file has them, into the panels from `panels` on. The same    \
   * bits. */                                                                                                \
  KERNEL(void, pack, (GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panels))        \
                                                                                                             \
  /* Levels, scales and sums of inputs first .. end - 1 from their values; columns are a multiple of 32. A    \
   * chunk of zeros has scale 0. The same bits, of what is not finite, too: gem-packed.h. */                 \
  KERNEL(void, quantize, (const GemInputs *inputs, size_t first, size_t end))                                \
                                                                                                             \
  /* y[n][rows] = inputs W^T for the rows of panels first .. end - 1; other columns of y are not touched.     \
   * The same bits: with q the stored integers less their offset, w the scale of 32 columns, or u the whole  \
   * scale of 16 columns of Q6_K and d that of its chunk, s the input's scale of the chunk,                  \
   *   Q4_0, Q8_0: f = fma((float)sum(q level), w, f) over the blocks of a chunk; y = fma(s, f, y) over      \
   *               the chunks                                                                                \
   *   Q6_K:       f = d (float)sum(u q level) of a chunk, at most 2^27; y = fma(s, f, y) over the chunks    \
   *   floats:     y = fma(w, x, y) over the columns. */                                                     \
  KERNEL(void, linear, (const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)) \
                                                                                                             \
  /* ---- rows ---- */                                                                                       \
                                                                                                             \
  /* y[n][d] = x / sqrt(mean(x^2) + epsilon) * weight[d]; y may be x. */                                     \
  KERNEL(void, rms_norm, (const float *x, const float *weight, size_t n, size_t d, float epsilon, float *y)) \
                                                                                                             \
  /* Rotates pairs (2i, 2i + 1) of the first `rope_dim` values of each head by positions[row] *               \
   * base^(-2i / rope_dim), within 4e-7 of a pair's length. x is [n][heads][head_dim]. */                    \
  KERNEL(void, rope, (float *x, const uint32_t *positions, size_t n, size_t heads, size_t head_dim,          \
                      size_t rope_dim, float base))                                                          \
                                                                                                             \
  /* x[n] becomes exp(x - max) / sum; n >= 1. The exponentials are within 4e-7 of themselves. */             \
  KERNEL(void, softmax, (float *x, size_t n))                                                                \
                                                                                                             \
  /* out[count] = silu(gate) * up, silu within 4e-7 of itself and 1e-35; out may be gate. */                 \
  KERNEL(void, swiglu, (const float *gate, const float *up, size_t count, float *out))                       \
                                                                                                             \
  /* x[count] becomes 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), within 2e-7 |x|. */                 \
  KERNEL(void, gelu, (float *x, size_t count))                                                               \
                                                                                                             \
  /* ---- attention ---- */                                                                                  \
                                                                                                             \
  /* cluster[i] = argmax_j cos(u[i], centroids[j]); u is [n][d], centroids [k][d] of unit length, k <= 256;   \
   * the lowest j wins a tie. The paper's SCAR, section on sparse cross-attention: d(x, mu) = 1 -            \
   * x.mu / (|x| |mu|). */                                                                                   \
  KERNEL(void, scar_assign, (const float *u, size_t n, size_t d, const float *centroids, size_t k,           \
                             uint8_t *cluster))                                                              \
                                                                                                             \
  /* Position i of n, its keys and values [kv_heads][head_dim], goes to place places[i] of tiles[i], whatever  \
   * stood there: gem-kv.h. kv_store is for tiles of 8 bits, and gives the same bits; kv_store_half for those of \
   * halves, each value rounded to the nearest. */                                                           \
  KERNEL(void, kv_store, (const GemKvForm *form, const float *keys, const float *values, size_t n,           \
                          uint8_t *const *tiles, const uint8_t *places))                                     \
  KERNEL(void, kv_store_half, (const GemKvForm *form, const float *keys, const float *values, size_t n,      \
                               uint8_t *const *tiles, const uint8_t *places))                                \
                                                                                                             \
  /* out = softmax(q k^T / sqrt(head_dim)) v over what each row of the group sees; zeros where it sees       \
   * nothing. attend is for tiles of 8 bits: queries are rounded to 8 bits, and weights to 14 relative to the \
   * largest of their chunk. The same bits, in both: gem-attend.h. */                                        \
  KERNEL(void, attend, (const GemKvForm *form, const GemKvQueries *queries, const GemKvGroup *group,         \
                        const GemKvShare *share))                                                            \
  KERNEL(void, attend_half, (const GemKvForm *form, const GemKvQueries *queries, const GemKvGroup *group,    \
                             const GemKvShare *share))                                                       \
                                                                                                             \
  /* ---- sampling: over the logits of a vocabulary ---- */                                                  \
                                                                                                             \
  /* *ret_index = that of the largest x[i] that is finite, the lowest of equals; n: none is. The same bits. */ \
  KERNEL(void, find_largest, (const float *x, size_t n, size_t *ret_index))                                  \
                                                                                                             \
  /* weights[i] = 2^30 exp(sharpness (x[i] - largest)), within 2^-18 of itself and 1; 0 where x[i] is not     \
   * finite. `largest` is that of the finite values, whose weight is 2^30; sharpness > 0 and finite. Their    \
   * sum, as all below, is exact. */                                                                         \
  KERNEL(void, weigh, (const float *x, size_t n, float largest, float sharpness, uint32_t *weights,          \
                       uint64_t *ret_mass))                                                                  \
                                                                                                             \
  /* How many of weights[n], none above 2^30, are `least` at least, and their sum. The same bits. */         \
  KERNEL(void, tally, (const uint32_t *weights, size_t n, uint32_t least, size_t *ret_count,                 \
                       uint64_t *ret_mass))                                                                  \
                                                                                                             \
  /* gathered[*ret_count], in room for n: those of weights[n] within least .. below - 1, least <= below, in their  \
   * order; gathered may be weights. The same bits. */                                                       \
  KERNEL(void, gather, (const uint32_t *weights, size_t n, uint32_t least, uint32_t below,                   \
                        uint32_t *gathered, size_t *ret_count))
/* clang-format on */
