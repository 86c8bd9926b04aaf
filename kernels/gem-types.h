/* clang-format off */
/*
 * The block types of GGUF tensors that GEM uses, bit for bit as the format defines them.
 *
 * A row of `cols` values is stored as cols / block_cols consecutive blocks:
 *
 *   type   id  values  bytes  of a block: what it holds, and a value of it
 *   F32     0       1      4  IEEE single
 *   F16     1       1      2  IEEE half
 *   Q4_0    2      32     18  d (half), 16 bytes of nibbles: byte j holds value j (low) and j + 16 (high);
 *                             (q - 8) d
 *   Q8_0    8      32     34  d (half), 32 int8; q d
 *   Q6_K   14     256    210  128 bytes of low nibbles, 64 of high pairs, 16 int8 scales s, d (half);
 *                             d s (q - 32)
 *
 * Nothing here allocates, fails at run time or knows GLib.
 */
/* clang-format on */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  GEM_TYPE_F32 = 0,
  GEM_TYPE_F16 = 1,
  GEM_TYPE_Q4_0 = 2,
  GEM_TYPE_Q8_0 = 8,
  GEM_TYPE_Q6_K = 14,
} GemType;

/* Whether the id, as it stands in a file, is one of the types above. */
bool
gem_type_is_known(uint32_t id);

/* "F32", "Q4_0", ...; NULL for an unknown id. Static. */
const char *
gem_type_name(uint32_t id);

/* The type of that name (ASCII case ignored); false, and `ret_type` untouched, when there is none. */
bool
gem_type_from_name(const char *name, GemType *ret_type);

/* Values in one block. */
size_t
gem_type_block_cols(GemType type);

/* Bytes of one block. */
size_t
gem_type_block_bytes(GemType type);

/* Bytes of a row of `cols` values; 0 when cols is no multiple of the block. */
size_t
gem_type_row_bytes(GemType type, size_t cols);

/* cols values of `row` to floats; cols is a multiple of the block. `row` needs no alignment. */
void
gem_dequantize_row(GemType type, const void *row, float *values, size_t cols);

/* cols floats to blocks, choosing scales that make the squared error small. Not-finite input is the caller's
 * error. */
void
gem_quantize_row(GemType type, const float *values, void *row, size_t cols);

/* IEEE half <-> single; round to nearest even, infinities and NaN kept. */
float
gem_half_to_float(uint16_t half);
uint16_t
gem_float_to_half(float value);
