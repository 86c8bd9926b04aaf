/*
 * LoadModel and its job: another model takes over while the old one serves. On an engine without a model, and
 * once on a real one; each test has a bus and a daemon of its own.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-calls.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-gemd.h"
#include "tests/gem-test-patience.h"

#define NONE             gem_test_options("{}")
#define PATIENCE_SECONDS 20

enum { CANCELLED = 4, SHUTDOWN };

/* ---- what a connection hears of jobs ---- */

typedef struct {
  GDBusConnection *connection;
  guint subscription;
  guint completed;
  char *path;    /* of the last one that completed */
  char *changed; /* of the last one that changed; the progress is its */
  char *result;
  GVariant *details;
  double progress; /* the highest, and what it was before the end */
  double progress_running;
} JobEar;

static void
on_signal(GDBusConnection *connection,
          const char *sender,
          const char *path,
          const char *interface,
          const char *signal,
          GVariant *parameters,
          gpointer data)
{
  JobEar *self = data;
  g_autoptr(GVariant) changed = NULL;
  const char *state = NULL;
  double progress = 0;

  if (!g_str_has_prefix(path, GEM_JOB_PATH "/")) {
    return;
  }
  if (g_str_equal(signal, "Completed")) {
    g_clear_pointer(&self->result, g_free);
    g_clear_pointer(&self->details, g_variant_unref);
    g_variant_get(parameters, "(s@a{sv})", &self->result, &self->details);
    g_free(self->path);
    self->path = g_strdup(path);
    self->completed++;
  } else if (g_str_equal(signal, "PropertiesChanged")) {
    changed = g_variant_get_child_value(parameters, 1);
    g_assert_true(g_variant_lookup(changed, "Progress", "d", &progress));
    g_assert_true(g_variant_lookup(changed, "State", "&s", &state));
    g_assert_true(progress >= self->progress || g_strcmp0(path, self->changed) != 0);
    g_free(self->changed);
    self->changed = g_strdup(path);
    self->progress = progress;
    if (g_str_equal(state, "running")) {
      self->progress_running = progress;
    }
  }
}

static JobEar *
job_ear_new(GDBusConnection *connection)
{
  JobEar *self = g_new0(JobEar, 1);

  self->connection = g_object_ref(connection);
  self->subscription = g_dbus_connection_signal_subscribe(connection, GEM_BUS_NAME, NULL, NULL, NULL, NULL,
                                                          G_DBUS_SIGNAL_FLAGS_NONE, on_signal, self, NULL);
  return self;
}

static void
job_ear_free(JobEar *self)
{
  g_dbus_connection_signal_unsubscribe(self->connection, self->subscription);
  g_object_unref(self->connection);
  g_free(self->path);
  g_free(self->changed);
  g_free(self->result);
  g_clear_pointer(&self->details, g_variant_unref);
  g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JobEar, job_ear_free)

static void
job_ear_wait(JobEar *self, guint completed, const char *result)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (self->completed < completed) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    if (!g_main_context_iteration(NULL, FALSE)) {
      g_usleep(1000);
    }
  }
  g_assert_cmpuint(self->completed, ==, completed);
  g_assert_cmpstr(self->result, ==, result);
}

static void
job_ear_check_error(JobEar *self, const char *name, const char *pattern)
{
  const char *error = NULL, *message = NULL;

  g_assert_true(g_variant_lookup(self->details, "error", "&s", &error));
  g_assert_true(g_variant_lookup(self->details, "message", "&s", &message));
  g_assert_cmpstr(error, ==, name);
  if (!g_pattern_match_simple(pattern, message)) {
    g_test_message("\"%s\" is not like \"%s\"", message, pattern);
    g_test_fail();
  }
}

/* ---- a daemon with a folder of models ---- */

typedef struct {
  GemTestBus *bus;
  char *models; /* folder */
  GDBusConnection *client;
  JobEar *ear;
} Place;

static char *
hold_path(Place *self, const char *model)
{
  return g_build_filename(self->models, model, "hold", NULL);
}

static void
add_model(Place *self, const char *name)
{
  g_autofree char *path = g_build_filename(self->models, name, NULL);

  g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
}

