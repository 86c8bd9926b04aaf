#include "training/arithmetic/gem-vector.h"

#include <math.h>
#include <string.h>

/* Each hot function is compiled for several levels of the CPU; the loader picks one. Sanitizers run before
 * the loader's choice would work. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&     \
    !defined(__SANITIZE_THREAD__)
#define GEM_CPU_LEVELS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GEM_CPU_LEVELS
#endif

/* e^x to about 1e-7, for |x| < 87; below, 0 within single precision; no number of what is none. Branch-free,
 * so that loops vectorise. */
static inline float
vector_exp(float x)
{
  x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  float scaled = x * 1.44269504f;
  float whole =
      scaled == scaled ? __builtin_rintf(scaled) : 0.0f; /* no integer is made of what is no number */
  float part = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * part + 1.3981999507e-3f;
  p = p * part + 8.3334519073e-3f;
  p = p * part + 4.1665795894e-2f;
  p = p * part + 1.6666665459e-1f;
  p = p * part + 5.0000001201e-1f;
  p = p * part * part + part + 1.0f;
  union {
    gint32 bits;
    float value;
  } power = {.bits = ((gint32)whole + 127) << 23};
  return p * power.value;
}

GEM_CPU_LEVELS void
gem_rms_norm_forward(
    const float *x, const float *weight, gsize n, gsize d, float epsilon, float *inverse, float *y)
{
  for (gsize i = 0; i < n; i++, x += d, y += d) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (gsize j = 0; j < d; j++) {
      sum += x[j] * x[j];
    }
    float scale = 1.0f / sqrtf(sum / (float)d + epsilon);
    inverse[i] = scale;
#pragma omp simd
    for (gsize j = 0; j < d; j++) {
      y[j] = x[j] * scale * weight[j];
    }
  }
}

GEM_CPU_LEVELS void
gem_rms_norm_backward(const float *x,
                      const float *weight,
                      const float *inverse,
                      const float *dy,
                      gsize n,
                      gsize d,
                      float *dx,
                      float *dweight)
{
  for (gsize i = 0; i < n; i++, x += d, dy += d, dx += d) {
    float scale = inverse[i], dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (gsize j = 0; j < d; j++) {
      dot += weight[j] * dy[j] * x[j];
    }
    float back = scale * scale * scale * dot / (float)d;
#pragma omp simd
    for (gsize j = 0; j < d; j++) {
      dx[j] += scale * weight[j] * dy[j] - back * x[j];
    }
    if (dweight != NULL) {
#pragma omp simd
      for (gsize j = 0; j < d; j++) {
        dweight[j] += dy[j] * x[j] * scale;
      }
    }
  }
}

float *
gem_rope_table_new(gsize positions, gsize rope_dim, double base)
{
  float *table = g_new(float, positions *rope_dim);
  for (gsize p = 0; p < positions; p++) {
    for (gsize i = 0; i < rope_dim / 2; i++) {
      double angle = (double)p * pow(base, -2.0 * (double)i / (double)rope_dim);
      table[p * rope_dim + 2 * i] = (float)cos(angle);
      table[p * rope_dim + 2 * i + 1] = (float)sin(angle);
    }
  }
  return table;
}

GEM_CPU_LEVELS void
gem_rope_apply(float *x,
               gsize stride,
               const guint32 *positions,
               gsize n,
               gsize heads,
               gsize head_dim,
               gsize rope_dim,
               const float *table,
               int direction)
{
  float sign = direction < 0 ? -1.0f : 1.0f;
  for (gsize i = 0; i < n; i++) {
    const float *angles = table + (gsize)positions[i] * rope_dim;
    for (gsize h = 0; h < heads; h++) {
      float *head = x + i * stride + h * head_dim;
#pragma omp simd
      for (gsize j = 0; j < rope_dim; j += 2) {
        float cosine = angles[j], sine = sign * angles[j + 1];
        float even = head[j], odd = head[j + 1];
        head[j] = even * cosine - odd * sine;
        head[j + 1] = even * sine + odd * cosine;
      }
    }
  }
}

