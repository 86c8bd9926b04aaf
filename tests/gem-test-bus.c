#include "tests/gem-test-bus.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/gem-test-patience.h"
#include "tests/gem-test-program.h"

#define PATIENCE_SECONDS 20
#define CALL_SECONDS     25 /* as D-Bus has it */

/* The rules of a system bus, then the service's own, then what lets the test's user be the service. Of match
 * rules a system bus takes 512 a connection: with fewer, one for each of many callers is soon one too many.
 */
static const char bus_config[] =
    "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN'"
    " 'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n"
    "<busconfig><type>system</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>\n"
    "<policy context='default'><allow user='*'/><deny own='*'/><deny send_type='method_call'/>\n"
    "<allow send_type='signal'/><allow send_requested_reply='true' send_type='method_return'/>\n"
    "<allow send_requested_reply='true' send_type='error'/><allow receive_type='method_call'/>\n"
    "<allow receive_type='method_return'/><allow receive_type='error'/><allow receive_type='signal'/>\n"
    "<allow send_destination='org.freedesktop.DBus'/></policy>\n"
    "<include>%s/dbus/org.gemd.Gem1.conf</include>\n"
    "<policy context='mandatory'><allow own='org.gemd.Gem1'/><allow own='org.freedesktop.PolicyKit1'/>"
    "<allow send_destination='org.freedesktop.PolicyKit1'/><allow own='org.freedesktop.login1'/>"
    "<allow send_destination='org.freedesktop.login1'/>%s</policy>\n"
    "<limit name='max_replies_per_connection'>50000</limit>\n"
    "<limit name='max_match_rules_per_connection'>32</limit></busconfig>\n";

/* A test that dies takes what it started with it. */
static void
die_with_parent(gpointer data)
{
  prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static GSubprocess *
spawn(GSubprocessLauncher *launcher, const char *const *arguments)
{
  g_autoptr(GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_set_child_setup(launcher, die_with_parent, NULL, NULL);
  process = g_subprocess_launcher_spawnv(launcher, arguments, &error);
  g_assert_no_error(error);
  return process;
}

static char *
write_file(GemTestBus *self, const char *name, const char *text)
{
  char *path = g_build_filename(self->dir, name, NULL);

  g_assert_true(g_file_set_contents(path, text, -1, NULL));
  return path;
}

/* The socket's file is there before anyone listens: only a connection tells. */
static void
wait_for_bus(const char *address)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (g_get_monotonic_time() < end) {
    g_autoptr(GIOStream) stream = g_dbus_address_get_stream_sync(address, NULL, NULL, NULL);

    if (stream != NULL) {
      return;
    }
    g_usleep(10000);
  }
  g_error("the private bus does not listen");
}

GemTestBus *
gem_test_bus_new(void)
{
  g_autoptr(GSubprocessLauncher) launcher = NULL;
  GemTestBus *self = g_new0(GemTestBus, 1);
  g_autofree char *text = NULL;
  g_autofree char *config = NULL;
  g_autoptr(GError) error = NULL;

  self->dir = g_dir_make_tmp("gem-bus-XXXXXX", &error);
  g_assert_no_error(error);
  g_assert_cmpint(g_chmod(self->dir, 0755), ==, 0);
  /* The service's own rules let the superuser alone play logind. */
  text =
      g_strdup_printf(bus_config, self->dir, g_getenv("GEM_SOURCE_DIR"),
                      geteuid() != 0 ? "<allow send_destination='org.gemd.Gem1' send_type='signal'/>" : "");
  config = write_file(self, "bus.conf", text);
  self->address = g_strdup_printf("unix:path=%s/bus", self->dir);
  launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  self->bus = spawn(
      launcher, (const char *[]){"dbus-daemon", "--nofork", "--nopidfile", "--config-file", config, NULL});
  wait_for_bus(self->address);
  return self;
}

static void
remove_dir(const char *path)
{
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *child = g_build_filename(path, name, NULL);

    g_unlink(child);
  }
  g_rmdir(path);
}

void
gem_test_bus_free(GemTestBus *self)
{
  if (self->daemon != NULL) {
    g_subprocess_send_signal(self->daemon, SIGTERM);
    g_assert_cmpint(gem_test_bus_wait_exit(self), ==, 0);
  }
  g_subprocess_send_signal(self->bus, SIGTERM);
  g_subprocess_wait(self->bus, NULL, NULL);
  g_object_unref(self->bus);
  remove_dir(self->dir);
  g_free(self->dir);
  g_free(self->address);
  g_free(self->config_text);
  g_strfreev(self->daemon_arguments);
  g_strfreev(self->daemon_environment);
  g_free(self);
}

