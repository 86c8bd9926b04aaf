/* EdgeBench's questions, asked of the engine in this process. */
#pragma once

#include "bench/direct/gem-bench-model.h"
#include "bench/questions/gem-edge-ask.h"

/* Opens the model at `path`, as the daemon would. Errors: GEM_ERROR. */
GemEdgeAsker *
gem_edge_direct_new(const GemBenchModelOptions *options, const char *path, GError **error);
