#include "kernels/reference/gem-reference.h"

/* The length of u scales all its cosines alike, and the centroids have length 1: the largest product names
 * the nearest. */
void
gem_reference_scar_assign(
    const float *u, size_t n, size_t d, const float *centroids, size_t k, uint8_t *cluster)
{
  for (size_t i = 0; i < n; i++) {
    size_t nearest = 0;
    float largest = gem_reference_dot(u + i * d, centroids, d);
    for (size_t j = 1; j < k; j++) {
      float product = gem_reference_dot(u + i * d, centroids + j * d, d);
      if (product > largest) {
        largest = product;
        nearest = j;
      }
    }
    cluster[i] = (uint8_t)nearest;
  }
}
