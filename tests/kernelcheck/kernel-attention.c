/* Checks of what attention takes: clusters of rows, and one query over gathered keys and values. */
#include "tests/kernelcheck/kernels.h"
#include "tests/kernelcheck/patterns.h"

#include <math.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- scar_assign ---- */

static double
product_of(const float *a, const float *b, size_t d)
{
  double product = 0;
  for (size_t i = 0; i < d; i++) {
    product += (double)a[i] * (double)b[i];
  }
  return product;
}

/* k rows of unit length; the later half repeats the first where `twice`, so that every row has a tie. */
static void
fill_centroids(Check *check, size_t k, size_t d, bool twice, float *centroids)
{
  fill_values(check, VALUES_RANDOM, k, d, centroids);
  for (size_t j = 0; j < k; j++) {
    float *row = centroids + j * d;
    float length = (float)sqrt(product_of(row, row, d));
    for (size_t i = 0; i < d; i++) {
      row[i] /= length;
    }
    if (twice && j >= k / 2) {
      memcpy(row, centroids + (j - k / 2) * d, d * sizeof *row);
    }
  }
}

/* Another cluster than the reference's is right where rounding decides between them, and equal centroids
 * never leave it anything to decide. */
static void
check_choice(Check *check, const float *u, const float *centroids, size_t d, size_t expected, size_t chosen)
{
  const float *ours = centroids + chosen * d, *theirs = centroids + expected * d;
  double length = sqrt(product_of(u, u, d));
  double lost = product_of(u, theirs, d) - product_of(u, ours, d);
  if (chosen != expected && (!(lost <= 2e-6 * length) || memcmp(ours, theirs, d * sizeof *ours) == 0)) {
    check_fail(check, "cluster %zu, expected %zu: it is nearer by %.3g of %.3g", chosen, expected, lost,
               length);
  }
}

static void
check_scar_case(Check *check, ValuesPattern pattern, size_t n, size_t d, size_t k)
{
  bool twice = check_random_below(check, 2) == 0;
  check_case(check, "%zu rows of %zu, %zu centroids%s, values %s", n, d, k,
             twice ? " of which half are twins" : "", values_pattern_name(pattern));
  float *u = check_floats(check, "u", n * d);
  float *centroids = check_floats(check, "centroids", k * d);
  uint8_t *expected = check_buffer(check, "expected clusters", n, 1);
  uint8_t *clusters = check_buffer(check, "clusters", n, 1);
  fill_values(check, pattern, n, d, u);
  fill_centroids(check, k, d, twice, centroids);
  check_seal(check, u);
  check_seal(check, centroids);
  check_reference(check)->scar_assign(u, n, d, centroids, k, expected);
  check_kernels(check)->scar_assign(u, n, d, centroids, k, clusters);
  for (size_t i = 0; i < n; i++) {
    uint8_t alone;
    if (clusters[i] >= k) {
      check_fail(check, "cluster %u of row %zu is not one of %zu", clusters[i], i, k);
    }
    check_choice(check, u + i * d, centroids, d, expected[i], clusters[i]);
    check_kernels(check)->scar_assign(u + i * d, 1, d, centroids, k, &alone);
    check_same_bytes(check, "the cluster of a row alone", clusters + i, &alone, 1);
  }
}

void
check_kernel_scar_assign(Check *check)
{
  static const ValuesPattern patterns[] = {VALUES_RANDOM, VALUES_ZERO, VALUES_ONE_HOT, VALUES_SIGNS};
  static const size_t counts[] = {1, 2, 3, 4, 5, 8, 9, 33};
  static const size_t widths[] = {1, 2, 3, 7, 8, 15, 16, 17, 24, 64, 100, 256, 512};
  static const size_t clusters[] = {1, 2, 3, 4, 8, 13, 16, 17, 64, 255, 256};
  size_t number = 0;
  for (size_t d = 0; d < COUNT(widths); d++) {
    for (size_t k = 0; k < COUNT(clusters); k++, number++) {
      check_scar_case(check, patterns[number % COUNT(patterns)], counts[number % COUNT(counts)], widths[d],
                      clusters[k]);
    }
  }
}

/* ---- attend ---- */

typedef struct {
  GemType type;
  size_t heads, kv_heads, head_dim;
  size_t rows, count; /* stored, and seen */
  float key_magnitude;
} AttendShape;

