#include "bench/baseline/gem-baseline-task.h"

#include <math.h>

#include "bench/baseline/gem-baseline-candidates.h"
#include "bench/baseline/gem-baseline-linear.h"
#include "bench/baseline/gem-baseline-ranker.h"
#include "bench/edge/gem-edge-metrics.h"
#include "bench/edge/gem-edge-spread.h"
#include "bench/gem-bench-statistics.h"
#include "bench/questions/gem-bench-data.h"
#include "bench/questions/gem-bench-labels.h"

/* What multiplies the loss against the squared weights, from stiff to free; dev chooses. After so many in a
 * row that are worse than the best, freer ones are not tried. */
static const double freedoms[] = {0.1, 1, 3, 10, 30, 100};
#define WORSE 2u

/* Lines without labels are of a task with classes all the same where train has so few distinct answers: those
 * are the labels then, lists of one or more. */
#define LINES_OF_ANSWER 20u

typedef struct {
  GPtrArray *lines; /* GemBenchLine: those with usable labels */
  guint *targets;   /* [lines] */
  guint n, skipped;
} Split;

typedef struct {
  Split train, scored[GEM_BASELINE_N_SPLITS];
  GemBaselineResult result;
  guint *chosen[GEM_BASELINE_N_SPLITS]; /* [lines]: of the model that is best on dev so far */
  double accuracy;                      /* of it, on dev */
  GPtrArray *
      answers; /* char *: the labels of a task whose lines have none, those of train first; NULL: they have */
} Work;

/* A model's choices for the lines of each split. */
typedef struct {
  guint *chosen[GEM_BASELINE_N_SPLITS];
} Choices;

/* ---- reading ---- */

static void
split_clear(Split *split)
{
  g_clear_pointer(&split->lines, g_ptr_array_unref);
  g_clear_pointer(&split->targets, g_free);
}

static void
work_clear(Work *work)
{
  guint i;

  g_clear_pointer(&work->answers, g_ptr_array_unref);
  split_clear(&work->train);
  for (i = 0; i < GEM_BASELINE_N_SPLITS; i++) {
    split_clear(&work->scored[i]);
    g_clear_pointer(&work->chosen[i], g_free);
  }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

/* Drops the lines without usable labels, and collects the targets of the others. */
static void
take_labelled(Split *split)
{
  guint i;

  for (i = 0; i < split->lines->len;) {
    const GemBenchLine *line = split->lines->pdata[i];

    if (line->labels == NULL || line->target < 0 || !gem_bench_labels_are_valid(line->labels)) {
      g_ptr_array_remove_index(split->lines, i);
      split->skipped++;
    } else {
      i++;
    }
  }
  split->n = split->lines->len;
  split->targets = g_new(guint, split->n);
  for (i = 0; i < split->n; i++) {
    split->targets[i] = (guint)((const GemBenchLine *)split->lines->pdata[i])->target;
  }
}

/* The number of an answer among the answers, where it is added if need be. */
static guint
number_answer(GPtrArray *answers, const char *answer)
{
  guint index;

  if (!g_ptr_array_find_with_equal_func(answers, answer, g_str_equal, &index)) {
    index = answers->len;
    g_ptr_array_add(answers, g_strdup(answer));
  }
  return index;
}

static void
take_answers(Split *split, GPtrArray *answers)
{
  guint i;

  split->n = split->lines->len;
  split->targets = g_new(guint, split->n);
  for (i = 0; i < split->n; i++) {
    split->targets[i] = number_answer(answers, ((const GemBenchLine *)split->lines->pdata[i])->right[0]);
  }
}

/* Whether train has few answers, in place of labels. */
static gboolean
has_few_answers(const Split *train)
{
  g_autoptr(GHashTable) answers = g_hash_table_new(g_str_hash, g_str_equal);
  guint i;

  for (i = 0; i < train->lines->len; i++) {
    const GemBenchLine *line = train->lines->pdata[i];

    if (line->labels != NULL) {
      return FALSE;
    }
    g_hash_table_add(answers, line->right[0]);
  }
  return g_hash_table_size(answers) * LINES_OF_ANSWER <= train->lines->len;
}

/* Reads all splits, and takes labels or answers. */
static gboolean
read_splits(const char *data, const char *task, Work *work, GError **error)
{
  Split *splits[] = {&work->train, &work->scored[GEM_BASELINE_DEV], &work->scored[GEM_BASELINE_TEST]};
  static const char *const names[] = {"train", "dev", "test"};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(splits); i++) {
    splits[i]->lines = gem_bench_data_read_lines(data, task, names[i], 0, 0, error);
    if (splits[i]->lines == NULL) {
      return FALSE;
    }
  }
  work->answers = has_few_answers(&work->train) ? g_ptr_array_new_with_free_func(g_free) : NULL;
  for (i = 0; i < G_N_ELEMENTS(splits); i++) {
    if (work->answers != NULL) {
      take_answers(splits[i], work->answers);
    } else {
      take_labelled(splits[i]);
    }
  }
  return TRUE;
}

