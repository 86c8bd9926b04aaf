#include "bench/questions/gem-bench-task.h"

#include <math.h>

#include "bench/gem-bench-statistics.h"
#include "bench/questions/gem-bench-labels.h"
#include "dbus/gem-error.h"

GemBenchTask *
gem_bench_task_new(const char *name, GPtrArray *lines)
{
  GemBenchTask *self = g_new0(GemBenchTask, 1);
  guint i;

  self->name = g_strdup(name);
  self->lines = lines;
  self->examples = g_array_new(FALSE, FALSE, sizeof(GemBenchExample));
  for (i = 0; i < lines->len; i++) {
    GemBenchExample example = {.line = lines->pdata[i]};
    GStrv labels = example.line->labels;

    if (labels == NULL || example.line->target < 0 || !gem_bench_labels_are_valid(labels)) {
      example.fate = GEM_BENCH_SKIPPED_LABELS;
    }
    g_array_append_val(self->examples, example);
  }
  return self;
}

void
gem_bench_task_free(GemBenchTask *self)
{
  g_free(self->name);
  g_array_unref(self->examples);
  g_ptr_array_unref(self->lines);
  g_free(self);
}

gboolean
gem_bench_task_is_labelled(const GPtrArray *lines)
{
  guint i;

  for (i = 0; i < lines->len; i++) {
    if (((const GemBenchLine *)lines->pdata[i])->labels != NULL) {
      return TRUE;
    }
  }
  return FALSE;
}

/* Targets and choices of the examples used, as numbers of labels; counts the fates on the way. */
static void
collect(const GemBenchTask *self, GArray *targets, GArray *chosen, GemBenchResult *result)
{
  GStrv first = NULL;
  double chance = 0;
  guint i;

  result->same_labels = TRUE;
  for (i = 0; i < self->examples->len; i++) {
    const GemBenchExample *example = &g_array_index(self->examples, GemBenchExample, i);
    GStrv labels = example->line->labels;
    guint n, target;

    result->fates[example->fate]++;
    if (example->fate != GEM_BENCH_USED) {
      continue;
    }
    n = g_strv_length(labels);
    target = (guint)example->line->target;
    g_array_append_val(targets, target);
    g_array_append_val(chosen, example->choice);
    chance += 1.0 / n;
    result->fewest_labels = first == NULL ? n : MIN(result->fewest_labels, n);
    result->most_labels = MAX(result->most_labels, n);
    first = first == NULL ? labels : first;
    result->same_labels &= g_strv_equal((const char *const *)first, (const char *const *)labels);
  }
  result->baseline = targets->len == 0 ? NAN : chance / targets->len;
}

void
gem_bench_task_judge(const GemBenchTask *self, GemBenchResult *ret_result)
{
  g_autoptr(GArray) targets = g_array_new(FALSE, FALSE, sizeof(guint));
  g_autoptr(GArray) chosen = g_array_new(FALSE, FALSE, sizeof(guint));
  GemBenchResult result = {0};
  const guint *right, *choices;
  guint n;

  collect(self, targets, chosen, &result);
  right = (const guint *)(gpointer)targets->data;
  choices = (const guint *)(gpointer)chosen->data;
  n = targets->len;
  if (result.same_labels) {
    result.baseline = gem_bench_majority(right, n);
  }
  result.accuracy = gem_bench_accuracy(right, choices, n);
  result.standard_error = gem_bench_standard_error(result.accuracy, n);
  result.macro_f1 = gem_bench_macro_f1(right, choices, n);
  *ret_result = result;
}

gboolean
gem_bench_result_beats(const GemBenchResult *result, double errors)
{
  double chance_error = gem_bench_standard_error(result->baseline, result->fates[GEM_BENCH_USED]);

  return result->accuracy > result->baseline + errors * chance_error; /* NAN: no */
}

char *
gem_bench_fates_describe_skipped(const guint fates[GEM_BENCH_N_FATES])
{
  static const char *const reasons[GEM_BENCH_N_FATES] = {
      [GEM_BENCH_SKIPPED_LABELS] = "with unusable labels",
      [GEM_BENCH_SKIPPED_TEXT] = "with a text or label that the service does not take",
      [GEM_BENCH_SKIPPED_CONTEXT] = "longer than the context",
  };
  g_autoptr(GString) text = g_string_new(NULL);
  guint i;

  for (i = GEM_BENCH_USED + 1; i < GEM_BENCH_N_FATES; i++) {
    if (fates[i] > 0) {
      g_string_append_printf(text, "%s%u %s", text->len > 0 ? ", " : "", fates[i], reasons[i]);
    }
  }
  return text->len == 0 ? NULL : g_string_free(g_steal_pointer(&text), FALSE);
}

GemBenchFate
gem_bench_fate_of_refusal(const GError *refusal)
{
  return refusal->code == GEM_ERROR_CONTEXT_EXCEEDED ? GEM_BENCH_SKIPPED_CONTEXT : GEM_BENCH_SKIPPED_TEXT;
}
