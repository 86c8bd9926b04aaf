/*
 * What a domain is called that a user has had learned, and what its text says, are the user's alone: neither
 * stands in what others can see on the bus (Stats, properties, objects, signals), nor in the log, however the
 * learning ends and whoever uses it.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#include "tests/gem-test-adapt.h"
#include "tests/gem-test-learned-file.h"

#define NAME "zanzibar"
#define WORD "quixotical"

/* Every signal of the service that comes to a connection. */
typedef struct {
  GDBusConnection *connection;
  guint subscription;
  GString *text; /* a line for each */
} Hearing;

typedef struct {
  GemTestAdapt adapt;
  GDBusConnection *other; /* it has no part in it */
  Hearing own, others;
} Scene;

static void
on_signal(GDBusConnection *connection,
          const char *sender,
          const char *path,
          const char *interface,
          const char *signal,
          GVariant *parameters,
          gpointer data)
{
  Hearing *self = data;
  g_autofree char *text = g_variant_print(parameters, FALSE);

  g_string_append_printf(self->text, "%s %s %s %s\n", path, interface, signal, text);
}

static void
hearing_begin(Hearing *self, GDBusConnection *connection)
{
  self->connection = connection;
  self->text = g_string_new(NULL);
  self->subscription = g_dbus_connection_signal_subscribe(connection, GEM_BUS_NAME, NULL, NULL, NULL, NULL,
                                                          G_DBUS_SIGNAL_FLAGS_NONE, on_signal, self, NULL);
}

static void
hearing_end(Hearing *self)
{
  g_dbus_connection_signal_unsubscribe(self->connection, self->subscription);
  g_string_free(self->text, TRUE);
}

/* As gem_test_adapt_set_up does, with a log that is kept, and has everything in it. */
static void
scene_set_up(Scene *self, gconstpointer data)
{
  GemTestBus *bus;

  self->adapt.gemd = gem_test_gemd_new();
  bus = self->adapt.gemd->bus;
  self->adapt.state = gem_test_folder_new();
  self->adapt.held = g_build_filename(self->adapt.gemd->folder, "held", NULL);
  gem_test_adapt_set_environment(&self->adapt, TRUE);
  bus->daemon_environment = g_environ_setenv(bus->daemon_environment, "G_MESSAGES_DEBUG", "all", TRUE);
  bus->daemon_environment = g_environ_setenv(bus->daemon_environment, "GEMD_ADAPT_SOCKET", "/nowhere", TRUE);
  bus->pipe_log = TRUE;
  gem_test_gemd_start(self->adapt.gemd, "ready");
  self->adapt.ear = gem_test_job_ear_new(self->adapt.gemd->client);
  self->other = gem_test_bus_connect(bus);
  hearing_begin(&self->own, self->adapt.gemd->client);
  hearing_begin(&self->others, self->other);
}

static void
scene_tear_down(Scene *self, gconstpointer data)
{
  hearing_end(&self->own);
  hearing_end(&self->others);
  g_clear_object(&self->other);
  gem_test_adapt_tear_down(&self->adapt, data);
}

/* ---- what others see ---- */

static void
check_text(const char *text)
{
  if (strstr(text, NAME) != NULL || strstr(text, WORD) != NULL) {
    g_test_message("it stands in: %s", text);
    g_test_fail();
  }
}

static void
check_answer(
    const Scene *self, const char *path, const char *interface, const char *method, GVariant *arguments)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(self->other, path, interface, method, arguments, &error);
  g_autofree char *text = NULL;

  g_assert_no_error(error);
  text = g_variant_print(reply, FALSE);
  check_text(text);
}

