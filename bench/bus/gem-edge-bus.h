/* EdgeBench's questions, asked of the service. */
#pragma once

#include "bench/questions/gem-edge-ask.h"
#include "clients/gem-client/gem-client-remote.h"

/* Finds the service and waits for its model. Errors: of the bus. */
GemEdgeAsker *
gem_edge_bus_new(const GemVerbOptions *options, GError **error);
