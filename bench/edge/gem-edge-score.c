#include "bench/edge/gem-edge-score.h"

#include <math.h>

#include "bench/edge/gem-edge-metrics.h"
#include "bench/gem-bench-statistics.h"

#define CLEAR_ERRORS 2.0

const char *
gem_edge_metric_name(GemEdgeMetric metric)
{
  static const char *const names[GEM_EDGE_N_METRICS] = {
      [GEM_EDGE_ACCURACY] = "accuracy",
      [GEM_EDGE_MACRO_F1] = "macro_f1",
      [GEM_EDGE_TOKEN_F1] = "token_f1",
      [GEM_EDGE_EXACT_MATCH] = "exact_match",
      [GEM_EDGE_ROUGE_L] = "rouge_l",
      [GEM_EDGE_MENTION_F1] = "mention_f1",
      [GEM_EDGE_MENTION_PRECISION] = "mention_precision",
      [GEM_EDGE_MENTION_RECALL] = "mention_recall",
  };

  return names[metric];
}

GemEdgeMetric
gem_edge_form_metric(GemEdgeForm form)
{
  static const GemEdgeMetric metrics[] = {
      [GEM_EDGE_CHOICE] = GEM_EDGE_MACRO_F1,
      [GEM_EDGE_ANSWER] = GEM_EDGE_TOKEN_F1,
      [GEM_EDGE_TEXT] = GEM_EDGE_ROUGE_L,
      [GEM_EDGE_MENTIONS] = GEM_EDGE_MENTION_F1,
  };

  return metrics[form];
}

gboolean
gem_edge_form_has_metric(GemEdgeForm form, GemEdgeMetric metric)
{
  switch (form) {
  case GEM_EDGE_CHOICE:
    return metric == GEM_EDGE_ACCURACY || metric == GEM_EDGE_MACRO_F1;
  case GEM_EDGE_MENTIONS:
    return metric == GEM_EDGE_EXACT_MATCH || metric >= GEM_EDGE_MENTION_F1;
  case GEM_EDGE_ANSWER:
  case GEM_EDGE_TEXT:
    return metric == GEM_EDGE_TOKEN_F1 || metric == GEM_EDGE_EXACT_MATCH || metric == GEM_EDGE_ROUGE_L;
  default:
    g_assert_not_reached();
  }
}

static const GemBenchLine *
line_of(const GemEdgeTask *task, const GemEdgeItem *item)
{
  return task->lines->pdata[item->line];
}

/* ---- choices ---- */

/* Targets and choices as numbers of classes, and how many labels there were to choose from: [lines]. */
typedef struct {
  GArray *targets, *chosen, *labels; /* of guint */
} Classes;

static double
drawn_macro_f1(const guint *drawn, gsize n, gconstpointer data)
{
  const Classes *classes = data;
  g_autofree guint *targets = g_new(guint, n);
  g_autofree guint *chosen = g_new(guint, n);
  gsize i;

  for (i = 0; i < n; i++) {
    targets[i] = g_array_index(classes->targets, guint, drawn[i]);
    chosen[i] = g_array_index(classes->chosen, guint, drawn[i]);
  }
  return gem_bench_macro_f1(targets, chosen, n);
}

static void
collect_classes(const GemEdgeTask *task, const GPtrArray *used, Classes *classes, GemEdgeTaskScore *score)
{
  GStrv first = NULL;
  double chance = 0;
  guint i;

  score->shared_labels = TRUE;
  for (i = 0; i < used->len; i++) {
    const GemEdgeItem *item = used->pdata[i];
    const GemBenchLine *line = line_of(task, item);
    guint n = g_strv_length(line->labels), target = (guint)line->target;

    g_array_append_val(classes->targets, target);
    g_array_append_val(classes->chosen, item->reply.choice);
    g_array_append_val(classes->labels, n);
    chance += 1.0 / n;
    score->fewest_labels = first == NULL ? n : MIN(score->fewest_labels, n);
    score->most_labels = MAX(score->most_labels, n);
    first = first == NULL ? line->labels : first;
    score->shared_labels &= g_strv_equal((const char *const *)first, (const char *const *)line->labels);
  }
  score->chance_accuracy = used->len == 0 ? NAN : chance / used->len;
}

