#include "clients/gem-client/gem-client-load.h"

#include <string.h>

#include "dbus/gem-names.h"

GVariant *
gem_load_get(GemRemote *remote, gboolean interactive, GError **error)
{
  GVariant *arguments = g_variant_new("(a{sv})", NULL);
  g_autoptr(GVariant) reply = NULL;

  if (interactive) {
    reply = gem_remote_call_manager(remote, "Stats", arguments, "(a{sv})", error);
  } else {
    reply = gem_remote_call_unattended(remote, "Stats", arguments, "(a{sv})", error);
  }
  return reply == NULL ? NULL : g_variant_get_child_value(reply, 0);
}

guint64
gem_load_number(GVariant *stats, const char *key)
{
  guint64 value = 0;

  g_variant_lookup(stats, key, "t", &value);
  return value;
}

double
gem_load_double(GVariant *stats, const char *key)
{
  double value = 0;

  g_variant_lookup(stats, key, "d", &value);
  return value;
}

char *
gem_load_describe(GVariant *stats)
{
  guint64 running = gem_load_number(stats, "running"), waiting = gem_load_number(stats, "waiting");

  return g_strdup_printf("%.1f tokens/s; %" G_GUINT64_FORMAT " text%s run%s, %" G_GUINT64_FORMAT " wait%s",
                         gem_load_double(stats, "tokens_per_second"), running, running == 1 ? "" : "s",
                         running == 1 ? "s" : "", waiting, waiting == 1 ? "s" : "");
}

typedef struct {
  const char *name;
  guint64 count;
} Entry;

static int
compare_entries(gconstpointer a, gconstpointer b)
{
  const Entry *one = a, *other = b;

  if (one->count != other->count) {
    return one->count > other->count ? -1 : 1;
  }
  return strcmp(one->name, other->name);
}

char *
gem_load_describe_table(GVariant *stats, const char *key)
{
  g_autoptr(GVariant) table = g_variant_lookup_value(stats, key, G_VARIANT_TYPE("a{st}"));
  g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(Entry));
  g_autoptr(GString) text = g_string_new(NULL);
  GVariantIter iter;
  Entry entry;

  if (table != NULL) {
    g_variant_iter_init(&iter, table);
    while (g_variant_iter_next(&iter, "{&st}", &entry.name, &entry.count)) {
      g_array_append_val(entries, entry);
    }
  }
  g_array_sort(entries, compare_entries);
  for (guint i = 0; i < entries->len; i++) {
    const Entry *one = &g_array_index(entries, Entry, i);
    const char *dot = strrchr(one->name, '.');

    g_string_append_printf(text, "%s%s %" G_GUINT64_FORMAT, i == 0 ? "" : ", ",
                           dot != NULL ? dot + 1 : one->name, one->count);
  }
  return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : g_strdup("none");
}
