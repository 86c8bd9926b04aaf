/* Weights and inputs, random and extreme, that checks of matrices and of rows run through. */
#pragma once

#include "tests/kernelcheck/check.h"

typedef enum {
  WEIGHTS_RANDOM,
  WEIGHTS_LOWEST,       /* every level the lowest that the type has */
  WEIGHTS_HIGHEST,      /* every level the highest */
  WEIGHTS_ANY_LEVEL,    /* random levels, all scales alike */
  WEIGHTS_ZERO_SCALES,  /* every other scale is 0 */
  WEIGHTS_TINY_SCALES,  /* subnormal as halves */
  WEIGHTS_LARGE_SCALES, /* the largest halves, of both signs */
  WEIGHTS_EXTREMES,     /* every level, and whole scale, the lowest or the highest by chance */
  N_WEIGHTS,
} WeightsPattern;

typedef enum {
  VALUES_RANDOM,
  VALUES_ZERO,
  VALUES_ONE_HOT,
  VALUES_HIGHEST, /* all alike: the highest level */
  VALUES_LOWEST,
  VALUES_SIGNS,      /* the highest and the lowest level in turn, by chance */
  VALUES_POSITIVE,   /* the upper half of levels, so that sums are large and odd */
  VALUES_TIES,       /* halfway between two levels */
  VALUES_MIXED,      /* of all magnitudes from 2^-60 to 2^60 */
  VALUES_TINY,       /* below what a scale can hold */
  VALUES_HUGE,       /* near the end of singles */
  VALUES_NOT_FINITE, /* infinities, and what is no number, among others: in a row one of them, both, or
                        nothing else */
  N_VALUES,
} ValuesPattern;

const char *
weights_pattern_name(WeightsPattern pattern);
const char *
values_pattern_name(ValuesPattern pattern);

/* Any half that is a number. */
uint16_t
random_half(Check *check);

/* rows x cols as the file's blocks. */
void
fill_weights(Check *check, WeightsPattern pattern, GemType type, size_t rows, size_t cols, uint8_t *stored);
/* [n][cols] */
void
fill_values(Check *check, ValuesPattern pattern, size_t n, size_t cols, float *values);

/* Buffers of stored and of packed weights. */
uint8_t *
new_stored(Check *check, WeightsPattern pattern, GemType type, size_t rows, size_t cols);
GemPacked
new_packed(Check *check, WeightsPattern pattern, GemType type, size_t rows, size_t cols);

/* Inputs in buffers of their own, with places for what a matrix of `type` reads, and nothing in the others.
 */
GemInputs
new_inputs(Check *check, GemType type, ValuesPattern pattern, size_t n, size_t cols);
/* Levels, scales and sums are still to be written. */
void
place_levels(Check *check, GemInputs *inputs, const char *levels, const char *scales, const char *sums);