GEM_CPU_LEVELS void
gem_swiglu_forward(const float *gate_up, gsize n, gsize f, float *out)
{
  for (gsize i = 0; i < n; i++, gate_up += 2 * f, out += f) {
#pragma omp simd
    for (gsize j = 0; j < f; j++) {
      out[j] = gate_up[j] / (1.0f + vector_exp(-gate_up[j])) * gate_up[f + j];
    }
  }
}

GEM_CPU_LEVELS void
gem_swiglu_backward(const float *gate_up, const float *dout, gsize n, gsize f, float *dgate_up)
{
  for (gsize i = 0; i < n; i++, gate_up += 2 * f, dgate_up += 2 * f, dout += f) {
#pragma omp simd
    for (gsize j = 0; j < f; j++) {
      float gate = gate_up[j], sigmoid = 1.0f / (1.0f + vector_exp(-gate));
      dgate_up[j] = dout[j] * gate_up[f + j] * sigmoid * (1.0f + gate * (1.0f - sigmoid));
      dgate_up[f + j] = dout[j] * gate * sigmoid;
    }
  }
}

#define GELU_SCALE 0.7978845608f /* sqrt(2 / pi) */
#define GELU_CUBE  0.044715f

GEM_CPU_LEVELS void
gem_gelu_forward(const float *x, gsize count, float *out)
{
#pragma omp simd
  for (gsize i = 0; i < count; i++) {
    float inner = GELU_SCALE * (x[i] + GELU_CUBE * x[i] * x[i] * x[i]);
    out[i] = x[i] / (1.0f + vector_exp(-2.0f * inner)); /* (1 + tanh z) / 2 = 1 / (1 + e^-2z) */
  }
}

GEM_CPU_LEVELS void
gem_gelu_backward(const float *x, const float *dout, gsize count, float *dx)
{
#pragma omp simd
  for (gsize i = 0; i < count; i++) {
    float v = x[i], inner = GELU_SCALE * (v + GELU_CUBE * v * v * v);
    float sigmoid = 1.0f / (1.0f + vector_exp(-2.0f * inner));
    float slope = GELU_SCALE * (1.0f + 3.0f * GELU_CUBE * v * v);
    dx[i] = dout[i] * (sigmoid + 2.0f * v * sigmoid * (1.0f - sigmoid) * slope);
  }
}

GEM_CPU_LEVELS void
gem_masked_softmax_row(float *s, const guint8 *visible, gsize end, gsize length, float scale)
{
  float top = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : top)
  for (gsize j = 0; j < end; j++) {
    float score = visible[j] ? s[j] : -INFINITY;
    top = score > top ? score : top;
  }
#pragma omp simd reduction(+ : sum)
  for (gsize j = 0; j < end; j++) {
    float e = vector_exp((s[j] - top) * scale);
    e = visible[j] ? e : 0.0f;
    s[j] = e;
    sum += e;
  }
  float factor = 1.0f / sum;
#pragma omp simd
  for (gsize j = 0; j < end; j++) {
    s[j] *= factor;
  }
  memset(s + end, 0, (length - end) * sizeof(float));
}

GEM_CPU_LEVELS void
gem_softmax_backward_row(const float *p, float *dp, gsize end, gsize length, float scale)
{
  float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
  for (gsize j = 0; j < end; j++) {
    dot += p[j] * dp[j];
  }
#pragma omp simd
  for (gsize j = 0; j < end; j++) {
    dp[j] = p[j] * (dp[j] - dot) * scale;
  }
  memset(dp + end, 0, (length - end) * sizeof(float));
}