/* Whether all lines of the split have the labels `first`; counts them on the way. */
static gboolean
look_at_labels(const Split *split, GStrv first, GemBaselineResult *result)
{
  gboolean same = TRUE;
  guint i;

  for (i = 0; i < split->n; i++) {
    GStrv labels = ((const GemBenchLine *)split->lines->pdata[i])->labels;
    guint n = g_strv_length(labels);

    result->fewest_labels = result->fewest_labels == 0 ? n : MIN(result->fewest_labels, n);
    result->most_labels = MAX(result->most_labels, n);
    same &= g_strv_equal((const char *const *)first, (const char *const *)labels);
  }
  return same;
}

static void
look_at_task(Work *work)
{
  GStrv first = work->train.n > 0 ? ((const GemBenchLine *)work->train.lines->pdata[0])->labels : NULL;
  GemBaselineResult *result = &work->result;
  guint i;

  result->n_train = work->train.n;
  result->lists = work->answers != NULL;
  if (result->lists) {
    result->fewest_labels = result->most_labels = work->answers->len;
  }
  result->shared = result->lists || (first != NULL && look_at_labels(&work->train, first, result));
  for (i = 0; i < GEM_BASELINE_N_SPLITS; i++) {
    result->splits[i].n = work->scored[i].n;
    result->splits[i].skipped = work->scored[i].skipped;
    result->shared &= result->lists || (first != NULL && look_at_labels(&work->scored[i], first, result));
  }
}

/* ---- figures ---- */

/* [n] each. */
typedef struct {
  const guint *targets, *chosen;
  const GPtrArray *answers; /* of lists */
} Answers;

static double
find_macro_f1(const guint *drawn, gsize n, gconstpointer data)
{
  const Answers *answers = data;
  g_autofree guint *targets = g_new(guint, n);
  g_autofree guint *chosen = g_new(guint, n);
  gsize i;

  for (i = 0; i < n; i++) {
    targets[i] = answers->targets[drawn[i]];
    chosen[i] = answers->chosen[drawn[i]];
  }
  return gem_bench_macro_f1(targets, chosen, n);
}

/* F1 of the entries of lists, over all lines. */
static double
find_mention_f1(const guint *drawn, gsize n, gconstpointer data)
{
  const Answers *answers = data;
  GemEdgeMentions sum = {0};
  gsize i;

  for (i = 0; i < n; i++) {
    const char *const right[] = {answers->answers->pdata[answers->targets[drawn[i]]], NULL};
    GemEdgeMentions one =
        gem_edge_compare_mentions(answers->answers->pdata[answers->chosen[drawn[i]]], right);

    sum.right += one.right;
    sum.wrong += one.wrong;
    sum.lacking += one.lacking;
  }
  return gem_edge_mention_f1(&sum);
}

static GemBaselineScore
score(const Work *work, const Split *split, const guint *chosen)
{
  const Answers answers = {split->targets, chosen, work->answers};
  double accuracy = gem_bench_accuracy(split->targets, chosen, split->n);

  return (GemBaselineScore){
      .accuracy = {accuracy, gem_bench_standard_error(accuracy, split->n)},
      .f1 = gem_edge_score_bootstrap(split->n, work->answers == NULL ? find_macro_f1 : find_mention_f1,
                                     &answers),
  };
}

