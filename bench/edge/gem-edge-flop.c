#include "bench/edge/gem-edge-flop.h"

#include "format/gem-model-files.h"

GemEdgeFlop
gem_edge_flop_count(const GemModelShape *shape, const GemRouterShape *router, guint clusters)
{
  double width = shape->width, layers = shape->layers;
  double queries = (double)shape->heads * shape->head_dim, keys = (double)shape->kv_heads * shape->head_dim;
  double layer = 2 * width * queries + 2 * width * keys + 3 * width * shape->ffn + clusters * width;
  GemEdgeFlop flop = {
      .general = 2 * (layers * layer + shape->vocab * width),
      .pathway = 2 * layers * 3 * width * shape->domain_ffn,
  };

  if (router != NULL) {
    double own = router->width, embedding = router->embedding;

    flop.router = 2 * ((router->embedding == router->width ? 0 : embedding * own) +
                       router->layers * (4 * own * own + 2 * own * router->ffn) + router->n_domains * own);
  }
  return flop;
}

gboolean
gem_edge_flop_read(const char *path, GemEdgeFlop *ret_flop, char **ret_name, GError **error)
{
  g_autoptr(GemModelFiles) files = gem_model_files_open(path, error);

  if (files == NULL) {
    return FALSE;
  }
  *ret_flop = gem_edge_flop_count(&files->shape, files->router == NULL ? NULL : &files->router_shape,
                                  files->shape.n_cluster_sets > 0 ? files->shape.clusters[0] : 0);
  *ret_name = g_strdup(files->name);
  return TRUE;
}
