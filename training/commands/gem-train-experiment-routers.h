/* The routers that some variants have of their own. */
#pragma once

#include "training/experiment/gem-variant-experiment.h"

/* Trains those of the experiment's variations that are not there yet, as `gem-train router` does and as long;
 * one that was stopped is gone on with. Prints what went wrong by itself, too. */
gboolean
gem_train_experiment_routers(const GemExperiment *experiment, guint steps, GError **error);