/* Guessing each line's labels with equal chances; of lists nobody guesses. */
static GemBaselineScore
score_chance(const Work *work, const Split *split)
{
  g_autofree guint *counts = g_new(guint, split->n);
  double right = 0;
  guint i;

  if (work->answers != NULL) {
    return (GemBaselineScore){{NAN, NAN}, {NAN, NAN}};
  }
  for (i = 0; i < split->n; i++) {
    counts[i] = g_strv_length(((const GemBenchLine *)split->lines->pdata[i])->labels);
    right += 1.0 / counts[i] / split->n;
  }
  return (GemBaselineScore){{right, NAN}, {gem_edge_chance_f1(split->targets, counts, split->n), NAN}};
}

/* The target that the lines have most often, the lowest of equal ones. */
static guint
find_most_frequent(const Split *split, guint n_classes)
{
  g_autofree guint *counts = g_new0(guint, n_classes);
  guint most = 0, i;

  for (i = 0; i < split->n; i++) {
    counts[split->targets[i]]++;
  }
  for (i = 1; i < n_classes; i++) {
    most = counts[i] > counts[most] ? i : most;
  }
  return most;
}

static GemBaselineScore
score_constant(const Work *work, const Split *split, guint class)
{
  g_autofree guint *chosen = g_new(guint, split->n);
  guint i;

  for (i = 0; i < split->n; i++) {
    chosen[i] = class;
  }
  return score(work, split, chosen);
}

/* ---- the linear model ---- */

/* Takes the choices of a model (transfer full) when it is better on dev than the best so far; adds to `worse`
 * when it is worse. TRUE: taken. */
static gboolean
keep_better(Work *work, Choices *choices, guint *worse)
{
  const Split *dev = &work->scored[GEM_BASELINE_DEV];
  double accuracy = gem_bench_accuracy(dev->targets, choices->chosen[GEM_BASELINE_DEV], dev->n);
  gboolean better = work->chosen[0] == NULL || accuracy > work->accuracy;
  guint i;

  *worse = better ? 0 : *worse + (accuracy < work->accuracy);
  for (i = 0; i < GEM_BASELINE_N_SPLITS; i++) {
    if (better) {
      g_free(work->chosen[i]);
      work->chosen[i] = g_steal_pointer(&choices->chosen[i]);
    } else {
      g_clear_pointer(&choices->chosen[i], g_free);
    }
  }
  work->accuracy = better ? accuracy : work->accuracy;
  return better;
}

static const char **
collect_inputs(const Split *split)
{
  const char **inputs = g_new(const char *, split->n + 1);
  guint i;

  for (i = 0; i < split->n; i++) {
    inputs[i] = ((const GemBenchLine *)split->lines->pdata[i])->input;
  }
  inputs[split->n] = NULL;
  return inputs;
}

static GemBaselineRows *
make_rows(GemBaselineFeatures *features, const Split *split)
{
  g_autofree const char **inputs = collect_inputs(split);

  return gem_baseline_features_of(features, inputs, split->n);
}

/* Shared labels: a class each. With `fields` nothing is done where the inputs have none, and freedoms below
 * those of the best model so far are not tried. */
static void
fit_classes(Work *work, gboolean fields)
{
  g_autofree const char **inputs = collect_inputs(&work->train);
  g_autoptr(GemBaselineFeatures) features = gem_baseline_features_new(inputs, work->train.n, fields);
  g_autoptr(GemBaselineRows) train = make_rows(features, &work->train);
  GemBaselineRows *rows[GEM_BASELINE_N_SPLITS];
  guint n_features = gem_baseline_features_count(features), worse = 0, i, j;
  g_autoptr(GemBaselineLinear) linear =
      gem_baseline_linear_new(train, n_features, work->train.targets, work->result.most_labels);

  if (fields && !gem_baseline_features_has_fields(features)) {
    return;
  }
  for (j = 0; j < GEM_BASELINE_N_SPLITS; j++) {
    rows[j] = make_rows(features, &work->scored[j]);
  }
  for (i = 0; i < G_N_ELEMENTS(freedoms) && worse < WORSE; i++) {
    Choices choices;

    if (fields && freedoms[i] < work->result.freedom) {
      continue;
    }
    gem_baseline_linear_fit(linear, freedoms[i]);
    for (j = 0; j < GEM_BASELINE_N_SPLITS; j++) {
      choices.chosen[j] = gem_baseline_linear_choose(linear, rows[j]);
    }
    if (keep_better(work, &choices, &worse)) {
      work->result.freedom = freedoms[i];
      work->result.n_features = n_features;
      work->result.fields = fields;
    }
  }
  for (j = 0; j < GEM_BASELINE_N_SPLITS; j++) {
    gem_baseline_rows_free(rows[j]);
  }
}

