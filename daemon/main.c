/* gemd: command line, process set-up, main loop. */
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "daemon/base/gem-device-call.h"
#include "daemon/base/gem-log.h"
#include "daemon/base/gem-version.h"
#include "daemon/service/gem-service.h"
#include "daemon/service/gem-watchdog.h"
#include "process/gem-streams.h"

typedef struct {
  char *config, *model;
  GStrv plugin_dirs;
  gboolean session, development, version;
} Arguments;

typedef struct {
  const Arguments *arguments;
  GemConfig *config;
  GMainLoop *loop;
  GemService *service;
  GemWatchdog *watchdog;
  gboolean ready;
  int status;
} Daemon;

static gboolean
parse_arguments(Arguments *arguments, int *argc, char ***argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"session", 0, 0, G_OPTION_ARG_NONE, &arguments->session, "Serve the session bus", NULL},
      {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config,
       "Read this configuration (" GEM_CONFIG_FILE ")", "FILE"},
      {"model", 'm', 0, G_OPTION_ARG_FILENAME, &arguments->model,
       "Run this model: a name, or the path of a folder or a GGUF file (the configuration's)", "MODEL"},
      {"plugin-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->plugin_dirs,
       "Look for modules here; may be repeated (where they are installed)", "DIR"},
      {"development", 0, 0, G_OPTION_ARG_NONE, &arguments->development,
       "Heed GEMD_* of the environment, allow debuggers and core dumps", NULL},
      {"version", 0, 0, G_OPTION_ARG_NONE, &arguments->version, "Show the version", NULL},
      {NULL},
  };
  g_autoptr(GOptionContext) context = g_option_context_new(NULL);

  g_option_context_set_summary(context, "The language-model service of the system.");
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, argc, argv, error)) {
    return FALSE;
  }
  if (*argc > 1) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "unexpected argument \"%s\"", (*argv)[1]);
    return FALSE;
  }
  return TRUE;
}

static void
arguments_clear(Arguments *arguments)
{
  g_free(arguments->config);
  g_free(arguments->model);
  g_strfreev(arguments->plugin_dirs);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

/* The folder that is built in; before it, in development, those of the environment (PATH-like). */
static GStrv
search_path(const Arguments *arguments, const char *variable, const char *built_in)
{
  const char *value = arguments->development ? g_getenv(variable) : NULL;
  g_autofree char *joined =
      value != NULL ? g_strconcat(value, G_SEARCHPATH_SEPARATOR_S, built_in, NULL) : NULL;

  return g_strsplit(joined != NULL ? joined : built_in, G_SEARCHPATH_SEPARATOR_S, -1);
}

/* A folder that the service manager made for this service (CacheDirectory=, StateDirectory=), if it did. */
static char *
find_made_dir(const char *variable)
{
  const char *value = g_getenv(variable);

  return value != NULL && g_path_is_absolute(value) && strchr(value, ':') == NULL ? g_strdup(value) : NULL;
}

/* What learns domains; in development, what the environment names, and no other. */
static const char *
find_adapt(const Arguments *arguments, const char *variable, const char *built_in)
{
  return arguments->development ? g_getenv(variable) : built_in;
}

/* Tests have no time for whole seconds. */
static guint
find_idle_milliseconds(const Arguments *arguments)
{
  const char *value = arguments->development ? g_getenv("GEMD_IDLE_EXIT_MILLISECONDS") : NULL;
  guint64 number = 0;

  return value != NULL && g_ascii_string_to_unsigned(value, 10, 1, 1000000, &number, NULL) ? (guint)number
                                                                                           : 0;
}

static GemConfig *
load_config(const Arguments *arguments, GError **error)
{
  g_autoptr(GemConfig) config = gem_config_new();
  const char *path = arguments->config != NULL ? arguments->config : GEM_CONFIG_FILE;
  g_autoptr(GError) local = NULL;

  if (!gem_config_load(config, path, &local)) {
    /* The file may be missing unless it was asked for. */
    if (arguments->config != NULL || !g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return NULL;
    }
  }
  if (arguments->model != NULL) {
    g_free(config->model);
    config->model = g_strdup(arguments->model);
  }
  config->idle_exit_milliseconds = find_idle_milliseconds(arguments);
  config->cache_dir = find_made_dir("CACHE_DIRECTORY");
  config->state_dir = find_made_dir("STATE_DIRECTORY");
  config->adapt_socket = g_strdup(find_adapt(arguments, "GEMD_ADAPT_SOCKET", GEM_ADAPT_SOCKET));
  config->adapt_program = g_strdup(find_adapt(arguments, "GEMD_ADAPT_PROGRAM", GEM_ADAPT_PROGRAM));
  config->pressure_root = arguments->development ? g_strdup(g_getenv("GEMD_PRESSURE_ROOT")) : NULL;
  config->model_dirs = search_path(arguments, "GEMD_MODEL_DIR", GEM_MODEL_DIR);
  config->plugin_dirs = arguments->plugin_dirs != NULL
                            ? g_strdupv(arguments->plugin_dirs)
                            : search_path(arguments, "GEMD_PLUGIN_DIR", GEM_PLUGIN_DIR);
  return g_steal_pointer(&config);
}

/* 2: the next start would find the same; 1: it may not. */
static int
config_status(const GError *error)
{
  return g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NFILE) ||
                 g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_MFILE) ||
                 g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM) ||
                 g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_IO)
             ? 1
             : 2;
}

/* Callers' texts are in this memory: no debugger of another process, no core dump. */
static void
protect_process(const Arguments *arguments)
{
  signal(SIGPIPE, SIG_IGN);
  if (!arguments->development) {
    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  }
}

