/* The tree of labels: its forks, and the probabilities that come of their logits. */
#include <math.h>
#include <string.h>

#include "daemon/engine/gem-label-tree.h"
#include "dbus/gem-error.h"

#define END        0u
#define VOCABULARY 10u

/* Labels written with digits for tokens: "12" is tokens 1, 2 and the end. */
static GemLabelTree *
tree_of(const char *const *labels)
{
  GPtrArray *tokens = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

  for (guint i = 0; labels[i] != NULL; i++) {
    GArray *label = g_array_new(FALSE, FALSE, sizeof(guint32));
    guint32 end = END;

    for (const char *digit = labels[i]; *digit != '\0'; digit++) {
      guint32 token = (guint32)(*digit - '0');

      g_array_append_val(label, token);
    }
    g_array_append_val(label, end);
    g_ptr_array_add(tokens, label);
  }
  return gem_label_tree_new(tokens);
}

static char *
digits_of(const guint32 *tokens, guint n)
{
  g_autoptr(GString) text = g_string_new(NULL);

  for (guint i = 0; i < n; i++) {
    g_string_append_printf(text, "%u", tokens[i]);
  }
  return g_string_free(g_steal_pointer(&text), FALSE);
}

/* All runs, in any order, each once: what is new of it in brackets. */
static void
check_runs(const char *const *labels, const char *const *runs)
{
  g_autoptr(GemLabelTree) tree = tree_of(labels);
  g_autoptr(GHashTable) found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < gem_label_tree_n_runs(tree); i++) {
    guint n, first;
    const guint32 *tokens = gem_label_tree_get_run(tree, i, &n, &first);
    g_autofree char *before = digits_of(tokens, first - 1),
                    *after = digits_of(tokens + first - 1, n + 1 - first);

    g_assert_true(g_hash_table_add(found, g_strdup_printf("%s[%s]", before, after)));
  }
  g_assert_cmpuint(g_hash_table_size(found), ==, g_strv_length((GStrv)runs));
  for (guint i = 0; runs[i] != NULL; i++) {
    g_assert_true(g_hash_table_contains(found, runs[i]));
  }
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What labels begin with alike is asked for once. */
static void
test_runs(void)
{
  check_runs(LIST("1", "2"), LIST("[1]", "[2]"));
  check_runs(LIST("1345", "2"), LIST("[1345]", "[2]"));
  check_runs(LIST("12", "13"), LIST("[12]", "1[3]"));
  check_runs(LIST("12", "1"), LIST("[1]", "1[2]"));
  check_runs(LIST("123", "5", "124", "13"), LIST("[123]", "12[4]", "1[3]", "[5]"));
  check_runs(LIST("1", "12", "123"), LIST("[1]", "1[2]", "12[3]"));
  check_runs(LIST("", "1"), LIST("[1]"));
}

/* Logits of a place, the same for all labels that come there. */
static float
logit_of(const guint32 *path, guint depth, guint token)
{
  float logit = 0.5f * (float)token;

  for (guint i = 0; i < depth; i++) {
    logit += 0.3f * (float)((path[i] * (token + 1)) % 7);
  }
  return logit;
}

static double
log_likelihood(const guint32 *path, guint depth, guint token)
{
  double sum = 0;

  for (guint other = 0; other < VOCABULARY; other++) {
    sum += exp((double)logit_of(path, depth, other));
  }
  return (double)logit_of(path, depth, token) - log(sum);
}

static void
take(GemLabelTree *tree, guint run, const guint32 *path, guint depth)
{
  float logits[VOCABULARY];

  for (guint token = 0; token < VOCABULARY; token++) {
    logits[token] = logit_of(path, depth, token);
  }
  gem_label_tree_take_logits(tree, run, depth, logits, VOCABULARY);
}

/* The mean log likelihood of each label's tokens, the end one of them. */
static double
score_of(const char *label)
{
  guint32 path[8];
  guint n = (guint)strlen(label);
  double sum = 0;

  for (guint i = 0; i < n; i++) {
    path[i] = (guint32)(label[i] - '0');
    sum += log_likelihood(path, i, path[i]);
  }
  return (sum + log_likelihood(path, n, END)) / (n + 1);
}

static void
test_probabilities(void)
{
  static const char *const labels[] = {"123", "5", "124", "1", "77777", NULL};
  g_autoptr(GemLabelTree) tree = tree_of(labels);
  g_autoptr(GArray) probabilities = NULL;
  double sum = 0, shares = 0;

  take(tree, 0, NULL, 0);
  for (guint i = 0; i < gem_label_tree_n_runs(tree); i++) {
    guint n, first;
    const guint32 *tokens = gem_label_tree_get_run(tree, i, &n, &first);

    for (guint depth = first; depth <= n; depth++) {
      take(tree, i, tokens, depth);
    }
  }
  for (guint i = 0; labels[i] != NULL; i++) {
    sum += exp(GEM_LABEL_SHARPNESS * score_of(labels[i]));
  }
  probabilities = gem_label_tree_get_probabilities(tree, NULL);
  g_assert_cmpuint(probabilities->len, ==, g_strv_length((GStrv)labels));
  for (guint i = 0; i < probabilities->len; i++) {
    g_assert_cmpfloat_with_epsilon(g_array_index(probabilities, double, i),
                                   exp(GEM_LABEL_SHARPNESS * score_of(labels[i])) / sum, 1e-6);
    shares += g_array_index(probabilities, double, i);
  }
  g_assert_cmpfloat_with_epsilon(shares, 1.0, 1e-12);
}

/* Logits far apart overflow nothing. */
static void
test_extremes(void)
{
  g_autoptr(GemLabelTree) tree = tree_of(LIST("1", "2"));
  float logits[VOCABULARY] = {[1] = 3e38f, [2] = -3e38f};
  g_autoptr(GArray) probabilities = NULL;

  gem_label_tree_take_logits(tree, 0, 0, logits, VOCABULARY);
  probabilities = gem_label_tree_get_probabilities(tree, NULL);
  g_assert_cmpfloat(g_array_index(probabilities, double, 0), ==, 1.0);
  g_assert_cmpfloat(g_array_index(probabilities, double, 1), ==, 0.0);
}

/* A choice is refused rather than told from what is no number. */
static void
test_not_finite(void)
{
  const float bad[] = {NAN, INFINITY, -INFINITY};

  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GemLabelTree) tree = tree_of(LIST("1", "2"));
    const float logits[VOCABULARY] = {[1] = 1.0f, [2] = bad[i]};
    g_autoptr(GError) error = NULL;

    gem_label_tree_take_logits(tree, 0, 0, logits, VOCABULARY);
    g_assert_null(gem_label_tree_get_probabilities(tree, &error));
    g_assert_error(error, GEM_ERROR, GEM_ERROR_FAILED);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/label-tree/runs", test_runs);
  g_test_add_func("/label-tree/probabilities", test_probabilities);
  g_test_add_func("/label-tree/extremes", test_extremes);
  g_test_add_func("/label-tree/not-finite", test_not_finite);
  return g_test_run();
}
