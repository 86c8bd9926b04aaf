/* What was measured, as rows of a Markdown table (that docs/performance.md can take as it is) and as JSON. */
#pragma once

#include <json-glib/json-glib.h>

#include "tests/peers/peers-speed.h"

/* A heading for all files, then the rows of each. */
void
gem_peers_table_print_heading(void);
void
gem_peers_table_print(const GemPeersSpeed *speed, const GemPeersWish *wish);

/* Adds an object for each row to the open list. */
void
gem_peers_table_add_json(const GemPeersSpeed *speed, const GemPeersWish *wish, JsonBuilder *builder);
