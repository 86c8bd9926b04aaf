/* gem-client load: another model takes over, with its progress; Ctrl-C gives it up. */
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

/* --grace, in seconds: what LoadModel takes, and a value that nobody gives. */
#define MOST_GRACE_SECONDS 3600
#define NOT_GIVEN          G_MININT

typedef struct {
  GemRemote *remote;
  GMainLoop *loop;
  const char *name;
  char *job;         /* its path; NULL until LoadModel answered */
  GError *error;     /* of LoadModel */
  char *result;      /* of Completed; NULL until it came */
  GVariant *details; /* of Completed */
  gboolean interrupted, gone;
  gboolean shows_progress; /* on a terminal */
} Load;

static void
load_clear(Load *load)
{
  g_clear_pointer(&load->loop, g_main_loop_unref);
  g_clear_error(&load->error);
  g_free(load->job);
  g_free(load->result);
  g_clear_pointer(&load->details, g_variant_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Load, load_clear)

static void
show_progress(const Load *load, GVariant *changed)
{
  double progress = 0;

  if (load->shows_progress && g_variant_lookup(changed, "Progress", "d", &progress)) {
    g_printerr("\rgem-client: loading %s, %3.0f %%", load->name, progress * 100);
  }
}

static void
on_signal(GDBusConnection *bus,
          const char *sender,
          const char *path,
          const char *interface,
          const char *signal,
          GVariant *parameters,
          gpointer data)
{
  Load *load = data;
  g_autoptr(GVariant) changed = NULL;

  if (g_strcmp0(path, load->job) != 0) {
    return;
  }
  if (g_str_equal(signal, "PropertiesChanged") &&
      g_variant_is_of_type(parameters, G_VARIANT_TYPE("(sa{sv}as)"))) {
    changed = g_variant_get_child_value(parameters, 1);
    show_progress(load, changed);
  } else if (g_str_equal(signal, "Completed") && load->result == NULL &&
             g_variant_is_of_type(parameters, G_VARIANT_TYPE("(sa{sv})"))) {
    g_variant_get(parameters, "(s@a{sv})", &load->result, &load->details);
    g_main_loop_quit(load->loop);
  }
}

static void
on_vanished(GDBusConnection *bus, const char *name, gpointer data)
{
  Load *load = data;

  load->gone = TRUE;
  g_main_loop_quit(load->loop);
}

static void
give_up(const Load *load)
{
  g_dbus_connection_call(load->remote->bus, load->remote->owner, load->job, GEM_JOB_INTERFACE, "Cancel", NULL,
                         NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
}

/* The first asks the service to give it up and waits for the word; a second one does not wait. */
static gboolean
on_interrupt(gpointer data)
{
  Load *load = data;

  if (load->interrupted) {
    g_main_loop_quit(load->loop);
  } else if (load->job != NULL) {
    give_up(load);
  }
  load->interrupted = TRUE;
  return G_SOURCE_CONTINUE;
}

/* There is a job now; or there is none, and why. */
static void
on_answer(GObject *source, GAsyncResult *result, gpointer data)
{
  Load *load = data;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &load->error);

  if (reply == NULL) {
    g_main_loop_quit(load->loop);
    return;
  }
  g_variant_get(reply, "(o)", &load->job);
  if (load->interrupted) {
    give_up(load);
  }
}

/* `grace_seconds` 0: what the service does by itself. */
static void
load_start(Load *load, guint grace_seconds)
{
  GVariantBuilder options;

  g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
  if (grace_seconds > 0) {
    g_variant_builder_add(&options, "{sv}", "grace_seconds", g_variant_new_uint32(grace_seconds));
  }
  g_dbus_connection_call(load->remote->bus, load->remote->owner, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                         "LoadModel", g_variant_new("(sa{sv})", load->name, &options), G_VARIANT_TYPE("(o)"),
                         G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION, G_MAXINT, NULL, on_answer, load);
}

/* Until it is completed, or there is nothing more to wait for. */
static void
load_run(Load *load, guint grace_seconds)
{
  GDBusConnection *bus = load->remote->bus;
  guint subscription = g_dbus_connection_signal_subscribe(bus, load->remote->owner, NULL, NULL, NULL, NULL,
                                                          G_DBUS_SIGNAL_FLAGS_NONE, on_signal, load, NULL);
  guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, load);
  guint watch = g_bus_watch_name_on_connection(bus, load->remote->owner, G_BUS_NAME_WATCHER_FLAGS_NONE, NULL,
                                               on_vanished, load, NULL);

  load_start(load, grace_seconds);
  g_main_loop_run(load->loop);
  g_bus_unwatch_name(watch);
  g_source_remove(interrupt);
  g_dbus_connection_signal_unsubscribe(bus, subscription);
  if (load->shows_progress && load->job != NULL) {
    g_printerr("\n");
  }
}

/* ---- what became of it ---- */

