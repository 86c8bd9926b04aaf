/* The table of an experiment, from its stages' files. */
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "training/adapt/gem-experiment.h"
#include "training/adapt/gem-forgetting.h"
#include "training/adapt/gem-variant-score.h"

#define RESAMPLES 1000

/* All tasks of all seeds of one variation: [seed][task]. */
typedef struct {
  guint n_seeds, n_tasks, stages;
  GemForgettingTask *tasks;
  GPtrArray *kept;   /* what `right` borrows */
  GPtrArray *scores; /* of GemVariantScore, of the last stage of each seed */
} Runs;

static void
runs_clear(Runs *self)
{
  for (guint i = 0; self->tasks != NULL && i < self->n_seeds * self->n_tasks; i++) {
    g_free(self->tasks[i].right);
  }
  g_clear_pointer(&self->tasks, g_free);
  g_clear_pointer(&self->kept, g_ptr_array_unref);
  g_clear_pointer(&self->scores, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Runs, runs_clear)

static JsonObject *
open_stage(const GemExperiment *experiment, JsonParser *parser, const char *path, GError **error)
{
  if (!json_parser_load_from_file(parser, path, error)) {
    return NULL;
  }
  JsonNode *root = json_parser_get_root(parser);
  JsonObject *object = root != NULL && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
  const char *signature =
      object != NULL ? json_object_get_string_member_with_default(object, "signature", NULL) : NULL;
  if (g_strcmp0(signature, experiment->signature) != 0 || !json_object_has_member(object, "right") ||
      !json_object_has_member(object, "f1")) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s is of other options or of another model; take another --work", path);
    return NULL;
  }
  return object;
}

/* After the last stage all tasks have been scored. */
static void
keep_score(const GemExperiment *experiment, Runs *runs, JsonObject *stage)
{
  JsonObject *f1 = json_object_get_object_member(stage, "f1");
  GemVariantScore *score = gem_variant_score_new(experiment->tasks, 0);
  for (guint t = 0; t < runs->n_tasks; t++) {
    const char *name = ((const GemChoiceTask *)experiment->tasks->pdata[t])->name;
    score->f1[t] = json_object_get_double_member_with_default(f1, name, NAN);
  }
  g_ptr_array_add(runs->scores, score);
}

static gboolean
read_stage(const GemExperiment *experiment,
           Runs *runs,
           const char *variation,
           guint seed,
           guint stage,
           GError **error)
{
  g_autofree char *path = gem_experiment_stage_path(experiment, variation, seed, stage);
  g_autoptr(JsonParser) parser = json_parser_new_immutable();
  JsonObject *object = open_stage(experiment, parser, path, error);
  JsonObject *right = object != NULL ? json_object_get_object_member(object, "right") : NULL;
  for (guint t = 0; right != NULL && t < runs->n_tasks; t++) {
    const GemChoiceTask *task = experiment->tasks->pdata[t];
    const char *text = json_object_get_string_member_with_default(right, task->name, NULL);
    if (text != NULL && strlen(text) == task->items->len) {
      guint8 *answers = g_new(guint8, task->items->len);
      for (guint i = 0; i < task->items->len; i++) {
        answers[i] = text[i] == '1';
      }
      g_ptr_array_add(runs->kept, answers);
      runs->tasks[(seed - 1) * runs->n_tasks + t].right[stage] = answers;
    }
  }
  if (object != NULL && stage == runs->stages) {
    keep_score(experiment, runs, object);
  }
  return object != NULL;
}

static gboolean
read_runs(const GemExperiment *experiment, const char *variation, Runs *runs, GError **error)
{
  guint stages = experiment->domains->len;
  g_autofree guint *order = g_new0(guint, stages);
  *runs = (Runs){.n_seeds = experiment->options->seeds, .n_tasks = experiment->tasks->len, .stages = stages};
  runs->tasks = g_new0(GemForgettingTask, runs->n_seeds * runs->n_tasks);
  runs->kept = g_ptr_array_new_with_free_func(g_free);
  runs->scores = g_ptr_array_new_with_free_func((GDestroyNotify)gem_variant_score_free);
  for (guint seed = 1; seed <= runs->n_seeds; seed++) {
    gem_experiment_order(experiment, seed, order);
    for (guint t = 0; t < runs->n_tasks; t++) {
      const GemChoiceTask *task = experiment->tasks->pdata[t];
      GemForgettingTask *own = &runs->tasks[(seed - 1) * runs->n_tasks + t];
      *own = (GemForgettingTask){
          .majority = task->majority, .items = task->items->len, .right = g_new0(const guint8 *, stages + 1)};
      for (guint i = 0; i < experiment->domains->len; i++) {
        own->adapted = g_array_index(experiment->domains, gint8, i) == task->domain ? order[i] : own->adapted;
      }
    }
    for (guint stage = 0; stage <= stages; stage++) {
      if (!read_stage(experiment, runs, variation, seed, stage, error)) {
        return FALSE;
      }
    }
  }
  return TRUE;
}

/* Mean accuracy over tasks and seeds: at the start, right after the own domain's stage, at the end. */
static void
mean_scores(const Runs *runs, double *scores)
{
  guint n = runs->n_seeds * runs->n_tasks;
  memset(scores, 0, 3 * sizeof(double));
  for (guint i = 0; i < n; i++) {
    const GemForgettingTask *task = &runs->tasks[i];
    const guint at[] = {0, task->adapted, runs->stages};
    for (guint s = 0; s < 3; s++) {
      scores[s] += gem_forgetting_score(task, at[s], NULL) / (double)n;
    }
  }
}

