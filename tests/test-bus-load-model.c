/*
 * LoadModel: another model takes over while the old one serves. On an engine without a model, and once on a
 * real one; each test has a bus and a daemon of its own.
 */
#include <glib/gstdio.h>

#include "tests/gem-test-calls.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-gemd.h"
#include "tests/gem-test-loads.h"
#include "tests/gem-test-patience.h"

#define NONE             gem_test_options("{}")
#define PATIENCE_SECONDS 20

enum { CANCELLED = 4, SHUTDOWN };

/* ---- what is asked for ---- */

static void
test_arguments(GemTestLoads *self, gconstpointer data)
{
  static const char *const bad_names[] = {"", ".", "..", ".hidden", "/etc", "a/b", "../ok", "ok/", NULL};
  g_autoptr(GVariant) models = NULL;
  g_autofree const char **names = NULL;

  gem_test_loads_start(self, "/fake/ok", "ready");
  for (gsize i = 0; bad_names[i] != NULL; i++) {
    gem_test_load_model_fails(self->client, bad_names[i], "{}", GEM_ERROR_INVALID_OPTION, "name: *");
  }
  gem_test_load_model_fails(self->client, "nonesuch", "{}", GEM_ERROR_MODEL, "no model \"nonesuch\" in *");
  gem_test_load_model_fails(self->client, "other", "{'grace_seconds': <uint32 0>}", GEM_ERROR_INVALID_OPTION,
                            "*grace_seconds*1 to 3600*");
  gem_test_load_model_fails(self->client, "other", "{'domain': <'legal'>}", GEM_ERROR_INVALID_OPTION,
                            "*\"domain\"*grace_seconds*");
  models = gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Models");
  names = g_variant_get_strv(models, NULL);
  g_assert_true(g_strv_equal(names, (const char *[]){"broken", "mute", "ok", "other", NULL}));
  gem_test_manager_is(self->client, "ModelName", "fake");
}

/* ---- models that come and go ---- */

typedef struct {
  GVariant *models; /* as told last; NULL: not yet */
} Told;

static void
on_properties(GDBusConnection *connection,
              const char *sender,
              const char *path,
              const char *interface,
              const char *signal,
              GVariant *parameters,
              gpointer data)
{
  Told *told = data;
  g_autoptr(GVariant) changed = g_variant_get_child_value(parameters, 1);
  GVariant *models = g_variant_lookup_value(changed, "Models", G_VARIANT_TYPE_STRING_ARRAY);

  if (models != NULL) {
    g_clear_pointer(&told->models, g_variant_unref);
    told->models = models;
  }
}

static void
wait_told(Told *told, const char *const *expected)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (TRUE) {
    g_autofree const char **names = told->models != NULL ? g_variant_get_strv(told->models, NULL) : NULL;

    if (names != NULL && g_strv_equal(names, expected)) {
      return;
    }
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_main_context_iteration(NULL, FALSE);
    g_usleep(1000);
  }
}

static void
test_models(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *added = g_build_filename(self->models, "new", NULL);
  g_autofree char *file = g_build_filename(self->models, "a-file", NULL);
  g_autoptr(GVariant) models = NULL;
  Told told = {0};
  guint subscription = g_dbus_connection_signal_subscribe(
      self->client, GEM_BUS_NAME, "org.freedesktop.DBus.Properties", "PropertiesChanged", GEM_OBJECT_PATH,
      GEM_MANAGER_INTERFACE, G_DBUS_SIGNAL_FLAGS_NONE, on_properties, &told, NULL);

  gem_test_loads_start(self, "/fake/ok", "ready");
  g_assert_true(g_file_set_contents(file, "", 0, NULL)); /* no folder, no model */
  g_assert_cmpint(g_mkdir(added, 0755), ==, 0);
  wait_told(&told, (const char *const[]){"broken", "mute", "new", "ok", "other", NULL});
  models = gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Models");
  g_assert_true(g_variant_equal(models, told.models));
  g_assert_cmpint(g_rmdir(added), ==, 0);
  wait_told(&told, (const char *const[]){"broken", "mute", "ok", "other", NULL});
  g_dbus_connection_signal_unsubscribe(self->client, subscription);
  g_variant_unref(told.models);
}

/* ---- one model after the other ---- */

