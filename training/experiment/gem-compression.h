/* What makes a network smaller, simulated in single precision: its values become what the smaller form would
 * give back. Norms stay as they are. */
#pragma once

#include "training/network/gem-model-export.h"

/* Each tensor as its file's block type has it. */
void
gem_compression_apply_types(const GemParameters *parameters, const GemExportTypes *types, float *values);

/* `bits` (2 to 8) a value, the same way for all widths: blocks of GEM_COMPRESSION_BLOCK along a row, a scale
 * of 16 bits each, whole numbers from -(2^(bits-1) - 1) to 2^(bits-1) - 1. There are block types for some of
 * these widths only, and those are made in different ways; this is for comparing widths. */
#define GEM_COMPRESSION_BLOCK 32
void
gem_compression_apply_bits(const GemParameters *parameters, guint bits, float *values);

/* Of each matrix the share of its values with the smallest magnitudes becomes 0. */
void
gem_compression_prune(const GemParameters *parameters, double share, float *values);

/* Bytes of a tensor: in its block type, or with `bits` > 0 in so many bits and a scale a block; `pruned` is
 * the share that is not kept (what says which those are is not counted). */
double
gem_compression_bytes(const GemParameter *parameter, const GemExportTypes *types, guint bits, double pruned);
