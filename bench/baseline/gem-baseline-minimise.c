#include "bench/baseline/gem-baseline-minimise.h"

#include <math.h>
#include <string.h>

/* Steps that are remembered. */
#define MEMORY 6u
/* A step must gain this share of what the slope promises, and is halved at most so often. */
#define ENOUGH  1e-4
#define HALVING 30u

typedef struct {
  gsize n;
  float *moves[MEMORY], *turns[MEMORY]; /* of point and gradient, [n] each */
  double products[MEMORY];              /* moves . turns, above 0 */
  guint held, next;
} Memory;

static double
dot(const float *a, const float *b, gsize n)
{
  double sums[4] = {0};
  gsize i, j;

  for (i = 0; i + 4 <= n; i += 4) {
    for (j = 0; j < 4; j++) {
      sums[j] += (double)a[i + j] * b[i + j];
    }
  }
  for (; i < n; i++) {
    sums[0] += (double)a[i] * b[i];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

static void
add_scaled(float *sum, double scale, const float *a, gsize n)
{
  float factor = (float)scale;
  gsize i;

  for (i = 0; i < n; i++) {
    sum[i] += factor * a[i];
  }
}

static void
memory_clear(Memory *memory)
{
  guint i;

  for (i = 0; i < MEMORY; i++) {
    g_free(memory->moves[i]);
    g_free(memory->turns[i]);
  }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Memory, memory_clear)

/* Remembers a step, unless the function does not curve upward along it. */
static void
remember(Memory *memory, const float *from, const float *to, const float *slope_from, const float *slope_to)
{
  guint at = memory->next;
  gsize i;

  if (memory->moves[at] == NULL) {
    memory->moves[at] = g_new(float, memory->n);
    memory->turns[at] = g_new(float, memory->n);
  }
  for (i = 0; i < memory->n; i++) {
    memory->moves[at][i] = to[i] - from[i];
    memory->turns[at][i] = slope_to[i] - slope_from[i];
  }
  memory->products[at] = dot(memory->moves[at], memory->turns[at], memory->n);
  if (memory->products[at] > 1e-12 * dot(memory->turns[at], memory->turns[at], memory->n)) {
    memory->next = (at + 1) % MEMORY;
    memory->held = MIN(memory->held + 1, MEMORY);
  } else {
    /* What stood in this place was the oldest, and is lost. */
    memory->held = MIN(memory->held, MEMORY - 1);
  }
}

/* The direction: the gradient through the remembered curvature, downhill (the two-loop recursion). */
static void
find_direction(const Memory *memory, const float *gradient, float *direction)
{
  double shares[MEMORY];
  guint i;

  memcpy(direction, gradient, memory->n * sizeof *direction);
  for (i = 0; i < memory->held; i++) {
    guint at = (memory->next + 2 * MEMORY - 1 - i) % MEMORY;

    shares[at] = dot(memory->moves[at], direction, memory->n) / memory->products[at];
    add_scaled(direction, -shares[at], memory->turns[at], memory->n);
  }
  if (memory->held > 0) {
    guint last = (memory->next + MEMORY - 1) % MEMORY;
    double scale = memory->products[last] / dot(memory->turns[last], memory->turns[last], memory->n);
    gsize j;

    for (j = 0; j < memory->n; j++) {
      direction[j] *= (float)scale;
    }
  }
  for (i = memory->held; i > 0; i--) {
    guint at = (memory->next + 2 * MEMORY - i) % MEMORY;
    double share = dot(memory->turns[at], direction, memory->n) / memory->products[at];

    add_scaled(direction, shares[at] - share, memory->moves[at], memory->n);
  }
}

/* What a search along a direction works on. */
typedef struct {
  GemBaselineFunction function;
  gpointer data;
  gsize n;
  float *point, *gradient;       /* where it stands */
  float *trial, *trial_gradient; /* where it would go */
  float *direction;              /* uphill */
} Search;

/* Finds a point that is enough lower; FALSE when there is none. */
static gboolean
step(Search *search, double value, double first, double *ret_value)
{
  double slope = dot(search->gradient, search->direction, search->n), length = first;
  guint i;

  for (i = 0; slope > 0 && i < HALVING; i++, length /= 2) {
    double trial;

    memcpy(search->trial, search->point, search->n * sizeof *search->trial);
    add_scaled(search->trial, -length, search->direction, search->n);
    trial = search->function(search->trial, search->trial_gradient, search->n, search->data);
    if (isfinite(trial) && trial <= value - ENOUGH * length * slope) {
      *ret_value = trial;
      return TRUE;
    }
  }
  return FALSE;
}

double
gem_baseline_minimise(
    GemBaselineFunction function, gpointer data, float *point, gsize n, guint most, double tolerance)
{
  g_autofree float *buffers = g_new(float, 4 * n);
  g_auto(Memory) memory = {.n = n};
  Search search = {function, data, n, point, buffers, buffers + n, buffers + 2 * n, buffers + 3 * n};
  double value = function(point, search.gradient, n, data);
  guint i;

  for (i = 0; i < most; i++) {
    double before = value, first = 1;

    find_direction(&memory, search.gradient, search.direction);
    if (memory.held == 0) {
      first = 1 / fmax(sqrt(dot(search.gradient, search.gradient, n)), 1e-12);
    }
    if (!step(&search, value, first, &value)) {
      break;
    }
    remember(&memory, point, search.trial, search.gradient, search.trial_gradient);
    memcpy(point, search.trial, n * sizeof *point);
    memcpy(search.gradient, search.trial_gradient, n * sizeof *point);
    if (before - value <= tolerance * fmax(fabs(value), 1e-9)) {
      break;
    }
  }
  return value;
}
