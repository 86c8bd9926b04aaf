/* The labels of a line, and which of them the service chose. */
#pragma once

#include <glib.h>

/* Whether labels can be asked for at all: two at least, no two alike, none empty. */
gboolean
gem_bench_labels_are_valid(GStrv labels);

/* Index of the likeliest label of an answer, a(sd); the first of equal ones. */
guint
gem_bench_labels_choose(GVariant *answer);