/* Objects, what they are said to be, and all of their properties, from this one down. How many there are. */
static guint
check_objects(const Scene *self, const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply =
      gem_test_call(self->other, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, &error);
  g_autoptr(GDBusNodeInfo) node = NULL;
  const char *xml = NULL;
  guint count = 1;

  g_assert_no_error(error);
  g_variant_get(reply, "(&s)", &xml);
  check_text(xml);
  node = g_dbus_node_info_new_for_xml(xml, &error);
  g_assert_no_error(error);
  for (guint i = 0; node->interfaces != NULL && node->interfaces[i] != NULL; i++) {
    const char *name = node->interfaces[i]->name;

    if (g_str_has_prefix(name, "org.gemd.")) {
      check_answer(self, path, "org.freedesktop.DBus.Properties", "GetAll", g_variant_new("(s)", name));
    }
  }
  for (guint i = 0; node->nodes != NULL && node->nodes[i] != NULL; i++) {
    g_autofree char *child = g_strdup_printf("%s/%s", path, node->nodes[i]->path);

    count += check_objects(self, child);
  }
  return count;
}

/* Everything that can be asked for. The service's own objects, among them those of the model's pathways. */
static void
check_unseen(const Scene *self)
{
  g_assert_cmpuint(check_objects(self, GEM_OBJECT_PATH), >=, 1 + self->adapt.gemd->shape.n_domains);
  check_answer(self, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Stats",
               g_variant_new("(@a{sv})", gem_test_options("{}")));
}

/* ---- what happens ---- */

/* Orders, a word that no other text has, and as much as is wanted. Takes place as NAME. */
static void
learn(Scene *self, const char *orders)
{
  g_autofree char *learned = gem_test_learned_file_write(self->adapt.gemd->folder, NAME, 100);
  g_autofree char *text = g_strdup_printf("%s %s\n\n" WORD " texts of a user", orders, learned);
  g_autoptr(GError) error = NULL;
  g_autofree char *job = gem_test_adapt_call(
      self->adapt.gemd->client, NAME, gem_test_adapt_text(text, GEM_TEST_ADAPT_BYTES, 0), "{}", &error);

  g_assert_no_error(error);
}

static void
use(Scene *self)
{
  g_autoptr(GVariant) routes = gem_test_manager(self->adapt.gemd->client, "Route",
                                                g_variant_new("(s@a{sv})", WORD, gem_test_options("{}")));
  g_autoptr(GVariant) answer =
      gem_test_manager(self->adapt.gemd->client, "Ask",
                       g_variant_new("(s@a{sv})", WORD,
                                     gem_test_options("{'domain': <'" NAME "'>, 'max_tokens': <uint32 4>}")));
  g_autofree char *text = g_variant_print(routes, FALSE);

  /* Its user does see it: there is something that could be seen. */
  g_assert_nonnull(strstr(text, NAME));
}

static void
test_unseen(Scene *self, gconstpointer data)
{
  g_autofree char *hold = g_strdup_printf("hold %s\nlearn", self->adapt.held);
  g_autofree char *log = NULL;

  gem_test_adapt_hold(&self->adapt);
  learn(self, hold);
  gem_test_adapt_wait_state(&self->adapt, NAME, "learning", "learning");
  check_unseen(self);
  g_unlink(self->adapt.held);
  gem_test_job_ear_wait(self->adapt.ear, 1, "done");
  use(self);
  check_unseen(self);
  learn(self, "boast");
  gem_test_job_ear_wait(self->adapt.ear, 2, "refused");
  learn(self, "die");
  gem_test_job_ear_wait(self->adapt.ear, 3, "failed");
  check_unseen(self);
  /* Its caller hears of its jobs; nobody else hears anything of them. Signals that were sent before the
   * answers above have come. */
  g_assert_nonnull(strstr(self->own.text->str, "Completed"));
  g_assert_null(strstr(self->others.text->str, "Completed"));
  check_text(self->others.text->str);
  log = gem_test_bus_end_log(self->adapt.gemd->bus);
  g_assert_nonnull(strstr(log, "a domain was learned"));
  /* That there is no socket, so that the process has the service's rights, is for the administrator. */
  g_assert_nonnull(strstr(log, "nothing listens at the socket"));
  g_assert_nonnull(strstr(log, "a domain was learned, and refused"));
  g_assert_nonnull(strstr(log, "a domain was not learned"));
  check_text(log);
}

int
main(int argc, char **argv)
{
  static const GemTestAdaptCase plain = {0};

  g_test_init(&argc, &argv, NULL);
  g_test_add("/bus/adapt-private/unseen", Scene, &plain, scene_set_up, test_unseen, scene_tear_down);
  return g_test_run();
}
