#include "clients/gem-client/gem-client-objects.h"

#include <string.h>

static gint
compare_paths(gconstpointer a, gconstpointer b)
{
  return strcmp(gem_object_path(*(GVariant *const *)a), gem_object_path(*(GVariant *const *)b));
}

GPtrArray *
gem_objects_with_interface(GVariant *objects, const char *interface)
{
  GPtrArray *found = g_ptr_array_new_with_free_func((GDestroyNotify)g_variant_unref);
  GVariantIter iter;
  const char *path;
  GVariant *interfaces;

  g_variant_iter_init(&iter, objects);
  while (g_variant_iter_next(&iter, "{&o@a{sa{sv}}}", &path, &interfaces)) {
    g_autoptr(GVariant) properties = g_variant_lookup_value(interfaces, interface, G_VARIANT_TYPE_VARDICT);

    if (properties != NULL) {
      g_ptr_array_add(found, g_variant_ref_sink(g_variant_new("(o@a{sv})", path, properties)));
    }
    g_variant_unref(interfaces);
  }
  g_ptr_array_sort(found, compare_paths);
  return found;
}

const char *
gem_object_path(GVariant *object)
{
  const char *path;

  g_variant_get_child(object, 0, "&o", &path);
  return path;
}

GVariant *
gem_object_properties(GVariant *object)
{
  return g_variant_get_child_value(object, 1);
}

const char *
gem_object_string(GVariant *object, const char *property)
{
  g_autoptr(GVariant) properties = gem_object_properties(object);
  const char *value = NULL;

  /* Lives in the serialized data of `object`. */
  g_variant_lookup(properties, property, "&s", &value);
  return value;
}

guint64
gem_object_bytes(GVariant *object, const char *property)
{
  g_autoptr(GVariant) properties = gem_object_properties(object);
  guint64 value = 0;

  g_variant_lookup(properties, property, "t", &value);
  return value;
}

guint
gem_object_uint(GVariant *object, const char *property)
{
  g_autoptr(GVariant) properties = gem_object_properties(object);
  guint value = 0;

  g_variant_lookup(properties, property, "u", &value);
  return value;
}

gboolean
gem_object_boolean(GVariant *object, const char *property)
{
  g_autoptr(GVariant) properties = gem_object_properties(object);
  gboolean value = FALSE;

  g_variant_lookup(properties, property, "b", &value);
  return value;
}
