#include <stdio.h>
#include <stdlib.h>

#include "plugins/backends/cpu/gem-cpu.h"

void *
gem_cpu_scratch_reserve(GemCpuScratch *self, size_t bytes)
{
  if (bytes > self->bytes) {
    size_t grown = (bytes + bytes / 2) / GEM_PACKED_ALIGNMENT * GEM_PACKED_ALIGNMENT + GEM_PACKED_ALIGNMENT;
    free(self->data);
    self->data = aligned_alloc(GEM_PACKED_ALIGNMENT, grown);
    if (self->data == NULL) {
      fprintf(stderr, "backend cpu: out of memory (%zu bytes of scratch)\n", grown);
      abort();
    }
    self->bytes = grown;
  }
  return self->data;
}

void
gem_cpu_scratch_clear(GemCpuScratch *self)
{
  free(self->data);
  *self = (GemCpuScratch){.data = NULL};
}
