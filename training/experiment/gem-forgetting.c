#include "training/experiment/gem-forgetting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "training/arithmetic/gem-random.h"

double
gem_forgetting_score(const GemForgettingTask *task, guint stage, const guint32 *picks)
{
  guint right = 0;
  for (guint i = 0; i < task->items; i++) {
    right += task->right[stage][picks != NULL ? picks[i] : i];
  }
  return (double)right / (double)MAX(task->items, 1);
}

/* ---- one task ---- */

static guint
first_earlier(const GemForgettingTask *task, GemForgettingMeasure measure)
{
  return measure == GEM_FORGETTING_OWN ? task->adapted : 0;
}

static guint
best_stage(const GemForgettingTask *task, guint stages, GemForgettingMeasure measure)
{
  guint best = first_earlier(task, measure);
  double best_score = -1.0;
  for (guint stage = best; stage < stages; stage++) {
    double score = task->right[stage] != NULL ? gem_forgetting_score(task, stage, NULL) : -1.0;
    if (score > best_score) {
      best_score = score;
      best = stage;
    }
  }
  return best;
}

/* Best earlier score - majority, of all items. */
static double
scale_of(const GemForgettingTask *task, guint stages, GemForgettingMeasure measure)
{
  return gem_forgetting_score(task, best_stage(task, stages, measure), NULL) - task->majority;
}

gboolean
gem_forgetting_counts(const GemForgettingTask *task, guint stages, GemForgettingMeasure measure)
{
  if (task->adapted >= stages || task->items == 0) {
    return FALSE;
  }
  double m = task->majority;
  return scale_of(task, stages, measure) > 2.0 * sqrt(m * (1.0 - m) / (double)task->items);
}

/* The shares of right answers among the even and among the odd items. */
static void
score_halves(const GemForgettingTask *task, guint stage, const guint32 *picks, double *scores)
{
  guint right[2] = {0}, items[2] = {0};
  for (guint i = 0; i < task->items; i++) {
    guint item = picks != NULL ? picks[i] : i;
    right[item % 2] += task->right[stage][item];
    items[item % 2]++;
  }
  for (guint half = 0; half < 2; half++) {
    scores[half] = (double)right[half] / (double)MAX(items[half], 1);
  }
}

/* Best earlier score - final score, where the stage that is best for one half is scored on the other. */
static double
crossed_loss(const GemForgettingTask *task, guint stages, const guint32 *picks)
{
  double best[2] = {-1.0, -1.0}, crossed[2] = {0.0}, last[2];
  for (guint stage = 0; stage < stages; stage++) {
    double scores[2];
    if (task->right[stage] == NULL) {
      continue;
    }
    score_halves(task, stage, picks, scores);
    for (guint half = 0; half < 2; half++) {
      if (scores[half] > best[half]) {
        best[half] = scores[half];
        crossed[half] = scores[1 - half];
      }
    }
  }
  score_halves(task, stages, picks, last);
  return 0.5 * (crossed[0] - last[1] + crossed[1] - last[0]);
}

/* Best earlier score - final score. */
static double
loss_of(const GemForgettingTask *task, guint stages, GemForgettingMeasure measure, const guint32 *picks)
{
  if (measure == GEM_FORGETTING_CROSSED) {
    return crossed_loss(task, stages, picks);
  }
  return gem_forgetting_score(task, best_stage(task, stages, measure), picks) -
         gem_forgetting_score(task, stages, picks);
}

double
gem_forgetting_of_task(const GemForgettingTask *task,
                       guint stages,
                       GemForgettingMeasure measure,
                       const guint32 *picks)
{
  /* the scale is the whole sample's: a resample's could be nothing */
  return loss_of(task, stages, measure, picks) / scale_of(task, stages, measure);
}

/* ---- runs ---- */

typedef struct {
  const GemForgettingRuns *runs, *others;
  GemForgettingMeasure measure;
  gboolean *counted; /* [run][task] */
} Comparison;

/* One resample. */
typedef struct {
  guint32 **picks; /* [task][items]; NULL: all items as they are */
  guint *times;    /* [task] that the task was drawn; NULL: each once */
} Draw;

static double
mean_of_run(const Comparison *self, const GemForgettingRuns *runs, guint run, const Draw *draw)
{
  double losses = 0.0, scales = 0.0;
  for (guint t = 0; t < self->runs->n_tasks; t++) {
    guint at = run * runs->n_tasks + t;
    const GemForgettingTask *task = &runs->tasks[at];
    const guint32 *own = draw->picks != NULL ? draw->picks[t] : NULL;
    double times = draw->times != NULL ? draw->times[t] : 1.0;
    if (self->counted[at] && self->measure == GEM_FORGETTING_POOLED) {
      losses += times * loss_of(task, runs->stages, self->measure, own);
      scales += times * scale_of(task, runs->stages, self->measure);
    } else if (self->counted[at]) {
      losses += times * gem_forgetting_of_task(task, runs->stages, self->measure, own);
      scales += times;
    }
  }
  return scales > 0.0 ? losses / scales : NAN;
}

/* Runs without a task that counts have no say; NAN when that is all of them. */
static double
mean_forgetting(const Comparison *self, const GemForgettingRuns *runs, const Draw *draw)
{
  double total = 0.0;
  guint n = 0;
  for (guint run = 0; run < runs->n_runs; run++) {
    double mean = mean_of_run(self, runs, run, draw);
    total += isfinite(mean) ? mean : 0.0;
    n += isfinite(mean) ? 1 : 0;
  }
  return n > 0 ? total / (double)n : NAN;
}

