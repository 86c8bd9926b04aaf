/* JSON on standard output: one value a line. */
#pragma once

#include <json-glib/json-glib.h>

/* Adds a value of the contract: dictionaries with string keys become objects, tuples and arrays arrays. A t
 * above 2^63 - 1 becomes a string, a d that is no number null: JSON has neither. */
void
gem_json_add_variant(JsonBuilder *builder, GVariant *value);

/* Adds the members of a dictionary a{sv} to the object that is open. */
void
gem_json_add_members(JsonBuilder *builder, GVariant *dictionary);

void
gem_json_add_string(JsonBuilder *builder, const char *name, const char *value);

/* Prints the finished value and a newline. */
void
gem_json_print(JsonBuilder *builder);
