#include "daemon/service/gem-memory.h"

#include "daemon/base/gem-log.h"
#include "daemon/bus/gem-sleep.h"
#include "daemon/pressure/gem-pressure-lock.h"
#include "daemon/pressure/gem-pressure.h"
#include "daemon/service/gem-memory-room.h"
#include "daemon/service/gem-service.h"

/* What a short conversation caches. */
#define LEAST_CACHE_BYTES (4u << 20)

G_STATIC_ASSERT(GEM_RELIEF_STEPS == GEM_PRESSURE_STEPS + 1);

/* One thing that is asked of the engines: of the model that is served, and of one that another took the place
 * of and that still answers. */
typedef struct {
  GemRelief step;
  GemPressureCause cause;
  GemPressureReadings readings;
  gboolean asleep;  /* the machine goes to sleep: no shortage, as the next */
  gboolean loading; /* another model is about to be loaded beside this one */
} Ask;

struct _GemMemory {
  GemService *service;
  GemPressure *pressure; /* NULL: turned off */
  GemSleep *sleep;
  GCancellable *abandoned; /* cancelled when nobody listens any more */
  GemMemoryRoom room;
  Ask wanted;    /* what memory asks for now */
  Ask ask;       /* what the engines do now */
  gint64 began;  /* us: when they were asked */
  guint busy;    /* of them, those that have not answered */
  gboolean done; /* one of the others has done it; the next: bytes that they gave back */
  guint64 freed;
  Ask next; /* what is asked when all have */
  gboolean has_next;
  /* Of this shortage. */
  guint logged;       /* step; 0: none */
  gint64 short_since; /* us */
  guint asked;
  guint64 bytes;
};

static void
memory_ask(GemMemory *self, const Ask *ask);

/* ---- the journal ---- */

static const char *const step_texts[GEM_RELIEF_STEPS] = {
    "", "no read-ahead", "no cold pathways", "no caches of idle sessions", "nothing but the general part"};

/* The reading that asked for the step, for people. */
static char *
describe_cause(const Ask *ask)
{
  const GemPressureReadings *readings = &ask->readings;

  switch (ask->cause) {
  case GEM_PRESSURE_HELD:
    return g_strdup_printf("%.0f %% of the unit's limit are held", readings->held * 100);
  case GEM_PRESSURE_STALLED:
    return g_strdup_printf("the service waits for it %.0f %% of the time", readings->stalled * 100);
  case GEM_PRESSURE_SYSTEM_STALLED:
    return g_strdup_printf("programs wait for it %.0f %% of the time", readings->system_stalled * 100);
  case GEM_PRESSURE_AVAILABLE:
    return g_strdup_printf("%.1f %% of the machine's are available", readings->available * 100);
  case GEM_PRESSURE_LIMIT:
    return g_strdup("the unit's limit was reached");
  case GEM_PRESSURE_TOLD:
    return g_strdup("the service manager says so");
  }
  g_assert_not_reached();
}

static void
log_short(const Ask *ask, guint64 freed, gint64 microseconds)
{
  g_autofree char *step = g_strdup_printf("%u", (guint)ask->step);
  g_autofree char *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, freed);
  g_autofree char *time = g_strdup_printf("%" G_GINT64_FORMAT, microseconds);
  g_autofree char *why = describe_cause(ask);
  const char *fields[] = {"GEM_STEP",  step,  "GEM_CAUSE", gem_pressure_cause_name(ask->cause),
                          "GEM_BYTES", bytes, "GEM_USEC",  time,
                          NULL};

  gem_log(ask->step >= GEM_RELIEF_IDLE_CACHES ? LOG_WARNING : LOG_NOTICE, GEM_LOG_MEMORY_SHORT, fields,
          "memory is short (%s): step %s of %u, %s; %s bytes given back in %.1f ms", why, step,
          GEM_PRESSURE_STEPS, step_texts[ask->step], bytes, (double)microseconds / 1e3);
}

static void
log_over(const GemMemory *self)
{
  g_autofree char *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, self->bytes);
  gint64 lasted = g_get_monotonic_time() - self->short_since;
  g_autofree char *time = g_strdup_printf("%" G_GINT64_FORMAT, lasted);

  gem_log(LOG_NOTICE, GEM_LOG_MEMORY_OVER,
          (const char *[]){"GEM_STEP", "0", "GEM_BYTES", bytes, "GEM_USEC", time, NULL},
          "memory is no longer short, after %.1f s; %s bytes were given back, asked %u times",
          (double)lasted / G_USEC_PER_SEC, bytes, self->asked);
}

