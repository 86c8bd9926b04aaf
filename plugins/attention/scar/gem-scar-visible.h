/*
 * What the rows of some spans see under SCAR, found without looking at all positions. Keys and values lie in
 * a list for each cluster and in one of all positions: a row sees the beginning of its own cluster's list, up
 * to its window, and the window in the list of all. The rows of one cluster make one group.
 */
#pragma once

#include "plugins/gem-plugin.h"

#define GEM_SCAR_MAX_CLUSTERS 256 /* a cluster is a byte */

/* The lists that a group looks into, in this order. */
enum {
  GEM_SCAR_OWN,    /* the rows' own cluster, before the window */
  GEM_SCAR_WINDOW, /* all positions */
  GEM_SCAR_FIRST,  /* the first token's cluster, for that token alone */
  GEM_SCAR_PARTS,
};

/* What one row sees, of each of the lists: members from .. to - 1. */
typedef struct {
  uint32_t *rows; /* [rows] their numbers */
  uint32_t *from[GEM_SCAR_PARTS];
  uint32_t *to[GEM_SCAR_PARTS];
} GemScarRows;

/* Room for what is found; all zeros at first. */
typedef struct {
  GemScarRows rows; /* of all groups, one group after the other */
  size_t rows_capacity;
  GemKeyValueGroup *groups;
  GemKeyValuePart (*parts)[GEM_SCAR_PARTS]; /* of each group */
  size_t groups_capacity;
  size_t n_groups;
} GemScarVisible;

void
gem_scar_visible_clear(GemScarVisible *self);

/* Memory that it takes now. */
size_t
gem_scar_visible_bytes(const GemScarVisible *self);

/* Fills `groups` for all rows of the spans, which are numbered one after the other. false: out of memory.
 * window 0 is the paper's own mask (and the first token). */
bool
gem_scar_visible_find(
    GemScarVisible *self, const GemAttentionSpan *spans, size_t n, uint32_t window, bool successors);