static void
test_switch(GemTestLoads *self, gconstpointer data)
{
  g_autoptr(GemTestEar) ear = gem_test_ear_new(self->client);
  g_autofree char *session = NULL, *request = NULL, *job = NULL, *text = NULL;
  const char *name = NULL;
  int stream;

  gem_test_loads_start(self, "/fake/ok", "ready");
  session = gem_test_create_session(self->client);
  stream = gem_test_generate(self->client, session, "silent", "{}", &request);
  gem_test_loads_hold(self, "other");
  job = gem_test_load_model(self->client, "other", "{}");
  gem_test_job_is(self->client, job, "running", 0);
  gem_test_load_model_fails(self->client, "ok", "{}", GEM_ERROR_BUSY, "another model is being loaded");
  gem_test_manager_answers(self->client);
  gem_test_manager_is(self->client, "ModelName", "fake");
  gem_test_loads_let_go(self, "other");
  gem_test_job_ear_wait(self->ear, 1, "done");
  g_assert_cmpstr(self->ear->path, ==, job);
  g_assert_true(g_variant_lookup(self->ear->details, "model", "&s", &name));
  g_assert_cmpstr(name, ==, "other");
  g_assert_cmpfloat(self->ear->progress_running, >, 0.5);
  g_assert_cmpfloat(self->ear->progress, ==, 1);
  gem_test_job_is(self->client, job, "done", 1);
  gem_test_job_cancel(self->client, job); /* too late, and harmless */
  gem_test_loads_other_serves(self);
  /* The turn on the old one runs on, the session's next one does not begin. */
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->finished, ==, 1);
  gem_test_generate_fails(self->client, session, "x", "{}", GEM_ERROR_MODEL_CHANGED, "*another model*");
  g_variant_unref(gem_test_call(self->client, request, GEM_REQUEST_INTERFACE, "Cancel", NULL, NULL));
  gem_test_ear_wait(ear, 2);
  g_assert_cmpstr(ear->path, ==, request);
  g_assert_cmpuint(ear->reason, ==, CANCELLED);
  text = gem_test_read_all(stream);
  g_assert_cmpstr(text, ==, "");
}

/* A hold ends with the model that it was taken on, and its place is free again. */
static void
test_holds(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *job = NULL;
  g_autoptr(GVariant) held = NULL, answer = NULL, stats = NULL;
  g_autoptr(GError) error = NULL;
  guint64 holds = 1;

  gem_test_loads_start(self, "/fake/ok", "ready");
  held = gem_test_call(self->client, GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "Hold",
                       g_variant_new("(@a{sv})", NONE), &error);
  g_assert_no_error(error);
  g_assert_nonnull(held);
  job = gem_test_load_model(self->client, "other", "{}");
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "done");
  answer = gem_test_manager(self->client, "Stats", g_variant_new("(@a{sv})", NONE));
  stats = g_variant_get_child_value(answer, 0);
  g_assert_true(g_variant_lookup(stats, "holds", "t", &holds));
  g_assert_cmpuint(holds, ==, 0);
}

/* What still runs after the time of grace is told why it ends. */
static void
test_grace(GemTestLoads *self, gconstpointer data)
{
  g_autoptr(GemTestEar) ear = gem_test_ear_new(self->client);
  g_autofree char *session = NULL, *job = NULL, *text = NULL;
  const char *error = NULL;
  int stream;

  gem_test_loads_start(self, "/fake/ok", "ready");
  session = gem_test_create_session(self->client);
  stream = gem_test_generate(self->client, session, "silent", "{}", NULL);
  job = gem_test_load_model(self->client, "other", "{'grace_seconds': <uint32 1>}");
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "done");
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->reason, ==, SHUTDOWN);
  g_assert_true(g_variant_lookup(ear->stats, "error", "&s", &error));
  g_assert_cmpstr(error, ==, "org.gemd.Gem1.Error.ModelChanged");
  text = gem_test_read_all(stream);
  g_assert_cmpstr(text, ==, "");
  gem_test_manager_answers(self->client);
}

/* Nothing has changed, and the next one is not held up. */
static void
test_failure(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *session = NULL, *broken = NULL, *mute = NULL, *other = NULL;

  gem_test_loads_start(self, "/fake/ok", "ready");
  session = gem_test_create_session(self->client);
  broken = gem_test_load_model(self->client, "broken", "{}");
  gem_test_job_ear_wait(self->ear, 1, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Model", "*/broken: general.gguf is missing");
  gem_test_job_is(self->client, broken, "failed", 0);
  mute = gem_test_load_model(self->client, "mute", "{}");
  g_assert_nonnull(mute);
  gem_test_job_ear_wait(self->ear, 2, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Model",
                               "model mute does not answer: asked to fail");
  gem_test_manager_is(self->client, "ModelName", "fake");
  gem_test_manager_is(self->client, "ModelState", "ready");
  gem_test_manager_answers(self->client);
  g_free(
      gem_test_read_all(gem_test_generate(self->client, session, "x", "{'max_tokens': <uint32 1>}", NULL)));
  other = gem_test_load_model(self->client, "other", "{}");
  g_assert_nonnull(other);
  gem_test_job_ear_wait(self->ear, 3, "done");
  gem_test_loads_other_serves(self);
}

/* ---- without a model ---- */

static void
test_after_failure(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  gem_test_loads_start(self, "/fake/none", "failed");
  job = gem_test_load_model(self->client, "other", "{}");
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "done");
  gem_test_loads_other_serves(self);
}

