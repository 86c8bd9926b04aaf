/* The labels of a line, and which of them the service chose. */
#pragma once

#include <glib.h>

/* Whether Classify takes them: 2 to 256, no two alike, none empty or of more than 1,024 bytes, and no more
 * than 16,384 bytes together. */
gboolean
gem_bench_labels_are_valid(GStrv labels);

/* Index of the likeliest label of an answer, a(sd); the first of equal ones. */
guint
gem_bench_labels_choose(GVariant *answer);