static void
print_done(const Load *load, gboolean json)
{
  g_autoptr(JsonBuilder) builder = NULL;
  const char *model = load->name;
  double seconds = 0;

  if (json) {
    builder = json_builder_new();
    json_builder_begin_object(builder);
    gem_json_add_members(builder, load->details);
    json_builder_end_object(builder);
    gem_json_print(builder);
    return;
  }
  g_variant_lookup(load->details, "model", "&s", &model);
  g_variant_lookup(load->details, "seconds", "d", &seconds);
  gem_output_printf("model %s is served, after %.1f s\n", model, seconds);
}

static GemExit
load_end(const Load *load, gboolean json)
{
  g_autoptr(GError) error = NULL;
  const char *name = "", *message = "";

  if (g_strcmp0(load->result, "done") == 0) {
    print_done(load, json);
    return GEM_EXIT_OK;
  }
  if (load->error != NULL) {
    return gem_exit_report(load->error);
  }
  if (load->interrupted && load->result == NULL && !load->gone) {
    gem_output_complain("%s",
                        "not waited for: the service was asked to give it up, and has not said what became "
                        "of it; see gem-client status");
    return GEM_EXIT_INTERRUPTED;
  }
  if (load->interrupted && g_strcmp0(load->result, "cancelled") == 0) {
    gem_output_complain("%s", "given up: the model stays as it was");
    return GEM_EXIT_INTERRUPTED;
  }
  if (load->gone) {
    gem_output_complain("%s", "the service left the bus");
    return GEM_EXIT_UNREACHABLE;
  }
  if (g_strcmp0(load->result, "cancelled") == 0) {
    gem_output_complain("%s", "the loading was given up");
    return GEM_EXIT_FAILED;
  }
  g_variant_lookup(load->details, "error", "&s", &name);
  g_variant_lookup(load->details, "message", "&s", &message);
  error = g_dbus_error_new_for_dbus_error(name, message);
  return gem_exit_report(error);
}

/* ---- the verb ---- */

/* The models that there are, a name a line. */
static GemExit
list_models(GemRemote *remote, gboolean json)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) properties =
      gem_remote_get_properties(remote, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, &error);
  g_autoptr(GVariant) models = NULL;
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree const char **names = NULL;

  if (properties == NULL) {
    return gem_exit_report(error);
  }
  models = g_variant_lookup_value(properties, "Models", G_VARIANT_TYPE_STRING_ARRAY);
  if (models == NULL) {
    gem_output_complain("%s", "the service does not tell its models");
    return GEM_EXIT_FAILED;
  }
  if (json) {
    builder = json_builder_new();
    gem_json_add_variant(builder, models);
    gem_json_print(builder);
    return GEM_EXIT_OK;
  }
  names = g_variant_get_strv(models, NULL);
  for (gsize i = 0; names[i] != NULL; i++) {
    gem_output_printf("%s\n", names[i]);
  }
  return GEM_EXIT_OK;
}

static gboolean
check_arguments(gboolean list, gint grace_seconds, GStrv arguments, GError **error)
{
  guint n = arguments != NULL ? g_strv_length(arguments) : 0;

  if (n != (list ? 0 : 1)) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "load takes the NAME of a model, or --list");
    return FALSE;
  }
  if (grace_seconds != NOT_GIVEN && (grace_seconds < 1 || grace_seconds > MOST_GRACE_SECONDS)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--grace: %d is not within 1 to %d",
                grace_seconds, MOST_GRACE_SECONDS);
    return FALSE;
  }
  return TRUE;
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  gboolean list = FALSE;
  gint grace_seconds = NOT_GIVEN;
  const GOptionEntry entries[] = {
      {"list", 0, 0, G_OPTION_ARG_NONE, &list, "Print the names of the models that there are", NULL},
      {"grace", 0, 0, G_OPTION_ARG_INT, &grace_seconds, "How long what runs on the old model has to end",
       "SECONDS"},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry *const groups[] = {entries, NULL};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemRemote) remote = NULL;
  g_auto(Load) load = {0};

  if (!gem_verb_parse(self, groups, argv, &options, &error) ||
      !check_arguments(list, grace_seconds, options.arguments, &error)) {
    return gem_exit_report(error);
  }
  remote = gem_remote_open(&options, &error);
  if (remote == NULL) {
    return gem_exit_report(error);
  }
  if (list) {
    return list_models(remote, options.json);
  }
  load.remote = remote;
  load.name = options.arguments[0];
  load.loop = g_main_loop_new(NULL, FALSE);
  load.shows_progress = isatty(STDERR_FILENO) != 0;
  if (!g_utf8_validate(load.name, -1, NULL)) {
    gem_output_complain("%s", "the name of the model is no UTF-8");
    return GEM_EXIT_INVALID_INPUT;
  }
  load_run(&load, grace_seconds == NOT_GIVEN ? 0 : (guint)grace_seconds);
  return load_end(&load, options.json);
}

const GemVerb gem_verb_load = {
    .name = "load",
    .arguments = "[--list | NAME]",
    .summary = "Load another model, which takes over",
    .details =
        "For the superuser, and for those whom polkit lets. The old model answers until the new one does.\n"
        "Ctrl-C gives the loading up. The next start of the service loads the configured model again.\n\n"
        "Examples:\n"
        "  gem-client load --list\n"
        "  sudo gem-client load gem-80m",
    .run = run,
};
