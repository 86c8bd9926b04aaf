/* The service's pathways and backends, read from its ObjectManager. */
#pragma once

#include <gio/gio.h>

/* From GetManagedObjects' a{oa{sa{sv}}}: the objects with `interface`, as a list of (o path, a{sv}
 * properties), sorted by path. Transfer full. */
GPtrArray *
gem_objects_with_interface(GVariant *objects, const char *interface);

/* One string or number of an object of that list; NULL or 0 when it is not there. */
const char *
gem_object_string(GVariant *object, const char *property);
guint64
gem_object_bytes(GVariant *object, const char *property);
guint
gem_object_uint(GVariant *object, const char *property);
gboolean
gem_object_boolean(GVariant *object, const char *property);
/* Its path, and all its properties: a{sv}, transfer full. */
const char *
gem_object_path(GVariant *object);
GVariant *
gem_object_properties(GVariant *object);
