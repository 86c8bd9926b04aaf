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
path_of(const GemLabelTree *tree, guint fork)
{
  guint depth;
  const guint32 *path = gem_label_tree_get_path(tree, fork, &depth);
  g_autoptr(GString) text = g_string_new(NULL);

  for (guint i = 0; i < depth; i++) {
    g_string_append_printf(text, "%u", path[i]);
  }
  return g_string_free(g_steal_pointer(&text), FALSE);
}

/* The paths of all forks, in any order, each once. */
static void
check_forks(const char *const *labels, const char *const *paths)
{
  g_autoptr(GemLabelTree) tree = tree_of(labels);
  g_autoptr(GHashTable) found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < gem_label_tree_n_forks(tree); i++) {
    g_assert_true(g_hash_table_add(found, path_of(tree, i)));
  }
  g_assert_cmpuint(g_hash_table_size(found), ==, g_strv_length((GStrv)paths));
  for (guint i = 0; paths[i] != NULL; i++) {
    g_assert_true(g_hash_table_contains(found, paths[i]));
  }
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
test_forks(void)
{
  check_forks(LIST("1", "2"), LIST(""));
  check_forks(LIST("1345", "2"), LIST(""));
  check_forks(LIST("12", "13"), LIST("1"));
  check_forks(LIST("12", "1"), LIST("1"));
  check_forks(LIST("123", "5", "124", "13"), LIST("", "1", "12"));
  check_forks(LIST("1", "12", "123", "1234"), LIST("1", "12", "123"));
  check_forks(LIST("13", "23", "14", "24", "3"), LIST("", "1", "2"));
  check_forks(LIST("11", "12", "13", "14"), LIST("1"));
}

/* Logits that say how likely each next token is, whatever came before. */
static void
fill_logits(float *logits, const char *path)
{
  for (guint token = 0; token < VOCABULARY; token++) {
    logits[token] = 0.5f * (float)token - (float)strlen(path);
  }
}

static double
share(guint token, const char *others)
{
  double sum = 0;

  for (const char *other = others; *other != '\0'; other++) {
    sum += exp(0.5 * (*other - '0'));
  }
  return exp(0.5 * token) / sum;
}

static void
test_probabilities(void)
{
  static const char *const labels[] = {"123", "5", "124", "1", "77777", NULL};
  const double expected[] = {
      share(1, "157") * share(2, "02") * share(3, "34"),
      share(5, "157"),
      share(1, "157") * share(2, "02") * share(4, "34"),
      share(1, "157") * share(0, "02"),
      share(7, "157"),
  };
  g_autoptr(GemLabelTree) tree = tree_of(labels);
  g_autoptr(GArray) probabilities = NULL;
  double sum = 0;

  for (guint i = 0; i < gem_label_tree_n_forks(tree); i++) {
    float logits[VOCABULARY];
    g_autofree char *path = path_of(tree, i);

    fill_logits(logits, path);
    gem_label_tree_take_logits(tree, i, logits);
  }
  probabilities = gem_label_tree_get_probabilities(tree, NULL);
  g_assert_cmpuint(probabilities->len, ==, G_N_ELEMENTS(expected));
  for (guint i = 0; i < probabilities->len; i++) {
    g_assert_cmpfloat_with_epsilon(g_array_index(probabilities, double, i), expected[i], 1e-6);
    sum += g_array_index(probabilities, double, i);
  }
  g_assert_cmpfloat_with_epsilon(sum, 1.0, 1e-12);
}

/* Logits far apart overflow nothing. */
static void
test_extremes(void)
{
  g_autoptr(GemLabelTree) tree = tree_of(LIST("1", "2"));
  float logits[VOCABULARY] = {[1] = 3e38f, [2] = -3e38f};
  g_autoptr(GArray) probabilities = NULL;

  gem_label_tree_take_logits(tree, 0, logits);
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

    gem_label_tree_take_logits(tree, 0, logits);
    g_assert_null(gem_label_tree_get_probabilities(tree, &error));
    g_assert_error(error, GEM_ERROR, GEM_ERROR_FAILED);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/label-tree/forks", test_forks);
  g_test_add_func("/label-tree/probabilities", test_probabilities);
  g_test_add_func("/label-tree/extremes", test_extremes);
  g_test_add_func("/label-tree/not-finite", test_not_finite);
  return g_test_run();
}
