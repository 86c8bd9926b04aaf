/* A result of gem-bench edge (docs/edgebench-format.md), read with care: what is absent, null or of another
 * kind is NAN, NULL or nothing, never a reason to stop. */
#pragma once

#include <json-glib/json-glib.h>

/* The object of `path`. Errors: of the file, its JSON, or a result of something else. */
JsonObject *
gem_report_result_read(const char *path, GError **error);

/* Members of `object`, which may be NULL; all borrowed. */
JsonObject *
gem_report_object(JsonObject *object, const char *name);
JsonArray *
gem_report_array(JsonObject *object, const char *name);
const char *
gem_report_string(JsonObject *object, const char *name);
/* The same, "?" in place of NULL. */
const char *
gem_report_name(JsonObject *object, const char *name);
double
gem_report_number(JsonObject *object, const char *name);
/* 1 for true, 0 for false, -1 for neither. */
int
gem_report_boolean(JsonObject *object, const char *name);

/* A score, {"value", "standard_error"}. */
typedef struct {
  double value, error;
} GemReportScore;

GemReportScore
gem_report_score(JsonObject *object, const char *name);

/* Elements; 0 of NULL. */
guint
gem_report_length(JsonArray *array);
JsonObject *
gem_report_element(JsonArray *array, guint i);
double
gem_report_element_number(JsonArray *array, guint i);
/* The string there, "?" where there is none. */
const char *
gem_report_element_name(JsonArray *array, guint i);
/* A list in a list. */
JsonArray *
gem_report_element_array(JsonArray *array, guint i);