static void
score_choices(const GemEdgeTask *task, const GPtrArray *used, GemEdgeTaskScore *score)
{
  Classes classes = {.targets = g_array_new(FALSE, FALSE, sizeof(guint)),
                     .chosen = g_array_new(FALSE, FALSE, sizeof(guint)),
                     .labels = g_array_new(FALSE, FALSE, sizeof(guint))};
  const guint *targets, *chosen;
  guint n = used->len;
  double accuracy;

  collect_classes(task, used, &classes, score);
  targets = (const guint *)(gpointer)classes.targets->data;
  chosen = (const guint *)(gpointer)classes.chosen->data;
  accuracy = gem_bench_accuracy(targets, chosen, n);
  score->metrics[GEM_EDGE_ACCURACY] = (GemEdgeScore){accuracy, gem_bench_standard_error(accuracy, n)};
  score->metrics[GEM_EDGE_MACRO_F1] = gem_edge_score_bootstrap(n, drawn_macro_f1, &classes);
  score->chance_f1 = gem_edge_chance_f1(targets, (const guint *)(gpointer)classes.labels->data, n);
  if (score->shared_labels) {
    score->majority_accuracy = gem_bench_majority(targets, n);
    score->majority_f1 = gem_edge_majority_f1(targets, n, score->most_labels);
  }
  g_array_unref(classes.targets);
  g_array_unref(classes.chosen);
  g_array_unref(classes.labels);
}

/* ---- answers that are written ---- */

static GemEdgeScore
score_texts(const GemEdgeTask *task,
            const GPtrArray *used,
            double (*compare)(const char *answer, const char *const *right))
{
  g_autofree double *values = g_new(double, used->len);
  guint i;

  for (i = 0; i < used->len; i++) {
    const GemEdgeItem *item = used->pdata[i];

    values[i] = compare(item->reply.answer, (const char *const *)line_of(task, item)->right);
  }
  return gem_edge_score_mean(values, used->len);
}

static GemEdgeMentions
sum_drawn(const guint *drawn, gsize n, const GemEdgeMentions *counts)
{
  GemEdgeMentions sum = {0};
  gsize i;

  for (i = 0; i < n; i++) {
    sum.right += counts[drawn[i]].right;
    sum.wrong += counts[drawn[i]].wrong;
    sum.lacking += counts[drawn[i]].lacking;
  }
  return sum;
}

static double
drawn_mention_f1(const guint *drawn, gsize n, gconstpointer data)
{
  GemEdgeMentions sum = sum_drawn(drawn, n, data);

  return gem_edge_mention_f1(&sum);
}

static double
drawn_mention_precision(const guint *drawn, gsize n, gconstpointer data)
{
  GemEdgeMentions sum = sum_drawn(drawn, n, data);

  return gem_edge_mention_precision(&sum);
}

static double
drawn_mention_recall(const guint *drawn, gsize n, gconstpointer data)
{
  GemEdgeMentions sum = sum_drawn(drawn, n, data);

  return gem_edge_mention_recall(&sum);
}

/* A list is an exact match when it has every mention and no other. */
static void
score_mentions(const GemEdgeTask *task, const GPtrArray *used, GemEdgeTaskScore *score)
{
  g_autofree GemEdgeMentions *counts = g_new0(GemEdgeMentions, used->len);
  g_autofree double *whole = g_new(double, used->len);
  guint i;

  for (i = 0; i < used->len; i++) {
    const GemEdgeItem *item = used->pdata[i];

    counts[i] =
        gem_edge_compare_mentions(item->reply.answer, (const char *const *)line_of(task, item)->right);
    whole[i] = counts[i].wrong + counts[i].lacking == 0;
  }
  score->metrics[GEM_EDGE_MENTION_F1] = gem_edge_score_bootstrap(used->len, drawn_mention_f1, counts);
  score->metrics[GEM_EDGE_MENTION_PRECISION] =
      gem_edge_score_bootstrap(used->len, drawn_mention_precision, counts);
  score->metrics[GEM_EDGE_MENTION_RECALL] = gem_edge_score_bootstrap(used->len, drawn_mention_recall, counts);
  score->metrics[GEM_EDGE_EXACT_MATCH] = gem_edge_score_mean(whole, used->len);
}

/* ---- a task ---- */

static void
clear_score(GemEdgeTaskScore *score)
{
  guint i;

  *score = (GemEdgeTaskScore){.chance_accuracy = NAN, .majority_accuracy = NAN, .majority_f1 = NAN};
  for (i = 0; i < GEM_EDGE_N_METRICS; i++) {
    score->metrics[i] = (GemEdgeScore){NAN, NAN};
  }
}

