/*
 * backends/npu-ort: pathways on the tests' own provider, where there is an ONNX Runtime: one, several at a
 * time, refused, failing, and kept as they were compiled.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/gem-test-npu-machine.h"
#include "tests/gem-test-sys.h"

#define LAYERS 2
#define WIDTH  256
#define HIDDEN 416
#define ROWS   70 /* more than a block */

typedef struct {
  const GemTestNpu *npu;
  GemBackendState *state;
  GemTestSource *source;
  GemFeedForwardTensors layers[LAYERS];
} Scene;

static const char *cache_dir; /* that scenes are opened with */

static void
scene_open(Scene *self, const GemTestNpu *npu)
{
  static const char *const parts[] = {"gate", "up", "down"};
  const GemBackendOptions options = {.struct_size = sizeof options, .cache_dir = cache_dir};
  GemPluginError error = {""};
  *self = (Scene){.npu = npu, .source = gem_test_source_new("pathway-test.gguf", 11)};
  for (guint l = 0; l < LAYERS; l++) {
    GemTensorView *views[] = {&self->layers[l].gate, &self->layers[l].up, &self->layers[l].down};
    for (guint i = 0; i < 3; i++) {
      g_autofree char *name = g_strdup_printf("%s.%u", parts[i], l);
      gem_test_source_add(self->source, name, GEM_TYPE_Q8_0, i < 2 ? HIDDEN : WIDTH, i < 2 ? WIDTH : HIDDEN,
                          0.0, 0.1);
      g_assert_true(self->source->source.find_tensor(self->source->source.context, name, views[i]));
    }
  }
  self->state = npu->functions->open(&options, &error);
  g_assert_cmpstr(error.message, ==, "");
}

static void
scene_close(Scene *self)
{
  self->npu->functions->close(self->state);
  gem_test_source_free(self->source);
}

static GemCompiled *
scene_compile(const Scene *self, GemPluginError *error)
{
  const GemPathwayTensors tensors = {.name = "test", .layers = LAYERS, .feed_forwards = self->layers};
  return self->npu->functions->compile(self->state, &tensors, error);
}

/* A provider that takes all nodes gets the graph, and what it gives comes back; 1, a few and many rows. */
static void
test_whole(void)
{
  static const gsize counts[] = {1, 5, ROWS};
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  gem_test_npu_machine_add(TRUE);
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_nonnull(compiled);
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  g_autofree float *x = gem_test_random_floats(random, (gsize)ROWS * WIDTH, 2.0);
  for (guint layer = 0; layer < LAYERS; layer++) {
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
      gsize values = counts[i] * WIDTH;
      g_autofree float *y = g_new0(float, values), *expected = g_new0(float, values);
      g_assert_true(npu->functions->run(scene.state, compiled, layer, x, counts[i], y, &error));
      gem_test_npu_run_on_cpu(&scene.layers[layer], x, counts[i], expected);
      double relative = gem_test_npu_relative_error(y, expected, NULL, values);
      g_test_message("layer %u, %zu rows: relative error %.2e", layer, counts[i], relative);
      g_assert_cmpfloat(relative, <, 0.02); /* a scale for each output, as providers that are not known get */
    }
  }
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
}

/* What the device cannot run whole does not run there at all. */
static void
test_refused(gconstpointer data)
{
  const char *const *words = data; /* option, what must stand in the reason */
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, words[0]);
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  gem_test_npu_machine_add(TRUE);
  scene_open(&scene, npu);
  g_assert_null(scene_compile(&scene, &error));
  g_test_message("refused: %s", error.message);
  g_assert_true(g_str_has_prefix(error.message, "layer 0: ONNX Runtime 1."));
  g_assert_nonnull(strstr(error.message, words[1]));
  g_assert_null(strchr(error.message, '\n'));
  scene_close(&scene);
}

/* A device that runs all but what rounds inputs gets them as they are. */
static void
test_narrow(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, "Option=behaviour:narrow\n");
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  gem_test_npu_machine_add(TRUE);
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_nonnull(compiled);
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  g_autofree float *x = gem_test_random_floats(random, (gsize)ROWS * WIDTH, 2.0);
  g_autofree float *y = g_new0(float, (gsize)ROWS *WIDTH), *expected = g_new0(float, (gsize)ROWS *WIDTH);
  g_assert_true(npu->functions->run(scene.state, compiled, 1, x, ROWS, y, &error));
  gem_test_npu_run_on_cpu(&scene.layers[1], x, ROWS, expected);
  double relative = gem_test_npu_relative_error(y, expected, NULL, (gsize)ROWS * WIDTH);
  g_test_message("inputs as they are: relative error %.2e", relative);
  g_assert_cmpfloat(relative, <, 0.03);
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
}

