/*
 * Pathways on a device: who goes there, who stays, and that nothing is lost when it fails. The device is the
 * tests' own.
 */
#include <math.h>
#include <string.h>

#include "daemon/pager/gem-placement-compare.h"
#include "tests/gem-test-scene.h"

/* ---- who goes there ---- */

static void
test_named(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  g_assert_true(gem_test_scene_is_on_device(scene, "general"));
  g_assert_false(gem_test_scene_is_on_device(scene, "legal"));
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  gem_test_scene_wait_for_device(scene, "legal");
  g_autoptr(GPtrArray) backends = gem_backend_set_list(scene->runtime->backends);
  guint in_use = 0;
  for (guint i = 0; i < backends->len; i++) {
    in_use += ((const GemBackendInfo *)backends->pdata[i])->in_use ? 1 : 0;
  }
  g_assert_cmpuint(in_use, ==, 2); /* the device, and what does everything else */
  guint legal;
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));
  g_assert_true(gem_pager_page_out(scene->runtime->pager, legal, GEM_PAGE_OUT_ASKED, NULL));
  g_assert_false(gem_test_scene_is_on_device(scene, "legal"));
  gem_test_scene_close(scene);
}

/* Whatever the device does wrong, the pathways stay where they were, and answers are the same. */
static void
test_stays(gconstpointer behaviour)
{
  g_autoptr(GemTestScene) plain = gem_test_scene_new("absent", NULL);
  gem_test_scene_open(plain);
  g_autoptr(GArray) expected = gem_test_scene_run(plain, 40, NULL);
  gem_test_scene_close(plain);

  g_autoptr(GemTestScene) scene =
      gem_test_scene_new(behaviour, g_str_equal(behaviour, "slow") ? NULL : "device");
  gem_test_scene_open(scene);
  g_autoptr(GArray) found = gem_test_scene_run(scene, 40, NULL);
  g_assert_cmpmem(found->data, found->len * sizeof(guint32), expected->data, expected->len * sizeof(guint32));
  gem_test_scene_settle(scene);
  g_assert_false(gem_test_scene_is_on_device(scene, "general"));
  g_assert_false(gem_test_scene_is_on_device(scene, "legal"));
  gem_test_scene_close(scene);
}

static const GemBackendInfo *
find_backend(GPtrArray *backends, const char *name)
{
  for (guint i = 0; i < backends->len; i++) {
    const GemBackendInfo *info = backends->pdata[i];
    if (g_str_equal(info->name, name)) {
      return info;
    }
  }
  return NULL;
}

/* A device that is not there, named or not, is no reason to have no model: the other backend does everything,
 * and the list of backends tells why. */
static void
test_absent(gconstpointer backend)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("absent", backend);
  gem_test_scene_count_log("");
  gem_test_scene_open(scene);
  g_assert_cmpuint(gem_test_scene_count_log("Backend=device is not used, and backend cpu does everything: "
                                            "there is no test device"),
                   ==, backend != NULL ? 1 : 0);
  g_assert_null(gem_backend_set_get_device(scene->runtime->backends, NULL));
  g_autoptr(GPtrArray) backends = gem_backend_set_list(scene->runtime->backends);
  const GemBackendInfo *device = find_backend(backends, "device");
  g_assert_false(device->in_use);
  g_assert_cmpstr(device->reason, ==, "there is no test device");
  g_assert_true(find_backend(backends, "cpu")->in_use);
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  gem_test_scene_close(scene);
}

