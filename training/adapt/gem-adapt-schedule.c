#include "training/adapt/gem-adapt-schedule.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-random.h"

typedef struct {
  const guint32 *tokens;
  guint n;
  guint answer;      /* index in the window; n: none */
  gboolean with_bos; /* <s> is put before it */
  guint group;
  gint8 domain;
} Window;

/* One group's windows in the order in which they are read. */
typedef struct {
  GArray *windows; /* guint32 */
  guint next;
  guint64 round;
  gsize tokens;
} Group;

struct _GemAdaptSchedule {
  GemAdaptScheduleOptions options;
  guint32 bos;
  GArray *windows; /* of Window */
  GArray *order;   /* guint32: windows, batch after batch */
  GArray *starts;  /* guint32: of each batch in `order`, and the end */
};

gboolean
gem_adapt_text_is_usable(const GemAdaptText *text)
{
  return text->n >= 2;
}

static void
add_window(GemAdaptSchedule *self, const GemAdaptText *text, guint first, guint n, guint answer)
{
  gboolean inside = first > 0 && self->bos != G_MAXUINT32;
  Window window = {text->tokens + first, n, answer, inside, text->group, text->domain};
  if (n + (inside ? 1u : 0u) >= 2) {
    g_array_append_val(self->windows, window);
  }
}

static void
cut_text(GemAdaptSchedule *self, const GemAdaptText *text)
{
  guint longest = self->options.sequence - 1; /* room for <s> */
  if (text->answer > 0) {
    guint skipped = text->n > longest ? text->n - longest : 0;
    guint answer = text->answer > skipped ? text->answer - skipped : 0;
    add_window(self, text, skipped, text->n - skipped, answer);
    return;
  }
  for (guint first = 0; first < text->n; first += longest) {
    guint n = MIN(text->n - first, longest);
    add_window(self, text, first, n, n);
  }
}

static void
group_clear(gpointer data)
{
  g_array_unref(((Group *)data)->windows);
}

static GArray *
make_groups(const GemAdaptSchedule *self)
{
  GArray *groups = g_array_new(FALSE, TRUE, sizeof(Group));
  g_array_set_clear_func(groups, group_clear);
  for (guint32 w = 0; w < self->windows->len; w++) {
    const Window *window = &g_array_index(self->windows, Window, w);
    while (groups->len <= window->group) {
      Group empty = {.windows = g_array_new(FALSE, FALSE, sizeof(guint32))};
      g_array_append_val(groups, empty);
    }
    Group *group = &g_array_index(groups, Group, window->group);
    g_array_append_val(group->windows, w);
    group->tokens += window->n;
  }
  return groups;
}

static Group *
draw_group(const GemAdaptSchedule *self, GArray *groups, GemRandom *random)
{
  double total = 0.0;
  Group *last = NULL;
  for (int round = 0; round < 2; round++) {
    double at = round == 0 ? INFINITY : gem_random_uniform(random) * total;
    for (guint g = 0; g < groups->len; g++) {
      Group *group = &g_array_index(groups, Group, g);
      double chance = group->tokens > 0 ? pow((double)group->tokens, self->options.power) : 0.0;
      total += round == 0 ? chance : 0.0;
      last = chance > 0.0 ? group : last;
      if (at < chance) {
        return group;
      }
      at -= chance;
    }
  }
  return last;
}

/* The group's next window; a new round is a new order. */
static guint32
next_window(const GemAdaptSchedule *self, Group *group, guint index)
{
  if (group->next == 0) {
    GemRandom random = gem_random_seeded(self->options.seed + group->round, index);
    for (guint i = group->windows->len; i > 1; i--) {
      guint j = (guint)gem_random_below(&random, i);
      guint32 kept = g_array_index(group->windows, guint32, i - 1);
      g_array_index(group->windows, guint32, i - 1) = g_array_index(group->windows, guint32, j);
      g_array_index(group->windows, guint32, j) = kept;
    }
    group->round++;
  }
  guint32 window = g_array_index(group->windows, guint32, group->next);
  group->next = (group->next + 1) % group->windows->len;
  return window;
}

static void
lay_down(GemAdaptSchedule *self)
{
  g_autoptr(GArray) groups = make_groups(self);
  GemRandom random = gem_random_seeded(self->options.seed, G_MAXUINT32);
  gsize used = 0;
  for (guint64 batch = 0; batch < self->options.batches;) {
    Group *group = draw_group(self, groups, &random);
    guint32 w = next_window(self, group, (guint)(group - (Group *)(gpointer)groups->data));
    const Window *window = &g_array_index(self->windows, Window, w);
    gsize n = window->n + (window->with_bos ? 1u : 0u);
    if (used + n > self->options.batch_tokens) {
      used = 0;
      batch++;
      g_array_append_val(self->starts, self->order->len);
    }
    g_array_append_val(self->order, w);
    used += n;
  }
}

GemAdaptSchedule *
gem_adapt_schedule_new(const GemAdaptText *texts,
                       gsize n_texts,
                       guint32 bos,
                       const GemAdaptScheduleOptions *options)
{
  const guint32 zero = 0;
  GemAdaptSchedule *self = g_new0(GemAdaptSchedule, 1);
  self->options = *options;
  self->bos = bos;
  self->windows = g_array_new(FALSE, FALSE, sizeof(Window));
  self->order = g_array_new(FALSE, FALSE, sizeof(guint32));
  self->starts = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_array_append_val(self->starts, zero);
  for (gsize i = 0; i < n_texts; i++) {
    if (gem_adapt_text_is_usable(&texts[i])) {
      cut_text(self, &texts[i]);
    }
  }
  g_assert(self->windows->len > 0 && options->batch_tokens >= options->sequence);
  lay_down(self);
  return self;
}

void
gem_adapt_schedule_free(GemAdaptSchedule *self)
{
  g_array_unref(self->windows);
  g_array_unref(self->order);
  g_array_unref(self->starts);
  g_free(self);
}

static void
append_window(const GemAdaptSchedule *self, const Window *window, gint8 route, GemBatch *batch)
{
  g_autofree guint32 *tokens = g_new(guint32, window->n + 1);
  guint n = 0, first = (guint)batch->n;
  gint8 own = route == GEM_ADAPT_ROUTE_OF_TEXT ? window->domain : route;
  if (window->with_bos) {
    tokens[n++] = self->bos;
  }
  guint answer = n + window->answer;
  for (guint i = 0; i < window->n; i++) {
    tokens[n++] = window->tokens[i];
  }
  gem_batch_append(batch, tokens, n, own, 1.0f);
  explicit_bzero(tokens, n * sizeof(guint32));
  double least = self->options.answer_least / (double)MAX(n - MIN(answer, n), 1);
  for (guint i = MAX(answer, 1); i < n; i++) {
    /* token i - 1 predicts token i */
    batch->weight[first + i - 1] = (float)MAX(self->options.answer_weight, least);
  }
}

void
gem_adapt_schedule_fill(const GemAdaptSchedule *self, guint64 index, gint8 route, GemBatch *batch)
{
  guint first = g_array_index(self->starts, guint32, index),
        end = g_array_index(self->starts, guint32, index + 1);
  for (guint i = first; i < end; i++) {
    guint32 w = g_array_index(self->order, guint32, i);
    append_window(self, &g_array_index(self->windows, Window, w), route, batch);
  }
}
