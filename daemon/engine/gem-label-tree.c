#include "daemon/engine/gem-label-tree.h"

#include <math.h>

#include "dbus/gem-error.h"

/* Labels first .. last of the sorted ones have their first `depth` tokens in common, and not the next. */
typedef struct {
  guint first, last, depth;
} Fork;

struct GemLabelTree {
  GPtrArray *labels;         /* of GArray of guint32 */
  guint *order;              /* [labels] sorted by their tokens */
  double *log_probabilities; /* [labels] sums over the forks taken so far */
  GArray *forks;             /* of Fork */
};

static const GArray *
sorted_label(const GemLabelTree *self, guint place)
{
  return self->labels->pdata[self->order[place]];
}

static guint32
token_at(const GemLabelTree *self, guint place, guint depth)
{
  return g_array_index(sorted_label(self, place), guint32, depth);
}

static guint
common_tokens(const GArray *a, const GArray *b)
{
  guint n = 0;

  while (n < a->len && n < b->len && g_array_index(a, guint32, n) == g_array_index(b, guint32, n)) {
    n++;
  }
  return n;
}

static gint
compare_labels(gconstpointer first, gconstpointer second, gpointer data)
{
  const GPtrArray *labels = data;
  const GArray *a = labels->pdata[*(const guint *)first], *b = labels->pdata[*(const guint *)second];
  guint n = common_tokens(a, b);

  if (n == a->len || n == b->len) {
    return 0; /* a label beside itself */
  }
  return g_array_index(a, guint32, n) < g_array_index(b, guint32, n) ? -1 : 1;
}

/* The fork that sorted labels `place` and `place` + 1 part at; not when a pair before them parts there. */
static void
add_fork(GemLabelTree *self, guint place)
{
  Fork fork = {.first = place,
               .last = place + 1,
               .depth = common_tokens(sorted_label(self, place), sorted_label(self, place + 1))};

  while (fork.first > 0) {
    guint common = common_tokens(sorted_label(self, fork.first - 1), sorted_label(self, place));

    if (common < fork.depth) {
      break;
    }
    if (common == fork.depth) {
      return;
    }
    fork.first--;
  }
  while (fork.last + 1 < self->labels->len &&
         common_tokens(sorted_label(self, fork.last + 1), sorted_label(self, place)) >= fork.depth) {
    fork.last++;
  }
  g_array_append_val(self->forks, fork);
}

GemLabelTree *
gem_label_tree_new(GPtrArray *labels)
{
  GemLabelTree *self = g_new0(GemLabelTree, 1);

  self->labels = labels;
  self->order = g_new(guint, labels->len);
  self->log_probabilities = g_new0(double, labels->len);
  self->forks = g_array_new(FALSE, FALSE, sizeof(Fork));
  for (guint i = 0; i < labels->len; i++) {
    self->order[i] = i;
  }
  g_qsort_with_data(self->order, (gint)labels->len, sizeof *self->order, compare_labels, labels);
  for (guint place = 0; place + 1 < labels->len; place++) {
    add_fork(self, place);
  }
  return self;
}

void
gem_label_tree_free(GemLabelTree *self)
{
  g_ptr_array_unref(self->labels);
  g_array_unref(self->forks);
  g_free(self->order);
  g_free(self->log_probabilities);
  g_free(self);
}

guint
gem_label_tree_n_forks(const GemLabelTree *self)
{
  return self->forks->len;
}

const guint32 *
gem_label_tree_get_path(const GemLabelTree *self, guint fork, guint *ret_depth)
{
  const Fork *at = &g_array_index(self->forks, Fork, fork);

  *ret_depth = at->depth;
  return (const guint32 *)(gconstpointer)sorted_label(self, at->first)->data;
}

void
gem_label_tree_take_logits(GemLabelTree *self, guint fork, const float *logits)
{
  const Fork *at = &g_array_index(self->forks, Fork, fork);
  double largest = -INFINITY;
  double sum = 0;

  for (guint place = at->first; place <= at->last; place++) {
    largest = fmax(largest, (double)logits[token_at(self, place, at->depth)]);
  }
  /* A token that several labels go on with counts once. */
  for (guint place = at->first; place <= at->last; place++) {
    if (place == at->first || token_at(self, place, at->depth) != token_at(self, place - 1, at->depth)) {
      sum += exp((double)logits[token_at(self, place, at->depth)] - largest);
    }
  }
  for (guint place = at->first; place <= at->last; place++) {
    self->log_probabilities[self->order[place]] +=
        (double)logits[token_at(self, place, at->depth)] - largest - log(sum);
  }
}

GArray *
gem_label_tree_get_probabilities(const GemLabelTree *self, GError **error)
{
  g_autoptr(GArray) probabilities = g_array_sized_new(FALSE, FALSE, sizeof(double), self->labels->len);

  for (guint i = 0; i < self->labels->len; i++) {
    double probability = exp(self->log_probabilities[i]);

    if (!isfinite(self->log_probabilities[i])) {
      g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "the model gave no finite logits");
      return NULL;
    }
    g_array_append_val(probabilities, probability);
  }
  return g_steal_pointer(&probabilities);
}
