/* gem-client status: what runs, and whether it is ready. */
#include <math.h>

#include "clients/gem-client/gem-client-escape.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-load.h"
#include "clients/gem-client/gem-client-objects.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

/* How long between two looks while waiting. */
#define POLL_MICROSECONDS 20000

typedef struct {
  GVariant *manager;   /* a{sv} */
  GPtrArray *pathways; /* as of gem_objects_with_interface */
  GPtrArray *backends;
  GVariant *load; /* of Stats; NULL: for administrators alone */
} Status;

static void
status_clear(Status *status)
{
  g_clear_pointer(&status->manager, g_variant_unref);
  g_clear_pointer(&status->load, g_variant_unref);
  g_clear_pointer(&status->pathways, g_ptr_array_unref);
  g_clear_pointer(&status->backends, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Status, status_clear)

static const char *
get_string(GVariant *dictionary, const char *key)
{
  const char *value = "";

  g_variant_lookup(dictionary, key, "&s", &value);
  return value;
}

/* `deadline`: monotonic; 0: there is none. */
static gboolean
look(const GemVerbOptions *options, gint64 deadline, Status *status, GError **error)
{
  g_autoptr(GemRemote) remote = gem_remote_new(options, error);
  g_autoptr(GVariant) objects = NULL;

  status_clear(status);
  if (remote == NULL) {
    return FALSE;
  }
  remote->deadline = deadline;
  if (!gem_remote_find(remote, error)) {
    return FALSE;
  }
  status->manager = gem_remote_get_properties(remote, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, error);
  if (status->manager == NULL) {
    return FALSE;
  }
  objects = gem_remote_get_objects(remote, error);
  if (objects == NULL) {
    return FALSE;
  }
  status->pathways = gem_objects_with_interface(objects, GEM_PATHWAY_INTERFACE);
  status->backends = gem_objects_with_interface(objects, GEM_BACKEND_INTERFACE);
  if (g_str_equal(get_string(status->manager, "ModelState"), "ready")) {
    status->load = gem_load_get(remote, FALSE, NULL);
  }
  return TRUE;
}

/* Looks until the model is loaded, or could not be, or the time is over. A service that is not there yet may
 * come; one that was not when the time was over is what is told. */
static gboolean
look_until_ready(const GemVerbOptions *options, double seconds, Status *status, GError **error)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)(seconds * G_USEC_PER_SEC);

  for (;;) {
    g_autoptr(GError) local = NULL;
    gboolean there = look(options, deadline, status, &local);

    if (there && g_str_equal(get_string(status->manager, "ModelState"), "ready")) {
      return TRUE;
    }
    if (there && g_str_equal(get_string(status->manager, "ModelState"), "failed")) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_NOT_READY, "the model could not be loaded: %s",
                  get_string(status->manager, "ModelReason"));
      return FALSE;
    }
    if (!there && gem_exit_from_error(local) != GEM_EXIT_UNREACHABLE) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (g_get_monotonic_time() >= deadline) {
      if (there) {
        g_set_error(error, GEM_ERROR, GEM_ERROR_NOT_READY, "not ready after %g seconds", seconds);
      } else {
        g_propagate_prefixed_error(error, g_steal_pointer(&local), "not ready after %g seconds: ", seconds);
      }
      return FALSE;
    }
    g_usleep(POLL_MICROSECONDS);
  }
}

/* A line, with nothing in it that a terminal would obey: reasons and names are a model's, or a module's. */
static void G_GNUC_PRINTF(1, 2) print_line(const char *format, ...)
{
  g_autofree char *text = NULL, *shown = NULL;
  va_list arguments;

  va_start(arguments, format);
  text = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  shown = gem_escape_text(text, GEM_ESCAPE_STREAM);
  gem_output_printf("%s\n", shown);
}

static void
print_pathways(GPtrArray *pathways)
{
  g_autoptr(GString) names = g_string_new(NULL);
  guint resident = 0, i;

  for (i = 0; i < pathways->len; i++) {
    if (g_strcmp0(gem_object_string(pathways->pdata[i], "State"), "resident") == 0) {
      g_string_append_printf(names, "%s%s", resident == 0 ? ": " : ", ",
                             gem_object_string(pathways->pdata[i], "Domain"));
      resident++;
    }
  }
  print_line("%-11s %u of %u resident%s", "pathways", resident, pathways->len, names->str);
}

