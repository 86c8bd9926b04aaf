/*
 * What the tests' provider makes of a graph: the feed-forward that npu-ort writes, known by the names of its
 * weights, in floats; and the same as bytes, which is what it calls compiled.
 */
#pragma once

#include "tests/npu-ort/gem-provider-api.h"

typedef struct {
  uint32_t width, hidden;
  uint32_t rounded;        /* 1: inputs are rounded to 8 bits, as before quantized matrices */
  float *gate, *up, *down; /* [hidden][width], [hidden][width], [width][hidden] */
} GemProviderNetwork;

/* From the constants of the graph. False: they are not those of a feed-forward that it knows. */
bool
gem_provider_network_read(GemProviderNetwork *self, const GemProviderApi *api, const OrtGraph *graph);
/* From bytes that gem_provider_network_save gave. False: they are not. */
bool
gem_provider_network_load(GemProviderNetwork *self, const void *bytes, size_t size);
/* To be freed. */
void *
gem_provider_network_save(const GemProviderNetwork *self, size_t *ret_size);
void
gem_provider_network_clear(GemProviderNetwork *self);

/* y[n][width] = FFN(x[n][width]). False: out of memory. */
bool
gem_provider_network_run(const GemProviderNetwork *self, const float *x, size_t n, float *y);
