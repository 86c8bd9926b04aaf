#include "training/experiment/gem-choice-score.h"

#include <string.h>

#include "training/network/gem-backbone-continue.h"

/* Items are run together up to so many tokens of prompts and of choices, or so many squares of attention:
 * large enough for matrix products, small enough for a core's cache. */
#define GROUP_TOKENS  1024
#define GROUP_SQUARES (1 << 19)

typedef struct {
  guint first, end; /* items */
} Group;

typedef struct {
  const GemChoiceTask *task;
  const GemChoiceModel *model;
  GArray *groups; /* of Group */
  gint next;      /* the first group that no lane has taken */
  guint8 *chosen;
} Scoring;

static const GemChoiceItem *
item_of(const Scoring *self, guint i)
{
  return self->task->items->pdata[i];
}

static void
make_groups(Scoring *self)
{
  Group group = {0, 0};
  gsize prompts = 0, choices = 0, squares = 0;
  self->groups = g_array_new(FALSE, FALSE, sizeof(Group));
  for (guint i = 0; i < self->task->items->len; i++) {
    const GemChoiceItem *item = item_of(self, i);
    gsize length = item->prompt->len;
    gboolean full = prompts + length > GROUP_TOKENS || choices + item->choices->len > GROUP_TOKENS ||
                    squares + length * length > GROUP_SQUARES;
    if (full && group.end > group.first) {
      g_array_append_val(self->groups, group);
      group.first = i;
      prompts = choices = squares = 0;
    }
    group.end = i + 1;
    prompts += length;
    choices += item->choices->len;
    squares += length * length;
  }
  if (group.end > group.first) {
    g_array_append_val(self->groups, group);
  }
}

/* The route that most of a sequence's tokens have; general before the first domain of equals. */
static gint8
commonest_route(const GemBatch *batch, gsize first, gsize end)
{
  gsize counts[GEM_MAX_DOMAINS + 1] = {0}, best = 0;
  for (gsize i = first; i < end; i++) {
    counts[batch->route[i] + 1]++;
  }
  for (gsize d = 1; d <= GEM_MAX_DOMAINS; d++) {
    best = counts[d] > counts[best] ? d : best;
  }
  return (gint8)((gint)best - 1);
}

/* The routes of the prompts' tokens, and those of their choices: routes[sequences]. */
static void
route_prompts(const Scoring *self, GemRouterPass *pass, GemBatch *batch, gint8 *routes)
{
  const GemChoiceModel *model = self->model;
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  gsize n = gem_batch_n_sequences(batch);
  if (model->router == NULL) {
    gint8 route = model->forced == GEM_CHOICE_OWN_DOMAIN ? self->task->domain : model->forced;
    memset(batch->route, route, batch->n);
    memset(routes, route, n);
    return;
  }
  for (gsize s = 0; s < n; s++) {
    batch->prefix[s] = start[s + 1] - start[s];
  }
  memset(batch->target, 0xff, batch->n * sizeof(gint32));
  gem_router_network_run(model->router, model->router_values, batch, 0.0f, pass, NULL);
  gem_router_pass_routes(model->router, pass, model->backbone->shape.router_threshold, batch);
  for (gsize s = 0; s < n; s++) {
    routes[s] = commonest_route(batch, start[s], start[s + 1]);
  }
}

static guint8
choose(const GemChoiceItem *item, double *logs)
{
  const guint32 *starts = (const guint32 *)(gpointer)item->starts->data;
  guint best = 0;
  for (guint c = 0; c + 1 < item->starts->len; c++) {
    logs[c] /= (double)(starts[c + 1] - starts[c]);
    best = logs[c] > logs[best] ? c : best;
  }
  return (guint8)best;
}

static void
score_group(const Scoring *self, const Group *group, GemBackbonePass *pass, GemRouterPass *router_pass)
{
  const GemChoiceModel *model = self->model;
  gsize tokens = 0, n_choices = 0;
  for (guint i = group->first; i < group->end; i++) {
    tokens += item_of(self, i)->prompt->len;
    n_choices += item_of(self, i)->starts->len - 1;
  }
  g_autoptr(GemBatch) batch = gem_batch_new(tokens);
  g_autoptr(GemContinuations) choices = gem_continuations_new();
  g_autofree gint8 *routes = g_new(gint8, group->end - group->first);
  g_autofree double *logs = g_new(double, n_choices);
  for (guint i = group->first; i < group->end; i++) {
    const GemChoiceItem *item = item_of(self, i);
    const guint32 *starts = (const guint32 *)(gpointer)item->starts->data;
    gem_batch_append(batch, (const guint32 *)(gpointer)item->prompt->data, item->prompt->len,
                     GEM_ROUTE_GENERAL, 0.0f);
    gem_continuations_add_text(choices);
    for (guint c = 0; c + 1 < item->starts->len; c++) {
      gem_continuations_add(choices, &g_array_index(item->choices, guint32, starts[c]),
                            starts[c + 1] - starts[c]);
    }
  }
  route_prompts(self, router_pass, batch, routes);
  gem_backbone_weigh(model->backbone, model->values, model->centroids, model->cluster_set, batch, pass,
                     choices, routes, logs);
  double *own = logs;
  for (guint i = group->first; i < group->end; i++) {
    self->chosen[i] = choose(item_of(self, i), own);
    own += item_of(self, i)->starts->len - 1;
  }
}

static void
score_lane(guint lane, gpointer data)
{
  Scoring *self = data;
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new(self->model->backbone);
  g_autoptr(GemRouterPass) router_pass =
      self->model->router != NULL ? gem_router_pass_new(self->model->router) : NULL;
  for (;;) {
    guint group = (guint)g_atomic_int_add(&self->next, 1);
    if (group >= self->groups->len) {
      return;
    }
    score_group(self, &g_array_index(self->groups, Group, group), pass, router_pass);
  }
}

void
gem_choice_task_choose(const GemChoiceTask *task,
                       const GemChoiceModel *model,
                       GemLanes *lanes,
                       guint8 *chosen)
{
  Scoring scoring = {.task = task, .model = model, .chosen = chosen};
  make_groups(&scoring);
  gem_lanes_run(lanes, score_lane, &scoring);
  g_array_unref(scoring.groups);
}