/* A call that fails, or gives what is no number, leaves the rows as they were: in one call, and in the second
 * of two. */
static void
test_fails(gconstpointer data)
{
  const char *const *words = data; /* option, what must stand in the reason */
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, words[0]);
  if (path == NULL) {
    return;
  }
  static const gsize counts[] = {3, ROWS};
  Scene scene;
  GemPluginError error = {""};
  gem_test_npu_machine_add(TRUE);
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_nonnull(compiled);
  g_autofree float *x = g_new0(float, (gsize)ROWS *WIDTH), *y = g_new0(float, (gsize)ROWS *WIDTH);
  for (gsize i = 0; i < (gsize)ROWS * WIDTH; i++) {
    y[i] = (float)i;
  }
  g_autofree float *before = g_memdup2(y, (gsize)ROWS * WIDTH * sizeof *y);
  x[0] = 1.0f;
  for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
    g_assert_false(npu->functions->run(scene.state, compiled, 1, x, counts[i], y, &error));
    g_test_message("failed: %s", error.message);
    g_assert_nonnull(strstr(error.message, words[1]));
    g_assert_cmpmem(y, (gsize)ROWS * WIDTH * sizeof *y, before, (gsize)ROWS * WIDTH * sizeof *y);
  }
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
}

/* ---- several backends at a time, as while the service opens a model's next engine ---- */

/* Whether layer 1 gives what backend cpu does. */
static void
assert_runs(const Scene *self, GemCompiled *compiled)
{
  GemPluginError error = {""};
  g_autoptr(GRand) random = g_rand_new_with_seed(6);
  g_autofree float *x = gem_test_random_floats(random, WIDTH, 2.0);
  float y[WIDTH] = {0.0f}, expected[WIDTH] = {0.0f};
  g_assert_true(self->npu->functions->run(self->state, compiled, 1, x, 1, y, &error));
  gem_test_npu_run_on_cpu(&self->layers[1], x, 1, expected);
  g_assert_cmpfloat(gem_test_npu_relative_error(y, expected, NULL, WIDTH), <, 0.02);
}

static gboolean
is_mapped(const char *path)
{
  g_autofree char *maps = NULL;
  g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
  return strstr(maps, path) != NULL;
}

/* The provider is there for as long as one of them has it, whichever came first; and again after all. */
/* What a probe says of the settings; transfer full. NULL: skipped. */
static char *
probe_settings(const char *options)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, options);
  GemProbeReport report = {0};
  if (path == NULL) {
    return NULL;
  }
  gem_test_npu_machine_add(TRUE);
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  return g_strdup(report.reason);
}

/* Decisions that were made with other options are not those of these. */
static void
test_settings(void)
{
  g_autofree char *first = probe_settings("Option=behaviour:plain\n");
  if (first == NULL) {
    return;
  }
  g_autofree char *same = probe_settings("Option=behaviour:plain\n");
  g_autofree char *other = probe_settings("Option=behaviour:once\n");
  g_assert_cmpstr(first, ==, same);
  g_assert_cmpstr(first, !=, other);
  g_assert_null(strstr(first, "plain"));
}

static void
test_several(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  Scene first, second, third;
  GemPluginError error = {""};
  GemProbeReport report = {0};
  gem_test_npu_machine_add(TRUE);
  scene_open(&first, npu);
  GemCompiled *of_first = scene_compile(&first, &error);
  g_assert_nonnull(of_first);
  g_assert_cmpint(npu->functions->probe(&report), ==, GEM_PROBE_SUPPORTED);
  scene_open(&second, npu);
  assert_runs(&first, of_first);
  GemCompiled *of_second = scene_compile(&second, &error);
  g_assert_nonnull(of_second);
  npu->functions->compiled_free(first.state, of_first);
  scene_close(&first);
  assert_runs(&second, of_second);
  npu->functions->compiled_free(second.state, of_second);
  scene_close(&second);
  g_assert_true(is_mapped(path)); /* its threads outlive what is registered */

  scene_open(&third, npu);
  GemCompiled *of_third = scene_compile(&third, &error);
  g_assert_nonnull(of_third);
  assert_runs(&third, of_third);
  npu->functions->compiled_free(third.state, of_third);
  scene_close(&third);
}

