/*
 * Which rows of a step there is memory for.
 *
 * All pathways that a step's rows need have to be in memory together. Under a MemoryLimit that has no room
 * for that, a span of rows is cut short before the first one that needs one more, and the rest runs in a
 * later step: slower, but with the same result, since a row's result does not depend on what else is in its
 * step.
 *
 * A text is refused for what it needs itself alone, whoever else is there: when its next row would find no
 * room though no other text took any. Otherwise it waits for the others; when nobody can go on, the scheduler
 * says who gives way.
 */
#pragma once

#include "daemon/engine/gem-step.h"

/* Whether the step can run as it stands, with nothing paged out or dropped for it: cheap, and true of nearly
 * every step. */
gboolean
gem_admission_is_free(const GemRuntime *runtime, const GemStepSpan *spans, guint n);

/* Makes room for the step's caches and pathways. A span that there is no room for in this step gets 0 rows;
 * one that cannot run at all gets 0 rows and `refusals[i]` (all NULL before): LIMIT_EXCEEDED for its cache or
 * for its next row's pathway; PATHWAY for one that it insists on. FALSE, and nothing is changed: all of them
 * have to wait for memory that others hold. */
gboolean
gem_admission_admit(GemRuntime *runtime, GemStepSpan *spans, guint n, GError **refusals);
