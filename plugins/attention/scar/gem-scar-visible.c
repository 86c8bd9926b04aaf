#include "plugins/attention/scar/gem-scar-visible.h"

#include <stdlib.h>
#include <string.h>

/* Arrays of a GemScarRows: row numbers, and a range for each part. */
enum { ROW_ARRAYS = 1 + 2 * GEM_SCAR_PARTS };

void
gem_scar_visible_clear(GemScarVisible *self)
{
  free(self->rows.rows);
  free(self->groups);
  free(self->parts);
  memset(self, 0, sizeof *self);
}

size_t
gem_scar_visible_bytes(const GemScarVisible *self)
{
  return self->rows_capacity * ROW_ARRAYS * sizeof(uint32_t) +
         self->groups_capacity * (sizeof *self->groups + sizeof *self->parts);
}

/* ---- room ---- */

static bool
reserve_rows(GemScarVisible *self, size_t rows)
{
  if (rows <= self->rows_capacity) {
    return true;
  }
  size_t grown = rows + rows / 2;
  uint32_t *memory = malloc(grown * ROW_ARRAYS * sizeof *memory);
  if (memory == NULL) {
    return false;
  }
  free(self->rows.rows);
  self->rows.rows = memory;
  for (size_t part = 0; part < GEM_SCAR_PARTS; part++) {
    self->rows.from[part] = memory + (1 + 2 * part) * grown;
    self->rows.to[part] = memory + (2 + 2 * part) * grown;
  }
  self->rows_capacity = grown;
  return true;
}

static bool
reserve_groups(GemScarVisible *self, size_t groups)
{
  if (groups <= self->groups_capacity) {
    return true;
  }
  size_t grown = groups + groups / 2;
  GemKeyValueGroup *larger = malloc(grown * sizeof *larger);
  GemKeyValuePart(*parts)[GEM_SCAR_PARTS] = malloc(grown * sizeof *parts);
  if (larger == NULL || parts == NULL) {
    free(larger);
    free(parts);
    return false;
  }
  free(self->groups);
  free(self->parts);
  self->groups = larger;
  self->parts = parts;
  self->groups_capacity = grown;
  return true;
}

/* A span makes at most as many groups as it has rows or clusters. */
static bool
reserve(GemScarVisible *self, const GemAttentionSpan *spans, size_t n)
{
  size_t rows = 0;
  size_t groups = 0;
  for (size_t s = 0; s < n; s++) {
    rows += spans[s].n;
    groups += spans[s].n < spans[s].n_clusters ? spans[s].n : spans[s].n_clusters;
  }
  return reserve_rows(self, rows) && reserve_groups(self, groups);
}

/* ---- groups ---- */

static GemKeyValuePart
part_of(const GemScarVisible *self, size_t part, size_t at, const GemKeyValueList *list)
{
  return (GemKeyValuePart){
      .tiles = list->tiles,
      .first_tile = list->first_tile,
      .from = self->rows.from[part] + at,
      .to = self->rows.to[part] + at,
  };
}

/* Adds a group for each cluster that has rows in the span; their rows stand from `at` on. next[c] becomes the
 * place of the first row of cluster c. */
static void
add_groups(GemScarVisible *self,
           const GemAttentionSpan *span,
           size_t at,
           uint32_t next[GEM_SCAR_MAX_CLUSTERS])
{
  uint32_t counts[GEM_SCAR_MAX_CLUSTERS] = {0};
  for (uint32_t i = 0; i < span->n; i++) {
    counts[span->clusters[span->first + i]]++;
  }
  for (uint32_t c = 0; c < span->n_clusters; c++) {
    if (counts[c] == 0) {
      continue;
    }
    GemKeyValuePart *parts = self->parts[self->n_groups];
    parts[GEM_SCAR_OWN] = part_of(self, GEM_SCAR_OWN, at, &span->lists[c]);
    parts[GEM_SCAR_WINDOW] = part_of(self, GEM_SCAR_WINDOW, at, &span->in_order);
    parts[GEM_SCAR_FIRST] = part_of(self, GEM_SCAR_FIRST, at, &span->lists[span->clusters[0]]);
    self->groups[self->n_groups++] = (GemKeyValueGroup){
        .rows = self->rows.rows + at,
        .n = counts[c],
        .n_parts = GEM_SCAR_PARTS,
        .parts = parts,
    };
    next[c] = (uint32_t)at;
    at += counts[c];
  }
}

/* ---- what rows see ---- */

/* The window of the row at `position` is start .. position; an empty one (w = 0) leaves it to its cluster. */
static uint32_t
window_start(uint32_t position, uint32_t window)
{
  return position + 1 > window ? position + 1 - window : 0;
}

/* Members of each list before `start`: all of them but those from there on. */
static void
count_before(const GemAttentionSpan *span,
             uint32_t start,
             bool successors,
             uint32_t before[GEM_SCAR_MAX_CLUSTERS])
{
  for (uint32_t c = 0; c < span->n_clusters; c++) {
    before[c] = span->lists[c].count;
  }
  for (uint32_t j = start; j < span->first + span->n; j++) {
    before[gem_list_of_position(span->clusters, j, successors)]--;
  }
}

static void
set_range(GemScarVisible *self, size_t part, size_t at, uint32_t from, uint32_t to)
{
  self->rows.from[part][at] = from;
  self->rows.to[part][at] = to;
}

static void
add_span(
    GemScarVisible *self, const GemAttentionSpan *span, uint32_t first_row, uint32_t window, bool successors)
{
  uint32_t next[GEM_SCAR_MAX_CLUSTERS];
  uint32_t before[GEM_SCAR_MAX_CLUSTERS];
  uint32_t start = window_start(span->first, window);
  add_groups(self, span, first_row, next);
  count_before(span, start, successors, before);
  for (uint32_t i = 0; i < span->n; i++) {
    uint32_t position = span->first + i;
    uint8_t cluster = span->clusters[position];
    size_t at = next[cluster]++;
    for (; start < window_start(position, window); start++) {
      before[gem_list_of_position(span->clusters, start, successors)]++;
    }
    bool sees_first_alone = start > 0 && cluster != span->clusters[0];
    self->rows.rows[at] = first_row + i;
    set_range(self, GEM_SCAR_OWN, at, 0, before[cluster]);
    set_range(self, GEM_SCAR_WINDOW, at, start, position + 1);
    set_range(self, GEM_SCAR_FIRST, at, 0, sees_first_alone ? 1 : 0);
  }
}

bool
gem_scar_visible_find(
    GemScarVisible *self, const GemAttentionSpan *spans, size_t n, uint32_t window, bool successors)
{
  uint32_t row = 0;
  if (!reserve(self, spans, n)) {
    return false;
  }
  self->n_groups = 0;
  for (size_t s = 0; s < n; s++) {
    add_span(self, &spans[s], row, window, successors);
    row += spans[s].n;
  }
  return true;
}
