/*
 * The model of the service: loaded on a thread of its own while the bus is already served, then handed to the
 * main loop. Calls that came meanwhile wait here. Another one can take its place, see gem-load-model.h.
 */
#pragma once

#include "daemon/base/gem-config.h"
#include "daemon/service/gem-served-model.h"

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
/* The same with the work that runs on it; borrowed, NULL unless ready. */
GemServedModel *
gem_model_host_get_model(GemModelHost *self);
/* All that are in memory: the one that is served first, if there is one, then those that still end what runs
 * on them. Of GemEngine, referenced; transfer full. */
GPtrArray *
gem_model_host_list_engines(GemModelHost *self);
/* Why it failed: GEM_ERROR_NOT_READY; NULL otherwise. */
const GError *
gem_model_host_get_error(GemModelHost *self);
double
gem_model_host_get_load_seconds(GemModelHost *self);

/* Calls `done` when the model is ready or failed; at once when that is so already. In order. */
typedef void (*GemModelSettled)(gpointer data);
void
gem_model_host_when_settled(GemModelHost *self, GemModelSettled done, gpointer data);

/* Takes that back. */
void
gem_model_host_forget(GemModelHost *self, gpointer data);

/* Loads the model of a folder or file as the configuration has it otherwise, beside the one that is served.
 * Cancelling does not end the loading, it only marks it for who gets the result. */
void
gem_model_host_load_async(GemModelHost *self,
                          const char *path,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data);
GemEngine *
gem_model_host_load_finish(GAsyncResult *result, GError **error);
/* Takes `engine`, which is served from now on; what runs on the model before has `grace_seconds` to end. Not
 * while the first model is loading. */
void
gem_model_host_replace(GemModelHost *self, GemEngine *engine, double load_seconds, guint grace_seconds);

/* Ends all engines' work with GEM_ERROR_SHUTTING_DOWN and fails whoever still waits. Idempotent. */
void
gem_model_host_stop(GemModelHost *self);
