#include "training/experiment/gem-variant-score.h"

#include <math.h>

#include "format/gem-gguf.h"
#include "training/experiment/gem-result-json.h"
#include "training/network/gem-progress.h"

static double *
new_unknown(gsize n)
{
  double *values = g_new(double, n);
  for (gsize i = 0; i < n; i++) {
    values[i] = NAN;
  }
  return values;
}

GemVariantScore *
gem_variant_score_new(const GPtrArray *tasks, guint n_pathways)
{
  GemVariantScore *self = g_new0(GemVariantScore, 1);
  self->n_tasks = tasks->len;
  self->n_pathways = n_pathways;
  self->domain = g_new(gint8, tasks->len);
  for (guint t = 0; t < tasks->len; t++) {
    self->domain[t] = ((const GemChoiceTask *)tasks->pdata[t])->domain;
  }
  self->f1 = new_unknown(tasks->len);
  self->accuracy = new_unknown(tasks->len);
  self->forced = new_unknown((gsize)n_pathways * tasks->len);
  return self;
}

void
gem_variant_score_free(GemVariantScore *self)
{
  g_free(self->domain);
  g_free(self->f1);
  g_free(self->accuracy);
  g_free(self->forced);
  g_free(self);
}

double
gem_variant_macro_f1(const GemChoiceTask *task, const guint8 *chosen)
{
  guint both[GEM_CHOICES_MOST + 1] = {0}, was_right[GEM_CHOICES_MOST + 1] = {0},
                                was_chosen[GEM_CHOICES_MOST + 1] = {0}, classes = 0;
  double sum = 0.0;
  for (guint i = 0; i < task->items->len; i++) {
    guint right = ((const GemChoiceItem *)task->items->pdata[i])->right;
    was_right[right]++;
    was_chosen[chosen[i]]++;
    both[right] += chosen[i] == right;
  }
  for (guint c = 0; c <= GEM_CHOICES_MOST; c++) {
    if (was_right[c] + was_chosen[c] > 0) {
      sum += 2.0 * both[c] / (double)(was_right[c] + was_chosen[c]);
      classes++;
    }
  }
  return classes > 0 ? sum / classes : NAN;
}

void
gem_variant_score_task(GemVariantScore *self,
                       const GPtrArray *tasks,
                       guint t,
                       const GemChoiceModel *model,
                       GemLanes *lanes,
                       guint8 *chosen)
{
  const GemChoiceTask *task = tasks->pdata[t];
  guint right = 0;
  gem_choice_task_choose(task, model, lanes, chosen);
  for (guint i = 0; i < task->items->len; i++) {
    right += chosen[i] == ((const GemChoiceItem *)task->items->pdata[i])->right;
  }
  self->f1[t] = gem_variant_macro_f1(task, chosen);
  self->accuracy[t] = (double)right / (double)task->items->len;
}

gboolean
gem_variant_score_run(
    GemVariantScore *self, const GPtrArray *tasks, const GemChoiceModel *model, gint8 only, GemLanes *lanes)
{
  for (guint t = 0; t < tasks->len && !gem_progress_interrupted(); t++) {
    const GemChoiceTask *task = tasks->pdata[t];
    if (only != GEM_ROUTE_GENERAL && only != task->domain) {
      continue;
    }
    g_autofree guint8 *chosen = g_new(guint8, task->items->len);
    gem_variant_score_task(self, tasks, t, model, lanes, chosen);
  }
  return !gem_progress_interrupted();
}

gboolean
gem_variant_score_run_forced(GemVariantScore *self,
                             const GPtrArray *tasks,
                             const GemChoiceModel *model,
                             gsize most_items,
                             GemLanes *lanes)
{
  GemChoiceModel through = *model;
  through.router = NULL;
  for (guint t = 0; t < tasks->len && !gem_progress_interrupted(); t++) {
    const GemChoiceTask *task = tasks->pdata[t];
    g_autoptr(GPtrArray) few = g_ptr_array_new();
    gsize n = MIN(most_items, task->items->len);
    for (gsize i = 0; i < n; i++) {
      g_ptr_array_add(few, task->items->pdata[i * task->items->len / n]);
    }
    const GemChoiceTask sample = {.domain = task->domain, .items = few};
    g_autofree guint8 *chosen = g_new(guint8, few->len);
    for (guint d = 0; d < self->n_pathways; d++) {
      through.forced = (gint8)d;
      gem_choice_task_choose(&sample, &through, lanes, chosen);
      self->forced[d * self->n_tasks + t] = gem_variant_macro_f1(&sample, chosen);
    }
  }
  return !gem_progress_interrupted();
}

/* ---- figures ---- */

/* The mean over a domain's tasks that have a value. */
static double
domain_mean(const GemVariantScore *self, const double *values, gint8 domain, const guint *times)
{
  double sum = 0.0, count = 0.0;
  for (guint t = 0; t < self->n_tasks; t++) {
    if (self->domain[t] == domain && isfinite(values[t])) {
      double n = times != NULL ? times[t] : 1.0;
      sum += n * values[t];
      count += n;
    }
  }
  return count > 0.0 ? sum / count : NAN;
}