static gboolean
on_terminate(gpointer data)
{
  Daemon *daemon = data;

  gem_watchdog_tell_stopping(daemon->watchdog);
  gem_service_stop(daemon->service);
  return G_SOURCE_CONTINUE;
}

/* A file that is wrong changes nothing. */
static gboolean
on_reload(gpointer data)
{
  Daemon *daemon = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GemConfig) config = NULL;
  g_auto(GStrv) taken = NULL, later = NULL;
  g_autofree char *taken_names = NULL, *later_names = NULL;

  if (!daemon->ready || gem_service_is_stopping(daemon->service)) {
    return G_SOURCE_CONTINUE; /* it has just been read, or is read no more */
  }
  gem_watchdog_tell_reloading(daemon->watchdog);
  config = load_config(daemon->arguments, &error);
  if (config == NULL) {
    gem_log(LOG_ERR, GEM_LOG_RELOAD_FAILED, NULL, "the configuration stays as it was: %s", error->message);
  } else {
    gem_config_update(daemon->config, config, &taken, &later);
    gem_service_reload_config(daemon->service, g_strv_contains((const char *const *)taken, "Model"));
    taken_names = g_strjoinv(", ", taken);
    later_names = g_strjoinv(", ", later);
    gem_log(LOG_NOTICE, GEM_LOG_RELOADED, NULL, "the configuration is read again; changed: %s%s%s",
            taken[0] != NULL ? taken_names : "nothing",
            later[0] != NULL ? "; changes with the next start: " : "", later_names);
  }
  gem_watchdog_tell_ready(daemon->watchdog);
  return G_SOURCE_CONTINUE;
}

static void
on_ready(gpointer data)
{
  Daemon *daemon = data;

  daemon->ready = TRUE;
  gem_watchdog_tell_ready(daemon->watchdog);
}

static void
on_settled(gpointer data)
{
  Daemon *daemon = data;

  gem_watchdog_tell_status(daemon->watchdog);
}

static void
on_heard(gpointer data)
{
  Daemon *daemon = data;

  gem_service_leave(daemon->service);
}

static void
on_leaving(gpointer data)
{
  Daemon *daemon = data;

  gem_watchdog_tell_leaving(daemon->watchdog, on_heard, daemon);
}

static void
on_ended(const GError *error, gpointer data)
{
  Daemon *daemon = data;

  if (error != NULL) {
    g_printerr("gemd: %s\n", error->message);
    daemon->status = 1;
  }
  g_main_loop_quit(daemon->loop);
}

/* What was answered leaves; then the name goes with the connection. Giving it back first would wait for the
 * bus to say yes, which comes after all that callers have sent. */
static void
leave_bus(GDBusConnection *connection)
{
  gint64 deadline = g_get_monotonic_time() + G_USEC_PER_SEC;

  if (!g_dbus_connection_flush_sync(connection, NULL, NULL) ||
      !g_dbus_connection_close_sync(connection, NULL, NULL)) {
    return; /* it was lost before */
  }
  /* GLib's own thread notes it, and until then the name would be asked for back all the same. */
  while (!g_dbus_connection_is_closed(connection) && g_get_monotonic_time() < deadline) {
    g_usleep(100);
  }
}

static int
serve(GDBusConnection *connection, const Arguments *arguments, GemConfig *config)
{
  static const GemServiceEvents events = {on_ready, on_settled, on_leaving, on_ended};
  g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
  g_autoptr(GError) error = NULL;
  Daemon daemon = {.arguments = arguments, .config = config, .loop = loop};
  guint terminate, interrupt, reload;

  daemon.service = gem_service_new(connection, config, &events, &daemon, &error);
  if (daemon.service == NULL) {
    g_printerr("gemd: %s\n", error->message);
    return 1;
  }
  daemon.watchdog = gem_watchdog_new(daemon.service);
  terminate = g_unix_signal_add(SIGTERM, on_terminate, &daemon);
  interrupt = g_unix_signal_add(SIGINT, on_terminate, &daemon);
  reload = g_unix_signal_add(SIGHUP, on_reload, &daemon);
  g_main_loop_run(loop);
  g_source_remove(reload);
  g_source_remove(terminate);
  g_source_remove(interrupt);
  gem_watchdog_free(daemon.watchdog);
  leave_bus(connection);
  gem_service_free(daemon.service);
  return daemon.status;
}

static int
run(int argc, char **argv)
{
  g_auto(Arguments) arguments = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemConfig) config = NULL;
  g_autoptr(GDBusConnection) connection = NULL;

  gem_streams_begin();
  setlocale(LC_ALL, "");
  /* What is told to programs, as fields of the journal are, has one way to write numbers. */
  setlocale(LC_NUMERIC, "C");
  /* Nothing leaves the machine: libraries that modules may open are told so before there are threads. */
  g_setenv("ORT_DISABLE_TELEMETRY", "1", TRUE);
  if (!parse_arguments(&arguments, &argc, &argv, &error)) {
    g_printerr("gemd: %s\n", error->message);
    return 2;
  }
  if (arguments.version) {
    g_print("gemd %s\n", GEM_VERSION);
    return 0;
  }
  protect_process(&arguments);
  config = load_config(&arguments, &error);
  if (config == NULL) {
    g_printerr("gemd: %s\n", error->message);
    return config_status(error);
  }
  connection = g_bus_get_sync(arguments.session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, &error);
  if (connection == NULL) {
    g_printerr("gemd: no bus: %s\n", error->message);
    return 1;
  }
  g_dbus_connection_set_exit_on_close(connection, FALSE);
  return serve(connection, &arguments, config);
}

int
main(int argc, char **argv)
{
  int status = run(argc, argv);

  if (gem_device_call_is_any()) {
    quick_exit(status);
  }
  return status;
}
