/* gem-client pathways: which domains are in memory; page-in and page-out for the superuser. */
#include <string.h>

#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-objects.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"
#include "clients/gem-client/gem-client-table.h"
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

/* The backend that runs it; both, where blocks go elsewhere than single rows. */
static char *
describe_backend(GVariant *pathway)
{
  g_autoptr(GVariant) properties = gem_object_properties(pathway);
  g_autoptr(GVariant) places = g_variant_lookup_value(properties, "Placement", G_VARIANT_TYPE("a(usdd)"));
  const char *backend = gem_object_string(pathway, "Backend"), *row = NULL, *block = NULL;

  if (places != NULL && g_variant_n_children(places) == 2) {
    g_variant_get_child(places, 0, "(u&sdd)", NULL, &row, NULL, NULL);
    g_variant_get_child(places, 1, "(u&sdd)", NULL, &block, NULL, NULL);
  }
  return g_strcmp0(row, block) != 0 ? g_strdup_printf("%s, blocks %s", row, block)
                                    : g_strdup(backend != NULL ? backend : "");
}

static void
add_row(GemTable *table, GVariant *pathway)
{
  const char *domain = gem_object_string(pathway, "Domain"), *state = gem_object_string(pathway, "State");
  const char *reason = gem_object_string(pathway, "Reason");
  g_autofree char *backend = describe_backend(pathway);
  g_autofree char *bits = g_strdup_printf("%u", gem_object_uint(pathway, "Bits"));
  g_autofree char *file = gem_output_size(gem_object_bytes(pathway, "FileBytes"));
  g_autofree char *resident = gem_output_size(gem_object_bytes(pathway, "ResidentBytes"));

  gem_table_add(table, g_strcmp0(state, "resident") == 0 ? 2 : -1,
                (const char *const[]){domain != NULL ? domain : "", state != NULL ? state : "", bits, file,
                                      resident, backend, reason != NULL ? reason : ""});
}

static void
print_plain(GPtrArray *pathways)
{
  g_autoptr(GemTable) table = gem_table_new(
      "llrrrll", (const char *const[]){"pathway", "state", "bits", "file", "resident", "backend", "reason"});
  guint i;

  for (i = 0; i < pathways->len; i++) {
    add_row(table, pathways->pdata[i]);
  }
  gem_table_print(table);
}

static void
print_json(GPtrArray *pathways)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  guint i;

  json_builder_begin_array(builder);
  for (i = 0; i < pathways->len; i++) {
    g_autoptr(GVariant) properties = gem_object_properties(pathways->pdata[i]);

    gem_json_add_variant(builder, properties);
  }
  json_builder_end_array(builder);
  gem_json_print(builder);
}

static GPtrArray *
list_pathways(GemRemote *remote, GError **error)
{
  g_autoptr(GVariant) objects = gem_remote_get_objects(remote, error);

  return objects == NULL ? NULL : gem_objects_with_interface(objects, GEM_PATHWAY_INTERFACE);
}

static GVariant *
find_pathway(GPtrArray *pathways, const char *domain, GError **error)
{
  g_autoptr(GString) known = g_string_new(NULL);
  guint i;

  for (i = 0; i < pathways->len; i++) {
    const char *name = gem_object_string(pathways->pdata[i], "Domain");

    if (g_strcmp0(name, domain) == 0) {
      return pathways->pdata[i];
    }
    g_string_append_printf(known, "%s%s", i == 0 ? "" : ", ", name);
  }
  g_set_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN, "no pathway '%s'; there are: %s", domain,
              known->str);
  return NULL;
}

/* PageIn or PageOut; says on standard output what there is then. */
static gboolean
page(GemRemote *remote, const char *method, const char *domain, gboolean json, GError **error)
{
  g_autoptr(GPtrArray) before = list_pathways(remote, error);
  g_autoptr(GPtrArray) now = g_ptr_array_new_with_free_func((GDestroyNotify)g_variant_unref);
  g_autoptr(GVariant) reply = NULL;
  GVariant *pathway = before == NULL ? NULL : find_pathway(before, domain, error);
  GVariant *properties;

  if (pathway == NULL) {
    return FALSE;
  }
  reply = gem_remote_call(remote, gem_object_path(pathway), GEM_PATHWAY_INTERFACE, method,
                          g_variant_new("(a{sv})", NULL), "()", error);
  if (reply == NULL) {
    return FALSE;
  }
  properties = gem_remote_get_properties(remote, gem_object_path(pathway), GEM_PATHWAY_INTERFACE, error);
  if (properties == NULL) {
    return FALSE;
  }
  g_ptr_array_add(now, g_variant_ref_sink(g_variant_new("(o@a{sv})", gem_object_path(pathway), properties)));
  g_variant_unref(properties);
  if (json) {
    print_json(now);
  } else {
    print_plain(now);
  }
  return TRUE;
}

static gboolean
list(GemRemote *remote, gboolean json, GError **error)
{
  g_autoptr(GPtrArray) pathways = list_pathways(remote, error);

  if (pathways == NULL) {
    return FALSE;
  }
  if (json) {
    print_json(pathways);
  } else {
    print_plain(pathways);
  }
  return TRUE;
}

/* The D-Bus method of an action; NULL for the list. */
static gboolean
parse_action(GStrv arguments, const char **ret_method, GError **error)
{
  const char *action = arguments == NULL ? "list" : arguments[0];
  guint n = arguments == NULL ? 1 : g_strv_length(arguments);

  if (strcmp(action, "list") == 0 && n == 1) {
    *ret_method = NULL;
  } else if (strcmp(action, "page-in") == 0 && n == 2) {
    *ret_method = "PageIn";
  } else if (strcmp(action, "page-out") == 0 && n == 2) {
    *ret_method = "PageOut";
  } else {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "pathways takes: list, page-in DOMAIN, or page-out DOMAIN");
    return FALSE;
  }
  return TRUE;
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemRemote) remote = NULL;
  const char *method = NULL;
  gboolean done;

  if (!gem_verb_parse(self, NULL, argv, &options, &error) ||
      !parse_action(options.arguments, &method, &error)) {
    return gem_exit_report(error);
  }
  remote = gem_remote_open(&options, &error);
  if (remote == NULL) {
    return gem_exit_report(error);
  }
  done = method == NULL ? list(remote, options.json, &error)
                        : page(remote, method, options.arguments[1], options.json, &error);
  return done ? GEM_EXIT_OK : gem_exit_report(error);
}

const GemVerb gem_verb_pathways = {
    .name = "pathways",
    .arguments = "[list | page-in DOMAIN | page-out DOMAIN]",
    .summary = "List the pathways, or page one in or out",
    .details = "Paging is for the superuser, and for those whom polkit lets do\n"
               "org.gemd.Gem1.manage-pathways; it may ask for a password. A pathway that is not in memory\n"
               "is read when a text needs it.\n\n"
               "Examples:\n"
               "  gem-client pathways\n"
               "  sudo gem-client pathways page-out legal\n"
               "  gem-client pathways --json | jq -r '.[] | select(.State == \"resident\") | .Domain'",
    .run = run,
};
