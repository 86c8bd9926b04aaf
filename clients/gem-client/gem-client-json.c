#include "clients/gem-client/gem-client-json.h"

#include <math.h>

#include "clients/gem-client/gem-client-output.h"

static void
add_unsigned(JsonBuilder *builder, guint64 value)
{
  if (value <= G_MAXINT64) {
    json_builder_add_int_value(builder, (gint64)value);
  } else {
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, value);

    json_builder_add_string_value(builder, text);
  }
}

static void
add_double(JsonBuilder *builder, double value)
{
  if (isfinite(value)) {
    json_builder_add_double_value(builder, value);
  } else {
    json_builder_add_null_value(builder);
  }
}

static void
add_dictionary(JsonBuilder *builder, GVariant *value)
{
  json_builder_begin_object(builder);
  gem_json_add_members(builder, value);
  json_builder_end_object(builder);
}

static void
add_array(JsonBuilder *builder, GVariant *value)
{
  gsize i;

  json_builder_begin_array(builder);
  for (i = 0; i < g_variant_n_children(value); i++) {
    g_autoptr(GVariant) child = g_variant_get_child_value(value, i);

    gem_json_add_variant(builder, child);
  }
  json_builder_end_array(builder);
}

static void
add_boxed(JsonBuilder *builder, GVariant *value)
{
  g_autoptr(GVariant) inner = g_variant_get_variant(value);

  gem_json_add_variant(builder, inner);
}

static void
add_container(JsonBuilder *builder, GVariant *value)
{
  const GVariantType *type = g_variant_get_type(value);

  if (g_variant_type_is_subtype_of(type, G_VARIANT_TYPE("a{s*}"))) {
    add_dictionary(builder, value);
  } else {
    add_array(builder, value);
  }
}

void
gem_json_add_variant(JsonBuilder *builder, GVariant *value)
{
  switch (g_variant_classify(value)) {
  case G_VARIANT_CLASS_BOOLEAN:
    json_builder_add_boolean_value(builder, g_variant_get_boolean(value));
    break;
  case G_VARIANT_CLASS_INT32:
    json_builder_add_int_value(builder, g_variant_get_int32(value));
    break;
  case G_VARIANT_CLASS_UINT32:
    json_builder_add_int_value(builder, g_variant_get_uint32(value));
    break;
  case G_VARIANT_CLASS_INT64:
    json_builder_add_int_value(builder, g_variant_get_int64(value));
    break;
  case G_VARIANT_CLASS_UINT64:
    add_unsigned(builder, g_variant_get_uint64(value));
    break;
  case G_VARIANT_CLASS_DOUBLE:
    add_double(builder, g_variant_get_double(value));
    break;
  case G_VARIANT_CLASS_STRING:
  case G_VARIANT_CLASS_OBJECT_PATH:
    json_builder_add_string_value(builder, g_variant_get_string(value, NULL));
    break;
  case G_VARIANT_CLASS_VARIANT:
    add_boxed(builder, value);
    break;
  case G_VARIANT_CLASS_ARRAY:
  case G_VARIANT_CLASS_TUPLE:
    add_container(builder, value);
    break;
  default: {
    /* A type that the contract does not use today. */
    g_autofree char *text = g_variant_print(value, FALSE);

    json_builder_add_string_value(builder, text);
  }
  }
}

void
gem_json_add_members(JsonBuilder *builder, GVariant *dictionary)
{
  gsize i;

  for (i = 0; i < g_variant_n_children(dictionary); i++) {
    g_autoptr(GVariant) entry = g_variant_get_child_value(dictionary, i);
    g_autoptr(GVariant) key = g_variant_get_child_value(entry, 0);
    g_autoptr(GVariant) value = g_variant_get_child_value(entry, 1);

    json_builder_set_member_name(builder, g_variant_get_string(key, NULL));
    gem_json_add_variant(builder, value);
  }
}

void
gem_json_add_string(JsonBuilder *builder, const char *name, const char *value)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_string_value(builder, value);
}

void
gem_json_print(JsonBuilder *builder)
{
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  g_autofree char *text = json_to_string(root, FALSE);

  gem_output_printf("%s\n", text);
}
