/* The check of what rows are sorted by for attention: clusters. */
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
