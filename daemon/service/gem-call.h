/*
 * One method call on its way: the caller is identified, quotas are counted, the model and the call's turn
 * waited for, then `run` is called; the answer gives back what was taken. A call that fails on the way never
 * reaches `run`.
 */
#pragma once

#include <gio/gio.h>

#include "daemon/bus/gem-caller.h"
#include "daemon/service/gem-call-options.h"

typedef struct _GemService GemService;
typedef struct _GemCall GemCall;
typedef void (*GemCallRun)(GemCall *call);

/* Takes `invocation`. `target`, a GObject that is held until the answer, goes to gem_call_get_target. */
void
gem_call_begin(GemService *service, GDBusMethodInvocation *invocation, gpointer target, GemCallRun run);
/* The same for a call that works in the engine until its answer: a few of these run at a time, see
 * gem-call-queue.h, and GEM_ERROR_BUSY when its turn did not come in time. */
void
gem_call_begin_heavy(GemService *service, GDBusMethodInvocation *invocation, gpointer target, GemCallRun run);
/* The same for a call that needs no model, and waits for none. */
void
gem_call_begin_plain(GemService *service, GDBusMethodInvocation *invocation, gpointer target, GemCallRun run);

/* Inside `run` and until the answer. */
GemService *
gem_call_get_service(GemCall *self);
/* Of the model that was served when `run` was called, which stands until the answer whatever is served
 * meanwhile; NULL for a plain call. */
GemEngine *
gem_call_get_engine(GemCall *self);
/* For a call that has waited in `run`, and goes on with the model that is served now. */
void
gem_call_take_model(GemCall *self);
GemCaller *
gem_call_get_caller(GemCall *self);
gpointer
gem_call_get_target(GemCall *self);
/* The method's arguments. */
GVariant *
gem_call_get_parameters(GemCall *self);
/* Cancelled when the caller leaves the bus. */
GCancellable *
gem_call_get_cancellable(GemCall *self);
gint64
gem_call_get_arrival(GemCall *self); /* monotonic, us */

/* Whether the caller's message lets a person be asked for a password. */
gboolean
gem_call_allows_interaction(GemCall *self);
/* After an asynchronous step: whether there is still somebody to work for, and somebody who works. FALSE: the
 * call is answered. */
gboolean
gem_call_check(GemCall *self);

/* Reads argument `index` as the options. On failure the call is answered, and FALSE returned. */
gboolean
gem_call_read_options(
    GemCall *self, gsize index, guint accepted, guint most_tokens, GemCallOptions *ret_options);
/* Reads argument `index` as text of 1 to GEM_MAX_TEXT_BYTES bytes, borrowed; NULL: the call is answered. */
const char *
gem_call_read_text(GemCall *self, gsize index);

/* The descriptor that argument `index` (h) names and that came alone, once; -1 with INVALID_OPTION when none
 * did. Transfer full: gem_descriptors_close. */
int
gem_call_take_descriptor(GemCall *self, gsize index, GError **error);

/* The answer; the call is freed. `value` is the tuple of results, floating. */
void
gem_call_return(GemCall *self, GVariant *value);
/* The same for an answer of so many values that it would hold up the main loop: `make` makes it in a thread,
 * where it is put into its message, too. `data` is taken and freed there. What calls of one caller count
 * against its limits is given back before the answer can be read, since the next call may follow at once. */
typedef GVariant *(*GemCallMake)(gpointer data);
void
gem_call_return_made(GemCall *self, GemCallMake make, gpointer data, GDestroyNotify destroy);
/* Takes `error`. */
void
gem_call_fail(GemCall *self, GError *error);

/* Checks a caller's text: GEM_ERROR_INVALID_TEXT with both counts. */
gboolean
gem_text_check(const char *text, GError **error);
/* Checks the size of a call's arguments, GEM_MAX_CALL_BYTES at most, before anything looks through them:
 * while a call waits they stay in memory, which MemoryLimit does not count. GEM_ERROR_INVALID_OPTION with
 * both counts; a text that is too long is said to be that. */
gboolean
gem_arguments_check(GVariant *parameters, GError **error);
