#include "tests/gem-test-loads.h"

#include <glib/gstdio.h>

#include "tests/gem-test-folder.h"
#include "tests/gem-test-patience.h"

#define NONE             gem_test_options("{}")
#define PATIENCE_SECONDS 20

/* ---- what a connection hears of jobs ---- */

static void
on_signal(GDBusConnection *connection,
          const char *sender,
          const char *path,
          const char *interface,
          const char *signal,
          GVariant *parameters,
          gpointer data)
{
  GemTestJobEar *self = data;
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
    g_free(self->earlier);
    self->earlier = self->path;
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

GemTestJobEar *
gem_test_job_ear_new(GDBusConnection *connection)
{
  GemTestJobEar *self = g_new0(GemTestJobEar, 1);

  self->connection = g_object_ref(connection);
  self->subscription = g_dbus_connection_signal_subscribe(connection, GEM_BUS_NAME, NULL, NULL, NULL, NULL,
                                                          G_DBUS_SIGNAL_FLAGS_NONE, on_signal, self, NULL);
  return self;
}

void
gem_test_job_ear_free(GemTestJobEar *self)
{
  g_dbus_connection_signal_unsubscribe(self->connection, self->subscription);
  g_object_unref(self->connection);
  g_free(self->path);
  g_free(self->earlier);
  g_free(self->changed);
  g_free(self->result);
  g_clear_pointer(&self->details, g_variant_unref);
  g_free(self);
}

void
gem_test_job_ear_wait(GemTestJobEar *self, guint completed, const char *result)
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

void
gem_test_job_ear_check_error(GemTestJobEar *self, const char *name, const char *pattern)
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

static char *
hold_path(GemTestLoads *self, const char *model)
{
  return g_build_filename(self->models, model, "hold", NULL);
}

static void
add_model(GemTestLoads *self, const char *name)
{
  g_autofree char *path = g_build_filename(self->models, name, NULL);

  g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
}

void
gem_test_loads_hold(GemTestLoads *self, const char *model)
{
  g_autofree char *path = hold_path(self, model);

  g_assert_true(g_file_set_contents(path, "", 0, NULL));
}

void
gem_test_loads_let_go(GemTestLoads *self, const char *model)
{
  g_autofree char *path = hold_path(self, model);

  g_assert_cmpint(g_unlink(path), ==, 0);
}

void
gem_test_loads_set_up(GemTestLoads *self, gconstpointer data)
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
  self->ear = gem_test_job_ear_new(self->client);
}

void
gem_test_loads_add(const GemTestLoadsCase *cases)
{
  for (; cases->path != NULL; cases++) {
    g_test_add(cases->path, GemTestLoads, NULL, gem_test_loads_set_up, cases->run, gem_test_loads_tear_down);
  }
}

void
gem_test_loads_start(GemTestLoads *self, const char *model, const char *expected)
{
  g_autofree char *state = NULL;

  gem_test_bus_spawn(self->bus, model);
  state = gem_test_bus_wait_settled(self->bus);
  g_assert_cmpstr(state, ==, expected);
}

void
gem_test_loads_tear_down(GemTestLoads *self, gconstpointer data)
{
  gem_test_job_ear_free(self->ear);
  g_object_unref(self->client);
  gem_test_bus_free(self->bus);
  gem_test_folder_remove(self->models);
  g_free(self->models);
}

/* ---- what a client does ---- */

char *
gem_test_load_model(GDBusConnection *client, const char *name, const char *options)
{
  g_autoptr(GVariant) reply =
      gem_test_manager(client, "LoadModel", g_variant_new("(s@a{sv})", name, gem_test_options(options)));
  char *path = NULL;

  g_variant_get(reply, "(o)", &path);
  return path;
}

void
gem_test_load_model_fails(
    GDBusConnection *client, const char *name, const char *options, GemError code, const char *pattern)
{
  gem_test_manager_fails(client, "LoadModel", g_variant_new("(s@a{sv})", name, gem_test_options(options)),
                         code, pattern);
}

void
gem_test_job_cancel(GDBusConnection *client, const char *job)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(client, job, GEM_JOB_INTERFACE, "Cancel", NULL, &error);

  g_assert_no_error(error);
}

void
gem_test_manager_is(GDBusConnection *client, const char *property, const char *expected)
{
  g_autoptr(GVariant) value = gem_test_get(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, property);

  g_assert_cmpstr(g_variant_get_string(value, NULL), ==, expected);
}

void
gem_test_manager_answers(GDBusConnection *client)
{
  g_autoptr(GVariant) reply = gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", "abc", NONE));

  g_assert_nonnull(reply);
}

void
gem_test_job_is(GDBusConnection *client,
                const char *job,
                const char *expected_state,
                double expected_progress)
{
  g_autoptr(GVariant) kind = gem_test_get(client, job, GEM_JOB_INTERFACE, "Kind");
  g_autoptr(GVariant) state = gem_test_get(client, job, GEM_JOB_INTERFACE, "State");
  g_autoptr(GVariant) progress = gem_test_get(client, job, GEM_JOB_INTERFACE, "Progress");

  g_assert_cmpstr(g_variant_get_string(kind, NULL), ==, "load-model");
  g_assert_cmpstr(g_variant_get_string(state, NULL), ==, expected_state);
  g_assert_cmpfloat(g_variant_get_double(progress), ==, expected_progress);
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

void
gem_test_loads_other_serves(GemTestLoads *self)
{
  g_autofree char *session = NULL;
  g_autoptr(GVariant) domains = gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Domains");
  g_autofree const char **names = g_variant_get_strv(domains, NULL);

  gem_test_manager_is(self->client, "ModelName", "other");
  gem_test_manager_is(self->client, "ModelState", "ready");
  gem_test_manager_is(self->client, "ModelReason", "");
  g_assert_true(g_strv_equal(names, (const char *[]){"stem", "music", NULL}));
  g_assert_true(has_pathway(self->client, "general"));
  g_assert_true(has_pathway(self->client, "stem"));
  g_assert_true(has_pathway(self->client, "music"));
  g_assert_false(has_pathway(self->client, "legal"));
  gem_test_manager_answers(self->client);
  session = gem_test_create_session(self->client);
  g_free(
      gem_test_read_all(gem_test_generate(self->client, session, "x", "{'max_tokens': <uint32 1>}", NULL)));
}