GemTestBus *
gem_test_bus_new_with_config(const char *config)
{
  GemTestBus *bus = gem_test_bus_new();
  g_autofree char *state = NULL;

  bus->config_text = g_strconcat("[gemd]\n", config, NULL);
  gem_test_bus_spawn(bus, "/fake/ok");
  state = gem_test_bus_wait_settled(bus);
  g_assert_cmpstr(state, ==, "ready");
  return bus;
}

GemTestBus *
gem_test_bus_new_with_daemon(void)
{
  GemTestBus *self = gem_test_bus_new();
  g_autofree char *state = NULL;

  gem_test_bus_spawn(self, "/fake/ok");
  state = gem_test_bus_wait_settled(self);
  g_assert_cmpstr(state, ==, "ready");
  return self;
}

void
gem_test_bus_spawn(GemTestBus *self, const char *model)
{
  /* GLib writes informational lines to the standard output: they are no part of the test's report */
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
      self->pipe_log ? G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE
                     : G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_autoptr(GPtrArray) arguments =
      self->real ? gem_test_program_words("daemon", "gemd") : gem_test_program_words("tests", "fake-gemd");

  g_assert_null(self->daemon);
  g_subprocess_launcher_setenv(launcher, "DBUS_SYSTEM_BUS_ADDRESS", self->address, TRUE);
  g_subprocess_launcher_unsetenv(launcher, "G_MESSAGES_DEBUG"); /* g_test_init() asks for everything */
  for (gsize i = 0; self->daemon_environment != NULL && self->daemon_environment[i] != NULL; i++) {
    g_auto(GStrv) pair = g_strsplit(self->daemon_environment[i], "=", 2);

    g_subprocess_launcher_setenv(launcher, pair[0], pair[1], TRUE);
  }
  if (model != NULL) {
    g_ptr_array_add(arguments, g_strdup_printf("--model=%s", model));
  }
  g_ptr_array_add(arguments, g_strdup("--config"));
  g_ptr_array_add(arguments,
                  write_file(self, "gemd.conf", self->config_text != NULL ? self->config_text : "[gemd]\n"));
  if (!self->guarded) {
    g_ptr_array_add(arguments, g_strdup("--development"));
  }
  for (gsize i = 0; self->daemon_arguments != NULL && self->daemon_arguments[i] != NULL; i++) {
    g_ptr_array_add(arguments, g_strdup(self->daemon_arguments[i]));
  }
  g_ptr_array_add(arguments, NULL);
  self->daemon = spawn(launcher, (const char *const *)arguments->pdata);
}

void
gem_test_bus_reload(GemTestBus *self, const char *config)
{
  g_autofree char *text = g_strconcat("[gemd]\n", config, NULL);

  g_free(write_file(self, "gemd.conf", text));
  g_subprocess_send_signal(self->daemon, SIGHUP);
}

void
gem_test_bus_wait_name(GemTestBus *self)
{
  g_autoptr(GDBusConnection) connection = gem_test_bus_connect(self);
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (g_get_monotonic_time() < end) {
    g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
        connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
        g_variant_new("(s)", GEM_BUS_NAME), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
    gboolean owned = FALSE;

    g_variant_get(reply, "(b)", &owned);
    if (owned) {
      return;
    }
    g_usleep(5000);
  }
  g_error("the daemon does not own its name");
}

char *
gem_test_bus_wait_settled(GemTestBus *self)
{
  g_autoptr(GDBusConnection) connection = gem_test_bus_connect(self);
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (g_get_monotonic_time() < end) {
    g_autoptr(GVariant) reply =
        gem_test_call(connection, GEM_OBJECT_PATH, "org.freedesktop.DBus.Properties", "Get",
                      g_variant_new("(ss)", GEM_MANAGER_INTERFACE, "ModelState"), NULL);
    g_autoptr(GVariant) state = NULL;

    if (reply != NULL) {
      g_variant_get(reply, "(v)", &state);
      if (!g_str_equal(g_variant_get_string(state, NULL), "loading")) {
        return g_variant_dup_string(state, NULL);
      }
    }
    g_usleep(10000);
  }
  g_error("the daemon did not settle");
}

