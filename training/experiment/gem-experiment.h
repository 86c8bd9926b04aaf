/*
 * Experiments of sequential adaptation: for each variation and seed, the domains one after another in an
 * order by the seed, and after each the tasks of the domains so far, on dev. Every stage's result is a JSON
 * file in the work folder, and the network's state beside it, so that a run goes on where it was stopped.
 */
#pragma once

#include "format/gem-model-files.h"
#include "training/adapt/gem-adapt-data.h"
#include "training/adapt/gem-adaptation.h"
#include "training/experiment/gem-choice-score.h"
#include "training/experiment/gem-experiment-variations.h"
#include "training/network/gem-checkpoint.h"

typedef struct {
  const char *model, *data, *work;
  const char *const *variations; /* names */
  const char *const *domains;    /* names; NULL: all of the model */
  guint seeds;                   /* 1 .. seeds */
  GemAdaptKinds kinds;
  gsize items;          /* of each task on dev, at most */
  gsize transfer_items; /* of each task through each pathway, at most; 0: none. Not of all plans */
  gsize documents;      /* of each source, at most; 0: all */
  guint router_steps;   /* of routers that are trained anew. Of variants alone */
  guint steps, batch_tokens, replay_tokens, sequence, lanes;
  double rate, dense_rate, plain_rate; /* of a residual; of a network; of one that is fine-tuned plainly */
} GemExperimentOptions;

typedef struct {
  const GemExperimentOptions *options;
  char *signature; /* of options, model, text and arithmetic: results of others are not mixed in */
  GemModelFiles *files;
  GemBackboneCheckpoint *model;
  GemRouterCheckpoint *router;
  GemExportTypes types;
  GemCorpus *corpus;
  GPtrArray *tasks; /* of GemChoiceTask, of the domains */
  GArray *domains;  /* gint8 */
  GemLanes *lanes;
} GemExperiment;

/* Reads model, text and tasks, and makes the work folder. */
GemExperiment *
gem_experiment_new(const GemExperimentOptions *options, GError **error);
void
gem_experiment_free(GemExperiment *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemExperiment, gem_experiment_free)

/* The model's, or that of the presets. */
const char *
gem_experiment_ask_template(const GemExperiment *self);

/* The stage in which each domain is adapted, from 1: stages[i] for self->domains[i]. */
void
gem_experiment_order(const GemExperiment *self, guint seed, guint *stages);

/* Seconds that all stages will take that are still to be run, from a few steps and a few items. */
double
gem_experiment_estimate(GemExperiment *self, GError **error);

/* Runs what is not there yet. SIGINT and SIGTERM end it after the stage's step; a stage that was not finished
 * begins anew. */
gboolean
gem_experiment_run(GemExperiment *self, GError **error);

/* The table on stdout, and all figures as WORK/result.json. */
gboolean
gem_experiment_report(const GemExperiment *self, GError **error);

/* WORK/VARIATION-SEED-STAGE.json. Transfer full. */
char *
gem_experiment_stage_path(const GemExperiment *self, const char *variation, guint seed, guint stage);
