#include "training/experiment/gem-experiment-runs.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "training/experiment/gem-variant-costs.h"
#include "training/experiment/gem-variant-score.h"

void
gem_experiment_runs_free(GemExperimentRuns *self)
{
  for (guint i = 0; i < self->n_seeds * self->n_tasks; i++) {
    g_free(self->tasks[i].right);
  }
  g_free(self->tasks);
  g_ptr_array_unref(self->kept);
  g_ptr_array_unref(self->scores);
  g_array_unref(self->costs);
  g_array_unref(self->row_lost);
  g_free(self);
}

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

/* After the last stage all tasks have been scored. Files of earlier versions have F1 alone. */
static gboolean
keep_score(const GemExperiment *experiment, GemExperimentRuns *runs, JsonObject *stage, GError **error)
{
  JsonObject *f1 = json_object_get_object_member(stage, "f1");
  gboolean has_tasks = json_object_has_member(stage, "tasks");
  GemVariantScore *score = has_tasks ? gem_variant_score_from_json(stage, experiment->tasks, error)
                                     : gem_variant_score_new(experiment->tasks, 0);
  if (score == NULL) {
    return FALSE;
  }
  for (guint t = 0; t < runs->n_tasks && !has_tasks; t++) {
    const char *name = ((const GemChoiceTask *)experiment->tasks->pdata[t])->name;
    score->f1[t] = json_object_get_double_member_with_default(f1, name, NAN);
  }
  g_ptr_array_add(runs->scores, score);
  GemVariantCosts costs = gem_variant_costs_from_json(stage);
  g_array_append_val(runs->costs, costs);
  return TRUE;
}

/* A task's answers, 0 or 1; NULL where the text is not as long as the task. */
static guint8 *
read_answers(const GemChoiceTask *task, const char *text)
{
  if (text == NULL || strlen(text) != task->items->len) {
    return NULL;
  }
  guint8 *answers = g_new(guint8, task->items->len);
  for (guint i = 0; i < task->items->len; i++) {
    answers[i] = text[i] == '1';
  }
  return answers;
}

/* Before the first stage all tasks have answers, after a stage those of the domains so far. */
static gboolean
read_stage(const GemExperiment *experiment,
           GemExperimentRuns *runs,
           const char *variation,
           guint seed,
           guint stage,
           GError **error)
{
  g_autofree char *path = gem_experiment_stage_path(experiment, variation, seed, stage);
  g_autoptr(JsonParser) parser = json_parser_new_immutable();
  JsonObject *object = open_stage(experiment, parser, path, error);
  if (object == NULL) {
    return FALSE;
  }
  JsonObject *right = json_object_get_object_member(object, "right");
  for (guint t = 0; t < runs->n_tasks; t++) {
    const GemChoiceTask *task = experiment->tasks->pdata[t];
    GemForgettingTask *own = &runs->tasks[(seed - 1) * runs->n_tasks + t];
    guint8 *answers = read_answers(task, json_object_get_string_member_with_default(right, task->name, NULL));
    if (answers != NULL) {
      g_ptr_array_add(runs->kept, answers);
      own->right[stage] = answers;
    } else if (stage == 0 || own->adapted <= stage) {
      g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                  "%s: no answers to the %u items of %s; delete it and run the experiment again", path,
                  task->items->len, task->name);
      return FALSE;
    }
  }
  double lost = json_object_get_double_member_with_default(object, "row_lost_share", NAN);
  if (isfinite(lost)) {
    g_array_append_val(runs->row_lost, lost);
  }
  if (stage == runs->stages && !keep_score(experiment, runs, object, error)) {
    g_prefix_error(error, "%s: ", path);
    return FALSE;
  }
  return TRUE;
}

static void
prepare_seed(const GemExperiment *experiment, GemExperimentRuns *runs, guint seed)
{
  g_autofree guint *order = g_new0(guint, runs->stages);
  gem_experiment_order(experiment, seed, order);
  for (guint t = 0; t < runs->n_tasks; t++) {
    const GemChoiceTask *task = experiment->tasks->pdata[t];
    GemForgettingTask *own = &runs->tasks[(seed - 1) * runs->n_tasks + t];
    *own = (GemForgettingTask){.majority = task->majority,
                               .items = task->items->len,
                               .right = g_new0(const guint8 *, runs->stages + 1)};
    for (guint i = 0; i < experiment->domains->len; i++) {
      own->adapted = g_array_index(experiment->domains, gint8, i) == task->domain ? order[i] : own->adapted;
    }
  }
}

GemExperimentRuns *
gem_experiment_runs_read(const GemExperiment *experiment, const char *variation, GError **error)
{
  g_autoptr(GemExperimentRuns) self = g_new0(GemExperimentRuns, 1);
  self->n_seeds = experiment->options->seeds;
  self->n_tasks = experiment->tasks->len;
  self->stages = experiment->domains->len;
  self->tasks = g_new0(GemForgettingTask, self->n_seeds * self->n_tasks);
  self->kept = g_ptr_array_new_with_free_func(g_free);
  self->row_lost = g_array_new(FALSE, FALSE, sizeof(double));
  self->costs = g_array_new(FALSE, FALSE, sizeof(GemVariantCosts));
  self->scores = g_ptr_array_new_with_free_func((GDestroyNotify)gem_variant_score_free);
  for (guint seed = 1; seed <= self->n_seeds; seed++) {
    prepare_seed(experiment, self, seed);
    for (guint stage = 0; stage <= self->stages; stage++) {
      if (!read_stage(experiment, self, variation, seed, stage, error)) {
        return NULL;
      }
    }
  }
  return g_steal_pointer(&self);
}

GemForgettingRuns
gem_experiment_runs_all(const GemExperimentRuns *self)
{
  return (GemForgettingRuns){self->tasks, self->n_seeds, self->n_tasks, self->stages};
}

GemForgettingRuns
gem_experiment_runs_seed(const GemExperimentRuns *self, guint seed)
{
  return (GemForgettingRuns){self->tasks + seed * self->n_tasks, 1, self->n_tasks, self->stages};
}
