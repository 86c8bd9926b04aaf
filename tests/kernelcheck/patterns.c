#include "tests/kernelcheck/patterns.h"

#include <math.h>
#include <string.h>

static const float largest_value = 3.0e38f;

const char *
weights_pattern_name(WeightsPattern pattern)
{
  static const char *const names[] = {"random",      "lowest",      "highest",      "any level",
                                      "zero scales", "tiny scales", "large scales", "extremes"};
  return names[pattern];
}

const char *
values_pattern_name(ValuesPattern pattern)
{
  static const char *const names[] = {"random",   "zero", "one-hot", "highest", "lowest", "signs",
                                      "positive", "ties", "mixed",   "tiny",    "huge",   "not finite"};
  return names[pattern];
}

uint16_t
random_half(Check *check)
{
  uint16_t half = (uint16_t)check_random(check);
  return (half & 0x7c00) == 0x7c00 ? half & 0x83ff : half;
}

/* ---- weights ---- */

/* A scale, as the bits of a half. */
static uint16_t
pattern_scale(Check *check, WeightsPattern pattern)
{
  uint16_t sign = check_random_below(check, 2) ? 0x8000 : 0;
  switch (pattern) {
  case WEIGHTS_ZERO_SCALES:
    return check_random_below(check, 2) ? 0 : 0x2000;
  case WEIGHTS_TINY_SCALES:
    return (uint16_t)(sign | check_random_below(check, 0x400));
  case WEIGHTS_LARGE_SCALES:
    return sign | 0x7bff;
  case WEIGHTS_RANDOM:
    return (uint16_t)(sign | (0x1000 + check_random_below(check, 0x2400))); /* 2^-11 .. 2^-2 */
  default:
    return 0x2400; /* 1 / 64 */
  }
}

/* Bytes of levels: `lowest` and `highest` are the bytes of the extreme levels. */
static void
fill_level_bytes(Check *check, WeightsPattern pattern, size_t count, int lowest, int highest, uint8_t *bytes)
{
  for (size_t i = 0; i < count; i++) {
    WeightsPattern of_byte = pattern != WEIGHTS_EXTREMES    ? pattern
                             : check_random_below(check, 2) ? WEIGHTS_LOWEST
                                                            : WEIGHTS_HIGHEST;
    bytes[i] = of_byte == WEIGHTS_LOWEST    ? (uint8_t)lowest
               : of_byte == WEIGHTS_HIGHEST ? (uint8_t)highest
                                            : (uint8_t)check_random(check);
  }
}

static void
fill_block(Check *check, WeightsPattern pattern, GemType type, uint8_t *block)
{
  uint16_t scale = pattern_scale(check, pattern);
  size_t bytes = gem_type_block_bytes(type) - sizeof scale;
  if (type == GEM_TYPE_Q6_K) {
    fill_level_bytes(check, pattern, 192, 0x00, 0xff, block);
    fill_level_bytes(check, pattern, 16, 0x80, 0x7f, block + 192);
    memcpy(block + bytes, &scale, sizeof scale);
  } else if (type == GEM_TYPE_Q8_0) {
    memcpy(block, &scale, sizeof scale);
    fill_level_bytes(check, pattern, bytes, 0x80, 0x7f, block + 2);
  } else {
    memcpy(block, &scale, sizeof scale);
    fill_level_bytes(check, pattern, bytes, 0x00, 0xff, block + 2);
  }
}

/* Halves have no levels: the extremes are those of their range. */
static uint16_t
pattern_half(Check *check, WeightsPattern pattern)
{
  switch (pattern) {
  case WEIGHTS_LOWEST:
    return 0xfbff;
  case WEIGHTS_HIGHEST:
    return 0x7bff;
  case WEIGHTS_EXTREMES:
    return check_random_below(check, 2) ? 0xfbff : 0x7bff;
  case WEIGHTS_ANY_LEVEL:
    return random_half(check);
  default:
    return pattern_scale(check, pattern);
  }
}

static float
pattern_float(Check *check, WeightsPattern pattern)
{
  switch (pattern) {
  case WEIGHTS_LOWEST:
    return -largest_value;
  case WEIGHTS_HIGHEST:
  case WEIGHTS_LARGE_SCALES:
    return largest_value;
  case WEIGHTS_EXTREMES:
    return check_random_below(check, 2) ? -largest_value : largest_value;
  case WEIGHTS_TINY_SCALES:
    return check_random_float(check, 0x1p-130f);
  case WEIGHTS_ZERO_SCALES:
    return check_random_below(check, 2) ? -0.0f : check_random_float(check, 1.0f);
  default:
    return check_random_float(check, 1.0f);
  }
}