/* The model loads for as long as it is held. */
static void
hold(Place *self, const char *model)
{
  g_autofree char *path = hold_path(self, model);

  g_assert_true(g_file_set_contents(path, "", 0, NULL));
}

static void
let_go(Place *self, const char *model)
{
  g_autofree char *path = hold_path(self, model);

  g_assert_cmpint(g_unlink(path), ==, 0);
}

static void
set_up(Place *self, gconstpointer data)
{
  g_autofree char *variable = NULL;

  self->bus = gem_test_bus_new();
  self->models = gem_test_folder_new();
  add_model(self, "ok");
  add_model(self, "other");
  add_model(self, "mute");
  add_model(self, "broken");
  variable = g_strconcat("GEMD_MODEL_DIR=", self->models, NULL);
  self->bus->daemon_environment = g_strsplit(variable, "\n", -1);
  self->client = gem_test_bus_connect(self->bus);
  self->ear = job_ear_new(self->client);
}

static void
start(Place *self, const char *model, const char *expected)
{
  g_autofree char *state = NULL;

  gem_test_bus_spawn(self->bus, model);
  state = gem_test_bus_wait_settled(self->bus);
  g_assert_cmpstr(state, ==, expected);
}

static void
tear_down(Place *self, gconstpointer data)
{
  job_ear_free(self->ear);
  g_object_unref(self->client);
  gem_test_bus_free(self->bus);
  gem_test_folder_remove(self->models);
  g_free(self->models);
}

static char *
load_model(GDBusConnection *client, const char *name, const char *options)
{
  g_autoptr(GVariant) reply =
      gem_test_manager(client, "LoadModel", g_variant_new("(s@a{sv})", name, gem_test_options(options)));
  char *path = NULL;

  g_variant_get(reply, "(o)", &path);
  return path;
}

static void
load_model_fails(
    GDBusConnection *client, const char *name, const char *options, GemError code, const char *pattern)
{
  gem_test_manager_fails(client, "LoadModel", g_variant_new("(s@a{sv})", name, gem_test_options(options)),
                         code, pattern);
}

static void
check_manager(GDBusConnection *client, const char *property, const char *expected)
{
  g_autoptr(GVariant) value = gem_test_get(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, property);

  g_assert_cmpstr(g_variant_get_string(value, NULL), ==, expected);
}

static void
check_answers(GDBusConnection *client)
{
  g_autoptr(GVariant) reply = gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", "abc", NONE));

  g_assert_nonnull(reply);
}

static void
check_job(GDBusConnection *client, const char *job, const char *expected_state, double expected_progress)
{
  g_autoptr(GVariant) kind = gem_test_get(client, job, GEM_JOB_INTERFACE, "Kind");
  g_autoptr(GVariant) state = gem_test_get(client, job, GEM_JOB_INTERFACE, "State");
  g_autoptr(GVariant) progress = gem_test_get(client, job, GEM_JOB_INTERFACE, "Progress");

  g_assert_cmpstr(g_variant_get_string(kind, NULL), ==, "load-model");
  g_assert_cmpstr(g_variant_get_string(state, NULL), ==, expected_state);
  g_assert_cmpfloat(g_variant_get_double(progress), ==, expected_progress);
}

static void
cancel(GDBusConnection *client, const char *job)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(client, job, GEM_JOB_INTERFACE, "Cancel", NULL, &error);

  g_assert_no_error(error);
}

/* Whether the object manager has a pathway of that domain. */
static gboolean
has_pathway(GDBusConnection *client, const char *domain)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(client, GEM_OBJECT_PATH, "org.freedesktop.DBus.ObjectManager",
                                            "GetManagedObjects", NULL, &error);
  g_autoptr(GVariant) objects = NULL, interfaces = NULL;

  g_assert_no_error(error);
  objects = g_variant_get_child_value(reply, 0);
  return g_variant_lookup(objects, path, "@a{sa{sv}}", &interfaces);
}

/* ---- what is asked for ---- */

