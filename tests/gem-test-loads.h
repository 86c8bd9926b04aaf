/*
 * A daemon with a folder of models, on an engine without a model (fake-engine.h), that loads one after the
 * other; and what a client hears of the jobs that do it. Everything fails the test that fails.
 */
#pragma once

#include "tests/gem-test-bus.h"

/* ---- what a connection hears of jobs ---- */

typedef struct {
  GDBusConnection *connection;
  guint subscription;
  guint completed;
  char *path;    /* of the last one that completed */
  char *changed; /* of the last one that changed; the progress is its */
  char *result;
  GVariant *details;
  double progress; /* the highest, and what it was before the end */
  double progress_running;
  char *earlier; /* the one that completed before the last */
} GemTestJobEar;

GemTestJobEar *
gem_test_job_ear_new(GDBusConnection *connection);
void
gem_test_job_ear_free(GemTestJobEar *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestJobEar, gem_test_job_ear_free)
/* Runs the main loop until `completed` jobs have, and the last of them with `result`. */
void
gem_test_job_ear_wait(GemTestJobEar *self, guint completed, const char *result);
/* The last one failed with this error and a message that matches `pattern`. */
void
gem_test_job_ear_check_error(GemTestJobEar *self, const char *name, const char *pattern);

/* ---- a daemon with a folder of models ---- */

/* The models ok, other, mute (fails at its first turn) and broken. */
typedef struct {
  GemTestBus *bus;
  char *models; /* folder */
  GDBusConnection *client;
  GemTestJobEar *ear;
} GemTestLoads;

/* A fixture's; no daemon runs yet. */
void
gem_test_loads_set_up(GemTestLoads *self, gconstpointer data);
void
gem_test_loads_tear_down(GemTestLoads *self, gconstpointer data);
typedef struct {
  const char *path;
  void (*run)(GemTestLoads *self, gconstpointer data);
} GemTestLoadsCase;
/* Adds the tests, each with the fixture; ended by one without a path. */
void
gem_test_loads_add(const GemTestLoadsCase *cases);
/* The daemon on `model`, until ModelState is `expected`. */
void
gem_test_loads_start(GemTestLoads *self, const char *model, const char *expected);
/* The model loads for as long as it is held. */
void
gem_test_loads_hold(GemTestLoads *self, const char *model);
void
gem_test_loads_let_go(GemTestLoads *self, const char *model);
/* The model "other" serves: all properties and objects are its, and it answers. */
void
gem_test_loads_other_serves(GemTestLoads *self);

/* ---- what a client does ---- */

/* The job's path; must succeed. */
char *
gem_test_load_model(GDBusConnection *client, const char *name, const char *options);
void
gem_test_load_model_fails(
    GDBusConnection *client, const char *name, const char *options, GemError code, const char *pattern);
void
gem_test_job_cancel(GDBusConnection *client, const char *job);
/* A property of type s. */
void
gem_test_manager_is(GDBusConnection *client, const char *property, const char *expected);
/* Ask works. */
void
gem_test_manager_answers(GDBusConnection *client);
void
gem_test_job_is(GDBusConnection *client,
                const char *job,
                const char *expected_state,
                double expected_progress);