static void
draw_picks(const GemForgettingRuns *runs, GemRandom *random, guint32 **picks)
{
  for (guint t = 0; t < runs->n_tasks; t++) {
    guint items = runs->tasks[t].items;
    for (guint i = 0; i < items; i++) {
      picks[t][i] = (guint32)gem_random_below(random, items);
    }
  }
}

static void
draw_times(const GemForgettingRuns *runs, GemRandom *random, guint *times)
{
  memset(times, 0, runs->n_tasks * sizeof *times);
  for (guint t = 0; t < runs->n_tasks; t++) {
    times[gem_random_below(random, runs->n_tasks)]++;
  }
}

static int
compare_doubles(gconstpointer a, gconstpointer b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static GemForgettingFigure
figure_of(double mean, const GArray *resampled)
{
  guint n = resampled->len, low = (guint)(0.025 * (double)n), high = n > 0 ? n - 1 - low : 0;
  if (n == 0) {
    return (GemForgettingFigure){mean, mean, mean};
  }
  g_autofree double *sorted = g_memdup2(resampled->data, n * sizeof(double));
  qsort(sorted, n, sizeof(double), compare_doubles);
  return (GemForgettingFigure){mean, sorted[low], sorted[high]};
}

/* What the resamples say of each figure. */
typedef struct {
  GArray *forgetting, *others, *difference, *reduction; /* of double */
} Resampled;

static void
resampled_clear(Resampled *self)
{
  g_clear_pointer(&self->forgetting, g_array_unref);
  g_clear_pointer(&self->others, g_array_unref);
  g_clear_pointer(&self->difference, g_array_unref);
  g_clear_pointer(&self->reduction, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Resampled, resampled_clear)

/* A draw in which none of a run's tasks that count is says nothing of it. */
static void
add_draw(const Comparison *self, const Draw *draw, Resampled *to)
{
  double own = mean_forgetting(self, self->runs, draw);
  double other = self->others != NULL ? mean_forgetting(self, self->others, draw) : 0.0;
  double difference = other - own, reduction = other > 0.0 ? 1.0 - own / other : 0.0;
  if (draw->times != NULL && !isfinite(difference)) {
    return;
  }
  g_array_append_val(to->forgetting, own);
  g_array_append_val(to->others, other);
  g_array_append_val(to->difference, difference);
  if (other > 0.0) {
    g_array_append_val(to->reduction, reduction);
  }
}

static void
resample(const Comparison *self, GemForgettingDrawn drawn, guint resamples, guint64 seed, Resampled *to)
{
  const GemForgettingRuns *runs = self->runs;
  GemRandom random = gem_random_seeded(seed, 0);
  g_autofree guint *times = g_new0(guint, MAX(runs->n_tasks, 1));
  guint32 **picks = g_new0(guint32 *, runs->n_tasks);
  const Draw draw = {drawn == GEM_FORGETTING_ITEMS ? picks : NULL,
                     drawn == GEM_FORGETTING_TASKS ? times : NULL};
  for (guint t = 0; t < runs->n_tasks; t++) {
    picks[t] = g_new0(guint32, MAX(runs->tasks[t].items, 1));
  }
  for (guint r = 0; r < resamples; r++) {
    if (drawn == GEM_FORGETTING_TASKS) {
      draw_times(runs, &random, times);
    } else {
      draw_picks(runs, &random, picks);
    }
    add_draw(self, &draw, to);
  }
  for (guint t = 0; t < runs->n_tasks; t++) {
    g_free(picks[t]);
  }
  g_free(picks);
}

void
gem_forgetting_compare(const GemForgettingRuns *runs,
                       const GemForgettingRuns *others,
                       GemForgettingMeasure measure,
                       GemForgettingDrawn drawn,
                       guint resamples,
                       guint64 seed,
                       GemForgettingComparison *ret_comparison)
{
  guint n = runs->n_runs * runs->n_tasks;
  g_autofree gboolean *counted = g_new0(gboolean, n);
  const Comparison self = {runs, others, measure, counted};
  const Draw all = {NULL, NULL};
  g_auto(Resampled)
      resampled = {g_array_new(FALSE, FALSE, sizeof(double)), g_array_new(FALSE, FALSE, sizeof(double)),
                   g_array_new(FALSE, FALSE, sizeof(double)), g_array_new(FALSE, FALSE, sizeof(double))};
  memset(ret_comparison, 0, sizeof *ret_comparison);
  for (guint i = 0; i < n; i++) {
    counted[i] = gem_forgetting_counts(&runs->tasks[i], runs->stages, measure) &&
                 (others == NULL || gem_forgetting_counts(&others->tasks[i], runs->stages, measure));
    ret_comparison->counted += counted[i] ? 1 : 0;
  }
  resample(&self, drawn, resamples, seed, &resampled);
  double own = mean_forgetting(&self, runs, &all);
  ret_comparison->forgetting = figure_of(own, resampled.forgetting);
  if (others == NULL) {
    return;
  }
  double other = mean_forgetting(&self, others, &all);
  ret_comparison->others = figure_of(other, resampled.others);
  ret_comparison->difference = figure_of(other - own, resampled.difference);
  ret_comparison->has_reduction = ret_comparison->others.low > 0.0 && other > 0.0;
  if (ret_comparison->has_reduction) {
    ret_comparison->reduction = figure_of(1.0 - own / other, resampled.reduction);
  }
}