static void
add_figure(JsonBuilder *builder, const char *name, const GemForgettingFigure *figure)
{
  json_builder_set_member_name(builder, name);
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "mean");
  json_builder_add_double_value(builder, figure->mean);
  json_builder_set_member_name(builder, "low");
  json_builder_add_double_value(builder, figure->low);
  json_builder_set_member_name(builder, "high");
  json_builder_add_double_value(builder, figure->high);
  json_builder_end_object(builder);
}

/* By seed: the mean over the tasks that count in that run. */
static void
add_seeds(JsonBuilder *builder, const Runs *runs, GString *line)
{
  json_builder_set_member_name(builder, "seeds");
  json_builder_begin_array(builder);
  for (guint seed = 0; seed < runs->n_seeds; seed++) {
    GemForgettingFigure forgetting, unused;
    guint counted;
    gem_forgetting_compare(runs->tasks + seed * runs->n_tasks, NULL, 1, runs->n_tasks, runs->stages, 1, 1,
                           &forgetting, &unused, &counted);
    json_builder_add_double_value(builder, forgetting.mean);
    g_string_append_printf(line, " %+.3f", forgetting.mean);
  }
  json_builder_end_array(builder);
}

/* F1 and GG of the last stage, as text, and by seed. */
static void
report_last(JsonBuilder *builder, const Runs *runs)
{
  const char *const names[] = {"f1_end", "gg_end"};
  for (guint figure = 0; figure < G_N_ELEMENTS(names); figure++) {
    double sum = 0.0, squares = 0.0, n = runs->scores->len;
    json_builder_set_member_name(builder, names[figure]);
    json_builder_begin_array(builder);
    for (guint i = 0; i < runs->scores->len; i++) {
      const GemVariantScore *score = runs->scores->pdata[i];
      double value =
          figure == 0 ? gem_variant_score_mean_f1(score, NULL) : gem_variant_score_gg(score, FALSE, NULL);
      sum += value;
      squares += value * value;
      if (isfinite(value)) {
        json_builder_add_double_value(builder, value);
      } else {
        json_builder_add_null_value(builder);
      }
    }
    json_builder_end_array(builder);
    double spread = n > 1.0 ? sqrt(MAX(squares - sum * sum / n, 0.0) / (n - 1.0)) : 0.0;
    g_print("  %+.3f ± %.3f", sum / n, spread);
  }
}

static void
report_variation(JsonBuilder *builder, const char *name, const Runs *runs, const Runs *first)
{
  GemForgettingFigure forgetting, reduction, unused;
  guint counted, shared = 0;
  double scores[3];
  g_autoptr(GString) seeds = g_string_new(NULL);
  mean_scores(runs, scores);
  gem_forgetting_compare(runs->tasks, NULL, runs->n_seeds, runs->n_tasks, runs->stages, RESAMPLES, 1,
                         &forgetting, &unused, &counted);
  json_builder_set_member_name(builder, name);
  json_builder_begin_object(builder);
  add_figure(builder, "forgetting", &forgetting);
  add_seeds(builder, runs, seeds);
  json_builder_set_member_name(builder, "tasks_counted");
  json_builder_add_int_value(builder, counted);
  const char *const when[] = {"accuracy_start", "accuracy_learned", "accuracy_end"};
  for (guint s = 0; s < 3; s++) {
    json_builder_set_member_name(builder, when[s]);
    json_builder_add_double_value(builder, scores[s]);
  }
  g_print("%-22s %8.3f %8.3f %8.3f  %+7.3f [%+.3f, %+.3f] %4u ", name, scores[0], scores[1], scores[2],
          forgetting.mean, forgetting.low, forgetting.high, counted);
  if (first != NULL) {
    gem_forgetting_compare(runs->tasks, first->tasks, runs->n_seeds, runs->n_tasks, runs->stages, RESAMPLES,
                           1, &forgetting, &reduction, &shared);
    add_figure(builder, "reduction", &reduction);
    json_builder_set_member_name(builder, "tasks_shared");
    json_builder_add_int_value(builder, shared);
    g_print(" %+7.3f [%+.3f, %+.3f] %4u", reduction.mean, reduction.low, reduction.high, shared);
  } else {
    g_print(" %30s", "");
  }
  report_last(builder, runs);
  g_print("  %s\n", seeds->str);
  json_builder_end_object(builder);
}

gboolean
gem_experiment_report(const GemExperiment *self, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autoptr(JsonGenerator) generator = json_generator_new();
  g_autofree char *path = g_build_filename(self->options->work, "result.json", NULL);
  const char *const *names = self->options->variations;
  g_auto(Runs) first = {0};
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "signature");
  json_builder_add_string_value(builder, self->signature);
  json_builder_set_member_name(builder, "variations");
  json_builder_begin_object(builder);
  g_print("%-22s %8s %8s %8s  %-24s %5s  %-25s %5s  %-14s  %-14s  %s\n", "variation", "start", "learned",
          "end", "forgetting [95 %]", "tasks", "reduction [95 %]", "tasks", "F1 at the end", "GG at the end",
          "forgetting by seed");
  for (guint i = 0; names[i] != NULL; i++) {
    g_auto(Runs) runs = {0};
    if (!read_runs(self, names[i], i == 0 ? &first : &runs, error)) {
      return FALSE;
    }
    report_variation(builder, names[i], i == 0 ? &first : &runs, i == 0 ? NULL : &first);
  }
  json_builder_end_object(builder);
  json_builder_end_object(builder);
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  json_generator_set_root(generator, root);
  json_generator_set_pretty(generator, TRUE);
  return json_generator_to_file(generator, path, error);
}
