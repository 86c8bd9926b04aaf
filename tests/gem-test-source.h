/*
 * A model file that stands in memory alone: a GemTensorSource of random tensors, with the values that a
 * module gets to see (after the rounding of their type) at hand for the test's own arithmetic.
 */
#pragma once

#include <glib.h>

#include "kernels/gem-types.h"
#include "plugins/gem-plugin.h"

typedef struct {
  GemTensorSource source; /* as a module's open takes it */
  GHashTable *tensors;    /* name -> private */
  GHashTable *numbers;    /* key -> double* */
  GHashTable *strings;    /* key -> char* */
  GRand *random;
} GemTestSource;

/* `file` (static) is its name in messages. The same seed gives the same values. */
GemTestSource *
gem_test_source_new(const char *file, guint32 seed);
void
gem_test_source_free(GemTestSource *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestSource, gem_test_source_free)

/* A tensor [rows][cols] of uniform values in centre +- spread, put into blocks of `type`; takes the place of
 * one of that name. */
void
gem_test_source_add(GemTestSource *self,
                    const char *name,
                    GemType type,
                    size_t rows,
                    size_t cols,
                    double centre,
                    double spread);
void
gem_test_source_remove(GemTestSource *self, const char *name);
/* Its values [rows][cols], as the blocks give them back. Owned by the source. */
const float *
gem_test_source_values(const GemTestSource *self, const char *name);

void
gem_test_source_set_number(GemTestSource *self, const char *key, double value);
void
gem_test_source_set_string(GemTestSource *self, const char *key, const char *value);

/* count uniform values in +- spread; free with g_free. */
float *
gem_test_random_floats(GRand *random, size_t count, double spread);
