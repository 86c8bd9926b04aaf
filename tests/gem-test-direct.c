#include "tests/gem-test-direct.h"

#include <math.h>
#include <string.h>

#include "clients/gem-client/gem-client-exit.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-model.h"

void
gem_test_direct_set_up(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *plugins = g_build_filename(g_getenv("GEM_BUILD_DIR"), "plugins", NULL);

  g_setenv("GEMD_PLUGIN_DIR", plugins, TRUE);
  self->folder = gem_test_folder_new();
  self->model = gem_test_folder_new();
  self->lone = g_build_filename(self->folder, "lone.gguf", NULL);
  self->json = g_build_filename(self->folder, "out.json", NULL);
  self->chart = g_build_filename(self->folder, "out.svg", NULL);
  gem_test_model_shape(&self->shape);
  gem_test_model_write(self->model, &self->shape, GEM_TYPE_F16, 5);
  gem_test_model_write_llama(self->lone, &self->shape, GEM_TYPE_Q8_0, 5);
}

void
gem_test_direct_tear_down(GemTestDirect *self, gconstpointer data)
{
  gem_model_shape_clear(&self->shape);
  gem_test_folder_remove(self->folder);
  gem_test_folder_remove(self->model);
  g_free(self->folder);
  g_free(self->model);
  g_free(self->lone);
  g_free(self->json);
  g_free(self->chart);
}

void
gem_test_direct_run(const char *const *arguments, GemTestRun *ret_run)
{
  g_autoptr(GSubprocess) program = gem_test_program_start(NULL, "bench", "gem-bench", arguments, FALSE);

  gem_test_client_finish(program, NULL, ret_run);
}

JsonObject *
gem_test_direct_measure(const GemTestDirect *self,
                        const char *const *arguments,
                        char **ret_out,
                        JsonNode **ret_node)
{
  g_auto(GemTestRun) run = {0};
  g_autofree char *text = NULL;
  g_autofree char *svg = NULL;
  g_autoptr(GPtrArray) all = g_ptr_array_new();
  g_autoptr(GError) error = NULL;
  gsize i;

  for (i = 0; arguments[i] != NULL; i++) {
    g_ptr_array_add(all, (gpointer)arguments[i]);
  }
  for (i = 0; i < 5; i++) {
    const char *const files[] = {"--json", self->json, "--chart", self->chart, NULL};

    g_ptr_array_add(all, (gpointer)files[i]);
  }
  gem_test_direct_run((const char *const *)all->pdata, &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_file_get_contents(self->json, &text, NULL, &error);
  g_assert_no_error(error);
  *ret_node = json_from_string(text, &error);
  g_assert_no_error(error);
  g_file_get_contents(self->chart, &svg, NULL, &error);
  g_assert_no_error(error);
  g_assert_true(g_str_has_prefix(svg, "<svg ") && g_str_has_suffix(svg, "</svg>\n"));
  g_assert_nonnull(strstr(svg, "prefers-color-scheme:dark"));
  *ret_out = g_steal_pointer(&run.out);
  return json_node_get_object(*ret_node);
}

double
gem_test_direct_check_values(JsonObject *object, const char *name, guint count)
{
  JsonObject *member = json_object_get_object_member(object, name);
  JsonArray *values = json_object_get_array_member(member, "values");
  double min = json_object_get_double_member(member, "min"),
         max = json_object_get_double_member(member, "max");
  double median = json_object_get_double_member(member, "median"), least = INFINITY, most = 0;
  guint i;

  g_assert_cmpuint(json_array_get_length(values), ==, count);
  for (i = 0; i < count; i++) {
    least = fmin(least, json_array_get_double_element(values, i));
    most = fmax(most, json_array_get_double_element(values, i));
  }
  g_assert_cmpfloat(min, ==, least);
  g_assert_cmpfloat(max, ==, most);
  g_assert_cmpfloat(min, <=, median);
  g_assert_cmpfloat(median, <=, max);
  g_assert_cmpfloat(min, >, 0);
  return median;
}
