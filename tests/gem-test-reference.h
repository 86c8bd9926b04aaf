/*
 * The forward pass's parts once more, in double precision and in the most obvious way, as the measure that
 * modules are tested with. Weights are floats [rows][cols].
 */
#pragma once

#include <glib.h>
#include <stddef.h>

/* y[rows] = W x[cols] */
void
gem_test_linear(const float *weights, size_t rows, size_t cols, const double *x, double *y);
/* y[d] = x / sqrt(mean(x^2) + epsilon) * weight; y may be x. */
void
gem_test_rms_norm(const double *x, const float *weight, size_t d, double epsilon, double *y);
/* Pairs (2i, 2i + 1) of the first rope_dim values of each of the heads at x. */
void
gem_test_rope(double *x, guint32 position, size_t heads, size_t head_dim, size_t rope_dim, double base);
void
gem_test_softmax(double *x, size_t n);
double
gem_test_silu(double x);
double
gem_test_gelu(double x);
/* y[width] += W_down (silu(W_gate x) * W_up x) */
void
gem_test_feed_forward(const float *gate,
                      const float *up,
                      const float *down,
                      size_t width,
                      size_t hidden,
                      const double *x,
                      double *y);
/* out[heads][head_dim] over the rows j of keys and values [count][kv_heads][head_dim] for which visible[j].
 */
void
gem_test_attend(const double *q,
                size_t heads,
                size_t kv_heads,
                size_t head_dim,
                const double *keys,
                const double *values,
                const gboolean *visible,
                size_t count,
                double *out);

/* What tiles keep of keys and values [n][kv_heads][head_dim]: halves, or 8 bits. */
void
gem_test_round_keys_values(
    double *keys, double *values, size_t n, size_t kv_heads, size_t head_dim, gboolean half);
/* Queries [count][head_dim] as they meet keys of 8 bits: whole multiples of their largest / 127. */
void
gem_test_round_queries(double *q, size_t count, size_t head_dim);

/* Copies to doubles; free with g_free. */
double *
gem_test_to_doubles(const float *values, size_t count);
/* The largest |a - b| / (1 + |b|) is at most `tolerance`. */
void
gem_test_assert_close(const float *a, const double *b, size_t count, double tolerance);
