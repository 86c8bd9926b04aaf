/* gem-client monitor: tells what changes in the service. Its properties signal no changes, so it looks again
 * and again; only that the service comes and goes is told by the bus. */
#include <glib-unix.h>
#include <signal.h>

#include "clients/gem-client/gem-client-escape.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-load.h"
#include "clients/gem-client/gem-client-objects.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

typedef struct {
  GemRemote *remote; /* its owner is NULL while there is none */
  GMainLoop *loop;
  GCancellable *looking;
  GHashTable *known; /* "subject\nproperty" -> char *: what was told last */
  gboolean json;
  gboolean no_load; /* the load is not for us */
  guint interval_ms;
  guint timer;
} Monitor;

static void
look(Monitor *monitor);

static void
monitor_clear(Monitor *monitor)
{
  g_clear_pointer(&monitor->remote, gem_remote_free);
  g_clear_pointer(&monitor->loop, g_main_loop_unref);
  g_clear_object(&monitor->looking);
  g_clear_pointer(&monitor->known, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Monitor, monitor_clear)

static void
print_event(Monitor *monitor, const char *subject, const char *property, const char *value)
{
  g_autoptr(GDateTime) now = g_date_time_new_now_local();
  g_autofree char *time = g_date_time_format(now, monitor->json ? "%Y-%m-%dT%H:%M:%S%:z" : "%H:%M:%S");

  if (monitor->json) {
    g_autoptr(JsonBuilder) builder = json_builder_new();

    json_builder_begin_object(builder);
    gem_json_add_string(builder, "time", time);
    gem_json_add_string(builder, "subject", subject);
    gem_json_add_string(builder, "property", property);
    gem_json_add_string(builder, "value", value);
    json_builder_end_object(builder);
    gem_json_print(builder);
  } else {
    g_autofree char *line = g_strdup_printf("%s  %-14s %s %s\n", time, subject, property, value);
    g_autofree char *shown = gem_escape_text(line, GEM_ESCAPE_STREAM);

    gem_output_printf("%s", shown);
  }
  if (!gem_output_push()) {
    g_main_loop_quit(monitor->loop);
  }
}

/* Tells a value when it is not the one told last. */
static void
tell(Monitor *monitor, const char *subject, const char *property, const char *value)
{
  g_autofree char *key = g_strdup_printf("%s\n%s", subject, property);

  if (g_strcmp0(g_hash_table_lookup(monitor->known, key), value) != 0) {
    print_event(monitor, subject, property, value);
    g_hash_table_replace(monitor->known, g_steal_pointer(&key), g_strdup(value));
  }
}

static void
tell_property(
    Monitor *monitor, const char *subject, GVariant *properties, const char *name, const char *label)
{
  g_autoptr(GVariant) value = g_variant_lookup_value(properties, name, NULL);
  g_autofree char *text = NULL;

  if (value == NULL) {
    return;
  }
  if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)) {
    /* An empty reason is worth no line. */
    if (g_variant_get_string(value, NULL)[0] == '\0') {
      return;
    }
    text = g_strdup(g_variant_get_string(value, NULL));
  } else if (g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64)) {
    text = monitor->json ? g_strdup_printf("%" G_GUINT64_FORMAT, g_variant_get_uint64(value))
                         : gem_output_size(g_variant_get_uint64(value));
  } else {
    text = g_variant_print(value, FALSE);
  }
  tell(monitor, subject, label, text);
}

static gboolean
on_timer(gpointer data)
{
  Monitor *monitor = data;

  monitor->timer = 0;
  look(monitor);
  return G_SOURCE_REMOVE;
}

static void
look_later(Monitor *monitor)
{
  if (monitor->timer == 0) {
    monitor->timer = g_timeout_add(monitor->interval_ms, on_timer, monitor);
  }
}

/* The reply of a look: NULL when it failed, or when the monitor is over (then *ret_over). A service that
 * leaves is told by the bus; any other failure is told here. */
static GVariant *
finish_look(GObject *source, GAsyncResult *result, Monitor *monitor, gboolean *ret_over)
{
  g_autoptr(GError) error = NULL;
  GVariant *reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

  *ret_over = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  if (reply == NULL && !*ret_over && gem_exit_from_error(error) != GEM_EXIT_UNREACHABLE) {
    gem_exit_report(error);
  }
  return reply;
}

