#include "bench/bus/gem-bench-routes.h"

GemBenchRoutes *
gem_bench_routes_new(GVariant *reply)
{
  GemBenchRoutes *self = g_new0(GemBenchRoutes, 1);
  g_autoptr(GVariant) tokens = g_variant_get_child_value(reply, 0);
  gsize i;

  self->by_pathway = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (i = 0; i < g_variant_n_children(tokens); i++) {
    g_autoptr(GVariant) token = g_variant_get_child_value(tokens, i);
    const char *pathway;

    g_variant_get_child(token, 3, "&s", &pathway);
    self->tokens++;
    if (!g_str_equal(pathway, "general")) {
      self->routed++;
      g_hash_table_insert(self->by_pathway, g_strdup(pathway),
                          GUINT_TO_POINTER(gem_bench_routes_count(self, pathway) + 1));
    }
  }
  return self;
}

void
gem_bench_routes_free(GemBenchRoutes *self)
{
  g_hash_table_unref(self->by_pathway);
  g_free(self);
}

guint
gem_bench_routes_count(const GemBenchRoutes *self, const char *pathway)
{
  return GPOINTER_TO_UINT(g_hash_table_lookup(self->by_pathway, pathway));
}

const char *
gem_bench_routes_get_most(const GemBenchRoutes *self)
{
  GHashTableIter iter;
  gpointer pathway, count;
  const char *best = NULL;
  guint most = 0;

  g_hash_table_iter_init(&iter, self->by_pathway);
  while (g_hash_table_iter_next(&iter, &pathway, &count)) {
    if (GPOINTER_TO_UINT(count) > most) {
      most = GPOINTER_TO_UINT(count);
      best = pathway;
    } else if (GPOINTER_TO_UINT(count) == most) {
      best = NULL;
    }
  }
  return best;
}