void
gem_variant_score_in_out(const GemVariantScore *self,
                         gint8 domain,
                         gboolean forced,
                         const guint *times,
                         double *ret_in,
                         double *ret_out)
{
  gboolean measured = !forced || (guint)domain < self->n_pathways;
  const double *values = forced ? self->forced + (gsize)domain * self->n_tasks : self->f1;
  double sum = 0.0;
  guint others = 0;
  *ret_in = measured ? domain_mean(self, values, domain, times) : NAN;
  for (gint8 d = 0; measured && d < GEM_MAX_DOMAINS; d++) {
    double mean = d != domain ? domain_mean(self, values, d, times) : NAN;
    if (isfinite(mean)) {
      sum += mean;
      others++;
    }
  }
  *ret_out = others > 0 ? sum / others : NAN;
}

double
gem_variant_score_gg(const GemVariantScore *self, gboolean forced, const guint *times)
{
  double sum = 0.0;
  guint domains = 0;
  for (gint8 d = 0; d < GEM_MAX_DOMAINS; d++) {
    double in, out;
    gem_variant_score_in_out(self, d, forced, times, &in, &out);
    if (isfinite(in) && isfinite(out) && in > 0.0) {
      sum += (in - out) / in;
      domains++;
    }
  }
  return domains > 0 ? sum / domains : NAN;
}

/* Of a domain's tasks through its own pathway and through those of others; NAN where there is none. */
static double
gap_of_domain(const GemVariantScore *self, guint domain, const guint *times)
{
  double own = NAN, sum = 0.0;
  guint others = 0;
  for (guint d = 0; d < self->n_pathways; d++) {
    double f1 = domain_mean(self, self->forced + (gsize)d * self->n_tasks, (gint8)domain, times);
    if (d == domain) {
      own = f1;
    } else if (isfinite(f1)) {
      sum += f1;
      others++;
    }
  }
  return isfinite(own) && own > 0.0 && others > 0 ? (own - sum / others) / own : NAN;
}

double
gem_variant_score_gap(const GemVariantScore *self, const guint *times)
{
  double sum = 0.0;
  guint domains = 0;
  for (guint d = 0; d < self->n_pathways; d++) {
    double gap = gap_of_domain(self, d, times);
    if (isfinite(gap)) {
      sum += gap;
      domains++;
    }
  }
  return domains > 0 ? sum / domains : NAN;
}

static double
mean_of(const GemVariantScore *self, const double *values, const guint *times)
{
  double sum = 0.0, count = 0.0;
  for (guint t = 0; t < self->n_tasks; t++) {
    if (isfinite(values[t])) {
      double n = times != NULL ? times[t] : 1.0;
      sum += n * values[t];
      count += n;
    }
  }
  return count > 0.0 ? sum / count : NAN;
}

double
gem_variant_score_mean_f1(const GemVariantScore *self, const guint *times)
{
  return mean_of(self, self->f1, times);
}

double
gem_variant_score_mean_accuracy(const GemVariantScore *self)
{
  return mean_of(self, self->accuracy, NULL);
}

/* ---- files ---- */

void
gem_variant_score_to_json(const GemVariantScore *self, const GPtrArray *tasks, JsonBuilder *builder)
{
  json_builder_set_member_name(builder, "tasks");
  json_builder_begin_object(builder);
  for (guint t = 0; t < tasks->len; t++) {
    json_builder_set_member_name(builder, ((const GemChoiceTask *)tasks->pdata[t])->name);
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "f1");
    gem_result_json_add_value(builder, self->f1[t]);
    json_builder_set_member_name(builder, "accuracy");
    gem_result_json_add_value(builder, self->accuracy[t]);
    json_builder_set_member_name(builder, "forced");
    json_builder_begin_array(builder);
    for (guint d = 0; d < self->n_pathways; d++) {
      gem_result_json_add_value(builder, self->forced[d * self->n_tasks + t]);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
  }
  json_builder_end_object(builder);
}

static double
value_of(JsonNode *node)
{
  return node != NULL && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_double(node) : NAN;
}

static JsonObject *
object_of(JsonObject *parent, const char *name)
{
  JsonNode *node = json_object_get_member(parent, name);
  return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

GemVariantScore *
gem_variant_score_from_json(JsonObject *object, const GPtrArray *tasks, GError **error)
{
  JsonObject *all = object_of(object, "tasks");
  GemVariantScore *self = NULL;
  for (guint t = 0; t < tasks->len; t++) {
    const char *name = ((const GemChoiceTask *)tasks->pdata[t])->name;
    JsonObject *own = all != NULL ? object_of(all, name) : NULL;
    JsonNode *node = own != NULL ? json_object_get_member(own, "forced") : NULL;
    JsonArray *forced = node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    guint pathways = forced != NULL ? json_array_get_length(forced) : 0;
    self = self != NULL || forced == NULL ? self : gem_variant_score_new(tasks, pathways);
    if (forced == NULL || pathways != self->n_pathways) {
      g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED, "no scores of %s", name);
      g_clear_pointer(&self, gem_variant_score_free);
      return NULL;
    }
    self->f1[t] = value_of(json_object_get_member(own, "f1"));
    self->accuracy[t] = value_of(json_object_get_member(own, "accuracy"));
    for (guint d = 0; d < pathways; d++) {
      self->forced[d * tasks->len + t] = value_of(json_array_get_element(forced, d));
    }
  }
  return self;
}
