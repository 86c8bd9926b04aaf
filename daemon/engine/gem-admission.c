#include "daemon/engine/gem-admission.h"

#include "daemon/engine/gem-room.h"

/* What the spans that were looked at so far take. */
typedef struct {
  GemRuntime *runtime;
  GemPathwaySet kept; /* pathways that their rows run through */
  gsize bytes;        /* beyond what is used: growth of caches, and those of `kept` that are absent */
} Admission;

static gsize
growth_of(const GemStepSpan *span)
{
  return gem_kv_cache_get_growth(span->sequence->cache, span->sequence->cached, span->rows);
}

static guint8
route_of(const GemStepSpan *span, guint row)
{
  return span->sequence->routes->data[span->sequence->cached + row];
}

static GemPathwaySet
routes_of(const GemStepSpan *span)
{
  GemPathwaySet set = 0;

  for (guint row = 0; row < span->rows; row++) {
    set |= gem_pathway_set_of(route_of(span, row));
  }
  return set;
}

/* The route of the sequence's last token. */
static guint8
last_route(const GemStepSpan *span)
{
  return span->sequence->routes->data[span->sequence->routes->len - 1];
}

/* Only in a step that runs rows of it: rows of a text before it have their own. */
static gboolean
lacks_required(const GemRuntime *runtime, const GemStepSpan *span)
{
  GemPathwaySet bit = gem_pathway_set_of(last_route(span));

  return span->required && (bit & routes_of(span) & ~gem_pager_get_resident(runtime->pager)) != 0;
}

/* Pathways that the span's rows would have to wait for. */
static GemPathwaySet
awaited_by(const GemRuntime *runtime, const GemStepSpan *span)
{
  GemPathwaySet absent = routes_of(span) & ~gem_pager_get_resident(runtime->pager);
  GemPathwaySet awaited = 0;

  while (absent != 0 && !span->degrade) {
    guint index = gem_pathway_set_take(&absent);

    awaited |= gem_pager_may_come(runtime->pager, index) ? gem_pathway_set_of(index) : 0;
  }
  return awaited;
}

