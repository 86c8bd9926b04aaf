#include "bench/edge/gem-edge-plan.h"

static const char general[] = "general";

static void
item_clear(gpointer data)
{
  gem_edge_reply_clear(&((GemEdgeItem *)data)->reply);
}

static void
add_item(GemEdgePlan *self, guint task, guint line, gint pathway, GemEdgeKind kind)
{
  const GemEdgeTask *asked = self->suite->tasks->pdata[task];
  GemEdgeItem item = {.task = task, .line = line, .pathway = pathway, .kind = kind};

  if (g_array_index(asked->fates, GemBenchFate, line) == GEM_BENCH_USED) {
    g_array_append_val(self->items, item);
  }
}

static GemEdgeKind
kind_of(const GemEdgeTask *task)
{
  return task->form == GEM_EDGE_CHOICE ? GEM_EDGE_CHOOSE : GEM_EDGE_WRITE;
}

/* Every line as the service routes it. */
static void
add_routed(GemEdgePlan *self)
{
  guint i, line;

  for (i = 0; i < self->suite->tasks->len; i++) {
    const GemEdgeTask *task = self->suite->tasks->pdata[i];

    for (line = 0; line < task->lines->len; line++) {
      add_item(self, i, line, GEM_EDGE_ROUTED, kind_of(task));
    }
  }
}

/* Some lines of every task with one pathway: the questions themselves, and their inputs as text. */
static void
add_forced(GemEdgePlan *self, gint pathway, guint seed)
{
  guint i, j;

  for (i = 0; i < self->suite->tasks->len; i++) {
    const GemEdgeTask *task = self->suite->tasks->pdata[i];
    g_autoptr(GArray) drawn = gem_bench_data_draw(task->lines->len, self->transfer_limit, seed);

    for (j = 0; j < drawn->len; j++) {
      add_item(self, i, g_array_index(drawn, guint, j), pathway, kind_of(task));
    }
  }
}

static void
add_read(GemEdgePlan *self, gint pathway, guint seed)
{
  guint i, j;

  for (i = 0; i < self->suite->tasks->len; i++) {
    const GemEdgeTask *task = self->suite->tasks->pdata[i];
    g_autoptr(GArray) drawn = gem_bench_data_draw(task->lines->len, GEM_EDGE_READ_LINES, seed);

    for (j = 0; j < drawn->len; j++) {
      guint line = g_array_index(drawn, guint, j);

      add_item(self, i, line, pathway, GEM_EDGE_SCORE);
      if (pathway == GEM_EDGE_ROUTED) {
        add_item(self, i, line, pathway, GEM_EDGE_ROUTE);
      }
    }
  }
}

GemEdgePlan *
gem_edge_plan_new(const GemEdgeSuite *suite, const char *const *domains, guint transfer_limit, guint seed)
{
  GemEdgePlan *self = g_new0(GemEdgePlan, 1);
  guint pathway;

  self->suite = suite;
  self->transfer_limit = transfer_limit;
  self->seed = seed;
  self->items = g_array_new(FALSE, TRUE, sizeof(GemEdgeItem));
  g_array_set_clear_func(self->items, item_clear);
  add_routed(self);
  add_read(self, GEM_EDGE_ROUTED, seed);
  /* A pathway after the other: each is read once. */
  for (pathway = 0; transfer_limit > 0 && pathway <= suite->domains->len; pathway++) {
    if (pathway == suite->domains->len || g_strv_contains(domains, suite->domains->pdata[pathway])) {
      add_forced(self, (gint)pathway, seed);
      add_read(self, (gint)pathway, seed);
    }
  }
  return self;
}

void
gem_edge_plan_free(GemEdgePlan *self)
{
  g_array_unref(self->items);
  g_free(self);
}

const char *
gem_edge_plan_get_pathway(const GemEdgePlan *self, gint pathway)
{
  if (pathway == GEM_EDGE_ROUTED) {
    return NULL;
  }
  return (guint)pathway == self->suite->domains->len ? general : self->suite->domains->pdata[pathway];
}

GPtrArray *
gem_edge_plan_select(const GemEdgePlan *self, guint task, gint pathway, gboolean read)
{
  GPtrArray *selected = g_ptr_array_new();
  guint i;

  for (i = 0; i < self->items->len; i++) {
    GemEdgeItem *item = &g_array_index(self->items, GemEdgeItem, i);
    gboolean matches =
        read ? item->kind == GEM_EDGE_SCORE : item->kind == GEM_EDGE_CHOOSE || item->kind == GEM_EDGE_WRITE;

    if (item->done && item->task == task && item->pathway == pathway && matches) {
      g_ptr_array_add(selected, item);
    }
  }
  return selected;
}