static void
test_arguments(Place *self, gconstpointer data)
{
  static const char *const bad_names[] = {"", ".", "..", ".hidden", "/etc", "a/b", "../ok", "ok/", NULL};
  g_autoptr(GVariant) models = NULL;
  g_autofree const char **names = NULL;

  start(self, "/fake/ok", "ready");
  for (gsize i = 0; bad_names[i] != NULL; i++) {
    load_model_fails(self->client, bad_names[i], "{}", GEM_ERROR_INVALID_OPTION, "name: *");
  }
  load_model_fails(self->client, "nonesuch", "{}", GEM_ERROR_MODEL, "no model \"nonesuch\" in *");
  load_model_fails(self->client, "other", "{'grace_seconds': <uint32 0>}", GEM_ERROR_INVALID_OPTION,
                   "*grace_seconds*1 to 3600*");
  load_model_fails(self->client, "other", "{'domain': <'legal'>}", GEM_ERROR_INVALID_OPTION,
                   "*\"domain\"*grace_seconds*");
  models = gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Models");
  names = g_variant_get_strv(models, NULL);
  g_assert_true(g_strv_equal(names, (const char *[]){"broken", "mute", "ok", "other", NULL}));
  check_manager(self->client, "ModelName", "fake");
}

/* ---- one model after the other ---- */

static void
check_other_serves(Place *self)
{
  g_autofree char *session = NULL;
  g_autoptr(GVariant) domains = gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Domains");
  g_autofree const char **names = g_variant_get_strv(domains, NULL);

  check_manager(self->client, "ModelName", "other");
  check_manager(self->client, "ModelState", "ready");
  check_manager(self->client, "ModelReason", "");
  g_assert_true(g_strv_equal(names, (const char *[]){"stem", "music", NULL}));
  g_assert_true(has_pathway(self->client, "general"));
  g_assert_true(has_pathway(self->client, "stem"));
  g_assert_true(has_pathway(self->client, "music"));
  g_assert_false(has_pathway(self->client, "legal"));
  check_answers(self->client);
  session = gem_test_create_session(self->client);
  g_free(
      gem_test_read_all(gem_test_generate(self->client, session, "x", "{'max_tokens': <uint32 1>}", NULL)));
}

static void
test_switch(Place *self, gconstpointer data)
{
  g_autoptr(GemTestEar) ear = gem_test_ear_new(self->client);
  g_autofree char *session = NULL, *request = NULL, *job = NULL, *text = NULL;
  const char *name = NULL;
  int stream;

  start(self, "/fake/ok", "ready");
  session = gem_test_create_session(self->client);
  stream = gem_test_generate(self->client, session, "silent", "{}", &request);
  hold(self, "other");
  job = load_model(self->client, "other", "{}");
  check_job(self->client, job, "running", 0);
  load_model_fails(self->client, "ok", "{}", GEM_ERROR_BUSY, "another model is being loaded");
  check_answers(self->client);
  check_manager(self->client, "ModelName", "fake");
  let_go(self, "other");
  job_ear_wait(self->ear, 1, "done");
  g_assert_cmpstr(self->ear->path, ==, job);
  g_assert_true(g_variant_lookup(self->ear->details, "model", "&s", &name));
  g_assert_cmpstr(name, ==, "other");
  g_assert_cmpfloat(self->ear->progress_running, >, 0.5);
  g_assert_cmpfloat(self->ear->progress, ==, 1);
  check_job(self->client, job, "done", 1);
  cancel(self->client, job); /* too late, and harmless */
  check_other_serves(self);
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
test_holds(Place *self, gconstpointer data)
{
  g_autofree char *job = NULL;
  g_autoptr(GVariant) held = NULL, answer = NULL, stats = NULL;
  g_autoptr(GError) error = NULL;
  guint64 holds = 1;

  start(self, "/fake/ok", "ready");
  held = gem_test_call(self->client, GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "Hold",
                       g_variant_new("(@a{sv})", NONE), &error);
  g_assert_no_error(error);
  g_assert_nonnull(held);
  job = load_model(self->client, "other", "{}");
  g_assert_nonnull(job);
  job_ear_wait(self->ear, 1, "done");
  answer = gem_test_manager(self->client, "Stats", g_variant_new("(@a{sv})", NONE));
  stats = g_variant_get_child_value(answer, 0);
  g_assert_true(g_variant_lookup(stats, "holds", "t", &holds));
  g_assert_cmpuint(holds, ==, 0);
}

/* What still runs after the time of grace is told why it ends. */
static void
test_grace(Place *self, gconstpointer data)
{
  g_autoptr(GemTestEar) ear = gem_test_ear_new(self->client);
  g_autofree char *session = NULL, *job = NULL, *text = NULL;
  const char *error = NULL;
  int stream;

  start(self, "/fake/ok", "ready");
  session = gem_test_create_session(self->client);
  stream = gem_test_generate(self->client, session, "silent", "{}", NULL);
  job = load_model(self->client, "other", "{'grace_seconds': <uint32 1>}");
  g_assert_nonnull(job);
  job_ear_wait(self->ear, 1, "done");
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->reason, ==, SHUTDOWN);
  g_assert_true(g_variant_lookup(ear->stats, "error", "&s", &error));
  g_assert_cmpstr(error, ==, "org.gemd.Gem1.Error.ModelChanged");
  text = gem_test_read_all(stream);
  g_assert_cmpstr(text, ==, "");
  check_answers(self->client);
}

