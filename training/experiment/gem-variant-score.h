/* What a network is worth over all tasks: F1 by task, routed and through each pathway, and how far that lasts
 * from domain to domain (docs/edgebench.md, "In and out"). */
#pragma once

#include <json-glib/json-glib.h>

#include "training/experiment/gem-choice-score.h"

typedef struct {
  guint n_tasks, n_pathways;
  gint8 *domain;         /* [tasks] */
  double *f1, *accuracy; /* [tasks]; NAN: not scored */
  double *forced;        /* [pathways][tasks] F1 through each pathway; n_pathways 0: not measured */
} GemVariantScore;

GemVariantScore *
gem_variant_score_new(const GPtrArray *tasks, guint n_pathways);
void
gem_variant_score_free(GemVariantScore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemVariantScore, gem_variant_score_free)

/* Mean over the classes that are right or chosen for some item; a class is the index of a choice. */
double
gem_variant_macro_f1(const GemChoiceTask *task, const guint8 *chosen);

/* Fills f1 and accuracy of the t-th task; `chosen`: [items], which choice was taken of each. */
void
gem_variant_score_task(GemVariantScore *self,
                       const GPtrArray *tasks,
                       guint t,
                       const GemChoiceModel *model,
                       GemLanes *lanes,
                       guint8 *chosen);
/* Fills f1 and accuracy of the tasks of `only` (GEM_ROUTE_GENERAL: of all). FALSE: the process was asked to
 * end. */
gboolean
gem_variant_score_run(
    GemVariantScore *self, const GPtrArray *tasks, const GemChoiceModel *model, gint8 only, GemLanes *lanes);
/* Fills `forced`, on at most `most_items` evenly picked items a task. */
gboolean
gem_variant_score_run_forced(GemVariantScore *self,
                             const GPtrArray *tasks,
                             const GemChoiceModel *model,
                             gsize most_items,
                             GemLanes *lanes);

/* Of a domain: the mean F1 of its tasks, and the mean over the other domains of that of theirs, both routed
 * or, `forced`, through its pathway. `times` [tasks]: how often each task counts; NULL: once. NAN where there
 * is nothing to take a mean of. */
void
gem_variant_score_in_out(const GemVariantScore *self,
                         gint8 domain,
                         gboolean forced,
                         const guint *times,
                         double *ret_in,
                         double *ret_out);
/* (in - out) / in, the mean over domains with tasks and an `in` above 0; NAN without any. Routed, where `out`
 * is of the same figures as the others' `in`, it is n / (n - 1) (1 - A / H) of n domains with A and H the
 * arithmetic and the harmonic mean of their F1: never above 0, and of no more than how unequal they are. */
double
gem_variant_score_gg(const GemVariantScore *self, gboolean forced, const guint *times);
/* The gap on the same tasks: for each domain (own - others) / own, where own is the mean F1 of its tasks
 * through its own pathway and others the mean of that through all other pathways, as `gem-bench edge` has it;
 * the mean over domains with an `own` above 0. How hard the tasks are cancels. NAN without any. */
double
gem_variant_score_gap(const GemVariantScore *self, const guint *times);
/* Means over the tasks that were scored. */
double
gem_variant_score_mean_f1(const GemVariantScore *self, const guint *times);
double
gem_variant_score_mean_accuracy(const GemVariantScore *self);

/* Member "tasks" of the object that is being built; and back, where a file that does not fit the tasks is an
 * error that says so. */
void
gem_variant_score_to_json(const GemVariantScore *self, const GPtrArray *tasks, JsonBuilder *builder);
GemVariantScore *
gem_variant_score_from_json(JsonObject *object, const GPtrArray *tasks, GError **error);