int
gem_test_bus_wait_exit(GemTestBus *self)
{
  g_autoptr(GSubprocess) daemon = g_steal_pointer(&self->daemon);

  g_assert_true(g_subprocess_wait(daemon, NULL, NULL));
  return g_subprocess_get_if_exited(daemon) ? g_subprocess_get_exit_status(daemon) : -1;
}

char *
gem_test_bus_end_log(GemTestBus *self)
{
  g_autoptr(GOutputStream) text = g_memory_output_stream_new_resizable();
  g_autoptr(GError) error = NULL;

  g_subprocess_send_signal(self->daemon, SIGTERM);
  g_output_stream_splice(text, g_subprocess_get_stdout_pipe(self->daemon), G_OUTPUT_STREAM_SPLICE_NONE, NULL,
                         &error);
  g_assert_no_error(error);
  g_assert_cmpint(gem_test_bus_wait_exit(self), ==, 0);
  g_assert_true(g_output_stream_write_all(text, "", 1, NULL, NULL, NULL));
  g_assert_true(g_output_stream_close(text, NULL, NULL));
  return g_memory_output_stream_steal_data(G_MEMORY_OUTPUT_STREAM(text));
}

GDBusConnection *
gem_test_bus_connect(GemTestBus *self)
{
  g_autoptr(GError) error = NULL;
  GDBusConnection *connection = g_dbus_connection_new_for_address_sync(
      self->address,
      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL,
      NULL, &error);

  g_assert_no_error(error);
  return connection;
}

/* In ms. */
static int
call_timeout(void)
{
  return (int)(gem_test_patience(CALL_SECONDS) / 1000);
}

GVariant *
gem_test_call(GDBusConnection *connection,
              const char *path,
              const char *interface,
              const char *method,
              GVariant *parameters,
              GError **error)
{
  GVariant *reply;

  (void)GEM_ERROR; /* registers the names */
  reply = g_dbus_connection_call_sync(connection, GEM_BUS_NAME, path, interface, method, parameters, NULL,
                                      G_DBUS_CALL_FLAGS_NO_AUTO_START, call_timeout(), NULL, error);
  if (reply == NULL && error != NULL) {
    g_dbus_error_strip_remote_error(*error);
  }
  return reply;
}

GVariant *
gem_test_manager(GDBusConnection *connection, const char *method, GVariant *parameters)
{
  g_autoptr(GError) error = NULL;
  GVariant *reply =
      gem_test_call(connection, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, method, parameters, &error);

  g_assert_no_error(error);
  return reply;
}

void
gem_test_error_is(const GError *error, GemError code, const char *pattern)
{
  g_assert_error(error, GEM_ERROR, (gint)code);
  if (!g_pattern_match_simple(pattern, error->message)) {
    g_test_message("\"%s\" is not like \"%s\"", error->message, pattern);
    g_test_fail();
  }
}

void
gem_test_manager_fails(
    GDBusConnection *connection, const char *method, GVariant *parameters, GemError code, const char *pattern)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply =
      gem_test_call(connection, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, method, parameters, &error);

  g_assert_null(reply);
  gem_test_error_is(error, code, pattern);
}

GVariant *
gem_test_get(GDBusConnection *connection, const char *path, const char *interface, const char *property)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(connection, path, "org.freedesktop.DBus.Properties", "Get",
                                            g_variant_new("(ss)", interface, property), &error);
  GVariant *value = NULL;

  g_assert_no_error(error);
  g_variant_get(reply, "(v)", &value);
  return value;
}

GVariant *
gem_test_options(const char *text)
{
  g_autoptr(GError) error = NULL;
  GVariantBuilder copy;
  g_autoptr(GVariant) options = g_variant_parse(G_VARIANT_TYPE_VARDICT, text, NULL, NULL, &error);

  g_assert_no_error(error);
  /* A copy that is floating, as g_variant_new takes it. */
  g_variant_builder_init(&copy, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < g_variant_n_children(options); i++) {
    g_autoptr(GVariant) entry = g_variant_get_child_value(options, i);

    g_variant_builder_add_value(&copy, entry);
  }
  return g_variant_builder_end(&copy);
}

char *
gem_test_create_session(GDBusConnection *connection)
{
  g_autoptr(GVariant) reply =
      gem_test_manager(connection, "CreateSession", g_variant_new("(@a{sv})", gem_test_options("{}")));
  char *path = NULL;

  g_variant_get(reply, "(o)", &path);
  return path;
}