static void
test_while_loading(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *state = NULL;

  gem_test_loads_hold(self, "ok");
  gem_test_bus_spawn(self->bus, "ok");
  gem_test_bus_wait_name(self->bus);
  gem_test_load_model_fails(self->client, "other", "{}", GEM_ERROR_BUSY, "another model is being loaded");
  gem_test_loads_let_go(self, "ok");
  state = gem_test_bus_wait_settled(self->bus);
  g_assert_cmpstr(state, ==, "ready");
  gem_test_manager_is(self->client, "ModelName", "fake");
}

/* Calls wait for the model, but not until the bus gives up on them. */
static void
test_loads_too_long(GemTestLoads *self, gconstpointer data)
{
  static const char *const methods[] = {"Ask", "Score", "Route"};
  g_autofree char *state = NULL;

  gem_test_loads_hold(self, "ok");
  self->bus->config_text = g_strdup("[gemd]\nAskSeconds=1\n");
  gem_test_bus_spawn(self->bus, "ok");
  gem_test_bus_wait_name(self->bus);
  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
    gem_test_manager_fails(self->client, methods[i], g_variant_new("(s@a{sv})", "x", gem_test_options("{}")),
                           GEM_ERROR_NOT_READY, "the model is still being loaded: *1 s (AskSeconds)");
  }
  gem_test_loads_let_go(self, "ok");
  state = gem_test_bus_wait_settled(self->bus);
  g_assert_cmpstr(state, ==, "ready");
  gem_test_manager_answers(self->client);
}

/* ---- a real engine ---- */

static guint
count_threads(GSubprocess *process)
{
  g_autofree char *path = g_strdup_printf("/proc/%s/task", g_subprocess_get_identifier(process));
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  guint n = 0;

  g_assert_nonnull(dir);
  while (g_dir_read_name(dir) != NULL) {
    n++;
  }
  return n;
}

static char *
ask(GDBusConnection *client)
{
  g_autoptr(GVariant) reply = gem_test_manager(
      client, "Ask",
      g_variant_new("(s@a{sv})", "the rain in the north", gem_test_options("{'max_tokens': <uint32 16>}")));
  char *answer = NULL;

  g_variant_get_child(reply, 0, "s", &answer);
  return answer;
}

/* To and fro, with a turn on the old model each time: answers as before, and neither threads nor descriptors
 * are left behind. */
static void
test_real(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autofree char *models = gem_test_folder_new();
  g_autofree char *second = g_build_filename(models, "second", NULL);
  g_autofree char *variable = g_strconcat("GEMD_MODEL_DIR=", models, NULL);
  g_autofree char *before = NULL;
  g_autoptr(GemTestJobEar) ear = gem_test_job_ear_new(gemd->client);
  guint threads = 0, descriptors = 0;

  g_assert_cmpint(g_mkdir(second, 0755), ==, 0);
  gem_test_model_write(second, &gemd->shape, GEM_TYPE_F16, 11);
  gemd->bus->daemon_environment = g_strsplit(variable, "\n", -1);
  gem_test_gemd_start(gemd, "ready");
  before = ask(gemd->client);
  for (guint round = 0; round < 8; round++) {
    g_autoptr(GemTestEar) turns = gem_test_ear_new(gemd->client);
    g_autofree char *session = gem_test_create_session(gemd->client);
    int stream = gem_test_generate(gemd->client, session, "the rain", "{'max_tokens': <uint32 100>}", NULL);
    g_autofree char *job = gem_test_load_model(gemd->client, "second", "{}");
    g_autofree char *after = NULL;

    gem_test_job_ear_wait(ear, round + 1, "done");
    g_free(gem_test_read_all(stream));
    gem_test_ear_wait(turns, 1);
    g_assert_cmpuint(turns->reason, !=, SHUTDOWN);
    gem_test_generate_fails(gemd->client, session, "x", "{}", GEM_ERROR_MODEL_CHANGED, "*");
    after = ask(gemd->client);
    g_assert_cmpstr(after, ==, before);
    if (round == 1) {
      threads = count_threads(gemd->bus->daemon);
      descriptors = gem_test_process_descriptors(gemd->bus->daemon);
    }
  }
  /* The last old model may still be on its way out. */
  g_assert_cmpuint(count_threads(gemd->bus->daemon), <=, threads + 4);
  g_assert_cmpuint(gem_test_process_descriptors(gemd->bus->daemon), <=, descriptors + 4);
  gem_test_folder_remove(models);
}

int
main(int argc, char **argv)
{
  static const GemTestLoadsCase cases[] = {
      {"/bus/load-model/arguments", test_arguments},
      {"/bus/load-model/models", test_models},
      {"/bus/load-model/switch", test_switch},
      {"/bus/load-model/holds", test_holds},
      {"/bus/load-model/grace", test_grace},
      {"/bus/load-model/failure", test_failure},
      {"/bus/load-model/after-failure", test_after_failure},
      {"/bus/load-model/while-loading", test_while_loading},
      {"/bus/load-model/loads-too-long", test_loads_too_long},
      {NULL},
  };

  g_test_init(&argc, &argv, NULL);
  gem_test_loads_add(cases);
  g_test_add_func("/bus/load-model/real", test_real);
  return g_test_run();
}
