/* Routed tokens, as the service tells them: a(sttsa{sd}), a row a token: its text, offset and length in
 * bytes, the pathway that runs it, and the router's probability for each domain. */
#pragma once

#include <json-glib/json-glib.h>

/* A table: token, pathway, probability. Beside a token that stays with `general`, the domain that came
 * closest. */
void
gem_routes_print(GVariant *tokens);

/* One line: how many tokens each pathway has, most first. */
void
gem_routes_print_summary(GVariant *tokens);

/* Adds an array of objects: text, offset, length, pathway, probabilities. */
void
gem_routes_add_json(JsonBuilder *builder, GVariant *tokens);

/* "legal 12, general 3" for a dictionary a{su}, most first. Transfer full. */
char *
gem_routes_describe_counts(GVariant *counts);
