#include "kernels/portable/gem-portable.h"

#include <math.h>
#include <string.h>

/* Centroids that a row is multiplied with at once. */
enum { AT_ONCE = 8 };

/* The same sum in the same order for each, so that equal centroids give equal products. */
static void
multiply(const float *u, const float *const *rows, size_t d, float *products)
{
  const float *row0 = rows[0], *row1 = rows[1], *row2 = rows[2], *row3 = rows[3];
  const float *row4 = rows[4], *row5 = rows[5], *row6 = rows[6], *row7 = rows[7];
  float sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;
  float sum4 = 0.0f, sum5 = 0.0f, sum6 = 0.0f, sum7 = 0.0f;
#pragma omp simd reduction(+ : sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7)
  for (size_t i = 0; i < d; i++) {
    sum0 = fmaf(u[i], row0[i], sum0);
    sum1 = fmaf(u[i], row1[i], sum1);
    sum2 = fmaf(u[i], row2[i], sum2);
    sum3 = fmaf(u[i], row3[i], sum3);
    sum4 = fmaf(u[i], row4[i], sum4);
    sum5 = fmaf(u[i], row5[i], sum5);
    sum6 = fmaf(u[i], row6[i], sum6);
    sum7 = fmaf(u[i], row7[i], sum7);
  }
  const float sums[AT_ONCE] = {sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7};
  memcpy(products, sums, sizeof sums);
}

static uint8_t
find_nearest(const float *u, size_t d, const float *centroids, size_t k)
{
  size_t nearest = 0;
  float largest = -INFINITY;
  for (size_t j = 0; j < k; j += AT_ONCE) {
    const float *rows[AT_ONCE];
    float products[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++) {
      rows[i] = centroids + (j + i < k ? j + i : k - 1) * d;
    }
    multiply(u, rows, d, products);
    for (size_t i = 0; i < AT_ONCE && j + i < k; i++) {
      if (products[i] > largest) {
        largest = products[i];
        nearest = j + i;
      }
    }
  }
  return (uint8_t)nearest;
}

void
GEM_PORTABLE(scar_assign)(
    const float *u, size_t n, size_t d, const float *centroids, size_t k, uint8_t *cluster)
{
  for (size_t i = 0; i < n; i++) {
    cluster[i] = find_nearest(u + i * d, d, centroids, k);
  }
}