/* A backend that cannot have its providers takes nothing from one that has. */
static void
test_several_disagree(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  gem_test_npu_machine_add(TRUE);
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_nonnull(compiled);
  g_autofree char *moved = g_strconcat(path, ".moved", NULL);
  g_autofree char *lines =
      g_strdup_printf("Library=%s\nProvider=GemTestProvider\nPath=%s\n", g_getenv("GEM_ORT_LIBRARY"), moved);
  g_assert_cmpint(g_rename(path, moved), ==, 0);
  gem_test_npu_set(npu, "a.conf", lines);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "provider GemTestProvider is in use from /");
  assert_runs(&scene, compiled);
  g_autofree char *both =
      g_strdup_printf("Library=%s\nProvider=GemTestProvider\nPath=%s\nProvider=B\nPath=/nowhere/b.so\n",
                      g_getenv("GEM_ORT_LIBRARY"), path);
  g_assert_cmpint(g_rename(moved, path), ==, 0);
  gem_test_npu_set(npu, "a.conf", both);
  gem_test_npu_assert_declines(npu, GEM_PROBE_DEFERRED, "/nowhere/b.so");
  assert_runs(&scene, compiled);
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
}

/* ---- what was compiled is kept ---- */

#define GRAPHS (2 * LAYERS) /* for single rows and for blocks */

/* Opens the backend and compiles; `letters`: what the provider did for each graph, in the order of the
 * alphabet. y is [WIDTH], what a row gives. */