/* A module that does everything and was named is used, or the model is not. */
static void
test_absent_other(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", NULL);
  gem_test_scene_open(scene); /* writes the model */
  gem_test_scene_close(scene);
  scene->test->config.backend = "other";
  g_autoptr(GError) error = NULL;
  GemModelFiles *files = gem_runtime_open_files(&scene->test->config, NULL, &error);
  g_assert_no_error(error);
  g_assert_null(gem_runtime_open(&scene->test->config, files, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_FAILED);
  g_autofree char *dirs = g_strjoinv(":", (GStrv)scene->test->config.plugin_dirs);
  g_autofree char *expected =
      g_strconcat("backend other cannot be used; there is no such module in ", dirs, NULL);
  g_assert_cmpstr(error->message, ==, expected);
  gem_model_files_free(files);
}

/* ---- what is remembered ---- */

static void
test_remembered(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene); /* measures general */
  gem_test_scene_close(scene);
  scene->test->config.backend = NULL;
  gem_test_scene_rewrite_decisions(scene, TRUE);
  gem_test_scene_open(scene);
  gem_test_scene_wait_for_device(scene, "general");
  gem_test_scene_close(scene);
  gem_test_scene_rewrite_decisions(scene, FALSE);
  g_setenv("GEM_TEST_DEVICE", "refuse", TRUE); /* it would be asked, and say so in the log */
  gem_test_scene_open(scene);
  gem_pager_settle(scene->runtime->pager);
  g_assert_false(gem_test_scene_is_on_device(scene, "general"));
  gem_test_scene_close(scene);
  g_autofree char *path = gem_test_scene_placement_file(scene);
  g_assert_true(g_file_set_contents(path, "not a key file", -1, NULL));
  g_setenv("GEM_TEST_DEVICE", "work", TRUE);
  scene->test->config.backend = "device";
  gem_test_scene_open(scene); /* measured anew */
  g_assert_true(gem_test_scene_is_on_device(scene, "general"));
  gem_test_scene_close(scene);
  gem_test_scene_rewrite_decisions(scene, TRUE);
}

/* ---- single rows on one side, blocks on the other ---- */

static GemPathwayInfo *
general_info(const GemTestScene *self)
{
  return gem_pager_get_info(self->runtime->pager, self->runtime->shape->n_domains);
}

/* Runs a call of the general pathway's first layer; y is [n][width], zeros before. */
static void
run_general(GemTestScene *self, guint n, float *y)
{
  gsize values = (gsize)n * self->runtime->shape->width;
  g_autofree float *x = g_new(float, values);
  for (gsize i = 0; i < values; i++) {
    x[i] = sinf((float)i);
  }
  memset(y, 0, values * sizeof *y);
  GemPager *pager = self->runtime->pager;
  guint general = self->runtime->shape->n_domains;
  gem_pager_apply(pager, general, 0, gem_pager_goes_to_device(pager, general, n), x, n, y);
}

/* A call of so many rows goes to a device that fails, or it does not; the result is that of backend cpu
 * either way. */
static void
check_call(GemTestScene *self, guint n, gboolean goes, const GemTestScene *plain)
{
  gsize values = (gsize)n * self->runtime->shape->width;
  g_autofree float *y = g_new(float, values), *expected = g_new(float, values);
  g_assert_true(gem_test_scene_is_on_device(self, "general"));
  run_general(self, n, y);
  run_general((GemTestScene *)plain, n, expected);
  g_assert_cmpmem(y, values * sizeof *y, expected, values * sizeof *expected);
  g_assert_cmpint(gem_test_scene_is_on_device(self, "general"), ==, !goes);
}