/* ---- turns ---- */

static void
on_signal(GDBusConnection *connection,
          const char *sender,
          const char *path,
          const char *interface,
          const char *signal,
          GVariant *parameters,
          gpointer data)
{
  GemTestEar *self = data;

  if (g_str_equal(signal, "Finished")) {
    g_clear_pointer(&self->stats, g_variant_unref);
    g_variant_get(parameters, "(u@a{sv})", &self->reason, &self->stats);
    g_free(self->path);
    self->path = g_strdup(path);
    self->finished++;
  } else {
    g_autoptr(GVariant) rows = g_variant_get_child_value(parameters, 0);

    g_assert_cmpstr(signal, ==, "Routed");
    for (gsize i = 0; i < g_variant_n_children(rows); i++) {
      g_ptr_array_add(self->routes, g_variant_get_child_value(rows, i));
    }
  }
}

GemTestEar *
gem_test_ear_new(GDBusConnection *connection)
{
  GemTestEar *self = g_new0(GemTestEar, 1);

  self->connection = g_object_ref(connection);
  self->routes = g_ptr_array_new_with_free_func((GDestroyNotify)g_variant_unref);
  self->subscription =
      g_dbus_connection_signal_subscribe(connection, GEM_BUS_NAME, GEM_REQUEST_INTERFACE, NULL, NULL, NULL,
                                         G_DBUS_SIGNAL_FLAGS_NONE, on_signal, self, NULL);
  return self;
}

void
gem_test_ear_free(GemTestEar *self)
{
  g_dbus_connection_signal_unsubscribe(self->connection, self->subscription);
  g_object_unref(self->connection);
  g_ptr_array_unref(self->routes);
  g_clear_pointer(&self->stats, g_variant_unref);
  g_free(self->path);
  g_free(self);
}

void
gem_test_ear_wait(GemTestEar *self, guint finished)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (self->finished < finished) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    if (!g_main_context_iteration(NULL, FALSE)) {
      g_usleep(1000);
    }
  }
}

static gboolean
on_over(gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_REMOVE;
}

void
gem_test_run_for(guint milliseconds)
{
  gboolean over = FALSE;

  g_timeout_add(milliseconds, on_over, &over);
  while (!over) {
    g_main_context_iteration(NULL, TRUE);
  }
}

static GVariant *
generate(GDBusConnection *connection,
         const char *session,
         const char *prompt,
         const char *options,
         GUnixFDList **ret_fds,
         GError **error)
{
  GVariant *reply = g_dbus_connection_call_with_unix_fd_list_sync(
      connection, GEM_BUS_NAME, session, GEM_SESSION_INTERFACE, "Generate",
      g_variant_new("(s@a{sv})", prompt, gem_test_options(options)), G_VARIANT_TYPE("(oha{sv})"),
      G_DBUS_CALL_FLAGS_NO_AUTO_START, call_timeout(), NULL, ret_fds, NULL, error);

  if (reply == NULL) {
    g_dbus_error_strip_remote_error(*error);
  }
  return reply;
}

int
gem_test_generate(GDBusConnection *connection,
                  const char *session,
                  const char *prompt,
                  const char *options,
                  char **ret_request)
{
  g_autoptr(GUnixFDList) fds = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = generate(connection, session, prompt, options, &fds, &error);
  gint32 handle = -1;
  int fd;

  g_assert_no_error(error);
  if (ret_request != NULL) {
    g_variant_get_child(reply, 0, "o", ret_request);
  }
  g_variant_get_child(reply, 1, "h", &handle);
  fd = g_unix_fd_list_get(fds, handle, &error);
  g_assert_no_error(error);
  return fd;
}

void
gem_test_generate_fails(GDBusConnection *connection,
                        const char *session,
                        const char *prompt,
                        const char *options,
                        GemError code,
                        const char *pattern)
{
  g_autoptr(GUnixFDList) fds = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = generate(connection, session, prompt, options, &fds, &error);

  g_assert_null(reply);
  gem_test_error_is(error, code, pattern);
}

char *
gem_test_read_all(int fd)
{
  GString *text = g_string_new(NULL);
  char buffer[8192];
  gssize length;

  while ((length = read(fd, buffer, sizeof buffer)) != 0) {
    g_assert_true(length > 0 || errno == EINTR);
    g_string_append_len(text, buffer, MAX(length, 0));
  }
  close(fd);
  return g_string_free(text, FALSE);
}
