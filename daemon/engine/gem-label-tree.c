#include "daemon/engine/gem-label-tree.h"

#include <math.h>

#include "daemon/engine/gem-logits.h"
#include "dbus/gem-error.h"

/* Of the sorted label `place`, all tokens but the last, from which nothing follows; logits are new after its
 * first `first` tokens and more. */
typedef struct {
  guint place, first;
} Run;

struct GemLabelTree {
  GPtrArray *labels;       /* of GArray of guint32 */
  guint *order;            /* [labels] sorted by their tokens */
  double *log_likelihoods; /* [labels] sums over the tokens taken so far */
  GArray *runs;            /* of Run */
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

static void
add_run(GemLabelTree *self, guint place)
{
  guint common = place > 0 ? common_tokens(sorted_label(self, place - 1), sorted_label(self, place)) : 0;
  const Run run = {.place = place, .first = common + 1};

  if (run.first < sorted_label(self, place)->len) {
    g_array_append_val(self->runs, run);
  }
}

GemLabelTree *
gem_label_tree_new(GPtrArray *labels)
{
  GemLabelTree *self = g_new0(GemLabelTree, 1);

  self->labels = labels;
  self->order = g_new(guint, labels->len);
  self->log_likelihoods = g_new0(double, labels->len);
  self->runs = g_array_new(FALSE, FALSE, sizeof(Run));
  for (guint i = 0; i < labels->len; i++) {
    self->order[i] = i;
  }
  g_qsort_with_data(self->order, (gint)labels->len, sizeof *self->order, compare_labels, labels);
  for (guint place = 0; place < labels->len; place++) {
    add_run(self, place);
  }
  return self;
}

void
gem_label_tree_free(GemLabelTree *self)
{
  g_ptr_array_unref(self->labels);
  g_array_unref(self->runs);
  g_free(self->order);
  g_free(self->log_likelihoods);
  g_free(self);
}

guint
gem_label_tree_n_runs(const GemLabelTree *self)
{
  return self->runs->len;
}

const guint32 *
gem_label_tree_get_run(const GemLabelTree *self, guint run, guint *ret_n, guint *ret_first)
{
  const Run *at = &g_array_index(self->runs, Run, run);
  const GArray *label = sorted_label(self, at->place);

  *ret_n = label->len - 1;
  *ret_first = at->first;
  return (const guint32 *)(gconstpointer)label->data;
}

void
gem_label_tree_take_logits(GemLabelTree *self, guint run, guint depth, const float *logits, gsize n)
{
  guint place = depth > 0 ? g_array_index(self->runs, Run, run).place : 0;
  const GArray *own = sorted_label(self, place);
  double norm = gem_logits_normaliser(logits, n);

  /* of the labels that begin so, the run's is the first */
  while (place < self->labels->len && common_tokens(sorted_label(self, place), own) >= depth) {
    self->log_likelihoods[self->order[place]] += (double)logits[token_at(self, place, depth)] - norm;
    place++;
  }
}

GArray *
gem_label_tree_get_probabilities(const GemLabelTree *self, GError **error)
{
  g_autoptr(GArray) probabilities = g_array_sized_new(FALSE, FALSE, sizeof(double), self->labels->len);
  double largest = -INFINITY, sum = 0;

  for (guint i = 0; i < self->labels->len; i++) {
    double score =
        GEM_LABEL_SHARPNESS * self->log_likelihoods[i] / ((const GArray *)self->labels->pdata[i])->len;

    if (!isfinite(score)) {
      g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "the model gave no finite logits");
      return NULL;
    }
    g_array_append_val(probabilities, score);
    largest = fmax(largest, score);
  }
  for (guint pass = 0; pass < 2; pass++) {
    for (guint i = 0; i < probabilities->len; i++) {
      double *p = &g_array_index(probabilities, double, i);

      *p = pass == 0 ? exp(*p - largest) : *p / sum;
      sum += pass == 0 ? *p : 0;
    }
  }
  return g_steal_pointer(&probabilities);
}
