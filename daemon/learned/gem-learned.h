/*
 * Domains that users have learned: which there are, which the engine routes to, and what is being learned.
 * One at a time is; others wait, and users take turns. All on the main loop; a domain belongs to a user, and
 * to any other it is not there unless it is shared.
 */
#pragma once

#include "daemon/base/gem-config.h"
#include "daemon/bus/gem-bus-job.h"
#include "daemon/engine/gem-engine.h"
#include "daemon/learned/gem-learned-record.h"

typedef struct _GemLearned GemLearned;

/* Reads what there is. Without a state folder there is nothing, and nothing is learned. All arguments outlive
 * it; what is learned is one of `jobs`, or, where nobody looks on, of `work`. */
GemLearned *
gem_learned_new(const GemConfig *config, GemBusJobs *jobs, GemWork *work);
/* What is being learned stops where it is, and goes on with the next start; its jobs fail with
 * GEM_ERROR_SHUTTING_DOWN. Idempotent. */
void
gem_learned_stop(GemLearned *self);
void
gem_learned_free(GemLearned *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearned, gem_learned_free)

/* Another model is served: domains that were learned on it are routed to from now on. */
void
gem_learned_take_model(GemLearned *self, GemEngine *engine);

/* Calls `ready` when it is known which domains there are: for a caller that has a model to wait for anyway,
 * never long. In order. */
void
gem_learned_when_ready(GemLearned *self, void (*ready)(gpointer data), gpointer data);

/* Whether a text could be learned here at all: NOT_SUPPORTED. */
gboolean
gem_learned_check_supported(GemLearned *self, GError **error);
/* Learns `name` for the caller's user from `text`, a descriptor that it takes on success. Of `order` the
 * mode, the bounds, the seconds and the seed count. The path of the job, borrowed; NULL with one of the
 * errors of Manager.AdaptDomain. */
const char *
gem_learned_adapt(GemLearned *self,
                  GemCaller *caller,
                  const char *name,
                  int text,
                  const GemLearnedOrder *order,
                  GError **error);

/* What Manager.LearnedDomains tells that user: aa{sv}, floating. */
GVariant *
gem_learned_describe(GemLearned *self, guint uid);

/* Manager.ForgetDomain, UndoAdaptation and ShareDomain: `done` is called, now or later, when it is done or
 * with the error. */
typedef void (*GemLearnedDone)(const GError *error, gpointer data);
void
gem_learned_forget(GemLearned *self, guint uid, const char *name, GemLearnedDone done, gpointer data);
void
gem_learned_undo(GemLearned *self, guint uid, const char *name, GemLearnedDone done, gpointer data);
void
gem_learned_share(
    GemLearned *self, guint uid, const char *name, gboolean shared, GemLearnedDone done, gpointer data);
