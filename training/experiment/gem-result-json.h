/* What the results of experiments have in common as JSON. */
#pragma once

#include <json-glib/json-glib.h>

/* A number, or null where it is not finite: JSON has no NAN. */
void
gem_result_json_add_value(JsonBuilder *builder, double value);

/* The same as the member `name`. */
void
gem_result_json_add_member(JsonBuilder *builder, const char *name, double value);

/* Writes what was built, indented, in place of what stands at `path`. */
gboolean
gem_result_json_write(JsonBuilder *builder, const char *path, GError **error);
