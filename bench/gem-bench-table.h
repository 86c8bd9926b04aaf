/* The table of figures that were measured several times: what, unit, min, median and max. */
#pragma once

#include "clients/gem-client/gem-client-table.h"

GemTable *
gem_bench_table_new(void);
/* A row for an array of doubles; none when it is empty. */
void
gem_bench_table_add(GemTable *table, const char *what, const char *unit, const GArray *values, int digits);
