/* Checks of what stores and multiplies matrices: the same bits as the reference, for all types. */
#include "tests/kernelcheck/kernels.h"
#include "tests/kernelcheck/patterns.h"

#include <string.h>

static const GemType all_types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q4_0, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K};

/* Below, at and above a panel. */
static const size_t some_rows[] = {1, 16, 15, 17, 33, 64, 50, 32};

/* Below, at and above a vector, a chunk, two chunks. Ends with 0. */
static const size_t float_cols[] = {1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 100, 255, 256, 257, 511, 512, 700, 0};
static const size_t block_cols[] = {32, 64, 96, 224, 256, 288, 480, 512, 768, 1056, 2080, 0};
static const size_t super_block_cols[] = {256, 512, 768, 1280, 2048, 0};

static const size_t some_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 33, 35, 65, 128, 131};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const size_t *
type_cols(GemType type)
{
  return type == GEM_TYPE_Q6_K ? super_block_cols : gem_packed_takes_levels(type) ? block_cols : float_cols;
}

/* ---- pack ---- */

static void
check_pack_case(Check *check, WeightsPattern pattern, GemType type, size_t rows, size_t cols)
{
  check_case(check, "%s %zu x %zu, weights %s", gem_type_name(type), rows, cols,
             weights_pattern_name(pattern));
  uint8_t *stored = new_stored(check, pattern, type, rows, cols);
  size_t bytes = gem_packed_bytes(type, rows, cols);
  uint8_t *expected = check_buffer(check, "expected panels", bytes, GEM_PACKED_ALIGNMENT);
  uint8_t *panels = check_buffer(check, "panels", bytes, GEM_PACKED_ALIGNMENT);
  check_reference(check)->pack(type, rows, cols, stored, expected);
  check_kernels(check)->pack(type, rows, cols, stored, panels);
  check_same_bytes(check, "panels", expected, panels, bytes);
}

void
check_kernel_pack(Check *check)
{
  for (size_t t = 0; t < COUNT(all_types); t++) {
    for (const size_t *cols = type_cols(all_types[t]); *cols != 0; cols++) {
      for (size_t r = 0; r < COUNT(some_rows); r++) {
        check_pack_case(check, r % 2 ? WEIGHTS_RANDOM : WEIGHTS_ANY_LEVEL, all_types[t], some_rows[r], *cols);
      }
    }
  }
}

/* ---- quantize ---- */

static void
check_quantize_case(Check *check, ValuesPattern pattern, size_t n, size_t cols)
{
  size_t first = check_random_below(check, 2) ? 0 : check_random_below(check, n);
  size_t end = check_random_below(check, 2) ? n : first + check_random_below(check, n - first + 1);
  check_case(check, "%zu x %zu, values %s, inputs %zu to %zu", n, cols, values_pattern_name(pattern), first,
             end);
  GemInputs expected = new_inputs(check, GEM_TYPE_F32, pattern, n, cols);
  GemInputs inputs = expected;
  place_levels(check, &expected, "expected levels", "expected scales", "expected sums");
  place_levels(check, &inputs, "levels", "scales", "sums");
  check_reference(check)->quantize(&expected, first, end);
  check_kernels(check)->quantize(&inputs, first, end);
  check_same_bytes(check, "levels", expected.levels, inputs.levels, n * cols);
  check_same(check, "scales", expected.scales, inputs.scales, n * gem_packed_chunks(cols));
  check_same_bytes(check, "sums", expected.sums, inputs.sums, n * cols / GEM_SUM_COLS * sizeof(int32_t));
}

void
check_kernel_quantize(Check *check)
{
  for (const size_t *cols = block_cols; *cols != 0; cols++) {
    for (size_t c = 0; c < COUNT(some_counts); c++) {
      for (unsigned pattern = 0; pattern < N_VALUES; pattern++) {
        check_quantize_case(check, pattern, some_counts[c], *cols);
      }
    }
  }
}

/* ---- linear ---- */

typedef struct {
  GemType type;
  size_t rows, cols, n;
  WeightsPattern weights;
  ValuesPattern values;
  bool whole; /* all panels; else some, by chance */
} Shape;

