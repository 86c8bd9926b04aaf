/* What Manager.Route() tells of a text, counted by pathway. */
#pragma once

#include <glib.h>

typedef struct {
  guint tokens, routed;   /* all of them, and those that left `general` */
  GHashTable *by_pathway; /* name -> count, as guint in a pointer; without `general` */
} GemBenchRoutes;

/* Of a reply (a(sttsa{sd})). */
GemBenchRoutes *
gem_bench_routes_new(GVariant *reply);
void
gem_bench_routes_free(GemBenchRoutes *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchRoutes, gem_bench_routes_free)

/* Tokens that `pathway` runs. */
guint
gem_bench_routes_count(const GemBenchRoutes *self, const char *pathway);

/* The pathway that runs more tokens than any other but `general`; NULL when no token is routed, or when two
 * have as many. */
const char *
gem_bench_routes_get_most(const GemBenchRoutes *self);
