/*
 * org.gemd.Gem1.Request: one turn that runs, from Generate to Finished. Text goes from the engine into the
 * stream; a full stream pauses the engine's work on this turn, a closed one cancels it,
 * and so does one whose reader takes nothing for StreamSeconds.
 */
#pragma once

#include "daemon/bus/gem-private-tree.h"
#include "daemon/service/gem-call.h"
#include "daemon/service/gem-served-model.h"

/* All turns that run. They stand at /org/gemd/Gem1/request/SENDER_TOKEN: one level, since a folder for each
 * sender would show everyone who asks. */
typedef struct _GemRequests GemRequests;
typedef struct _GemRequest GemRequest;

GemRequests *
gem_requests_new(GemService *service, GError **error);
/* There must be none left, or the engine must be gone. */
void
gem_requests_free(GemRequests *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRequests, gem_requests_free)
/* The engine will say no more: each one that is not over ends now, with what its reader has read. */
void
gem_requests_force(GemRequests *self);

/* Called once, when the turn is over; the request is freed afterwards. */
typedef void (*GemRequestDone)(gpointer data);

/* Starts a turn on `sequence`, which is of `model`, and exports its object. The reading end of the stream
 * goes to `ret_reader`, owned by the caller of this function. The request frees itself after `done`. `cache`
 * is where the bytes of the sequence's KV cache are held; it outlives the request, or gem_request_forget
 * moves them. Errors: those of gem_sequence_generate, GEM_ERROR_LIMIT_EXCEEDED (of requests, streams, tokens,
 * cache), GEM_ERROR_INVALID_OPTION (the handle token is in use); then nothing was started, and `done` is not
 * called. */
GemRequest *
gem_request_new(GemRequests *requests,
                GemCaller *caller,
                GemServedModel *model,
                GemSequence *sequence,
                GemQuotaHold *cache,
                const char *prompt,
                const GemCallOptions *options,
                GemRequestDone done,
                gpointer data,
                int *ret_reader,
                GError **error);
const char *
gem_request_get_path(GemRequest *self);
/* The turn stops before its next token; Finished still comes. */
void
gem_request_cancel(GemRequest *self);
/* `done` is not called any more, and what `cache` holds is the request's until the engine is done. */
void
gem_request_forget(GemRequest *self);