/* One side for single rows and the other for blocks. */
static void
test_divided(gconstpointer data)
{
  gboolean rows_go = GPOINTER_TO_INT(data);
  g_autoptr(GemTestScene) plain = gem_test_scene_new("absent", NULL);
  gem_test_scene_open(plain);
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene); /* measures */
  g_autoptr(GemPathwayInfo) measured = general_info(scene);
  g_assert_cmpuint(measured->n_places, ==, 2);
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpuint(measured->places[i].rows, ==, i == 0 ? 1 : 64);
    g_assert_cmpstr(measured->places[i].backend, ==, "device"); /* it was named */
    g_assert_cmpfloat(measured->places[i].us, >=, 0.0);
    g_assert_cmpfloat(measured->places[i].device_us, >, 0.0);
  }
  gem_test_scene_close(scene);

  gem_test_scene_divide_decisions(scene, rows_go, !rows_go);
  scene->test->config.backend = NULL;
  gem_test_scene_open(scene);
  gem_test_scene_wait_for_device(scene, "general");
  g_autoptr(GemPathwayInfo) divided = general_info(scene), other = general_info(plain);
  g_assert_cmpuint(other->n_places, ==, 0);
  g_assert_cmpuint(divided->n_places, ==, 2);
  g_assert_cmpstr(divided->backend, ==, "device");
  g_assert_cmpstr(divided->places[0].backend, ==, rows_go ? "device" : "cpu");
  g_assert_cmpstr(divided->places[1].backend, ==, rows_go ? "cpu" : "device");
  g_assert_cmpfloat(divided->places[1].us, ==, 800.0);
  g_assert_cmpfloat(divided->places[1].device_us, ==, 100.0);
  g_assert_cmpuint(divided->resident_bytes, >, other->resident_bytes); /* it is there twice */

  g_setenv("GEM_TEST_DEVICE", "fail", TRUE);
  check_call(scene, rows_go ? 64 : 1, FALSE, plain);
  check_call(scene, rows_go ? 2 : 8, FALSE, plain); /* 9 rows and more, where a block costs as much as 8 */
  check_call(scene, rows_go ? 1 : 9, TRUE, plain);
  g_autoptr(GemPathwayInfo) after = general_info(scene);
  g_assert_cmpuint(after->resident_bytes, ==, other->resident_bytes);
  g_assert_cmpstr(after->places[rows_go ? 0 : 1].backend, ==, "cpu");
  gem_test_scene_close(scene);
  gem_test_scene_close(plain);
}

/* It goes from both. */
static void
test_divided_goes(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  gem_test_scene_settle(scene);
  gem_test_scene_close(scene);
  gem_test_scene_divide_decisions(scene, FALSE, TRUE);
  scene->test->config.backend = NULL;
  gem_test_scene_open(scene);
  g_array_unref(gem_test_scene_run(scene, 40, NULL));
  gem_test_scene_wait_for_device(scene, "legal");
  guint legal;
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));
  g_assert_true(gem_pager_page_out(scene->runtime->pager, legal, GEM_PAGE_OUT_ASKED, NULL));
  g_autoptr(GemPathwayInfo) info = gem_pager_get_info(scene->runtime->pager, legal);
  g_assert_cmpuint(info->resident_bytes, ==, 0);
  g_assert_cmpuint(info->n_places, ==, 0);
  gem_test_scene_close(scene);
}

static void
test_least_rows(void)
{
  static const struct {
    double us, device_us;
    guint rows;
  } cases[] = {{6400.0, 1.0, 2},     {6400.0, 100.0, 2},   {6400.0, 800.0, 9},
               {6400.0, 6399.0, 64}, {6400.0, 6400.0, 65}, {1.0, 1e9, 65}};
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    const GemPlacementDecision block = {.us = cases[i].us, .device_us = cases[i].device_us};
    g_assert_cmpuint(gem_placement_least_rows(&block), ==, cases[i].rows);
  }
}

/* Of three layers with as many ones as values, those of the second being small; the other side. */
static GemPlacementResults *
make_results(const GemShape *shape)
{
  GemPlacementResults *results = g_new0(GemPlacementResults, 1);
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    gsize values = (gsize)gem_placement_rows((GemPlacementCount)i) * shape->width;
    results->y[i] = g_new(float, shape->layers *values);
    for (gsize j = 0; j < shape->layers * values; j++) {
      results->y[i][j] = j / values == 1 ? 1e-3f : 1.0f;
    }
  }
  return results;
}