static void
log_sleep(guint64 freed, gint64 microseconds)
{
  g_autofree char *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, freed);
  g_autofree char *time = g_strdup_printf("%" G_GINT64_FORMAT, microseconds);

  gem_log(LOG_NOTICE, GEM_LOG_SLEEP, (const char *[]){"GEM_BYTES", bytes, "GEM_USEC", time, NULL},
          "the machine goes to sleep: %s bytes given back in %.1f ms", bytes, (double)microseconds / 1e3);
}

/* ---- the engines ---- */

static void
account(GemMemory *self, const Ask *ask, guint64 freed)
{
  gint64 microseconds = g_get_monotonic_time() - self->began;

  if (ask->asleep) {
    log_sleep(freed, microseconds);
    return;
  }
  if (ask->loading) {
    g_debug("another model is loaded beside this one: %" G_GUINT64_FORMAT " bytes given back", freed);
    return;
  }
  if (ask->step != GEM_RELIEF_OVER) {
    self->asked++;
    self->bytes += freed;
  }
  /* The same step, asked for again, goes into the sum at the end. */
  if (ask->step != self->logged && ask->step == GEM_RELIEF_OVER) {
    log_over(self);
  } else if (ask->step != self->logged) {
    log_short(ask, freed, microseconds);
  }
  self->logged = ask->step;
}

static void
settle(GemMemory *self)
{
  Ask next = self->next;

  if (self->ask.asleep) {
    gem_sleep_ready(self->sleep);
  }
  if (self->ask.asleep || (self->ask.loading && !self->has_next)) {
    /* Such a step stands until there is another: read-ahead would end for good. */
    next = self->wanted;
    self->has_next = TRUE;
  }
  if (self->has_next) {
    self->has_next = FALSE;
    memory_ask(self, &next);
  }
}

static void
on_relieved(GObject *source, GAsyncResult *result, gpointer data)
{
  GemMemory *self = data;
  guint64 freed = 0;
  gboolean done = gem_engine_relieve_finish(GEM_ENGINE(source), result, &freed, NULL);

  if (g_cancellable_is_cancelled(g_task_get_cancellable(G_TASK(result)))) {
    return; /* `self` is gone */
  }
  self->done = self->done || done;
  self->freed += freed;
  self->busy--;
  if (self->busy > 0) {
    return;
  }
  if (self->done) {
    account(self, &self->ask, self->freed);
  }
  settle(self);
}

static void
memory_ask(GemMemory *self, const Ask *ask)
{
  g_autoptr(GPtrArray) engines = gem_model_host_list_engines(gem_service_get_model(self->service));

  if (self->busy > 0) {
    /* What the machine's sleep waits for is not put off, and says as much as any step but the last. */
    if (!self->has_next || !self->next.asleep) {
      self->next = *ask;
      self->has_next = TRUE;
    }
    return;
  }
  self->ask = *ask;
  self->began = g_get_monotonic_time();
  if (engines->len == 0 || gem_service_is_stopping(self->service)) {
    settle(self);
    return;
  }
  self->busy = engines->len;
  self->done = FALSE;
  self->freed = 0;
  for (guint i = 0; i < engines->len; i++) {
    gem_engine_relieve_async(engines->pdata[i], self->ask.step, self->abandoned, on_relieved, self);
  }
}

/* ---- a unit with a limit ---- */

/* Without this it answers badly or not at all: the general part, one pathway, and a cache. */
static guint64
least_bytes(GemEngine *engine)
{
  const char *const *domains = gem_engine_get_domains(engine);
  guint64 largest = 0;

  for (gsize i = 0; domains[i] != NULL; i++) {
    g_autoptr(GemPathwayInfo) info = gem_engine_get_pathway(engine, domains[i]);

    if (info != NULL) {
      largest = MAX(largest, MAX(info->file_bytes, info->resident_bytes));
    }
  }
  return gem_engine_get_fixed_bytes(engine) + largest + LEAST_CACHE_BYTES;
}

