/* The minimum of a smooth function of many numbers: L-BFGS with a halving line search. No dice: the same
 * function gives the same minimum. */
#pragma once

#include <glib.h>

/* The value at `point` [n], and its gradient there. */
typedef double (*GemBaselineFunction)(const float *point, float *gradient, gsize n, gpointer data);

/* Moves `point` downhill until a step gains less than `tolerance` of the value, at most `most` steps; returns
 * the value there. */
double
gem_baseline_minimise(
    GemBaselineFunction function, gpointer data, float *point, gsize n, guint most, double tolerance);
