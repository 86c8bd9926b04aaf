/*
 * The one model of the service: loaded on a thread of its own while the bus is already served, then handed to
 * the main loop. Calls that came meanwhile wait here.
 */
#pragma once

#include "daemon/engine/gem-engine.h"
#include "daemon/gem-config.h"

typedef enum {
  GEM_MODEL_LOADING,
  GEM_MODEL_READY,
  GEM_MODEL_FAILED,
} GemModelState;

typedef struct _GemModelHost GemModelHost;

/* Starts loading. */
GemModelHost *
gem_model_host_new(GemConfig *config);
/* Stops the engine, see gem_model_host_stop. */
void
gem_model_host_free(GemModelHost *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemModelHost, gem_model_host_free)

GemModelState
gem_model_host_get_state(GemModelHost *self);
/* "loading", "ready", "failed". */
const char *
gem_model_host_get_state_name(GemModelHost *self);
/* Borrowed; NULL unless ready. */
GemEngine *
gem_model_host_get_engine(GemModelHost *self);
/* Why it failed: GEM_ERROR_NOT_READY; NULL otherwise. */
const GError *
gem_model_host_get_error(GemModelHost *self);
double
gem_model_host_get_load_seconds(GemModelHost *self);

/* Calls `done` when the model is ready or failed; at once when that is so already. In order. */
typedef void (*GemModelSettled)(gpointer data);
void
gem_model_host_when_settled(GemModelHost *self, GemModelSettled done, gpointer data);

/* Ends the engine's work with GEM_ERROR_SHUTTING_DOWN and fails whoever still waits. Idempotent. */
void
gem_model_host_stop(GemModelHost *self);
