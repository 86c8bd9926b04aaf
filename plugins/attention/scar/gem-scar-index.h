/*
 * Which positions a token sees under SCAR, found without looking at all of them for each token: positions are
 * sorted by cluster once a call, and each token then copies the beginning of its cluster's list and its
 * window.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GEM_SCAR_MAX_CLUSTERS 256 /* a cluster is a byte */

/* Cluster c owns members[start[c]] .. members[start[c + 1] - 1], ascending positions. */
typedef struct {
  const uint8_t *clusters; /* borrowed: of positions 0 .. count - 1 */
  const uint32_t *members; /* borrowed: [count] */
  uint32_t start[GEM_SCAR_MAX_CLUSTERS + 1];
  uint32_t outside[GEM_SCAR_MAX_CLUSTERS]; /* of each cluster: members before the window of the last token */
} GemScarIndex;

/* Sorts positions 0 .. count - 1 by cluster, keeping their order, into `members` [count]. Both arrays must
 * live as long as the index is used. */
void
gem_scar_index_init(GemScarIndex *self, const uint8_t *clusters, uint32_t count, uint32_t *members);

/* Fills `visible` (room for position + 1) with every j <= position of the same cluster, or with position - j
 * < window, or 0; ascending, each once. Returns how many: at least 1. Positions must be asked for in
 * ascending order, so that each member is passed over once. window 0 is the paper's own mask (and the first
 * token). */
size_t
gem_scar_index_visible(GemScarIndex *self, uint32_t position, uint32_t window, uint32_t *visible);