GEM_CPU_LEVELS double
gem_cross_entropy_row(float *logits, gsize n, guint target, float weight)
{
  float top = -INFINITY, sum = 0.0f, wanted = logits[target];
#pragma omp simd reduction(max : top)
  for (gsize j = 0; j < n; j++) {
    top = logits[j] > top ? logits[j] : top;
  }
#pragma omp simd reduction(+ : sum)
  for (gsize j = 0; j < n; j++) {
    float e = vector_exp(logits[j] - top);
    logits[j] = e;
    sum += e;
  }
  float factor = (weight != 0.0f ? weight : 1.0f) / sum;
#pragma omp simd
  for (gsize j = 0; j < n; j++) {
    logits[j] *= factor;
  }
  if (weight != 0.0f) {
    logits[target] -= weight;
  }
  return log((double)sum) + (double)top - (double)wanted;
}

/* softmax in place of logits; returns the logarithm of the sum of exponentials. */
GEM_CPU_LEVELS static double
softmax_row(float *logits, gsize n)
{
  float top = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : top)
  for (gsize j = 0; j < n; j++) {
    top = logits[j] > top ? logits[j] : top;
  }
#pragma omp simd reduction(+ : sum)
  for (gsize j = 0; j < n; j++) {
    float e = vector_exp(logits[j] - top);
    logits[j] = e;
    sum += e;
  }
  float factor = 1.0f / sum;
#pragma omp simd
  for (gsize j = 0; j < n; j++) {
    logits[j] *= factor;
  }
  return log((double)sum) + (double)top;
}

GEM_CPU_LEVELS double
gem_divergence_row(float *teacher, float *student, gsize n, float weight)
{
  double cross = 0.0;
  float top = teacher[0];
#pragma omp simd reduction(max : top)
  for (gsize j = 0; j < n; j++) {
    top = teacher[j] > top ? teacher[j] : top;
  }
  /* sum p (t - s), once p is known: exp(t - top) first, so that the sum needs no third array */
  float sum = 0.0f, product = 0.0f;
#pragma omp simd reduction(+ : sum, product)
  for (gsize j = 0; j < n; j++) {
    float e = vector_exp(teacher[j] - top);
    sum += e;
    product += e * (teacher[j] - student[j]);
  }
  cross = (double)product / (double)sum;
  double teacher_log = softmax_row(teacher, n), student_log = softmax_row(student, n);
#pragma omp simd
  for (gsize j = 0; j < n; j++) {
    student[j] = weight * (student[j] - teacher[j]);
  }
  return cross - teacher_log + student_log;
}

GEM_CPU_LEVELS guint
gem_vector_nearest(const float *u, const float *means, gsize k, gsize d)
{
  guint best = 0;
  float best_dot = -INFINITY;
  for (gsize j = 0; j < k; j++, means += d) {
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (gsize x = 0; x < d; x++) {
      dot += u[x] * means[x];
    }
    if (dot > best_dot) {
      best_dot = dot;
      best = (guint)j;
    }
  }
  return best;
}

GEM_CPU_LEVELS void
gem_vector_add(float *y, const float *x, gsize count)
{
#pragma omp simd
  for (gsize i = 0; i < count; i++) {
    y[i] += x[i];
  }
}

GEM_CPU_LEVELS void
gem_vector_add_scaled(float *y, const float *x, float factor, gsize count)
{
#pragma omp simd
  for (gsize i = 0; i < count; i++) {
    y[i] += factor * x[i];
  }
}

GEM_CPU_LEVELS void
gem_vector_scale(float *y, float factor, gsize count)
{
#pragma omp simd
  for (gsize i = 0; i < count; i++) {
    y[i] *= factor;
  }
}

GEM_CPU_LEVELS double
gem_vector_square_sum(const float *x, gsize count)
{
  double total = 0.0;
  for (gsize start = 0; start < count; start += 4096) {
    gsize end = MIN(start + 4096, count);
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (gsize i = start; i < end; i++) {
      sum += x[i] * x[i];
    }
    total += (double)sum;
  }
  return total;
}
