/* SIGKILLs at random moments, and how long it takes until the service answers again. */
#include <errno.h>
#include <signal.h>

#include "bench/bus/gem-bench-storm-private.h"
#include "dbus/gem-names.h"

/* Between two tries to reach a service that is not there yet. */
#define RETRY_MS 5
/* A service that does not answer so many seconds after a kill does not come back. */
#define PATIENCE_SECONDS 30

struct _GemStormKills {
  GemStorm *storm;
  GemRemote *remote;
  GRand *random;
  GCancellable *ending;
  double *moments; /* [plan->kills] seconds from the beginning, in order */
  guint next;
  guint timer;       /* source: of the next kill, or of another try */
  guint retry;       /* source: of the next probe */
  guint32 last;      /* the process that was killed last */
  gint64 began, hit; /* hit: the last kill */
  gboolean probing;
  guint probed; /* kills that were made when the probe was sent */
  GError *error;
};

static void
schedule(GemStormKills *self);
static void
probe(GemStormKills *self);

static int
compare_moments(gconstpointer a, gconstpointer b)
{
  double difference = *(const double *)a - *(const double *)b;

  return difference < 0 ? -1 : difference > 0;
}

static gboolean
on_retry(gpointer data)
{
  GemStormKills *self = data;

  self->retry = 0;
  probe(self);
  return G_SOURCE_REMOVE;
}

static void
note_served(GemStormKills *self)
{
  double time = (double)(g_get_monotonic_time() - self->hit) * 1e-3;

  self->storm->down = FALSE;
  g_array_append_val(self->storm->tally->served_ms, time);
}

/* The answer to a probe from before the last kill may have been on its way: it tells nothing. */
static void
on_probed(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
  GemStormKills *self;
  guint64 tokens = 0;

  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    return;
  }
  self = data;
  self->probing = FALSE;
  if (reply != NULL) {
    g_variant_get(reply, "(t)", &tokens);
  }
  if (self->probed != self->storm->tally->kills) {
    probe(self);
  } else if (tokens == self->storm->script->probe) {
    note_served(self);
  } else if (g_get_monotonic_time() - self->hit > PATIENCE_SECONDS * G_USEC_PER_SEC) {
    self->error =
        g_error_new(G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "%d s after a kill the service does not answer: %s",
                    PATIENCE_SECONDS, error != NULL ? error->message : "another number of tokens");
  } else {
    self->retry = g_timeout_add(RETRY_MS, on_retry, self);
  }
}

/* By the well-known name: whoever starts the service may be the bus. */
static void
probe(GemStormKills *self)
{
  const GemStormText *text = self->storm->script->texts->pdata[0];

  self->probing = TRUE;
  self->probed = self->storm->tally->kills;
  g_dbus_connection_call(self->remote->bus, GEM_BUS_NAME, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                         "CountTokens", g_variant_new("(s)", text->prompt), G_VARIANT_TYPE("(t)"),
                         G_DBUS_CALL_FLAGS_NONE, PATIENCE_SECONDS * 1000, self->ending, on_probed, self);
}

static void
strike(GemStormKills *self, guint32 process)
{
  GemStormTally *tally = self->storm->tally;

  /* Counted first: what it does to the clients may be seen before anything else happens here. */
  tally->early += self->storm->down;
  tally->kills++;
  self->storm->down = TRUE;
  self->last = process;
  self->hit = g_get_monotonic_time();
  self->next++;
  if (kill((pid_t)process, SIGKILL) < 0) {
    self->error = g_error_new(G_IO_ERROR, g_io_error_from_errno(errno), "process %u cannot be killed: %s",
                              process, g_strerror(errno));
    return;
  }
  if (!self->probing && self->retry == 0) {
    probe(self);
  }
  schedule(self);
}

static gboolean
on_moment(gpointer data);

static void
on_process(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
  GemStormKills *self;
  guint32 process = 0;

  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    return;
  }
  self = data;
  if (reply != NULL) {
    g_variant_get(reply, "(u)", &process);
  }
  if (process == 0 || process == self->last) {
    self->timer = g_timeout_add(RETRY_MS, on_moment, self); /* it is not there yet */
  } else if (!self->storm->stopping) {
    strike(self, process);
  }
}

static gboolean
on_moment(gpointer data)
{
  GemStormKills *self = data;

  self->timer = 0;
  if (!self->storm->stopping) {
    g_dbus_connection_call(self->remote->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                           "org.freedesktop.DBus", "GetConnectionUnixProcessID",
                           g_variant_new("(s)", GEM_BUS_NAME), G_VARIANT_TYPE("(u)"), G_DBUS_CALL_FLAGS_NONE,
                           -1, self->ending, on_process, self);
  }
  return G_SOURCE_REMOVE;
}

static void
schedule(GemStormKills *self)
{
  double now = (double)(g_get_monotonic_time() - self->began) / G_USEC_PER_SEC;

  if (self->next < self->storm->plan->kills) {
    self->timer = g_timeout_add((guint)(MAX(0, self->moments[self->next] - now) * 1e3), on_moment, self);
  }
}

GemStormKills *
gem_storm_kills_new(GemStorm *storm, GemRemote *remote)
{
  GemStormKills *self = g_new0(GemStormKills, 1);
  const GemStormPlan *plan = storm->plan;
  guint i;

  self->storm = storm;
  self->remote = remote;
  self->random = g_rand_new_with_seed(plan->seed);
  self->ending = g_cancellable_new();
  self->began = g_get_monotonic_time();
  self->moments = g_new(double, plan->kills);
  for (i = 0; i < plan->kills; i++) {
    self->moments[i] = g_rand_double_range(self->random, 0.05, 0.95) * plan->seconds;
  }
  if (plan->kills > 0) {
    qsort(self->moments, plan->kills, sizeof *self->moments, compare_moments);
  }
  schedule(self);
  return self;
}

gboolean
gem_storm_kills_are_over(const GemStormKills *self)
{
  return !self->storm->down && !self->probing && self->retry == 0;
}

const GError *
gem_storm_kills_get_error(const GemStormKills *self)
{
  return self->error;
}

void
gem_storm_kills_free(GemStormKills *self)
{
  g_cancellable_cancel(self->ending);
  g_clear_handle_id(&self->timer, g_source_remove);
  g_clear_handle_id(&self->retry, g_source_remove);
  g_object_unref(self->ending);
  g_clear_error(&self->error);
  g_rand_free(self->random);
  g_free(self->moments);
  g_free(self);
}