static void
score_used(const GemEdgeTask *task, const GPtrArray *used, GemEdgeTaskScore *score)
{
  if (task->form == GEM_EDGE_CHOICE) {
    score_choices(task, used, score);
  } else if (task->form == GEM_EDGE_MENTIONS) {
    score_mentions(task, used, score);
  } else {
    score->metrics[GEM_EDGE_TOKEN_F1] = score_texts(task, used, gem_edge_token_f1);
    score->metrics[GEM_EDGE_EXACT_MATCH] = score_texts(task, used, gem_edge_exact_match);
    score->metrics[GEM_EDGE_ROUGE_L] = score_texts(task, used, gem_edge_rouge_l);
  }
}

/* The target that stands there most often; of equals the first. */
static const char *
find_most_frequent(const GemEdgeTask *task, const GPtrArray *used)
{
  g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal); /* target -> times */
  const char *most = NULL;
  guint i, highest = 0;

  for (i = 0; i < used->len; i++) {
    char *target = line_of(task, used->pdata[i])->right[0];

    g_hash_table_insert(counts, target,
                        GUINT_TO_POINTER(GPOINTER_TO_UINT(g_hash_table_lookup(counts, target)) + 1));
  }
  for (i = 0; i < used->len; i++) {
    const char *target = line_of(task, used->pdata[i])->right[0];
    guint times = GPOINTER_TO_UINT(g_hash_table_lookup(counts, target));

    if (times > highest) {
      highest = times;
      most = target;
    }
  }
  return most;
}

/* What is written scores as these items would with one answer to everything. */
static void
score_majority(const GemEdgeTask *task, const GPtrArray *used, GemEdgeTaskScore *score)
{
  const char *most = find_most_frequent(task, used);
  g_autofree GemEdgeItem *items = g_new(GemEdgeItem, used->len);
  g_autoptr(GPtrArray) constant = g_ptr_array_new();
  GemEdgeTaskScore majority;
  guint i;

  for (i = 0; i < used->len; i++) {
    items[i] = *(const GemEdgeItem *)used->pdata[i];
    items[i].reply.answer = (char *)most;
    g_ptr_array_add(constant, &items[i]);
  }
  clear_score(&majority);
  score_used(task, constant, &majority);
  score->majority_f1 = gem_edge_score_get_f1(task, &majority).value;
  score->majority_accuracy = gem_edge_score_get_accuracy(task, &majority);
}

void
gem_edge_score_task(const GemEdgeTask *task, const GPtrArray *items, GemEdgeTaskScore *ret_score)
{
  g_autoptr(GPtrArray) used = g_ptr_array_new();
  GemEdgeTaskScore score;
  guint i;

  clear_score(&score);
  for (i = 0; i < items->len; i++) {
    const GemEdgeItem *item = items->pdata[i];

    score.fates[item->reply.fate]++;
    if (item->reply.fate == GEM_BENCH_USED) {
      score.truncated += item->reply.truncated;
      g_ptr_array_add(used, items->pdata[i]);
    }
  }
  score_used(task, used, &score);
  if (task->form != GEM_EDGE_CHOICE) {
    score_majority(task, used, &score);
  }
  *ret_score = score;
}

GemEdgeScore
gem_edge_score_get_f1(const GemEdgeTask *task, const GemEdgeTaskScore *score)
{
  return score->metrics[gem_edge_form_metric(task->form)];
}

double
gem_edge_score_get_accuracy(const GemEdgeTask *task, const GemEdgeTaskScore *score)
{
  return score->metrics[task->form == GEM_EDGE_CHOICE ? GEM_EDGE_ACCURACY : GEM_EDGE_EXACT_MATCH].value;
}

double
gem_edge_score_get_baseline(const GemEdgeTaskScore *score)
{
  return isnan(score->majority_accuracy) ? score->chance_accuracy : score->majority_accuracy;
}

gboolean
gem_edge_score_beats(double accuracy, double other, guint n)
{
  return accuracy > other + CLEAR_ERRORS * gem_bench_standard_error(other, n); /* NAN: no */
}

gboolean
gem_edge_score_beats_model(double accuracy, double other, guint n)
{
  double error = hypot(gem_bench_standard_error(accuracy, n), gem_bench_standard_error(other, n));

  return accuracy > other + CLEAR_ERRORS * error; /* NAN: no */
}