/* A layer that is small beside the others, of one count of rows, and a value that is no number. */
static void
test_difference(void)
{
  const GemShape shape = {.layers = 3, .width = 8};
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    g_autoptr(GemPlacementResults) device = make_results(&shape), other = make_results(&shape);
    GemPlacementDifference none = gem_placement_results_compare(device, other, &shape);
    g_assert_cmpfloat(none.relative, ==, 0.0);
    guint rows = gem_placement_rows((GemPlacementCount)i);
    gsize values = (gsize)rows * shape.width;
    memset(device->y[i] + values, 0, values * sizeof(float));
    GemPlacementDifference found = gem_placement_results_compare(device, other, &shape);
    g_assert_cmpfloat_with_epsilon(found.relative, 1.0, 1e-6);
    g_assert_cmpuint(found.layer, ==, 1);
    g_assert_cmpuint(found.rows, ==, rows);
    device->y[i][0] = NAN;
    found = gem_placement_results_compare(device, other, &shape);
    g_assert_true(isinf(found.relative));
    g_assert_cmpuint(found.layer, ==, 0);
  }
}

/* Only of the same weights, device and versions, and only whole. */
static void
test_decisions(void)
{
  static const GemPlacementDecision kept[] = {{TRUE, 12.5, 3.0}, {FALSE, 100.0, 200.25}};
  g_autofree char *folder = gem_test_folder_new(), *path = g_build_filename(folder, "placement", NULL);
  GemPlacementDecision found[GEM_PLACEMENT_COUNTS] = {0};
  g_assert_false(gem_placement_decisions_load(path, "legal", "a", found));
  gem_placement_decisions_save(path, "legal", "a", kept);
  gem_placement_decisions_save(path, "stem", "a", kept);
  g_assert_true(gem_placement_decisions_load(path, "legal", "a", found));
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    g_assert_cmpint(found[i].device, ==, kept[i].device);
    g_assert_cmpfloat(found[i].us, ==, kept[i].us);
    g_assert_cmpfloat(found[i].device_us, ==, kept[i].device_us);
  }
  g_assert_false(gem_placement_decisions_load(path, "legal", "b", found));
  g_assert_false(gem_placement_decisions_load(path, "finance", "a", found));
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_assert_true(g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL));
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
  for (char **group = groups; *group != NULL; group++) {
    if (g_str_has_prefix(*group, "legal, rows 64, ")) {
      g_key_file_remove_key(file, *group, "device-us", NULL);
    }
  }
  g_assert_true(g_key_file_save_to_file(file, path, NULL));
  g_assert_false(gem_placement_decisions_load(path, "legal", "a", found));
  g_assert_true(gem_placement_decisions_load(path, "stem", "a", found));
  gem_test_folder_remove(folder);
}

int
main(int argc, char **argv)
{
  gem_test_scene_keep_log();
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/placement/named", test_named);
  g_test_add_data_func("/placement/stays/refuse", "refuse", test_stays);
  g_test_add_data_func("/placement/stays/slow", "slow", test_stays);
  g_test_add_data_func("/placement/stays/wrong", "wrong", test_stays);
  g_test_add_data_func("/placement/stays/wrong-row", "wrong-row", test_stays);
  g_test_add_data_func("/placement/stays/wrong-layer", "wrong-layer", test_stays);
  g_test_add_data_func("/placement/stays/nan", "nan", test_stays);
  g_test_add_data_func("/placement/stays/fail", "fail", test_stays);
  g_test_add_data_func("/placement/absent/unnamed", NULL, test_absent);
  g_test_add_data_func("/placement/absent/named", "device", test_absent);
  g_test_add_func("/placement/absent/other", test_absent_other);
  g_test_add_func("/placement/remembered", test_remembered);
  g_test_add_data_func("/placement/divided/rows", GINT_TO_POINTER(TRUE), test_divided);
  g_test_add_data_func("/placement/divided/blocks", GINT_TO_POINTER(FALSE), test_divided);
  g_test_add_func("/placement/divided/goes", test_divided_goes);
  g_test_add_func("/placement/least-rows", test_least_rows);
  g_test_add_func("/placement/difference", test_difference);
  g_test_add_func("/placement/decisions", test_decisions);
  return g_test_run();
}
