#include "tests/gem-test-reference.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/gem-kernels.h"

void
gem_test_linear(const float *weights, size_t rows, size_t cols, const double *x, double *y)
{
  for (size_t row = 0; row < rows; row++) {
    double sum = 0;
    for (size_t col = 0; col < cols; col++) {
      sum += weights[row * cols + col] * x[col];
    }
    y[row] = sum;
  }
}

void
gem_test_rms_norm(const double *x, const float *weight, size_t d, double epsilon, double *y)
{
  double squares = 0;
  for (size_t i = 0; i < d; i++) {
    squares += x[i] * x[i];
  }
  double scale = 1 / sqrt(squares / (double)d + epsilon);
  for (size_t i = 0; i < d; i++) {
    y[i] = x[i] * scale * weight[i];
  }
}

void
gem_test_rope(double *x, guint32 position, size_t heads, size_t head_dim, size_t rope_dim, double base)
{
  for (size_t head = 0; head < heads; head++) {
    for (size_t i = 0; i < rope_dim / 2; i++) {
      double angle = position * pow(base, -2.0 * (double)i / (double)rope_dim);
      double *pair = x + head * head_dim + 2 * i;
      double first = pair[0] * cos(angle) - pair[1] * sin(angle);
      pair[1] = pair[0] * sin(angle) + pair[1] * cos(angle);
      pair[0] = first;
    }
  }
}

void
gem_test_softmax(double *x, size_t n)
{
  double maximum = x[0];
  double sum = 0;
  for (size_t i = 1; i < n; i++) {
    maximum = fmax(maximum, x[i]);
  }
  for (size_t i = 0; i < n; i++) {
    x[i] = exp(x[i] - maximum);
    sum += x[i];
  }
  for (size_t i = 0; i < n; i++) {
    x[i] /= sum;
  }
}

double
gem_test_silu(double x)
{
  return x / (1 + exp(-x));
}

double
gem_test_gelu(double x)
{
  return 0.5 * x * (1 + tanh(sqrt(2 / G_PI) * (x + 0.044715 * x * x * x)));
}

void
gem_test_feed_forward(const float *gate,
                      const float *up,
                      const float *down,
                      size_t width,
                      size_t hidden,
                      const double *x,
                      double *y)
{
  double *gated = g_new(double, hidden);
  double *raised = g_new(double, hidden);
  double *lowered = g_new(double, width);
  gem_test_linear(gate, hidden, width, x, gated);
  gem_test_linear(up, hidden, width, x, raised);
  for (size_t i = 0; i < hidden; i++) {
    gated[i] = gem_test_silu(gated[i]) * raised[i];
  }
  gem_test_linear(down, width, hidden, gated, lowered);
  for (size_t i = 0; i < width; i++) {
    y[i] += lowered[i];
  }
  g_free(gated);
  g_free(raised);
  g_free(lowered);
}

/* One head; rows of keys and values are `stride` apart. */
static void
attend_head(const double *q,
            size_t head_dim,
            const double *keys,
            const double *values,
            size_t stride,
            const gboolean *visible,
            size_t count,
            double *out)
{
  double *scores = g_new(double, count);
  for (size_t j = 0; j < count; j++) {
    double dot = 0;
    for (size_t i = 0; i < head_dim; i++) {
      dot += q[i] * keys[j * stride + i];
    }
    scores[j] = visible[j] ? dot / sqrt((double)head_dim) : -INFINITY;
  }
  gem_test_softmax(scores, count);
  for (size_t i = 0; i < head_dim; i++) {
    out[i] = 0;
    for (size_t j = 0; j < count; j++) {
      out[i] += scores[j] * values[j * stride + i];
    }
  }
  g_free(scores);
}

void
gem_test_attend(const double *q,
                size_t heads,
                size_t kv_heads,
                size_t head_dim,
                const double *keys,
                const double *values,
                const gboolean *visible,
                size_t count,
                double *out)
{
  for (size_t head = 0; head < heads; head++) {
    size_t offset = head * kv_heads / heads * head_dim;
    attend_head(q + head * head_dim, head_dim, keys + offset, values + offset, kv_heads * head_dim, visible,
                count, out + head * head_dim);
  }
}

void
gem_test_round_keys_values(
    double *keys, double *values, size_t n, size_t kv_heads, size_t head_dim, gboolean half)
{
  const GemKernels *kernels = gem_kernels_reference();
  GemKvForm form = {.kv_heads = kv_heads, .head_dim = head_dim, .half = half};
  size_t width = kv_heads * head_dim;
  float *row = g_new(float, 2 * width);
  uint8_t *tile = aligned_alloc(GEM_KV_ALIGNMENT, gem_kv_tile_bytes(&form));
  const uint8_t place = 3;
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < width; j++) {
      row[j] = (float)keys[i * width + j];
      row[width + j] = (float)values[i * width + j];
    }
    (half ? kernels->kv_store_half : kernels->kv_store)(&form, row, row + width, 1, &tile, &place);
    gem_kv_read(&form, tile, place, row, row + width);
    for (size_t j = 0; j < width; j++) {
      keys[i * width + j] = row[j];
      values[i * width + j] = row[width + j];
    }
  }
  free(tile);
  g_free(row);
}

void
gem_test_round_queries(double *q, size_t count, size_t head_dim)
{
  for (double *head = q; head < q + count * head_dim; head += head_dim) {
    double largest = 0;
    for (size_t i = 0; i < head_dim; i++) {
      largest = fmax(largest, fabs(head[i]));
    }
    for (size_t i = 0; i < head_dim && largest > 0; i++) {
      head[i] = rint(head[i] / largest * 127) * largest / 127;
    }
  }
}

double *
gem_test_to_doubles(const float *values, size_t count)
{
  double *doubles = g_new(double, count);
  for (size_t i = 0; i < count; i++) {
    doubles[i] = values[i];
  }
  return doubles;
}

void
gem_test_assert_close(const float *a, const double *b, size_t count, double tolerance)
{
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    g_assert_true(isfinite(a[i]));
    worst = fmax(worst, fabs(a[i] - b[i]) / (1 + fabs(b[i])));
  }
  g_assert_cmpfloat(worst, <=, tolerance);
}