/* Nothing has changed, and the next one is not held up. */
static void
test_failure(Place *self, gconstpointer data)
{
  g_autofree char *session = NULL, *broken = NULL, *mute = NULL, *other = NULL;

  start(self, "/fake/ok", "ready");
  session = gem_test_create_session(self->client);
  broken = load_model(self->client, "broken", "{}");
  job_ear_wait(self->ear, 1, "failed");
  job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Model", "*/broken: general.gguf is missing");
  check_job(self->client, broken, "failed", 0);
  mute = load_model(self->client, "mute", "{}");
  g_assert_nonnull(mute);
  job_ear_wait(self->ear, 2, "failed");
  job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Model", "model mute does not answer: asked to fail");
  check_manager(self->client, "ModelName", "fake");
  check_manager(self->client, "ModelState", "ready");
  check_answers(self->client);
  g_free(
      gem_test_read_all(gem_test_generate(self->client, session, "x", "{'max_tokens': <uint32 1>}", NULL)));
  other = load_model(self->client, "other", "{}");
  g_assert_nonnull(other);
  job_ear_wait(self->ear, 3, "done");
  check_other_serves(self);
}

/* Calls LoadModel until it is not busy. */
static void
load_model_when_free(Place *self, const char *name)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (g_get_monotonic_time() < end) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = gem_test_call(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                                              "LoadModel", g_variant_new("(s@a{sv})", name, NONE), &error);

    if (reply != NULL) {
      return;
    }
    g_assert_error(error, GEM_ERROR, GEM_ERROR_BUSY);
    g_usleep(5000);
  }
  g_error("LoadModel stays busy");
}

static void
test_cancel(Place *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  start(self, "/fake/ok", "ready");
  hold(self, "other");
  job = load_model(self->client, "other", "{}");
  cancel(self->client, job);
  job_ear_wait(self->ear, 1, "cancelled"); /* at once, though it still loads */
  check_job(self->client, job, "cancelled", 0);
  load_model_fails(self->client, "ok", "{}", GEM_ERROR_BUSY, "*");
  let_go(self, "other");
  load_model_when_free(self, "broken");
  job_ear_wait(self->ear, 2, "failed");
  check_manager(self->client, "ModelName", "fake");
  check_answers(self->client);
}

/* ---- whose job it is ---- */

