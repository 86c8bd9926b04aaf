#include "bench/edge/gem-edge-transfer.h"

#include <math.h>

static double
divide(double part, double whole)
{
  return whole > 0 ? part / whole : NAN;
}

double
gem_edge_generality_gap(double in, double out)
{
  return divide(in - out, in);
}

double
gem_edge_transfer_ratio(double from, double to)
{
  return divide(to, from);
}

double *
gem_edge_transfer_ratios(const double *matrix, guint n)
{
  double *ratios = g_new(double, (gsize)n *n);
  guint i, j;

  for (i = 0; i < n; i++) {
    for (j = 0; j < n; j++) {
      ratios[i * n + j] = gem_edge_transfer_ratio(matrix[i * n + i], matrix[i * n + j]);
    }
  }
  return ratios;
}

double
gem_edge_specialisation(double own, const double *others, gsize n)
{
  return divide(own, gem_edge_mean(others, n));
}

double
gem_edge_on_scale(double score, double chance, double specialist)
{
  return divide(score - chance, specialist - chance);
}

double
gem_edge_mean(const double *values, gsize n)
{
  double sum = 0;
  gsize i, numbers = 0;

  for (i = 0; i < n; i++) {
    if (!isnan(values[i])) {
      sum += values[i];
      numbers++;
    }
  }
  return numbers == 0 ? NAN : sum / (double)numbers;
}
