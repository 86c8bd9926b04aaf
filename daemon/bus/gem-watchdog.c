#include "daemon/bus/gem-watchdog.h"

#include <systemd/sd-daemon.h>

#include "daemon/gem-log.h"

/* How long systemd may take to hear of the end, and the end itself: calls that came last are still served. */
#define HEAR_MICROSECONDS  (5 * G_USEC_PER_SEC)
#define LEAVE_MICROSECONDS (60 * G_USEC_PER_SEC)

struct _GemWatchdog {
  GemService *service;
  guint timer;
  guint64 interval; /* us; 0: the unit has no watchdog */
  gboolean stalled; /* said so already */
};

/* Without an engine the main loop alone counts. */
static gboolean
engine_turns(GemWatchdog *self)
{
  GemEngine *engine = gem_service_get_engine(self->service);
  gint64 age = engine != NULL ? g_get_monotonic_time() - gem_engine_get_last_beat(engine) : 0;

  return age < (gint64)self->interval;
}

static gboolean
on_timer(gpointer data)
{
  GemWatchdog *self = data;

  if (engine_turns(self)) {
    self->stalled = FALSE;
    sd_notify(0, "WATCHDOG=1");
  } else if (!self->stalled) {
    self->stalled = TRUE;
    gem_log(LOG_ERR, GEM_LOG_STALLED, NULL, "the engine has not turned for the watchdog's interval");
  }
  return G_SOURCE_CONTINUE;
}

GemWatchdog *
gem_watchdog_new(GemService *service)
{
  GemWatchdog *self = g_new0(GemWatchdog, 1);

  self->service = service;
  if (sd_watchdog_enabled(0, &self->interval) > 0) {
    self->timer = g_timeout_add((guint)MAX(self->interval / 2000, 1), on_timer, self);
  } else {
    self->interval = 0;
  }
  return self;
}

void
gem_watchdog_free(GemWatchdog *self)
{
  g_clear_handle_id(&self->timer, g_source_remove);
  g_free(self);
}

static char *
status(GemWatchdog *self)
{
  GemModelHost *model = gem_service_get_model(self->service);
  GemEngine *engine = gem_model_host_get_engine(model);
  const GError *error = gem_model_host_get_error(model);

  if (engine != NULL) {
    return g_strdup_printf("Model %s is ready", gem_engine_get_model_name(engine));
  }
  if (error != NULL) {
    return g_strdup_printf("No model: %s", error->message);
  }
  return g_strdup("Loading the model");
}

void
gem_watchdog_tell_ready(GemWatchdog *self)
{
  g_autofree char *text = status(self);

  sd_notifyf(0, "READY=1\nSTATUS=%s", text);
}

void
gem_watchdog_tell_status(GemWatchdog *self)
{
  g_autofree char *text = status(self);

  sd_notifyf(0, "STATUS=%s", text);
}

void
gem_watchdog_tell_reloading(GemWatchdog *self)
{
  sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time());
}

void
gem_watchdog_tell_stopping(GemWatchdog *self)
{
  sd_notify(0, "STOPPING=1\nSTATUS=Ending streams");
}

void
gem_watchdog_tell_leaving(GemWatchdog *self)
{
  sd_notifyf(0, "STOPPING=1\nSTATUS=Nobody needs the service\nEXTEND_TIMEOUT_USEC=%u",
             (guint)LEAVE_MICROSECONDS);
  sd_notify_barrier(0, HEAR_MICROSECONDS);
}