static void
test_private(Place *self, gconstpointer data)
{
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(self->bus);
  g_autoptr(JobEar) other_ear = job_ear_new(other);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) cancelled = NULL, got = NULL, nodes = NULL;
  g_autofree char *job = NULL;
  const char *xml = NULL;

  start(self, "/fake/ok", "ready");
  hold(self, "other");
  job = load_model(self->client, "other", "{}");
  cancelled = gem_test_call(other, job, GEM_JOB_INTERFACE, "Cancel", NULL, &error);
  g_assert_null(cancelled);
  g_assert_error(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD);
  g_clear_error(&error);
  got = gem_test_call(other, job, "org.freedesktop.DBus.Properties", "GetAll",
                      g_variant_new("(s)", GEM_JOB_INTERFACE), &error);
  g_assert_null(got);
  g_clear_error(&error);
  nodes =
      gem_test_call(other, GEM_JOB_PATH, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, &error);
  g_assert_no_error(error);
  g_variant_get(nodes, "(&s)", &xml);
  g_assert_null(strstr(xml, "<node name"));
  let_go(self, "other");
  job_ear_wait(self->ear, 1, "done");
  check_answers(other); /* what was sent to it before has come by now */
  while (g_main_context_iteration(NULL, FALSE)) {
  }
  g_assert_cmpuint(other_ear->completed, ==, 0);
  g_assert_cmpfloat(other_ear->progress, ==, 0);
}

/* The load goes on without the one who asked for it. */
static void
test_owner_leaves(Place *self, gconstpointer data)
{
  GDBusConnection *owner = gem_test_bus_connect(self->bus);
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);
  g_autofree char *job = NULL;
  gboolean served = FALSE;

  start(self, "/fake/ok", "ready");
  hold(self, "other");
  job = load_model(owner, "other", "{}");
  g_assert_nonnull(job);
  g_assert_true(g_dbus_connection_close_sync(owner, NULL, NULL));
  g_object_unref(owner);
  check_answers(self->client);
  let_go(self, "other");
  while (!served) {
    g_autoptr(GVariant) name =
        gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "ModelName");

    g_assert_cmpint(g_get_monotonic_time(), <, end);
    served = g_str_equal(g_variant_get_string(name, NULL), "other");
    g_usleep(2000);
  }
  check_other_serves(self);
}

/* ---- without a model, and at the end ---- */

static void
test_after_failure(Place *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  start(self, "/fake/none", "failed");
  job = load_model(self->client, "other", "{}");
  g_assert_nonnull(job);
  job_ear_wait(self->ear, 1, "done");
  check_other_serves(self);
}

static void
test_while_loading(Place *self, gconstpointer data)
{
  g_autofree char *state = NULL;

  hold(self, "ok");
  gem_test_bus_spawn(self->bus, "ok");
  gem_test_bus_wait_name(self->bus);
  load_model_fails(self->client, "other", "{}", GEM_ERROR_BUSY, "another model is being loaded");
  let_go(self, "ok");
  state = gem_test_bus_wait_settled(self->bus);
  g_assert_cmpstr(state, ==, "ready");
  check_manager(self->client, "ModelName", "fake");
}

static void
test_terminate(Place *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  start(self, "/fake/ok", "ready");
  hold(self, "other");
  job = load_model(self->client, "other", "{}");
  g_assert_nonnull(job);
  g_subprocess_send_signal(self->bus->daemon, SIGTERM);
  job_ear_wait(self->ear, 1, "failed");
  job_ear_check_error(self->ear, "org.gemd.Gem1.Error.ShuttingDown", "the service stops");
  g_assert_cmpint(gem_test_bus_wait_exit(self->bus), ==, 0);
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
  g_autoptr(JobEar) ear = job_ear_new(gemd->client);
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
    g_autofree char *job = load_model(gemd->client, "second", "{}");
    g_autofree char *after = NULL;

    job_ear_wait(ear, round + 1, "done");
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
  g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add("/bus/jobs/" name, Place, NULL, set_up, function, tear_down)
  ADD("arguments", test_arguments);
  ADD("switch", test_switch);
  ADD("grace", test_grace);
  ADD("holds", test_holds);
  ADD("failure", test_failure);
  ADD("cancel", test_cancel);
  ADD("private", test_private);
  ADD("owner-leaves", test_owner_leaves);
  ADD("after-failure", test_after_failure);
  ADD("while-loading", test_while_loading);
  ADD("terminate", test_terminate);
#undef ADD
  g_test_add_func("/bus/jobs/real", test_real);
  return g_test_run();
}