void
fill_weights(Check *check, WeightsPattern pattern, GemType type, size_t rows, size_t cols, uint8_t *stored)
{
  size_t block_bytes = gem_type_block_bytes(type);
  size_t blocks = rows * gem_type_row_bytes(type, cols) / block_bytes;
  for (size_t i = 0; i < blocks; i++, stored += block_bytes) {
    if (type == GEM_TYPE_F32) {
      float value = pattern_float(check, pattern);
      memcpy(stored, &value, sizeof value);
    } else if (type == GEM_TYPE_F16) {
      uint16_t half = pattern_half(check, pattern);
      memcpy(stored, &half, sizeof half);
    } else {
      fill_block(check, pattern, type, stored);
    }
  }
}

/* ---- inputs ---- */

static float
pattern_value(Check *check, ValuesPattern pattern)
{
  switch (pattern) {
  case VALUES_ZERO:
  case VALUES_ONE_HOT:
    return 0.0f;
  case VALUES_HIGHEST:
    return 3.0f;
  case VALUES_LOWEST:
    return -3.0f;
  case VALUES_SIGNS:
    return check_random_below(check, 2) ? 3.0f : -3.0f;
  case VALUES_POSITIVE:
    return 3.0f + check_random_float(check, 1.0f);
  case VALUES_TIES:
    return (float)check_random_below(check, 253) - 126.0f + 0.5f;
  case VALUES_MIXED:
    return ldexpf(check_random_float(check, 1.0f), (int)check_random_below(check, 121) - 60);
  case VALUES_TINY:
    return ldexpf(check_random_float(check, 1.0f), -115 - (int)check_random_below(check, 30));
  case VALUES_HUGE:
    return check_random_float(check, largest_value);
  default:
    return check_random_float(check, 4.0f);
  }
}

/* Some of a row's values, or all. An infinity takes every other level of its chunk with it, so that some rows
 * have none. */
static void
spoil_row(Check *check, size_t cols, float *values)
{
  enum { NANS, INFINITIES, BOTH, ALL_NANS, N_KINDS };
  size_t kind = check_random_below(check, N_KINDS);
  for (size_t col = 0; col < cols; col++) {
    bool is_infinite = kind == INFINITIES || (kind == BOTH && check_random_below(check, 2));
    float value = is_infinite ? INFINITY : NAN;
    if (kind == ALL_NANS || check_random_below(check, 5) == 0) {
      values[col] = check_random_below(check, 2) ? value : -value;
    }
  }
}

void
fill_values(Check *check, ValuesPattern pattern, size_t n, size_t cols, float *values)
{
  for (size_t row = 0; row < n; row++, values += cols) {
    for (size_t col = 0; col < cols; col++) {
      values[col] = pattern_value(check, pattern);
    }
    if (pattern == VALUES_ONE_HOT) {
      values[check_random_below(check, cols)] = check_random_float(check, 4.0f);
    } else if (pattern == VALUES_TIES) {
      values[check_random_below(check, cols)] = check_random_below(check, 2) ? 127.0f : -127.0f;
    } else if (pattern == VALUES_NOT_FINITE) {
      spoil_row(check, cols, values);
    }
  }
}

/* ---- buffers ---- */

uint8_t *
new_stored(Check *check, WeightsPattern pattern, GemType type, size_t rows, size_t cols)
{
  uint8_t *stored = check_buffer(check, "stored", rows * gem_type_row_bytes(type, cols), 1);
  fill_weights(check, pattern, type, rows, cols, stored);
  check_seal(check, stored);
  return stored;
}

GemPacked
new_packed(Check *check, WeightsPattern pattern, GemType type, size_t rows, size_t cols)
{
  uint8_t *stored = new_stored(check, pattern, type, rows, cols);
  uint8_t *data = check_buffer(check, "weights", gem_packed_bytes(type, rows, cols), GEM_PACKED_ALIGNMENT);
  check_reference(check)->pack(type, rows, cols, stored, data);
  check_seal(check, data);
  return (GemPacked){.type = type, .rows = rows, .cols = cols, .data = data};
}

void
place_levels(Check *check, GemInputs *inputs, const char *levels, const char *scales, const char *sums)
{
  size_t chunks = gem_packed_chunks(inputs->cols);
  inputs->levels = check_buffer(check, levels, inputs->n * inputs->cols, GEM_PACKED_ALIGNMENT);
  inputs->scales = check_buffer(check, scales, inputs->n * chunks * sizeof(float), GEM_PACKED_ALIGNMENT);
  inputs->sums = check_buffer(check, sums, inputs->n * inputs->cols / GEM_SUM_COLS * sizeof(int32_t),
                              GEM_PACKED_ALIGNMENT);
}

GemInputs
new_inputs(Check *check, GemType type, ValuesPattern pattern, size_t n, size_t cols)
{
  float *values = check_floats(check, "values", n * cols);
  GemInputs inputs = {.n = n, .cols = cols, .values = values};
  fill_values(check, pattern, n, cols, values);
  check_seal(check, values);
  if (gem_packed_takes_levels(type)) {
    place_levels(check, &inputs, "levels", "scales", "sums");
    check_reference(check)->quantize(&inputs, 0, n);
    check_seal(check, inputs.levels);
    check_seal(check, inputs.scales);
    check_seal(check, inputs.sums);
    inputs.values = NULL;
  }
  return inputs;
}