/* 0: none. */
static guint64
find_limit(const GemMemory *self)
{
  guint64 limit = gem_service_get_config(self->service)->memory_limit;

  return self->room.limit > 0 && (limit == 0 || self->room.limit < limit) ? self->room.limit : limit;
}

void
gem_memory_make_room(GemMemory *self)
{
  Ask ask = {.step = GEM_RELIEF_IDLE_CACHES, .loading = TRUE};

  if (find_limit(self) > 0) {
    memory_ask(self, &ask);
  }
}

void
gem_memory_apply_limit(GemMemory *self)
{
  g_autoptr(GPtrArray) engines = gem_model_host_list_engines(gem_service_get_model(self->service));
  guint64 limit = find_limit(self);

  for (guint i = 0; i < engines->len; i++) {
    gem_engine_set_memory_limit(engines->pdata[i], limit);
  }
}

void
gem_memory_lock_code(GemMemory *self)
{
  if (self->pressure != NULL) {
    g_debug("memory pressure: %" G_GSIZE_FORMAT " bytes of code stay in memory", gem_pressure_lock_code());
  }
}

static void
on_looked(const GemPressureReadings *readings, gpointer data)
{
  GemMemory *self = data;
  GemEngine *engine = gem_service_get_engine(self->service);
  guint64 before = self->room.limit, limit;

  /* A stopped engine is still there, and knows no pathway. */
  if (engine == NULL || gem_service_is_stopping(self->service)) {
    return;
  }
  limit = gem_memory_room_take(&self->room, readings->held_bytes, readings->limit_bytes,
                               gem_engine_get_resident_bytes(engine), least_bytes(engine));
  if (limit != before) {
    gem_memory_apply_limit(self);
    /* Above memory.high to speak costs memory, and so time: last. */
    g_debug("of the unit's %" G_GUINT64_FORMAT " bytes the model may take %" G_GUINT64_FORMAT,
            readings->limit_bytes, limit);
  }
}

/* ---- who asks ---- */

static void
on_pressure(guint step, GemPressureCause cause, const GemPressureReadings *readings, gpointer data)
{
  GemMemory *self = data;

  if (self->wanted.step == GEM_RELIEF_OVER) {
    self->short_since = g_get_monotonic_time();
    self->asked = 0;
    self->bytes = 0;
  }
  self->wanted = (Ask){.step = (GemRelief)step, .cause = cause, .readings = *readings};
  memory_ask(self, &self->wanted);
}

static void
on_sleep(gpointer data)
{
  Ask ask = {.step = GEM_RELIEF_IDLE_CACHES, .asleep = TRUE};

  memory_ask(data, &ask);
}

/* Devices and their drivers begin anew then. */
static void
on_woke(gpointer data)
{
  const GemMemory *self = data;
  g_autoptr(GPtrArray) engines = gem_model_host_list_engines(gem_service_get_model(self->service));

  for (guint i = 0; i < engines->len; i++) {
    gem_engine_try_devices_again(engines->pdata[i]);
  }
}

GemMemory *
gem_memory_new(GemService *service)
{
  GemMemory *self = g_new0(GemMemory, 1);
  const GemConfig *config = gem_service_get_config(service);

  self->service = service;
  self->abandoned = g_cancellable_new();
  self->sleep = gem_sleep_new(gem_service_get_connection(service), on_sleep, on_woke, self);
  if (config->memory_pressure) {
    self->pressure = gem_pressure_new(&(GemPressureConfig){.root = config->pressure_root,
                                                           .watch = g_getenv("MEMORY_PRESSURE_WATCH"),
                                                           .payload = g_getenv("MEMORY_PRESSURE_WRITE")},
                                      on_looked, on_pressure, self);
  }
  return self;
}

void
gem_memory_free(GemMemory *self)
{
  g_cancellable_cancel(self->abandoned);
  g_object_unref(self->abandoned);
  g_clear_pointer(&self->pressure, gem_pressure_free);
  gem_sleep_free(self->sleep);
  g_free(self);
}

void
gem_memory_take_model(GemMemory *self)
{
  if (self->wanted.step != GEM_RELIEF_OVER) {
    memory_ask(self, &self->wanted);
  }
}

guint
gem_memory_get_step(GemMemory *self)
{
  return self->wanted.step;
}
