/*
 * What is not a matrix product, fused and written so that the compiler vectorises it: norms, rotations,
 * activations, soft-max, cross-entropy, forward and backward. Row-major; [n][d] is n rows of d floats.
 */
#pragma once

#include <glib.h>

/* y = x inv w with inv[i] = 1 / sqrt(mean(x[i]^2) + epsilon), which is kept for the way back. */
void
gem_rms_norm_forward(
    const float *x, const float *weight, gsize n, gsize d, float epsilon, float *inverse, float *y);
/* Adds to dx[n][d] and, unless it is NULL, to dweight[d] the gradients of dy. */
void
gem_rms_norm_backward(const float *x,
                      const float *weight,
                      const float *inverse,
                      const float *dy,
                      gsize n,
                      gsize d,
                      float *dx,
                      float *dweight);

/* Angles of RoPE: table[position][rope_dim / 2] of (cos, sin). Transfer full. */
float *
gem_rope_table_new(gsize positions, gsize rope_dim, double base);
/* Rotates the first rope_dim values of each of `heads` heads in rows of `stride` floats, forwards or
 * (direction -1) back. */
void
gem_rope_apply(float *x,
               gsize stride,
               const guint32 *positions,
               gsize n,
               gsize heads,
               gsize head_dim,
               gsize rope_dim,
               const float *table,
               int direction);

/* gate_up is [n][2 f], gate first: out[n][f] = silu(gate) up. */
void
gem_swiglu_forward(const float *gate_up, gsize n, gsize f, float *out);
/* dgate_up[n][2 f] from dout[n][f]. */
void
gem_swiglu_backward(const float *gate_up, const float *dout, gsize n, gsize f, float *dgate_up);

/* out = gelu(x), the tanh form. */
void
gem_gelu_forward(const float *x, gsize count, float *out);
/* dx = dout gelu'(x); dx may be dout. */
void
gem_gelu_backward(const float *x, const float *dout, gsize count, float *dx);

/* One row of scores s[0 .. length): positions with visible[j] == 0 and those from `end` on become 0, the
 * others the soft-max of scale * s. At least one is visible. */
void
gem_masked_softmax_row(float *s, const guint8 *visible, gsize end, gsize length, float scale);
/* ds = p (dp - sum(dp p)) scale, in dp's place; zero from `end` to `length`. */
void
gem_softmax_backward_row(const float *p, float *dp, gsize end, gsize length, float scale);

/* -log softmax(logits)[target]; logits[n] become weight * (softmax - one-hot) when weight is not 0, else are
 * left as probabilities. */
double
gem_cross_entropy_row(float *logits, gsize n, guint target, float weight);

/* KL(softmax(teacher) || softmax(student)); student[n] become weight * (softmax(student) - softmax(teacher)),
 * the gradient of weight times that; teacher[n] become probabilities. */
double
gem_divergence_row(float *teacher, float *student, gsize n, float weight);

/* The row of means[k][d] with the largest product with u[d]; the lowest of equals. */
guint
gem_vector_nearest(const float *u, const float *means, gsize k, gsize d);

/* y += x; y += factor x; y *= factor; sum of squares. */
void
gem_vector_add_scaled(float *y, const float *x, float factor, gsize count);
void
gem_vector_add(float *y, const float *x, gsize count);
void
gem_vector_scale(float *y, float factor, gsize count);
double
gem_vector_square_sum(const float *x, gsize count);
