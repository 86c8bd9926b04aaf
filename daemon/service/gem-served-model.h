/*
 * A model while it is served: its engine, and how much work runs on it. One whose place another model took
 * takes no more work; it is stopped, and its memory given back, when what runs on it has ended, or after a
 * time of grace.
 */
#pragma once

#include "daemon/engine/gem-engine.h"

typedef struct _GemServedModel GemServedModel;

/* Takes `engine`. Counted by reference; the last one stops an engine that still runs. */
GemServedModel *
gem_served_model_new(GemEngine *engine);
GemServedModel *
gem_served_model_ref(GemServedModel *self);
void
gem_served_model_unref(GemServedModel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemServedModel, gem_served_model_unref)

/* Borrowed; it stands as long as the model, even when it is stopped. */
GemEngine *
gem_served_model_get_engine(GemServedModel *self);

/* Brackets each call and each turn that runs on it. */
void
gem_served_model_begin_work(GemServedModel *self);
void
gem_served_model_end_work(GemServedModel *self);

/* Another model took its place: once. `gone` is called when the engine has stopped and given its memory back,
 * at once when that is so already. */
typedef void (*GemServedModelGone)(GemServedModel *self, gpointer data);
void
gem_served_model_retire(GemServedModel *self, guint grace_seconds, GemServedModelGone gone, gpointer data);
gboolean
gem_served_model_is_retired(GemServedModel *self);
/* What its callers are told from then on: GEM_ERROR_MODEL_CHANGED. */
GError *
gem_served_model_changed_error(void);

/* Ends all work and waits for that: when the service stops. Idempotent. */
void
gem_served_model_stop(GemServedModel *self);
