/* The layout of the plugin ABI's structures, as modules were built with it. What fails here has changed for
 * all of them: see the head of plugins/gem-plugin.h for what may change, and with which version. */
#include <glib.h>

#include "plugins/gem-plugin.h"

typedef struct {
  const char *what;
  gsize is, was;
} Place;

#define AT(structure, member, place)                                                                         \
  {                                                                                                          \
#structure "." #member, offsetof(structure, member), (place)                                             \
  }
#define SIZE(structure, bytes)                                                                               \
  {                                                                                                          \
#structure, sizeof(structure), (bytes)                                                                   \
  }
/* The nth entry of a table. */
#define NTH(table, function, n) AT(table, function, (n) * sizeof(void (*)(void)))

/* Without a size of their own: nothing of them changes. */
static const Place frozen[] = {
    SIZE(GemPluginError, 256),
    AT(GemPluginError, message, 0),
    SIZE(GemTensorView, 64),
    AT(GemTensorView, type, 0),
    AT(GemTensorView, rows, 8),
    AT(GemTensorView, cols, 16),
    AT(GemTensorView, bytes, 24),
    AT(GemTensorView, data, 32),
    AT(GemTensorView, read, 40),
    AT(GemTensorView, context, 48),
    AT(GemTensorView, tensor, 56),
    SIZE(GemTensorSource, 40),
    AT(GemTensorSource, context, 0),
    AT(GemTensorSource, file, 8),
    AT(GemTensorSource, find_tensor, 16),
    AT(GemTensorSource, find_number, 24),
    AT(GemTensorSource, find_string, 32),
    SIZE(GemKeyValueForm, 12),
    AT(GemKeyValueForm, kv_heads, 0),
    AT(GemKeyValueForm, head_dim, 4),
    AT(GemKeyValueForm, half, 8),
    SIZE(GemKeyValueList, 16),
    AT(GemKeyValueList, count, 0),
    AT(GemKeyValueList, first_tile, 4),
    AT(GemKeyValueList, tiles, 8),
    SIZE(GemKeyValuePart, 32),
    AT(GemKeyValuePart, tiles, 0),
    AT(GemKeyValuePart, first_tile, 8),
    AT(GemKeyValuePart, from, 16),
    AT(GemKeyValuePart, to, 24),
    SIZE(GemKeyValueGroup, 32),
    AT(GemKeyValueGroup, rows, 0),
    AT(GemKeyValueGroup, first_row, 8),
    AT(GemKeyValueGroup, n, 12),
    AT(GemKeyValueGroup, n_parts, 16),
    AT(GemKeyValueGroup, parts, 24),
    SIZE(GemProbeReport, 356),
    AT(GemProbeReport, score, 0),
    AT(GemProbeReport, device, 4),
    AT(GemProbeReport, kernels, 100),
    AT(GemProbeReport, reason, 196),
    SIZE(GemFeedForward, 24),
    AT(GemFeedForward, gate, 0),
    AT(GemFeedForward, up, 8),
    AT(GemFeedForward, down, 16),
    SIZE(GemFeedForwardTensors, 192),
    AT(GemFeedForwardTensors, gate, 0),
    AT(GemFeedForwardTensors, up, 64),
    AT(GemFeedForwardTensors, down, 128),
    SIZE(GemPathwayTensors, 24),
    AT(GemPathwayTensors, name, 0),
    AT(GemPathwayTensors, layers, 8),
    AT(GemPathwayTensors, feed_forwards, 16),
    SIZE(GemBackend, 16),
    AT(GemBackend, functions, 0),
    AT(GemBackend, state, 8),
    SIZE(GemRouterTurn, 40),
    AT(GemRouterTurn, state, 0),
    AT(GemRouterTurn, tokens, 8),
    AT(GemRouterTurn, n, 16),
    AT(GemRouterTurn, causal, 24),
    AT(GemRouterTurn, probabilities, 32),
    SIZE(GemRouterRow, 16),
    AT(GemRouterRow, weight, 0),
    AT(GemRouterRow, bias, 8),
    SIZE(GemRouterClasses, 24),
    AT(GemRouterClasses, rows, 0),
    AT(GemRouterClasses, n_rows, 8),
    AT(GemRouterClasses, without, 16),
    SIZE(GemAttentionSpan, 48),
    AT(GemAttentionSpan, first, 0),
    AT(GemAttentionSpan, n, 4),
    AT(GemAttentionSpan, in_order, 8),
    AT(GemAttentionSpan, n_clusters, 24),
    AT(GemAttentionSpan, lists, 32),
    AT(GemAttentionSpan, clusters, 40),
};

