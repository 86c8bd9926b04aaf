/* What pathways are worth on each other's tasks and texts. */
#include <math.h>

#include "bench/edge/gem-edge-result-private.h"
#include "bench/edge/gem-edge-transfer.h"
#include "bench/gem-bench-statistics.h"

#define DRAWS 1000u

/* F1 of a task through every pathway. */
static void
force_task(GemEdgeResult *self, guint index)
{
  GemEdgeTaskResult *result = &self->tasks[index];
  g_autofree double *others = g_new(double, self->n_domains);
  guint pathway, n = 0;

  result->pathways = g_new(double, self->n_domains + 1);
  for (pathway = 0; pathway <= self->n_domains; pathway++) {
    g_autoptr(GPtrArray) items = gem_edge_plan_select(self->plan, index, (gint)pathway, FALSE);
    GemEdgeTaskScore score;

    gem_edge_score_task(result->task, items, &score);
    result->pathways[pathway] =
        score.fates[GEM_BENCH_USED] == 0 ? NAN : gem_edge_score_get_f1(result->task, &score).value;
    result->transfer_n = MAX(result->transfer_n, score.fates[GEM_BENCH_USED]);
    result->transfer_chance = score.chance_f1;
    if (pathway < self->n_domains && pathway != result->task->n_domain) {
      others[n++] = result->pathways[pathway];
    }
  }
  result->in = result->pathways[result->task->n_domain];
  result->out = gem_edge_mean(others, n);
}

/* A cell: the mean over the domain's tasks, of their scores or of these on the specialist's scale. `drawn`
 * [n_tasks]: those that stand in the place of each; NULL: itself. */
static double
measure_cell(const GemEdgeResult *self, guint pathway, guint domain, gboolean normalised, const guint *drawn)
{
  g_autofree double *values = g_new(double, self->n_tasks);
  guint i, n = 0;

  for (i = 0; i < self->n_tasks; i++) {
    const GemEdgeTaskResult *task = &self->tasks[drawn == NULL ? i : drawn[i]];
    double value = task->pathways[pathway];

    if (task->task->n_domain == domain) {
      values[n++] = normalised
                        ? gem_edge_on_scale(value, task->transfer_chance,
                                            gem_edge_specialist_top(task->specialist, task->transfer_chance))
                        : value;
    }
  }
  return gem_edge_mean(values, n);
}

/* A column of a matrix [n][n]: the same tasks each time, so that how hard they are cancels. */
static GemEdgeSpan
span_column(const double *matrix, guint n, guint column)
{
  g_autofree double *through = g_new(double, n);
  guint row;

  for (row = 0; row < n; row++) {
    through[row] = matrix[row * n + column];
  }
  return gem_edge_span(through, n, column);
}

/* ---- how far they depend on the tasks ---- */

/* In the place of each task one of its domain, drawn with return. Transfer full. */
static guint *
draw_tasks(const GemEdgeResult *self, GRand *random)
{
  guint *drawn = g_new(guint, self->n_tasks);
  guint i;

  for (i = 0; i < self->n_tasks; i++) {
    guint domain = self->tasks[i].task->n_domain, at = 0;
    gint32 before = g_rand_int_range(random, 0, (gint32)self->domains[domain].tasks);

    while (self->tasks[at].task->n_domain != domain || before-- > 0) {
      at++;
    }
    drawn[i] = at;
  }
  return drawn;
}

/* GG and the gap, means over domains, of drawn tasks. */
static void
measure_drawn(const GemEdgeResult *self, const guint *drawn, double *ret_gg, double *ret_gap)
{
  guint i, j, n = self->n_domains;
  g_autofree double *matrix = g_new(double, (gsize)n *n);
  g_autofree double *gg = g_new(double, n);
  g_autofree double *gap = g_new(double, n);

  for (i = 0; i < n; i++) {
    for (j = 0; j < n; j++) {
      matrix[i * n + j] = measure_cell(self, i, j, FALSE, drawn);
    }
  }
  for (i = 0; i < n; i++) {
    gg[i] = gem_edge_span(matrix + (gsize)i * n, n, i).gg;
    gap[i] = span_column(matrix, n, i).gg;
  }
  *ret_gg = gem_edge_mean(gg, n);
  *ret_gap = gem_edge_mean(gap, n);
}

