/* Results in the form of docs/edgebench-format.md. */
#pragma once

#include <json-glib/json-glib.h>

#include "bench/edge/gem-edge-result.h"

/* What was asked for, and of whom. */
typedef struct {
  const char *model, *digest, *version, *way, *split; /* digest: "" when it is not known */
  guint seed, limit, transfer_limit, in_flight;
  const char *energy_absent, *paging_absent; /* NULL: there are figures */
} GemEdgeRunInfo;

/* The whole object. Transfer full. */
JsonNode *
gem_edge_json_build(const GemEdgeResult *result, const GemEdgeRunInfo *info);