static void
tell_number(Monitor *monitor, const char *property, GVariant *stats, const char *key)
{
  g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, gem_load_number(stats, key));

  tell(monitor, "load", property, text);
}

static void
on_stats(GObject *source, GAsyncResult *result, gpointer data)
{
  Monitor *monitor = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
  g_autoptr(GVariant) stats = NULL;
  g_autofree char *rate = NULL;

  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    return;
  }
  look_later(monitor);
  if (reply == NULL) {
    monitor->no_load = g_error_matches(error, GEM_ERROR, GEM_ERROR_NOT_AUTHORIZED);
    return;
  }
  stats = g_variant_get_child_value(reply, 0);
  rate = g_strdup_printf("%.0f", gem_load_double(stats, "tokens_per_second"));
  tell(monitor, "load", "tokens/s", rate);
  tell_number(monitor, "running", stats, "running");
  tell_number(monitor, "waiting", stats, "waiting");
  tell_number(monitor, "sessions", stats, "sessions");
}

/* For those who may know. */
static void
look_at_load(Monitor *monitor)
{
  if (monitor->no_load || monitor->remote->owner == NULL) {
    look_later(monitor);
    return;
  }
  g_dbus_connection_call(monitor->remote->bus, monitor->remote->owner, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                         "Stats", g_variant_new("(a{sv})", NULL), G_VARIANT_TYPE("(a{sv})"),
                         G_DBUS_CALL_FLAGS_NONE, -1, monitor->looking, on_stats, monitor);
}

static void
on_objects(GObject *source, GAsyncResult *result, gpointer data)
{
  Monitor *monitor = data;
  gboolean over;
  g_autoptr(GVariant) reply = finish_look(source, result, monitor, &over);
  g_autoptr(GVariant) objects = NULL;
  g_autoptr(GPtrArray) pathways = NULL;
  guint i;

  if (over) {
    return;
  }
  if (reply == NULL) {
    look_later(monitor);
    return;
  }
  objects = g_variant_get_child_value(reply, 0);
  pathways = gem_objects_with_interface(objects, GEM_PATHWAY_INTERFACE);
  for (i = 0; i < pathways->len; i++) {
    const char *domain = gem_object_string(pathways->pdata[i], "Domain");
    g_autoptr(GVariant) properties = gem_object_properties(pathways->pdata[i]);

    tell_property(monitor, domain, properties, "State", "is");
    tell_property(monitor, domain, properties, "Reason", "because");
    tell_property(monitor, domain, properties, "ResidentBytes", "takes");
  }
  look_at_load(monitor);
}

static void
on_manager(GObject *source, GAsyncResult *result, gpointer data)
{
  Monitor *monitor = data;
  gboolean over;
  g_autoptr(GVariant) reply = finish_look(source, result, monitor, &over);
  g_autoptr(GVariant) properties = NULL;

  if (over) {
    return;
  }
  if (reply == NULL || monitor->remote->owner == NULL) {
    look_later(monitor);
    return;
  }
  properties = g_variant_get_child_value(reply, 0);
  tell_property(monitor, "model", properties, "ModelState", "is");
  tell_property(monitor, "model", properties, "ModelReason", "because");
  tell_property(monitor, "model", properties, "ModelName", "named");
  tell_property(monitor, "memory", properties, "ResidentBytes", "resident");
  tell_property(monitor, "memory", properties, "MemoryStep", "step");
  g_dbus_connection_call(monitor->remote->bus, monitor->remote->owner, GEM_OBJECT_PATH,
                         "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL,
                         G_VARIANT_TYPE("(a{oa{sa{sv}}})"), G_DBUS_CALL_FLAGS_NONE, -1, monitor->looking,
                         on_objects, monitor);
}

