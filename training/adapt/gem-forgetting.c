#include "training/adapt/gem-forgetting.h"

#include <math.h>
#include <stdlib.h>

#include "training/gem-random.h"

double
gem_forgetting_score(const GemForgettingTask *task, guint stage, const guint32 *picks)
{
  guint right = 0;
  for (guint i = 0; i < task->items; i++) {
    right += task->right[stage][picks != NULL ? picks[i] : i];
  }
  return (double)right / (double)MAX(task->items, 1);
}

static guint
best_stage(const GemForgettingTask *task, guint stages)
{
  guint best = 0;
  double best_score = -1.0;
  for (guint stage = 0; stage < stages; stage++) {
    double score = task->right[stage] != NULL ? gem_forgetting_score(task, stage, NULL) : -1.0;
    if (score > best_score) {
      best_score = score;
      best = stage;
    }
  }
  return best;
}

gboolean
gem_forgetting_counts(const GemForgettingTask *task, guint stages)
{
  if (task->adapted >= stages || task->items == 0) {
    return FALSE;
  }
  double best = gem_forgetting_score(task, best_stage(task, stages), NULL), m = task->majority;
  return best - m > 2.0 * sqrt(m * (1.0 - m) / (double)task->items);
}

double
gem_forgetting_of_task(const GemForgettingTask *task, guint stages, const guint32 *picks)
{
  guint stage = best_stage(task, stages);
  double best = gem_forgetting_score(task, stage, picks), last = gem_forgetting_score(task, stages, picks);
  /* the scale is the whole sample's: a resample's could be nothing */
  return (best - last) / (gem_forgetting_score(task, stage, NULL) - task->majority);
}

typedef struct {
  const GemForgettingTask *runs, *others;
  guint n_runs, n_tasks, stages;
  gboolean *counted; /* [run][task] */
} Comparison;

/* picks: [task][items], or NULL for all items as they are. */
static double
mean_forgetting(const Comparison *self, const GemForgettingTask *runs, guint32 **picks)
{
  double total = 0.0;
  guint n = 0;
  for (guint run = 0; run < self->n_runs; run++) {
    double sum = 0.0;
    guint tasks = 0;
    for (guint t = 0; t < self->n_tasks; t++) {
      guint at = run * self->n_tasks + t;
      if (self->counted[at]) {
        sum += gem_forgetting_of_task(&runs[at], self->stages, picks != NULL ? picks[t] : NULL);
        tasks++;
      }
    }
    total += tasks > 0 ? sum / (double)tasks : 0.0;
    n += tasks > 0 ? 1 : 0;
  }
  return total / (double)MAX(n, 1);
}

static void
draw_picks(const Comparison *self, GemRandom *random, guint32 **picks)
{
  for (guint t = 0; t < self->n_tasks; t++) {
    guint items = self->runs[t].items;
    for (guint i = 0; i < items; i++) {
      picks[t][i] = (guint32)gem_random_below(random, items);
    }
  }
}

static int
compare_doubles(gconstpointer a, gconstpointer b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static GemForgettingFigure
figure_of(double mean, double *resampled, guint n)
{
  qsort(resampled, n, sizeof(double), compare_doubles);
  guint low = (guint)(0.025 * (double)n), high = n - 1 - low;
  return (GemForgettingFigure){mean, n > 0 ? resampled[low] : mean, n > 0 ? resampled[high] : mean};
}

void
gem_forgetting_compare(const GemForgettingTask *runs,
                       const GemForgettingTask *others,
                       guint n_runs,
                       guint n_tasks,
                       guint stages,
                       guint resamples,
                       guint64 seed,
                       GemForgettingFigure *ret_forgetting,
                       GemForgettingFigure *ret_reduction,
                       guint *ret_counted)
{
  g_autofree gboolean *counted = g_new0(gboolean, n_runs * n_tasks);
  g_autofree double *own = g_new(double, resamples), *less = g_new(double, resamples);
  g_autofree guint32 **picks = g_new(guint32 *, n_tasks);
  Comparison self = {runs, others, n_runs, n_tasks, stages, counted};
  GemRandom random = gem_random_seeded(seed, 0);
  guint n_less = 0;
  *ret_counted = 0;
  for (guint i = 0; i < n_runs * n_tasks; i++) {
    counted[i] = gem_forgetting_counts(&runs[i], stages) &&
                 (others == NULL || gem_forgetting_counts(&others[i], stages));
    *ret_counted += counted[i] ? 1 : 0;
  }
  for (guint t = 0; t < n_tasks; t++) {
    picks[t] = g_new0(guint32, MAX(runs[t].items, 1));
  }
  for (guint r = 0; r < resamples; r++) {
    draw_picks(&self, &random, picks);
    own[r] = mean_forgetting(&self, runs, picks);
    double other = others != NULL ? mean_forgetting(&self, others, picks) : 0.0;
    if (other != 0.0) {
      less[n_less++] = 1.0 - own[r] / other;
    }
  }
  double mean = mean_forgetting(&self, runs, NULL);
  double other_mean = others != NULL ? mean_forgetting(&self, others, NULL) : 0.0;
  double reduction = other_mean != 0.0 ? 1.0 - mean / other_mean : 0.0;
  *ret_forgetting = figure_of(mean, own, resamples);
  *ret_reduction = figure_of(reduction, less, n_less);
  for (guint t = 0; t < n_tasks; t++) {
    g_free(picks[t]);
  }
}
