#include "daemon/engine/gem-room.h"

#include "daemon/engine/gem-sequence-state.h"

static gsize
used(gpointer data)
{
  return gem_runtime_bytes(data);
}

static gsize
idle_cache_bytes(const GemRuntime *runtime)
{
  gsize sum = 0;

  for (guint i = 0; i < runtime->conversations->len; i++) {
    sum += gem_sequence_state_get_spare_bytes(runtime, runtime->conversations->pdata[i]);
  }
  return sum;
}

static gsize
spare(gpointer data, GemPathwaySet kept)
{
  const GemRuntime *runtime = data;

  return gem_pager_get_spare_bytes(runtime->pager, kept) + idle_cache_bytes(runtime);
}

static gboolean
drop_pathway(gpointer data, GemPathwaySet kept)
{
  const GemRuntime *runtime = data;

  return gem_pager_drop_copy(runtime->pager) ||
         gem_pager_page_out_oldest(runtime->pager, kept, GEM_PAGE_OUT_BUDGET);
}

static gboolean
drop_cache(gpointer data)
{
  GemRuntime *runtime = data;
  GemSequenceState *oldest = NULL;

  for (guint i = 0; i < runtime->conversations->len; i++) {
    GemSequenceState *state = runtime->conversations->pdata[i];

    if (gem_sequence_state_get_spare_bytes(runtime, state) > 0 &&
        (oldest == NULL || state->touched < oldest->touched)) {
      oldest = state;
    }
  }
  if (oldest == NULL) {
    return FALSE;
  }
  gem_sequence_state_drop_memory(runtime, oldest);
  runtime->counters.cache_drops_budget++;
  return TRUE;
}

/* For a copy of a pathway on a device, for which nothing goes. */
static gboolean
has_room(gpointer data, gsize bytes)
{
  const GemRuntime *runtime = data;

  return gem_budget_has_room(&runtime->budget, bytes);
}

void
gem_room_init(GemRuntime *runtime)
{
  static const GemBudgetFunctions functions = {used, spare, drop_pathway, drop_cache};

  gsize copies = gem_pager_get_copy_bytes(runtime->pager);

  runtime->budget =
      (GemBudget){.functions = &functions, .data = runtime, .fixed = gem_runtime_bytes(runtime) - copies};
  gem_pager_set_room(runtime->pager, has_room, runtime);
}

void
gem_room_set_limit(GemRuntime *runtime, guint64 bytes)
{
  runtime->budget.limit = bytes;
  /* As much of what is too much as may go: running turns keep their caches. */
  while (bytes > 0 && gem_runtime_bytes(runtime) > bytes &&
         (drop_pathway(runtime, 0) || drop_cache(runtime))) {
  }
}

gboolean
gem_room_fits_alone(const GemRuntime *runtime, gsize bytes, GemPathwaySet needed)
{
  const GemBudget *budget = &runtime->budget;
  gsize all = gem_runtime_bytes(runtime);
  gsize others = runtime->sequence_bytes + gem_pager_get_spare_bytes(runtime->pager, needed);
  GemPathwaySet absent = needed & ~gem_pager_get_resident(runtime->pager);

  if (budget->limit == 0 || budget->limit < budget->fixed) {
    return TRUE;
  }
  while (absent != 0) {
    all += gem_pager_get_expected_bytes(runtime->pager, gem_pathway_set_take(&absent));
  }
  return all - others <= budget->limit && bytes <= budget->limit - (all - others);
}

/* Of those that go one may leave its memory to the one that comes; to be followed by gem_pager_end_place. */
static gboolean
make_room(GemRuntime *runtime, guint index)
{
  gem_pager_begin_place(runtime->pager, index);
  return gem_budget_make_room(&runtime->budget, gem_pager_get_expected_bytes(runtime->pager, index), 0);
}

static gboolean
refuse(GemRuntime *runtime, guint index, GError **error)
{
  gem_budget_refuse(&runtime->budget, "a pathway", gem_pager_get_expected_bytes(runtime->pager, index),
                    error);
  runtime->counters.refusals++;
  return FALSE;
}

static gboolean
is_absent(const GemRuntime *runtime, guint index)
{
  return index != runtime->shape->n_domains &&
         (gem_pager_get_resident(runtime->pager) & gem_pathway_set_of(index)) == 0;
}

static gboolean
expect(GemRuntime *runtime, guint index, GError **error)
{
  if (is_absent(runtime, index) && gem_pager_may_come(runtime->pager, index) && !make_room(runtime, index)) {
    return gem_room_fits_alone(runtime, 0, gem_pathway_set_of(index)) || refuse(runtime, index, error);
  }
  return gem_pager_need(runtime->pager, index, error);
}

gboolean
gem_room_expect(GemRuntime *runtime, guint index, GError **error)
{
  gboolean done = expect(runtime, index, error);

  gem_pager_end_place(runtime->pager);
  return done;
}

gboolean
gem_room_page_in(GemRuntime *runtime, guint index, GError **error)
{
  gboolean has_room = !is_absent(runtime, index) || make_room(runtime, index);
  gboolean done = has_room ? gem_pager_page_in(runtime->pager, index, error) : refuse(runtime, index, error);

  gem_pager_end_place(runtime->pager);
  return done;
}

/* Whether it can be had without anything that is in use or may be soon: pathways of this step, caches. */
static gboolean
is_cheap(const GemRuntime *runtime, guint index, GemPathwaySet in_use)
{
  gsize bytes = gem_pager_get_expected_bytes(runtime->pager, index);

  return gem_budget_fits(&runtime->budget, bytes + idle_cache_bytes(runtime), in_use);
}

void
gem_room_page_in_wanted(GemRuntime *runtime)
{
  GemPathwaySet in_use;
  guint index;

  if (runtime->wanted == 0) {
    return;
  }
  /* By a row of one of the latest steps. */
  in_use = gem_pager_get_touched(runtime->pager,
                                 runtime->step > GEM_ROOM_STEPS ? runtime->step - GEM_ROOM_STEPS : 1);
  index = gem_pathway_set_take(&runtime->wanted);
  if (!is_cheap(runtime, index, in_use)) {
    return;
  }
  gem_pager_begin_place(runtime->pager, index);
  if (gem_budget_make_room(&runtime->budget, gem_pager_get_expected_bytes(runtime->pager, index), in_use)) {
    gem_pager_need(runtime->pager, index, NULL);
  }
  gem_pager_end_place(runtime->pager);
}
