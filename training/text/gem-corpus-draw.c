/* What is drawn from a corpus, by chance and by its shares. */
#include <math.h>

#include "training/text/gem-corpus.h"

static gboolean
has_document_of(const GemSource *source, guint least_tokens)
{
  for (guint i = 0; i < source->documents->len; i++) {
    if (g_array_index(source->documents, GemDocument, i).length >= least_tokens) {
      return TRUE;
    }
  }
  return FALSE;
}

gboolean
gem_corpus_check_draw(const GemCorpus *self, double general_share, guint least_tokens, GError **error)
{
  gboolean has_general = FALSE, has_domains = FALSE;
  for (guint i = 0; i < self->sources->len; i++) {
    const GemSource *source = self->sources->pdata[i];
    gboolean has = has_document_of(source, least_tokens);
    has_general |= has && source->domain == GEM_ROUTE_GENERAL;
    has_domains |= has && source->domain != GEM_ROUTE_GENERAL;
  }
  gboolean asks_general = general_share > 0.0 || self->n_domains == 0;
  gboolean asks_domains = general_share < 1.0 && self->n_domains > 0;
  if ((asks_general && has_general) || (asks_domains && has_domains)) {
    return TRUE;
  }
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING,
              "with a share of general text of %g nothing can be drawn: there is %s", general_share,
              has_general ? "general text alone" : (has_domains ? "no general text" : "no text"));
  return FALSE;
}

typedef enum { KIND_CORPUS, KIND_TASK, KIND_LABELLED_TASK } Kind;

static gboolean
is_of_kind(const GemSource *source, Kind kind)
{
  return source->is_task == (kind != KIND_CORPUS) && (kind != KIND_LABELLED_TASK || source->labelled);
}

/* A source of that domain and kind by chance: tasks by the square root of their size, so that none drowns;
 * NULL: there is none. */
static const GemSource *
draw_source(const GemCorpus *self, GemRandom *random, gint8 domain, Kind kind)
{
  double total = 0.0;
  for (int round = 0; round < 2; round++) {
    double at = round == 0 ? -1.0 : gem_random_uniform(random) * total;
    for (guint i = 0; i < self->sources->len; i++) {
      const GemSource *source = self->sources->pdata[i];
      if (source->domain != domain || !is_of_kind(source, kind) || source->documents->len == 0) {
        continue;
      }
      double share = sqrt((double)source->documents->len);
      total += round == 0 ? share : 0.0;
      at -= share;
      if (round == 1 && at <= 0.0) {
        return source;
      }
    }
    if (total == 0.0) {
      return NULL;
    }
  }
  return NULL;
}

/* A task of any domain by chance, by its lines and their times; NULL: there is none. */
static const GemSource *
draw_task_by_times(const GemCorpus *self, GemRandom *random)
{
  const GemSource *last = NULL;
  double total = 0.0;
  for (guint i = 0; i < self->sources->len; i++) {
    const GemSource *source = self->sources->pdata[i];
    total += source->is_task ? source->times * (double)source->documents->len : 0.0;
  }
  double at = gem_random_uniform(random) * total;
  for (guint i = 0; i < self->sources->len && at >= 0.0; i++) {
    const GemSource *source = self->sources->pdata[i];
    double share = source->is_task ? source->times * (double)source->documents->len : 0.0;
    last = share > 0.0 ? source : last;
    at -= share;
  }
  return last;
}

/* The document that holds a token chosen by chance, so that long documents come up as often as their text. */
static const GemDocument *
draw_document_by_tokens(const GemSource *source, gsize token)
{
  guint low = 0, high = source->documents->len - 1;
  while (low < high) {
    guint middle = (low + high + 1) / 2;
    if (g_array_index(source->documents, GemDocument, middle).first <= token) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return &g_array_index(source->documents, GemDocument, low);
}

/* To the power of a domain's tokens; a domain without text is never drawn. */
static gint8
draw_domain_by_size(const GemCorpus *self, GemRandom *random, double power)
{
  g_autofree double *chances = g_new0(double, self->n_domains);
  double total = 0.0;
  for (guint i = 0; i < self->sources->len; i++) {
    const GemSource *source = self->sources->pdata[i];
    if (source->domain != GEM_ROUTE_GENERAL) {
      chances[source->domain] += source->tokens->len;
    }
  }
  for (guint d = 0; d < self->n_domains; d++) {
    chances[d] = chances[d] > 0.0 ? pow(chances[d], power) : 0.0;
    total += chances[d];
  }
  double at = gem_random_uniform(random) * total;
  guint domain = 0;
  while (domain + 1 < self->n_domains && at >= chances[domain]) {
    at -= chances[domain++];
  }
  return (gint8)domain;
}

static gint8
draw_domain(const GemCorpus *self, GemRandom *random, const GemDrawShares *shares)
{
  if (gem_random_uniform(random) < shares->general || self->n_domains == 0) {
    return GEM_ROUTE_GENERAL;
  }
  return shares->domain_power > 0.0 ? draw_domain_by_size(self, random, shares->domain_power)
                                    : (gint8)gem_random_below(random, self->n_domains);
}

static Kind
draw_kind(GemRandom *random, const GemDrawShares *shares)
{
  if (gem_random_uniform(random) >= shares->task) {
    return KIND_CORPUS;
  }
  return shares->labelled > 0.0 && gem_random_uniform(random) < shares->labelled ? KIND_LABELLED_TASK
                                                                                 : KIND_TASK;
}

GemDraw
gem_corpus_draw(const GemCorpus *self, GemRandom *random, guint longest, const GemDrawShares *shares)
{
  const GemSource *source = NULL;
  while (source == NULL) {
    gint8 domain = draw_domain(self, random, shares);
    Kind kind = draw_kind(random, shares);
    gboolean any_domain = shares->by_times && kind != KIND_CORPUS && domain != GEM_ROUTE_GENERAL;
    source = any_domain ? draw_task_by_times(self, random) : draw_source(self, random, domain, kind);
    if (source == NULL && kind != KIND_TASK) {
      source = draw_source(self, random, domain, KIND_TASK);
    }
    if (source == NULL && kind != KIND_CORPUS) {
      source = draw_source(self, random, domain, KIND_CORPUS);
    }
  }
  const guint32 *tokens = (const guint32 *)(gpointer)source->tokens->data;
  GemDraw draw = {.source = source, .domain = source->domain, .is_task = source->is_task, .at_start = TRUE};
  if (source->is_task) {
    const GemDocument *document =
        &g_array_index(source->documents, GemDocument, gem_random_below(random, source->documents->len));
    gboolean fits = document->length <= longest;
    draw.document = document;
    /* a long input: its beginning, or its end with the answer */
    guint skipped = fits || gem_random_uniform(random) < 0.3 ? 0 : document->length - longest;
    draw.tokens = tokens + document->first + skipped;
    draw.n = MIN(document->length - skipped, longest);
    draw.answer = document->answer >= skipped ? MIN(document->answer - skipped, draw.n) : draw.n;
    draw.at_start = skipped == 0;
    return draw;
  }
  gsize chosen = gem_random_below(random, source->tokens->len);
  const GemDocument *document = draw_document_by_tokens(source, chosen);
  guint within = (guint)(chosen - document->first), window = within / longest * longest;
  draw.document = document;
  draw.tokens = tokens + document->first + window;
  draw.n = MIN(document->length - window, longest);
  draw.answer = draw.n;
  draw.at_start = window == 0;
  return draw;
}