static void
print_backends(GPtrArray *backends)
{
  guint i;

  for (i = 0; i < backends->len; i++) {
    GVariant *backend = backends->pdata[i];
    const char *reason = gem_object_string(backend, "Reason");
    const char *kernels = gem_object_string(backend, "Kernels"); /* "": it has none of its own */
    gboolean in_use = gem_object_boolean(backend, "InUse");

    print_line("%-11s %s on %s%s%s%s", "backend", gem_object_string(backend, "Name"),
               gem_object_string(backend, "Device"), kernels[0] != '\0' ? ", kernels " : "", kernels,
               in_use ? ", in use" : "");
    if (!in_use && reason != NULL && reason[0] != '\0') {
      print_line("%-11s   not in use: %s", "", reason);
    }
  }
}

/* How short memory is, when it is; and what is going on, for those who may know. */
static void
print_load(const Status *status)
{
  guint step = 0;
  g_autofree char *load = status->load != NULL ? gem_load_describe(status->load) : NULL;

  g_variant_lookup(status->manager, "MemoryStep", "u", &step);
  if (step > 0) {
    print_line("%-11s short: step %u of 4", "", step);
  }
  if (load != NULL) {
    print_line("%-11s %s", "load", load);
  }
}

static void
print_plain(const Status *status)
{
  const char *reason = get_string(status->manager, "ModelReason");
  guint context = 0;
  double threshold = 0;
  guint64 resident = 0;
  g_autofree char *size = NULL;

  g_variant_lookup(status->manager, "ContextTokens", "u", &context);
  g_variant_lookup(status->manager, "Threshold", "d", &threshold);
  g_variant_lookup(status->manager, "ResidentBytes", "t", &resident);
  size = gem_output_size(resident);
  print_line("%-11s gemd %s", "service", get_string(status->manager, "Version"));
  print_line("%-11s %s%s%s%s%s", "model", get_string(status->manager, "ModelName"),
             get_string(status->manager, "ModelName")[0] == '\0' ? "" : ", ",
             get_string(status->manager, "ModelState"), reason[0] == '\0' ? "" : ": ", reason);
  print_line("%-11s %s, context of %u tokens", "attention", get_string(status->manager, "Attention"),
             context);
  print_line("%-11s to a domain above %.2f, to general otherwise", "routing", threshold);
  print_pathways(status->pathways);
  print_backends(status->backends);
  print_line("%-11s %s resident", "memory", size);
  print_load(status);
}

static void
add_objects(JsonBuilder *builder, const char *name, GPtrArray *objects)
{
  guint i;

  json_builder_set_member_name(builder, name);
  json_builder_begin_array(builder);
  for (i = 0; i < objects->len; i++) {
    g_autoptr(GVariant) properties = gem_object_properties(objects->pdata[i]);

    gem_json_add_variant(builder, properties);
  }
  json_builder_end_array(builder);
}

static void
print_json(const Status *status)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  gem_json_add_members(builder, status->manager);
  add_objects(builder, "Pathways", status->pathways);
  add_objects(builder, "Backends", status->backends);
  if (status->load != NULL) {
    json_builder_set_member_name(builder, "Stats");
    gem_json_add_variant(builder, status->load);
  }
  json_builder_end_object(builder);
  gem_json_print(builder);
}

static gboolean
parse_seconds(const char *text, double *ret_seconds, GError **error)
{
  char *end = NULL;
  double seconds = g_ascii_strtod(text, &end);

  if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 86400)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--wait: '%s' is no number of seconds from 0 to 86400", text);
    return FALSE;
  }
  *ret_seconds = seconds;
  return TRUE;
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_auto(Status) status = {0};
  g_autofree char *wait = NULL;
  g_autoptr(GError) error = NULL;
  const GOptionEntry own[] = {
      {"wait", 0, 0, G_OPTION_ARG_STRING, &wait, "Wait until the model is ready, at most SECONDS", "SECONDS"},
      G_OPTION_ENTRY_NULL,
  };
  double seconds = 0;

  if (!gem_verb_parse(self, (const GOptionEntry *const[]){own, NULL}, argv, &options, &error) ||
      (wait != NULL && !parse_seconds(wait, &seconds, &error)) ||
      !(wait != NULL ? look_until_ready(&options, seconds, &status, &error)
                     : look(&options, 0, &status, &error))) {
    return gem_exit_report(error);
  }
  if (options.json) {
    print_json(&status);
  } else {
    print_plain(&status);
  }
  return GEM_EXIT_OK;
}

const GemVerb gem_verb_status = {
    .name = "status",
    .arguments = "",
    .summary = "Show the service, its model, pathways and backends",
    .details = "Examples:\n"
               "  gem-client status\n"
               "  gem-client status --wait 30 && gem-client ask hello\n"
               "  gem-client status --json | jq .ResidentBytes",
    .run = run,
};
