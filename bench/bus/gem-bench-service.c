#include "bench/bus/gem-bench-service.h"

#include "bench/gem-bench-process.h"
#include "dbus/gem-names.h"

char *
gem_bench_describe_service(GemRemote *remote, GError **error)
{
  g_autoptr(GVariant) properties =
      gem_remote_get_properties(remote, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, error);
  const char *model = "", *version = "";

  if (properties == NULL) {
    return NULL;
  }
  g_variant_lookup(properties, "ModelName", "&s", &model);
  g_variant_lookup(properties, "Version", "&s", &version);
  return g_strdup_printf("%s, gemd %s", model[0] == '\0' ? "no model" : model, version);
}

gboolean
gem_bench_read_service_memory(GemRemote *remote, GemBenchServiceMemory *ret_memory, GError **error)
{
  GemBenchServiceMemory memory = {0};
  guint32 process = 0;
  g_autoptr(GVariant) properties =
      gem_remote_get_properties(remote, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, error);
  g_autoptr(GVariant) reply = NULL;

  if (properties == NULL) {
    return FALSE;
  }
  g_variant_lookup(properties, "ResidentBytes", "t", &memory.resident);
  reply = g_dbus_connection_call_sync(remote->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                      "org.freedesktop.DBus", "GetConnectionUnixProcessID",
                                      g_variant_new("(s)", remote->owner), G_VARIANT_TYPE("(u)"),
                                      G_DBUS_CALL_FLAGS_NONE, -1, NULL, error);
  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(u)", &process);
  memory.process = gem_bench_process_get_resident((pid_t)process);
  memory.descriptors = gem_bench_process_count_descriptors((pid_t)process);
  *ret_memory = memory;
  return TRUE;
}