gboolean
gem_admission_is_free(const GemRuntime *runtime, const GemStepSpan *spans, guint n)
{

  for (guint i = 0; i < n; i++) {
    if (lacks_required(runtime, &spans[i])) {
      return FALSE;
    }
    if (runtime->budget.limit > 0 && (growth_of(&spans[i]) > 0 || awaited_by(runtime, &spans[i]) != 0)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Whether a row is to be kept waiting for its pathway; one that is known not to hold is not waited for, nor
 * is one that is absent by a row that can do without. */
static gboolean
waits_for(const Admission *self, const GemStepSpan *span, guint8 route)
{
  const GemPager *pager = self->runtime->pager;
  GemPathwaySet bit = gem_pathway_set_of(route);

  if (bit == 0 || (self->kept & bit) != 0) {
    return FALSE;
  }
  if ((gem_pager_get_resident(pager) & bit) != 0) {
    return TRUE;
  }
  return !span->degrade && gem_pager_may_come(pager, route);
}

/* Adds a pathway to those that the step has. */
static gboolean
keep(Admission *self, guint8 route)
{
  GemPathwaySet bit = gem_pathway_set_of(route);
  gboolean resident = (gem_pager_get_resident(self->runtime->pager) & bit) != 0;
  gsize bytes = resident ? 0 : gem_pager_get_expected_bytes(self->runtime->pager, route);

  if (!gem_budget_fits(&self->runtime->budget, self->bytes + bytes, self->kept | bit)) {
    return FALSE;
  }
  self->kept |= bit;
  self->bytes += bytes;
  return TRUE;
}

/* How many of the span's rows have their pathways. */
static guint
admit_rows(Admission *self, const GemStepSpan *span)
{
  for (guint row = 0; row < span->rows; row++) {
    guint8 route = route_of(span, row);

    if (waits_for(self, span, route) && !keep(self, route) && !span->degrade) {
      return row;
    }
  }
  return span->rows;
}

static gboolean
has_room(const Admission *self, gsize bytes)
{
  return gem_budget_fits(&self->runtime->budget, self->bytes + bytes, self->kept);
}

/* What the span's cache is to grow by: where there is no room to grow as usual, by what the rows need; where
 * there is none for all of them, the rows are fewer. */
static gsize
choose_growth(const Admission *self, GemStepSpan *span)
{
  gsize growth;

  gem_kv_cache_set_lean(span->sequence->cache, FALSE);
  growth = growth_of(span);
  if (has_room(self, growth)) {
    return growth;
  }
  gem_kv_cache_set_lean(span->sequence->cache, TRUE);
  growth = growth_of(span);
  while (span->rows > 1 && !has_room(self, growth)) {
    span->rows /= 2;
    growth = growth_of(span);
  }
  return growth;
}

static void
refuse(GemRuntime *runtime, const char *what, gsize bytes, GError **refusal)
{
  gem_budget_refuse(&runtime->budget, what, bytes, refusal);
  runtime->counters.refusals++;
}

/* The span's next row has no room now. Refused unless it would have, if no other text took anything. FALSE:
 * it is. */
static gboolean
wait_or_refuse(Admission *self, GemStepSpan *span, GError **refusal)
{
  GemRuntime *runtime = self->runtime;
  guint8 route = route_of(span, 0);
  GemPathwaySet bit = gem_pathway_set_of(route);
  gboolean awaits = !span->degrade && bit != 0 && gem_pager_may_come(runtime->pager, route);
  gsize held = gem_sequence_state_get_bytes(runtime, span->sequence);
  gsize growth = gem_kv_cache_get_growth(span->sequence->cache, span->sequence->cached, 1);

  span->rows = 0;
  if (!gem_room_fits_alone(runtime, held + growth, 0)) {
    refuse(runtime, "the text's cache", growth, refusal);
    return FALSE;
  }
  if (awaits && !gem_room_fits_alone(runtime, held + growth, bit)) {
    refuse(runtime, "the pathway of the text's next token",
           gem_pager_get_expected_bytes(runtime->pager, route), refusal);
    return FALSE;
  }
  return TRUE;
}

/* Where the first row's pathway has no room beside what the cache grows by. FALSE: it grows by the least. */
static gboolean
grow_less(GemStepSpan *span, gsize *growth)
{
  gsize before = *growth;

  gem_kv_cache_set_lean(span->sequence->cache, TRUE);
  *growth = growth_of(span);
  while (*growth >= before && span->rows > 1) {
    span->rows /= 2;
    *growth = growth_of(span);
  }
  return *growth < before;
}

/* FALSE: refused. A span without room in this step has 0 rows then. */
static gboolean
admit_span(Admission *self, GemStepSpan *span, GError **refusal)
{
  gsize growth = choose_growth(self, span);
  guint admitted = 0;

  while (has_room(self, growth)) {
    self->bytes += growth;
    admitted = admit_rows(self, span);
    if (admitted > 0) {
      span->rows = admitted;
      return TRUE;
    }
    self->bytes -= growth;
    if (!grow_less(span, &growth)) {
      break;
    }
  }
  return wait_or_refuse(self, span, refusal);
}

/* Before the step: one that insists on its pathway fails alone. */
static void
page_in_required(Admission *self, GemStepSpan *spans, guint n, GError **refusals)
{
  for (guint i = 0; i < n; i++) {
    if (spans[i].rows > 0 && lacks_required(self->runtime, &spans[i]) &&
        !gem_pager_need(self->runtime->pager, last_route(&spans[i]), &refusals[i])) {
      spans[i].rows = 0;
    }
  }
}

gboolean
gem_admission_admit(GemRuntime *runtime, GemStepSpan *spans, guint n, GError **refusals)
{
  Admission self = {.runtime = runtime};
  guint rows = 0;
  gboolean refused = FALSE;

  for (guint i = 0; i < n; i++) {
    refused |= !admit_span(&self, &spans[i], &refusals[i]);
    rows += spans[i].rows;
  }
  if (rows > 0) {
    gem_budget_make_room(&runtime->budget, self.bytes, self.kept);
    page_in_required(&self, spans, n, refusals);
  }
  return rows > 0 || refused;
}
