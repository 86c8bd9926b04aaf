/* What the stages' files of an experiment say, all seeds of one variation. */
#pragma once

#include "training/experiment/gem-experiment.h"
#include "training/experiment/gem-forgetting.h"

typedef struct {
  guint n_seeds, n_tasks, stages;
  GemForgettingTask *tasks; /* [seeds][tasks] */
  GPtrArray *kept;          /* what `right` borrows */
  GPtrArray *scores;        /* of GemVariantScore, of the last stage of each seed */
  GArray *costs;            /* GemVariantCosts, of each seed; NAN where the stage's file has none */
  GArray *row_lost;         /* double, of the stages that know it: the share of other domains' tokens that the
                               router's row took */
} GemExperimentRuns;

/* Errors name the file: one that is not there, is of another experiment, or lacks a task's answers. */
GemExperimentRuns *
gem_experiment_runs_read(const GemExperiment *experiment, const char *variation, GError **error);
void
gem_experiment_runs_free(GemExperimentRuns *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemExperimentRuns, gem_experiment_runs_free)

/* All seeds, or (from 0) one of them. */
GemForgettingRuns
gem_experiment_runs_all(const GemExperimentRuns *self);
GemForgettingRuns
gem_experiment_runs_seed(const GemExperimentRuns *self, guint seed);
