#include "daemon/pressure/gem-pressure.h"

#include "daemon/pressure/gem-pressure-files.h"
#include "daemon/pressure/gem-pressure-watch.h"

/* Between two looks: while all is calm, and while memory is short or about to be. */
#define CALM_MILLISECONDS 1000u
#define NEAR_MILLISECONDS 250u
#define NEAR_HELD         0.6
/* Between two calls for the same step. */
#define AGAIN_MICROSECONDS G_USEC_PER_SEC

struct _GemPressure {
  GemPressureLooked looked;
  GemPressureAsk ask;
  gpointer data;
  GemPressureWatch *watch; /* NULL: the service manager does not speak */
  GemPressureFiles *files; /* NULL: it said that nothing is to be done */
  GemPressureLadder ladder;
  GSource *timer;
  guint interval; /* ms, of the timer */
  gint64 asked;   /* us: when the step was asked for last */
};

static gboolean
on_timer(gpointer data);

static void
set_timer(GemPressure *self, guint interval)
{
  if (interval == self->interval) {
    return;
  }
  if (self->timer != NULL) {
    g_source_destroy(self->timer);
    g_source_unref(self->timer);
  }
  self->interval = interval;
  self->timer = g_timeout_source_new(interval);
  g_source_set_callback(self->timer, on_timer, self, NULL);
  g_source_attach(self->timer, g_main_context_get_thread_default());
}

static void
look(GemPressure *self, gboolean told)
{
  GemPressureReadings readings;
  gint64 now = g_get_monotonic_time();
  guint before = self->ladder.step, step;

  gem_pressure_files_read(self->files, now, &readings);
  readings.told = told;
  step = gem_pressure_ladder_take(&self->ladder, &readings, now);
  set_timer(self, step > 0 || readings.held >= NEAR_HELD ? NEAR_MILLISECONDS : CALM_MILLISECONDS);
  if (step != before ||
      (gem_pressure_ladder_is_pressed(&self->ladder, now) && now - self->asked >= AGAIN_MICROSECONDS)) {
    self->asked = now;
    self->ask(step, self->ladder.cause, &readings, self->data);
  }
  self->looked(&readings, self->data);
  if (step == 0 && readings.held < NEAR_HELD) {
    gem_pressure_files_find(self->files);
  }
}

static gboolean
on_timer(gpointer data)
{
  look(data, FALSE);
  return G_SOURCE_CONTINUE;
}

static void
on_told(gpointer data)
{
  g_debug("memory pressure: the service manager says that memory is short");
  look(data, TRUE);
}

GemPressure *
gem_pressure_new(const GemPressureConfig *config, GemPressureLooked looked, GemPressureAsk ask, gpointer data)
{
  GemPressure *self = g_new0(GemPressure, 1);
  GemPressureReadings readings;
  g_autoptr(GError) error = NULL;

  self->looked = looked;
  self->ask = ask;
  self->data = data;
  if (config->watch != NULL && gem_pressure_watch_is_off(config->watch)) {
    g_debug("memory pressure: the service manager says that nothing is to be done");
    return self;
  }
  if (config->watch != NULL) {
    self->watch = gem_pressure_watch_new(config->watch, config->payload, on_told, self, &error);
    if (self->watch == NULL) {
      g_debug("memory pressure: the service manager is not listened to: %s", error->message);
    }
  }
  self->files = gem_pressure_files_open(config->root != NULL ? config->root : "");
  gem_pressure_files_read(self->files, g_get_monotonic_time(), &readings);
  set_timer(self, CALM_MILLISECONDS);
  return self;
}

void
gem_pressure_free(GemPressure *self)
{
  if (self->timer != NULL) {
    g_source_destroy(self->timer);
    g_source_unref(self->timer);
  }
  g_clear_pointer(&self->watch, gem_pressure_watch_free);
  g_clear_pointer(&self->files, gem_pressure_files_close);
  g_free(self);
}
