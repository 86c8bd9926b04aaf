/* What the service tells of a turn: the dictionary a{sv} of Request.Finished. */
#pragma once

#include <glib.h>

/* The line of figures: tokens, tokens/s, pathways used, bytes resident. */
void
gem_stats_print(GVariant *stats);
