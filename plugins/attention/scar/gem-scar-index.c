#include "plugins/attention/scar/gem-scar-index.h"

#include <string.h>

void
gem_scar_index_init(GemScarIndex *self, const uint8_t *clusters, uint32_t count, uint32_t *members)
{
  memset(self, 0, sizeof *self);
  self->clusters = clusters;
  self->members = members;
  for (uint32_t j = 0; j < count; j++) {
    self->start[clusters[j] + 1]++;
  }
  for (size_t c = 0; c < GEM_SCAR_MAX_CLUSTERS; c++) {
    self->start[c + 1] += self->start[c];
  }

  uint32_t next[GEM_SCAR_MAX_CLUSTERS];
  memcpy(next, self->start, sizeof next);
  for (uint32_t j = 0; j < count; j++) {
    members[next[clusters[j]]++] = j;
  }
}

size_t
gem_scar_index_visible(GemScarIndex *self, uint32_t position, uint32_t window, uint32_t *visible)
{
  /* The window is window_start .. position; an empty one (w = 0) leaves the token to its own cluster. */
  uint32_t window_start = position + 1 > window ? position + 1 - window : 0;
  uint8_t cluster = self->clusters[position];
  const uint32_t *members = self->members + self->start[cluster];
  uint32_t size = self->start[cluster + 1] - self->start[cluster];
  uint32_t outside = self->outside[cluster];
  while (outside < size && members[outside] < window_start) {
    outside++;
  }
  self->outside[cluster] = outside;

  size_t count = 0;
  if (window_start > 0 && members[0] != 0) {
    visible[count++] = 0;
  }
  memcpy(visible + count, members, outside * sizeof *visible);
  count += outside;
  for (uint32_t j = window_start; j <= position; j++) {
    visible[count++] = j;
  }
  return count;
}
