/*
 * What the engines of bfloat16 have in common: operands are rounded and packed into tiles, and a product is
 * cut into blocks of 32 x 32 results. A: tiles of 16 rows x 32 values of k; B: tiles of 16 pairs of k x 16
 * columns x 2; of both, two tiles side by side for each step of 32 values of k.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GEM_BF16_TILE_ROWS = 16,
  GEM_BF16_TILE_K = 32,                          /* values of k in a tile */
  GEM_BF16_PAIR_VALUES = 2 * GEM_BF16_TILE_ROWS, /* of a row of B's tiles: a pair for each column */
  GEM_BF16_TILE_VALUES = GEM_BF16_TILE_ROWS * GEM_BF16_TILE_K, /* bfloat16: 1 KiB */
  GEM_BF16_STRIPE = 32,                                        /* rows or columns of one block of results */
};

/* The arguments of gem_matmul(). */
typedef struct {
  bool transpose_a, transpose_b;
  size_t m, n, k;
  const float *a;
  size_t lda;
  const float *b;
  size_t ldb;
  bool add;
  float *c;
  size_t ldc;
} GemProduct;

/* 32 x 32 results at c, over `steps` tiles of k, on top of what stands there where `add`. a and b are aligned
 * to 64 bytes. */
typedef void
GemBf16Block(const uint16_t *a, const uint16_t *b, size_t steps, bool add, float *c, size_t ldc);

/* Whether CPU and build can round and pack. */
bool
gem_matmul_bf16_available(void);

/* The product, block by block. Needs gem_matmul_bf16_available(). */
void
gem_matmul_bf16(const GemProduct *product, GemBf16Block *multiply_block);
