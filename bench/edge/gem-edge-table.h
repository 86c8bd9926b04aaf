/* Results as tables on standard output. */
#pragma once

#include "bench/edge/gem-edge-json.h"

void
gem_edge_table_print(const GemEdgeResult *result, const GemEdgeRunInfo *info);