static GemBaselineQuestion *
collect_questions(const Split *split)
{
  GemBaselineQuestion *questions = g_new0(GemBaselineQuestion, split->n);
  guint i;

  for (i = 0; i < split->n; i++) {
    const GemBenchLine *line = split->lines->pdata[i];

    questions[i] = (GemBaselineQuestion){line->input, (const char *const *)line->labels};
  }
  return questions;
}

/* Candidates as a ranker wants them. */
typedef struct {
  GemBaselineRows *rows;
  guint *ends, n;
} Candidates;

static Candidates
make_candidates(GemBaselineCandidates *features, const Split *split)
{
  g_autofree GemBaselineQuestion *questions = collect_questions(split);
  Candidates candidates = {.n = split->n};

  candidates.rows = gem_baseline_candidates_of(features, questions, split->n, &candidates.ends);
  return candidates;
}

static void
candidates_clear(Candidates *candidates)
{
  gem_baseline_rows_free(candidates->rows);
  g_free(candidates->ends);
}

/* Labels that differ from line to line. */
static void
fit_candidates(Work *work)
{
  g_autofree GemBaselineQuestion *questions = collect_questions(&work->train);
  g_autoptr(GemBaselineCandidates) features = gem_baseline_candidates_new(questions, work->train.n);
  Candidates train = make_candidates(features, &work->train), scored[GEM_BASELINE_N_SPLITS];
  guint n_features = gem_baseline_candidates_count(features), worse = 0, i, j;
  g_autoptr(GemBaselineRanker) ranker =
      gem_baseline_ranker_new(train.rows, n_features, train.ends, work->train.targets, train.n);

  for (j = 0; j < GEM_BASELINE_N_SPLITS; j++) {
    scored[j] = make_candidates(features, &work->scored[j]);
  }
  for (i = 0; i < G_N_ELEMENTS(freedoms) && worse < WORSE; i++) {
    Choices choices;

    gem_baseline_ranker_fit(ranker, freedoms[i]);
    for (j = 0; j < GEM_BASELINE_N_SPLITS; j++) {
      choices.chosen[j] = gem_baseline_ranker_choose(ranker, scored[j].rows, scored[j].ends, scored[j].n);
    }
    if (keep_better(work, &choices, &worse)) {
      work->result.freedom = freedoms[i];
      work->result.n_features = n_features;
    }
  }
  for (j = 0; j < GEM_BASELINE_N_SPLITS; j++) {
    candidates_clear(&scored[j]);
  }
  candidates_clear(&train);
}

/* ---- the whole ---- */

const char *
gem_baseline_split_name(GemBaselineSplit split)
{
  return split == GEM_BASELINE_DEV ? "dev" : "test";
}

gboolean
gem_baseline_task_run(const char *data, const char *task, GemBaselineResult *ret_result, GError **error)
{
  g_auto(Work) work = {0};
  GemBaselineResult *result = &work.result;
  guint most, i;

  if (!read_splits(data, task, &work, error)) {
    return FALSE;
  }
  look_at_task(&work);
  if (work.train.n == 0 || work.scored[GEM_BASELINE_DEV].n == 0) {
    return FALSE;
  }
  if (result->shared) {
    fit_classes(&work, FALSE);
    fit_classes(&work, TRUE);
  } else {
    fit_candidates(&work);
  }
  most = find_most_frequent(&work.train, result->most_labels);
  for (i = 0; i < GEM_BASELINE_N_SPLITS; i++) {
    const Split *split = &work.scored[i];

    result->splits[i].chance = score_chance(&work, split);
    result->splits[i].majority = score_constant(&work, split, most);
    result->splits[i].linear = score(&work, split, work.chosen[i]);
  }
  *ret_result = *result;
  return TRUE;
}