/* These grow at their end: what they have stays where it is. */
static const Place growing[] = {
    AT(GemPlugin, abi_major, 0),
    AT(GemPlugin, abi_minor, 4),
    AT(GemPlugin, struct_size, 8),
    AT(GemPlugin, kind, 12),
    AT(GemPlugin, functions_size, 16),
    AT(GemPlugin, name, 24),
    AT(GemPlugin, version, 32),
    AT(GemPlugin, license, 40),
    AT(GemPlugin, summary, 48),
    AT(GemPlugin, functions, 56),
    AT(GemShape, struct_size, 0),
    AT(GemShape, vocab, 4),
    AT(GemShape, width, 8),
    AT(GemShape, layers, 12),
    AT(GemShape, heads, 16),
    AT(GemShape, kv_heads, 20),
    AT(GemShape, head_dim, 24),
    AT(GemShape, rope_dim, 28),
    AT(GemShape, ffn, 32),
    AT(GemShape, domain_ffn, 36),
    AT(GemShape, context, 40),
    AT(GemShape, window, 44),
    AT(GemShape, domains, 48),
    AT(GemShape, n_cluster_sets, 52),
    AT(GemShape, clusters, 56),
    AT(GemShape, rms_epsilon, 72),
    AT(GemShape, rope_base, 76),
    AT(GemShape, successors, 80),
    AT(GemBackendOptions, struct_size, 0),
    AT(GemBackendOptions, threads, 4),
    AT(GemBackendOptions, cache_dir, 8),
    AT(GemBackendOptions, locate, 16),
};

/* The first and the last function that each version added to a table. */
static const Place tables[] = {
    NTH(GemBackendFunctions, probe, 0),         NTH(GemBackendFunctions, attend, 19),
    NTH(GemBackendFunctions, compile, 20),      NTH(GemBackendFunctions, run, 23),
    NTH(GemBackendFunctions, expect, 24),       NTH(GemBackendFunctions, linear_add, 25),
    NTH(GemRouterFunctions, open, 0),           NTH(GemRouterFunctions, route, 7),
    NTH(GemRouterFunctions, set_go_on, 8),      NTH(GemRouterFunctions, row_width, 9),
    NTH(GemRouterFunctions, route_classes, 10), NTH(GemAttentionFunctions, open, 0),
    NTH(GemAttentionFunctions, attend, 6),      NTH(GemPathwayFunctions, open, 0),
    NTH(GemPathwayFunctions, apply, 3),         NTH(GemPathwayFunctions, try_apply, 4),
};

static void
check(const Place *places, gsize n)
{
  if (sizeof(void *) != 8 || sizeof(size_t) != 8) {
    g_test_skip("the numbers are those of 64-bit machines");
    return;
  }
  for (gsize i = 0; i < n; i++) {
    if (places[i].is != places[i].was) {
      g_test_message("%s: %" G_GSIZE_FORMAT ", was %" G_GSIZE_FORMAT, places[i].what, places[i].is,
                     places[i].was);
      g_test_fail();
    }
  }
}

static void
test_frozen(void)
{
  check(frozen, G_N_ELEMENTS(frozen));
}

static void
test_growing(void)
{
  check(growing, G_N_ELEMENTS(growing));
}

static void
test_tables(void)
{
  check(tables, G_N_ELEMENTS(tables));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/plugin-abi/frozen", test_frozen);
  g_test_add_func("/plugin-abi/growing", test_growing);
  g_test_add_func("/plugin-abi/tables", test_tables);
  return g_test_run();
}