/* Each input alone gives what it gave among the others; its levels stand at the beginning of the buffers. */
static void
check_alone(Check *check, const GemPacked *weights, const GemInputs *inputs, const float *y)
{
  float *alone = check_floats(check, "y alone", weights->rows);
  GemInputs one = {.n = 1, .cols = inputs->cols};
  size_t chunks = gem_packed_chunks(inputs->cols), sums = inputs->cols / GEM_SUM_COLS;
  if (inputs->levels != NULL) {
    place_levels(check, &one, "levels alone", "scales alone", "sums alone");
  }
  for (size_t i = 0; i < inputs->n; i++) {
    if (inputs->levels != NULL) {
      memcpy(one.levels, inputs->levels + i * one.cols, one.cols);
      memcpy(one.scales, inputs->scales + i * chunks, chunks * sizeof *one.scales);
      memcpy(one.sums, inputs->sums + i * sums, sums * sizeof *one.sums);
    } else {
      one.values = inputs->values + i * one.cols;
    }
    check_kernels(check)->linear(weights, 0, gem_packed_panels(weights->rows), &one, alone);
    check_same(check, "y of an input alone", y + i * weights->rows, alone, weights->rows);
  }
}

static void
check_linear_case(Check *check, const Shape *shape)
{
  size_t panels = gem_packed_panels(shape->rows), values = shape->n * shape->rows;
  bool from_first = shape->whole || check_random_below(check, 2),
       to_last = shape->whole || check_random_below(check, 2);
  size_t first = from_first ? 0 : check_random_below(check, panels);
  size_t end = to_last ? panels : first + 1 + check_random_below(check, panels - first);
  check_case(check, "%s %zu x %zu, n %zu, weights %s, values %s, panels %zu to %zu",
             gem_type_name(shape->type), shape->rows, shape->cols, shape->n,
             weights_pattern_name(shape->weights), values_pattern_name(shape->values), first, end);
  GemPacked weights = new_packed(check, shape->weights, shape->type, shape->rows, shape->cols);
  GemInputs inputs = new_inputs(check, shape->type, shape->values, shape->n, shape->cols);
  float *expected = check_floats(check, "expected y", values);
  float *y = check_floats(check, "y", values);
  check_reference(check)->linear(&weights, first, end, &inputs, expected);
  check_kernels(check)->linear(&weights, first, end, &inputs, y);
  check_same(check, "y", expected, y, values);
  if (first == 0 && end == panels) {
    check_alone(check, &weights, &inputs, y);
  }
}

/* All columns with all numbers of inputs, and patterns in turn. Rows move on by one more with each number of
 * columns: else each number of inputs, or each pattern of weights, would meet the same few of them. */
static void
check_linear_shapes(Check *check, GemType type)
{
  size_t number = 0;
  size_t row_number = 0;
  for (const size_t *cols = type_cols(type); *cols != 0; cols++, row_number++) {
    for (size_t c = 0; c < COUNT(some_counts); c++, number++, row_number++) {
      check_linear_case(check, &(Shape){.type = type,
                                        .rows = some_rows[row_number % COUNT(some_rows)],
                                        .cols = *cols,
                                        .n = some_counts[c],
                                        .weights = number % N_WEIGHTS,
                                        .values = number / N_WEIGHTS % N_VALUES});
    }
  }
}

/* Inputs that some sets take as a few and others as many, and one more than is a few anywhere. */
static const size_t pattern_counts[] = {2, 4, 8, 9};

/* All pairs of patterns, with panels and inputs enough for what takes two at a time, and one more of each. */
static void
check_linear_patterns(Check *check, GemType type)
{
  size_t cols = type == GEM_TYPE_Q6_K ? 512 : 288;
  for (unsigned weights = 0; weights < N_WEIGHTS; weights++) {
    for (size_t i = 0; i < N_VALUES * COUNT(pattern_counts); i++) {
      unsigned values = (unsigned)(i / COUNT(pattern_counts));
      check_linear_case(check, &(Shape){.type = type,
                                        .rows = 33,
                                        .cols = cols,
                                        .n = pattern_counts[i % COUNT(pattern_counts)],
                                        .weights = weights,
                                        .values = values,
                                        .whole = true});
    }
  }
}

void
check_kernel_linear(Check *check)
{
  for (size_t t = 0; t < COUNT(all_types); t++) {
    check_linear_shapes(check, all_types[t]);
    check_linear_patterns(check, all_types[t]);
  }
}