static void
look(Monitor *monitor)
{
  if (monitor->remote->owner == NULL) {
    return;
  }
  g_dbus_connection_call(monitor->remote->bus, monitor->remote->owner, GEM_OBJECT_PATH,
                         "org.freedesktop.DBus.Properties", "GetAll",
                         g_variant_new("(s)", GEM_MANAGER_INTERFACE), G_VARIANT_TYPE("(a{sv})"),
                         G_DBUS_CALL_FLAGS_NONE, -1, monitor->looking, on_manager, monitor);
}

static void
on_appeared(GDBusConnection *bus, const char *name, const char *owner, gpointer data)
{
  Monitor *monitor = data;

  g_free(monitor->remote->owner);
  monitor->remote->owner = g_strdup(owner);
  g_hash_table_remove_all(monitor->known);
  monitor->no_load = FALSE;
  tell(monitor, "service", "is", "there");
  if (monitor->timer == 0) {
    look(monitor);
  }
}

static void
on_vanished(GDBusConnection *bus, const char *name, gpointer data)
{
  Monitor *monitor = data;

  g_clear_pointer(&monitor->remote->owner, g_free);
  tell(monitor, "service", "is", "not there");
  if (bus == NULL) {
    gem_output_complain("the bus went away");
    g_main_loop_quit(monitor->loop);
  }
}

static gboolean
on_interrupt(gpointer data)
{
  Monitor *monitor = data;

  g_main_loop_quit(monitor->loop);
  return G_SOURCE_CONTINUE;
}

static void
watch(Monitor *monitor)
{
  guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, monitor);
  guint terminate = g_unix_signal_add(SIGTERM, on_interrupt, monitor);
  guint name =
      g_bus_watch_name_on_connection(monitor->remote->bus, GEM_BUS_NAME, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                     on_appeared, on_vanished, monitor, NULL);

  g_main_loop_run(monitor->loop);
  g_bus_unwatch_name(name);
  g_source_remove(interrupt);
  g_source_remove(terminate);
  g_clear_handle_id(&monitor->timer, g_source_remove);
  g_cancellable_cancel(monitor->looking);
  /* The cancelled call still reports. */
  while (g_main_context_iteration(NULL, FALSE)) {
  }
}

static gboolean
parse_interval(const char *text, guint *ret_ms, GError **error)
{
  char *end = NULL;
  double seconds = g_ascii_strtod(text, &end);

  if (end == text || *end != '\0' || !(seconds >= 0.05 && seconds <= 3600)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--interval: '%s' is no number of seconds from 0.05 to 3600", text);
    return FALSE;
  }
  *ret_ms = (guint)(seconds * 1000);
  return TRUE;
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_auto(Monitor) monitor = {.interval_ms = 1000};
  g_autofree char *interval = NULL;
  g_autoptr(GError) error = NULL;
  const GOptionEntry own[] = {
      {"interval", 0, 0, G_OPTION_ARG_STRING, &interval, "Look again after SECONDS (default 1)", "SECONDS"},
      G_OPTION_ENTRY_NULL,
  };

  if (!gem_verb_parse(self, (const GOptionEntry *const[]){own, NULL}, argv, &options, &error) ||
      (interval != NULL && !parse_interval(interval, &monitor.interval_ms, &error))) {
    return gem_exit_report(error);
  }
  monitor.json = options.json;
  monitor.remote = gem_remote_new(&options, &error);
  if (monitor.remote == NULL) {
    return gem_exit_report(error);
  }
  monitor.loop = g_main_loop_new(NULL, FALSE);
  monitor.looking = g_cancellable_new();
  monitor.known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  watch(&monitor);
  return g_dbus_connection_is_closed(monitor.remote->bus) ? GEM_EXIT_UNREACHABLE : GEM_EXIT_OK;
}

const GemVerb gem_verb_monitor = {
    .name = "monitor",
    .arguments = "",
    .summary = "Tell what changes in the service, until Ctrl-C",
    .details =
        "A line for each change: the service comes or goes, its model is loaded, a pathway is paged "
        "in or out,\n"
        "memory grows or shrinks, or is short; for administrators the load, too. With --json a line of\n"
        "JSON each. It never starts the service.\n\n"
        "Examples:\n"
        "  gem-client monitor\n"
        "  gem-client monitor --interval 0.2 --json >> gemd-changes.jsonl",
    .run = run,
};
