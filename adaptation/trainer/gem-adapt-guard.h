/* What the trainer takes from itself before it reads anything: memory, and ways out. */
#pragma once

#include <gio/gio.h>

/* Not dumpable, no core, no new privileges. */
gboolean
gem_adapt_guard_enter(GError **error);

/* Not much more than that of private memory, of which addresses that are not used count: what asks for more
 * gets none. How much is used is bounded by gem-adapt-memory.h beforehand, and by the unit. */
gboolean
gem_adapt_guard_limit_memory(guint64 bytes, guint threads, GError **error);
