/* What is done to a row before attention: RMS normalization and rotary positions. */
#include "kernels/reference/gem-reference.h"

#include <math.h>

void
gem_reference_rms_norm(const float *x, const float *weight, size_t n, size_t d, float eps, float *y)
{
  for (size_t row = 0; row < n; row++, x += d, y += d) {
    float mean_square = gem_reference_dot(x, x, d) / (float)d;
    float scale = 1.0f / sqrtf(mean_square + eps);
    for (size_t i = 0; i < d; i++) {
      y[i] = x[i] * scale * weight[i];
    }
  }
}

void
gem_reference_rope(
    float *x, const uint32_t *positions, size_t n, size_t heads, size_t head_dim, size_t rope_dim, float base)
{
  double ratio = pow(base, -2.0 / (double)rope_dim);
  for (size_t row = 0; row < n; row++, x += heads * head_dim) {
    double frequency = 1.0;
    /* Angles in double: a position of thousands leaves a single too few bits behind the point. */
    for (size_t i = 0; i < rope_dim; i += 2, frequency *= ratio) {
      double angle = (double)positions[row] * frequency;
      float cosine = (float)cos(angle);
      float sine = (float)sin(angle);
      for (size_t head = 0; head < heads; head++) {
        float *pair = x + head * head_dim + i;
        float first = pair[0];
        float second = pair[1];
        pair[0] = first * cosine - second * sine;
        pair[1] = first * sine + second * cosine;
      }
    }
  }
}