/* Rows with gaps after each head and each row, so that nothing is aligned. */
static GemKvRows
new_rows(Check *check, const char *name, const AttendShape *shape, float magnitude)
{
  size_t head_bytes = gem_type_row_bytes(shape->type, shape->head_dim) + 2;
  size_t row_bytes = shape->kv_heads * head_bytes + 6;
  uint8_t *data = check_buffer(check, name, shape->rows * row_bytes - 8, 1);
  float values[256];
  for (size_t row = 0; row < shape->rows; row++) {
    for (size_t head = 0; head < shape->kv_heads; head++) {
      for (size_t i = 0; i < shape->head_dim; i++) {
        values[i] = check_random_float(check, magnitude);
      }
      gem_quantize_row(shape->type, values, data + row * row_bytes + head * head_bytes, shape->head_dim);
    }
  }
  check_seal(check, data);
  return (GemKvRows){.type = shape->type, .data = data, .row_bytes = row_bytes, .head_bytes = head_bytes};
}

/* `count` of the rows, ascending; NULL when all are seen. */
static uint32_t *
new_visible(Check *check, const AttendShape *shape)
{
  uint32_t *visible;
  size_t found = 0;
  if (shape->count == shape->rows) {
    return NULL;
  }
  visible = check_buffer(check, "visible", shape->count * sizeof *visible, sizeof *visible);
  for (size_t row = 0; row < shape->rows; row++) {
    if (check_random_below(check, shape->rows - row) < shape->count - found) {
      visible[found++] = (uint32_t)row;
    }
  }
  check_seal(check, visible);
  return visible;
}

static void
check_attend_case(Check *check, const AttendShape *shape)
{
  const float value_magnitude = 2.0f;
  size_t width = shape->heads * shape->head_dim;
  check_case(check, "%s, %zu heads of %zu, %zu with keys up to %g, %zu of %zu rows",
             gem_type_name(shape->type), shape->heads, shape->head_dim, shape->kv_heads,
             (double)shape->key_magnitude, shape->count, shape->rows);
  float *q = check_floats(check, "q", width);
  GemKvRows keys = new_rows(check, "keys", shape, shape->key_magnitude);
  GemKvRows values = new_rows(check, "values", shape, value_magnitude);
  uint32_t *visible = new_visible(check, shape);
  float *scores = check_floats(check, "scores", shape->count);
  float *expected = check_floats(check, "expected out", width);
  float *out = check_floats(check, "out", width);
  fill_values(check, VALUES_RANDOM, shape->heads, shape->head_dim, q);
  check_seal(check, q);
  check_reference(check)->attend(q, shape->heads, shape->kv_heads, shape->head_dim, &keys, &values, visible,
                                 shape->count, scores, expected);
  check_kernels(check)->attend(q, shape->heads, shape->kv_heads, shape->head_dim, &keys, &values, visible,
                               shape->count, scores, out);
  /* What rounding does to a score, it does to the share of its value. */
  double largest_score = 4.0 * (double)shape->key_magnitude * sqrt((double)shape->head_dim);
  check_close(check, "out", expected, out, width, (double)value_magnitude * (4e-6 + 1e-6 * largest_score), 0);
}

void
check_kernel_attend(Check *check)
{
  static const GemType types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q8_0};
  static const size_t heads[][2] = {{1, 1}, {8, 8}, {8, 2}, {6, 3}, {5, 1}};
  static const size_t dims[] = {1, 8, 20, 32, 64, 96, 128, 160, 256};
  static const size_t counts[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33, 64, 100, 300};
  size_t number = 0;
  for (size_t t = 0; t < COUNT(types); t++) {
    for (size_t d = 0; d < COUNT(dims); d++) {
      for (size_t c = 0; c < COUNT(counts); c++, number++) {
        if (dims[d] % gem_type_block_cols(types[t]) == 0) {
          check_attend_case(check, &(AttendShape){.type = types[t],
                                                  .heads = heads[number % COUNT(heads)][0],
                                                  .kv_heads = heads[number % COUNT(heads)][1],
                                                  .head_dim = dims[d],
                                                  .rows = counts[c] + (number % 3) * 5,
                                                  .count = counts[c],
                                                  .key_magnitude = number % 4 == 3 ? 60.0f : 1.0f});
        }
      }
    }
  }
}