static void
compile_again(const GemTestNpu *npu, const char *folder, const char *letters, float *y)
{
  g_autofree char *path = g_build_filename(folder, "log", NULL), *found = NULL;
  GemPluginError error = {""};
  Scene scene;
  float x[WIDTH];
  for (gsize i = 0; i < WIDTH; i++) {
    x[i] = sinf((float)i);
    y[i] = 0.0f;
  }
  g_assert_true(g_file_set_contents(path, "", 0, NULL));
  g_setenv("GEM_TEST_PROVIDER_LOG", path, TRUE);
  cache_dir = folder;
  scene_open(&scene, npu);
  GemCompiled *compiled = scene_compile(&scene, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_true(npu->functions->run(scene.state, compiled, 1, x, 1, y, &error));
  npu->functions->compiled_free(scene.state, compiled);
  scene_close(&scene);
  cache_dir = NULL;
  g_unsetenv("GEM_TEST_PROVIDER_LOG");
  g_assert_true(g_file_get_contents(path, &found, NULL, NULL));
  g_test_message("graphs: %s", found);
  guint compilations = 0;
  for (const char *letter = letters; *letter != '\0'; letter++) {
    compilations += *letter == 'c' ? 1 : 0;
  }
  for (const char *letter = found; *letter != '\0'; letter++) {
    compilations -= *letter == 'c' ? 1 : 0;
  }
  g_assert_cmpuint(compilations, ==, 0);
  g_assert_cmpuint(strlen(found), ==, strlen(letters));
}

/* The kept files; transfer full. */
static GPtrArray *
list_kept(const char *folder)
{
  g_autofree char *dir = g_build_filename(folder, "npu-ort", NULL);
  g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
  GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
  for (const char *name; (name = g_dir_read_name(entries)) != NULL;) {
    g_ptr_array_add(paths, g_build_filename(dir, name, NULL));
  }
  return paths;
}

static void
turn_last_bit(const char *path)
{
  g_autofree char *contents = NULL;
  gsize size;
  g_assert_true(g_file_get_contents(path, &contents, &size, NULL));
  contents[size - 1] ^= 1;
  g_assert_true(g_file_set_contents_full(path, contents, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static void
test_kept(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  g_autofree char *folder = gem_test_folder_new();
  float first[WIDTH], again[WIDTH];
  gem_test_npu_machine_add(TRUE);
  compile_again(npu, folder, "cccc", first);
  g_autoptr(GPtrArray) kept = list_kept(folder);
  g_assert_cmpuint(kept->len, ==, GRAPHS);
  compile_again(npu, folder, "llll", again);
  g_assert_cmpmem(again, sizeof again, first, sizeof first);
  turn_last_bit(kept->pdata[0]);
  compile_again(npu, folder, "clll", again);
  g_assert_cmpmem(again, sizeof again, first, sizeof first);
  compile_again(npu, folder, "llll", again);
  g_setenv("GEM_TEST_PROVIDER_LOADS", "no", TRUE); /* whole, and yet it does not load */
  compile_again(npu, folder, "cccc", again);
  g_assert_cmpmem(again, sizeof again, first, sizeof first);
  g_unsetenv("GEM_TEST_PROVIDER_LOADS");
  gem_test_sys_set_version("accel0", "another"); /* of the driver */
  compile_again(npu, folder, "cccc", again);
  g_autoptr(GPtrArray) both = list_kept(folder);
  g_assert_cmpuint(both->len, ==, 2 * GRAPHS);
  gem_test_folder_remove(folder);
}

/* A folder that others may write to is not used, and the device works. */
static void
test_kept_for_others(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  g_autofree char *folder = gem_test_folder_new(), *dir = g_build_filename(folder, "npu-ort", NULL);
  float first[WIDTH], again[WIDTH];
  gem_test_npu_machine_add(TRUE);
  compile_again(npu, folder, "cccc", first);
  compile_again(npu, folder, "llll", again);
  g_assert_cmpint(g_chmod(dir, 0777), ==, 0);
  compile_again(npu, folder, "cccc", again);
  g_assert_cmpmem(again, sizeof again, first, sizeof first);
  gem_test_folder_remove(folder);
}

/* A provider that keeps nothing works as without a cache. */
static void
test_kept_by_none(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, "Option=behaviour:plain\n");
  if (path == NULL) {
    return;
  }
  g_autofree char *folder = gem_test_folder_new();
  float y[WIDTH];
  gem_test_npu_machine_add(TRUE);
  compile_again(npu, folder, "ccccccc", y); /* three are asked for what it has none of */
  g_autoptr(GPtrArray) kept = list_kept(folder);
  g_assert_cmpuint(kept->len, ==, 0);
  gem_test_folder_remove(folder);
}

/* One that fails once when something is to be kept, as on a full disk, is asked again for the next graph, and
 * for this one at the next start. */
static void
test_kept_after_failure(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, "Option=behaviour:once\n");
  if (path == NULL) {
    return;
  }
  g_autofree char *folder = gem_test_folder_new();
  float y[WIDTH];
  gem_test_npu_machine_add(TRUE);
  compile_again(npu, folder, "cccc", y);
  g_autoptr(GPtrArray) kept = list_kept(folder);
  g_assert_cmpuint(kept->len, ==, GRAPHS - 1);
  compile_again(npu, folder, "clll", y);
  g_autoptr(GPtrArray) all = list_kept(folder);
  g_assert_cmpuint(all->len, ==, GRAPHS);
  gem_test_folder_remove(folder);
}

/* A pathway that comes and goes leaves nothing behind on the provider, either. */
static void
test_gives_memory_back(void)
{
  g_autoptr(GemTestNpu) npu = gem_test_npu_machine_open();
  g_autofree char *path = gem_test_npu_machine_add_provider(npu, NULL);
  if (path == NULL) {
    return;
  }
  Scene scene;
  GemPluginError error = {""};
  gsize once = 0, taken = 0;
  gem_test_npu_machine_add(TRUE);
  scene_open(&scene, npu);
  for (guint i = 0; i < 34; i++) {
    GemCompiled *compiled = scene_compile(&scene, &error);
    g_assert_nonnull(compiled);
    taken = npu->functions->compiled_bytes(compiled);
    npu->functions->compiled_free(scene.state, compiled);
    once = i == 1 ? gem_test_npu_resident_bytes() : once;
  }
  gsize often = gem_test_npu_resident_bytes();
  g_test_message("%zu bytes a pathway; %zu resident after two, %zu after 34", taken, once, often);
  g_assert_cmpuint(often, <, once + taken / 2);
  scene_close(&scene);
}

int
main(int argc, char **argv)
{
  static const char *const some[] = {"Option=behaviour:some\n",
                                     "fallback to CPU EP has been explicitly disabled"};
  static const char *const refuse[] = {"Option=behaviour:refuse\n", "the test provider was told to refuse"};
  static const char *const fail[] = {"Option=behaviour:fail\n", "the test provider was told to fail"};
  static const char *const nan_words[] = {"Option=behaviour:nan\n", "not a finite number"};
  gem_test_npu_machine_enter();
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/npu-provider/whole", test_whole);
  g_test_add_data_func("/npu-provider/refused/some", some, test_refused);
  g_test_add_data_func("/npu-provider/refused/refuse", refuse, test_refused);
  g_test_add_func("/npu-provider/narrow", test_narrow);
  g_test_add_data_func("/npu-provider/fails", fail, test_fails);
  g_test_add_data_func("/npu-provider/gives-no-number", nan_words, test_fails);
  g_test_add_func("/npu-provider/settings", test_settings);
  g_test_add_func("/npu-provider/several", test_several);
  g_test_add_func("/npu-provider/several/disagree", test_several_disagree);
  g_test_add_func("/npu-provider/kept", test_kept);
  g_test_add_func("/npu-provider/kept-for-others", test_kept_for_others);
  g_test_add_func("/npu-provider/kept-by-none", test_kept_by_none);
  g_test_add_func("/npu-provider/kept-after-failure", test_kept_after_failure);
  g_test_add_func("/npu-provider/gives-memory-back", test_gives_memory_back);
  int status = g_test_run();
  gem_test_npu_machine_leave();
  return status;
}
