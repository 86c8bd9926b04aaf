#include "daemon/service/gem-watchdog.h"

#include <glib-unix.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/base/gem-log.h"

/* How long systemd may take to hear of the end, and the end itself: calls that came last are still served. */
#define HEAR_MILLISECONDS  5000u
#define LEAVE_MICROSECONDS (60 * G_USEC_PER_SEC)

struct _GemWatchdog {
  GemService *service;
  guint timer;
  guint64 interval; /* us; 0: the unit has no watchdog */
  gboolean stalled; /* said so already */
  int barrier;      /* its other end is systemd's until it has heard all before; -1: none is awaited */
  guint heard_source, late_source;
  void (*heard)(gpointer data);
  gpointer data;
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
  self->barrier = -1;
  if (sd_watchdog_enabled(0, &self->interval) > 0) {
    self->timer = g_timeout_add((guint)MAX(self->interval / 2000, 1), on_timer, self);
  } else {
    self->interval = 0;
  }
  return self;
}

static void
drop_barrier(GemWatchdog *self)
{
  g_clear_handle_id(&self->heard_source, g_source_remove);
  g_clear_handle_id(&self->late_source, g_source_remove);
  if (self->barrier >= 0) {
    close(self->barrier);
    self->barrier = -1;
  }
}

void
gem_watchdog_free(GemWatchdog *self)
{
  drop_barrier(self);
  g_clear_handle_id(&self->timer, g_source_remove);
  g_free(self);
}

/* Each line of what systemd is told is an order of its own: what a file or a module says must stay in one. */
static char *
one_line(char *text)
{
  return g_strdelimit(text, "\n\r", ' ');
}

static char *
status(GemWatchdog *self)
{
  GemModelHost *model = gem_service_get_model(self->service);
  GemEngine *engine = gem_model_host_get_engine(model);
  const GError *error = gem_model_host_get_error(model);

  if (engine != NULL) {
    return one_line(g_strdup_printf("Model %s is ready", gem_engine_get_model_name(engine)));
  }
  if (error != NULL) {
    return one_line(g_strdup_printf("No model: %s", error->message));
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

static void
pass_barrier(GemWatchdog *self)
{
  drop_barrier(self);
  self->heard(self->data);
}

static gboolean
on_heard(int fd, GIOCondition condition, gpointer data)
{
  GemWatchdog *self = data;

  self->heard_source = 0; /* removed by what is returned */
  pass_barrier(self);
  return G_SOURCE_REMOVE;
}

static gboolean
on_late(gpointer data)
{
  GemWatchdog *self = data;

  self->late_source = 0;
  pass_barrier(self);
  return G_SOURCE_REMOVE;
}

/* As sd_notify_barrier, which blocks: systemd closes the end that it gets when it comes to the message.
 * FALSE: nobody gets it. */
static gboolean
set_barrier(GemWatchdog *self)
{
  int ends[2];
  gboolean sent;

  if (!g_unix_open_pipe(ends, FD_CLOEXEC, NULL)) {
    return FALSE;
  }
  sent = sd_pid_notify_with_fds(0, 0, "BARRIER=1", &ends[1], 1) > 0;
  close(ends[1]);
  if (!sent) {
    close(ends[0]);
    return FALSE;
  }
  self->barrier = ends[0];
  self->heard_source = g_unix_fd_add(ends[0], G_IO_HUP, on_heard, self);
  self->late_source = g_timeout_add(HEAR_MILLISECONDS, on_late, self);
  return TRUE;
}

void
gem_watchdog_tell_leaving(GemWatchdog *self, void (*heard)(gpointer data), gpointer data)
{
  g_return_if_fail(self->barrier < 0);
  sd_notifyf(0, "STOPPING=1\nSTATUS=Nobody needs the service\nEXTEND_TIMEOUT_USEC=%u",
             (guint)LEAVE_MICROSECONDS);
  self->heard = heard;
  self->data = data;
  if (!set_barrier(self)) {
    heard(data);
  }
}
