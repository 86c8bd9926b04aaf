#include "training/network/gem-router-evaluation.h"

#include <string.h>

typedef struct {
  gsize documents, right, unrouted, tokens, routed;
} Score;

/* The pathway of most routed tokens; GEM_ROUTE_GENERAL when none is routed. */
static gint8
document_pathway(const GemBatch *batch, gsize *ret_routed)
{
  gsize counts[GEM_MAX_DOMAINS] = {0}, routed = 0;
  gint8 best = GEM_ROUTE_GENERAL;
  for (gsize i = 0; i < batch->n; i++) {
    if (batch->route[i] != GEM_ROUTE_GENERAL) {
      routed++;
      counts[batch->route[i]]++;
      if (best == GEM_ROUTE_GENERAL || counts[batch->route[i]] > counts[best]) {
        best = batch->route[i];
      }
    }
  }
  *ret_routed = routed;
  return best;
}

static void
add_score(Score *total, const Score *more)
{
  total->documents += more->documents;
  total->right += more->right;
  total->unrouted += more->unrouted;
  total->tokens += more->tokens;
  total->routed += more->routed;
}

static Score
score_source(const GemRouterCheckpoint *router,
             const GemSource *source,
             float threshold,
             GemRouterPass *pass,
             GemBatch *batch)
{
  Score score = {0};
  for (guint i = 0; i < source->documents->len; i++) {
    const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
    guint n = document->answer > 0 ? document->answer : document->length;
    gem_batch_clear(batch);
    gem_batch_append(batch, &g_array_index(source->tokens, guint32, document->first),
                     MIN(n, GEM_ROUTER_EVALUATION_TOKENS), GEM_ROUTE_GENERAL, 0.0f);
    memset(batch->target, 0xff, batch->n * sizeof(gint32));
    batch->prefix[0] = (guint32)batch->n;
    gem_router_network_run(router->network, router->values, batch, 0.0f, pass, NULL);
    gem_router_pass_routes(router->network, pass, threshold, batch);
    gsize routed;
    gint8 found = document_pathway(batch, &routed);
    score.documents++;
    score.right += found == source->domain;
    score.unrouted += found == GEM_ROUTE_GENERAL;
    score.tokens += batch->n;
    score.routed += routed;
  }
  return score;
}

static void
print_score(const char *name, const Score *score)
{
  g_print("%-42s %9" G_GSIZE_FORMAT " %9.4f %9.4f %9.4f\n", name, score->documents,
          (double)score->right / (double)MAX(score->documents, 1),
          (double)score->unrouted / (double)MAX(score->documents, 1),
          (double)score->routed / (double)MAX(score->tokens, 1));
}

void
gem_router_evaluate(const GemRouterCheckpoint *router, const GemCorpus *corpus, float threshold)
{
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(router->network);
  g_autoptr(GemBatch) batch = gem_batch_new(GEM_ROUTER_EVALUATION_TOKENS);
  guint n_domains = router->network->shape.n_domains;
  /* [domain, the last is general][is task] */
  g_autofree Score *totals = g_new0(Score, 2 * ((gsize)n_domains + 1));
  g_print("%-42s %9s %9s %9s %9s\n", "source", "documents", "right", "unrouted", "tokens routed");
  for (guint i = 0; i < corpus->sources->len; i++) {
    const GemSource *source = corpus->sources->pdata[i];
    Score score = score_source(router, source, threshold, pass, batch);
    gsize domain = source->domain == GEM_ROUTE_GENERAL ? n_domains : (gsize)source->domain;
    add_score(&totals[2 * domain + (source->is_task ? 1 : 0)], &score);
    print_score(source->name, &score);
  }
  Score subjects = {0};
  g_print("\nby domain\n");
  for (guint d = 0; d <= n_domains; d++) {
    const char *name = d < n_domains ? router->network->domains[d] : GEM_CORPUS_GENERAL;
    g_autofree char *corpus_name = g_strdup_printf("%s, corpus", name),
                    *task_name = g_strdup_printf("%s, tasks", name);
    print_score(corpus_name, &totals[2 * d]);
    print_score(task_name, &totals[2 * d + 1]);
    if (d < n_domains && strcmp(name, "adaptive") != 0) {
      add_score(&subjects, &totals[2 * d + 1]);
    }
  }
  print_score("seven subject domains, tasks", &subjects);
}