/* Of those that are numbers. */
static GemEdgeInterval
find_interval(double *figures)
{
  gsize i, n = 0;

  for (i = 0; i < DRAWS; i++) {
    if (!isnan(figures[i])) {
      figures[n++] = figures[i];
    }
  }
  return (GemEdgeInterval){gem_bench_quantile(figures, n, 0.025), gem_bench_quantile(figures, n, 0.5),
                           gem_bench_quantile(figures, n, 0.975)};
}

static void
find_intervals(GemEdgeResult *self)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(self->plan->seed);
  double gg[DRAWS], gap[DRAWS];
  guint i;

  self->gg_forced = self->gap = (GemEdgeInterval){NAN, NAN, NAN};
  if (!self->has_transfer || self->n_tasks == self->n_domains) {
    return; /* there are no other tasks to draw */
  }
  for (i = 0; i < DRAWS; i++) {
    g_autofree guint *drawn = draw_tasks(self, random);

    measure_drawn(self, drawn, &gg[i], &gap[i]);
  }
  self->gg_forced = find_interval(gg);
  self->gap = find_interval(gap);
}

/* ---- everything forced ---- */

void
gem_edge_result_force(GemEdgeResult *self)
{
  guint i, row, column, n = self->n_domains;

  for (i = 0; i < self->n_tasks; i++) {
    force_task(self, i);
  }
  self->matrix = g_new(double, (gsize)(n + 1) * n);
  self->matrix_normalised = g_new(double, (gsize)(n + 1) * n);
  for (row = 0; row <= n; row++) {
    for (column = 0; column < n; column++) {
      self->matrix[row * n + column] = measure_cell(self, row, column, FALSE, NULL);
      self->matrix_normalised[row * n + column] = measure_cell(self, row, column, TRUE, NULL);
    }
  }
  for (i = 0; i < n; i++) {
    self->domains[i].same = span_column(self->matrix, n, i);
    self->domains[i].forced = gem_edge_span(self->matrix + (gsize)i * n, n, i);
    self->domains[i].forced_normalised = gem_edge_span(self->matrix_normalised + (gsize)i * n, n, i);
  }
  find_intervals(self);
}

/* ---- perplexity ---- */

typedef struct {
  double log_likelihood;
  guint64 tokens;
  guint texts;
} Sum;

static Sum
sum_texts(const GemEdgeResult *self, guint domain, gint pathway)
{
  Sum sum = {0};
  guint i, j;

  for (i = 0; i < self->n_tasks; i++) {
    g_autoptr(GPtrArray) items = NULL;

    if (self->tasks[i].task->n_domain != domain) {
      continue;
    }
    items = gem_edge_plan_select(self->plan, i, pathway, TRUE);
    for (j = 0; j < items->len; j++) {
      const GemEdgeReply *reply = &((const GemEdgeItem *)items->pdata[j])->reply;

      if (reply->fate == GEM_BENCH_USED) {
        sum.log_likelihood += reply->log_likelihood;
        sum.tokens += reply->tokens;
        sum.texts++;
      }
    }
  }
  return sum;
}

/* Nats a token; NAN without tokens. */
static double
mean_nats(const Sum *sum)
{
  return sum->tokens == 0 ? NAN : -sum->log_likelihood / (double)sum->tokens;
}

void
gem_edge_result_read(GemEdgeResult *self)
{
  g_autofree double *others = g_new(double, self->n_domains);
  guint domain, pathway;

  for (domain = 0; domain < self->n_domains; domain++) {
    GemEdgePerplexity *perplexity = &self->domains[domain].perplexity;
    Sum routed = sum_texts(self, domain, GEM_EDGE_ROUTED);
    Sum own = sum_texts(self, domain, (gint)domain);
    guint n = 0;

    for (pathway = 0; pathway < self->n_domains; pathway++) {
      Sum other = sum_texts(self, domain, (gint)pathway);

      if (pathway != domain) {
        others[n++] = mean_nats(&other);
      }
    }
    *perplexity = (GemEdgePerplexity){
        .routed = exp(mean_nats(&routed)),
        .own = exp(mean_nats(&own)),
        .others = exp(gem_edge_mean(others, n)),
        .tokens = routed.tokens,
        .texts = routed.texts,
    };
  }
}
