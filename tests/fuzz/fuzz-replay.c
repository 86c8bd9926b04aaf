/* In the place of libFuzzer: a fuzzer's function over every seed as it is, cut short, and with bytes flipped,
 * the same places in every run. */
#include <string.h>

#include "tests/fuzz/gem-fuzz.h"

#define CUTS  256
#define FLIPS 1024

typedef struct {
  char *bytes;
  gsize size;
} Seed;

static void
seed_free(gpointer data)
{
  Seed *seed = data;

  g_free(seed->bytes);
  g_free(seed);
}

/* A copy of its own size, so that reading past its end is seen. */
static void
run(const char *bytes, gsize size)
{
  g_autofree uint8_t *copy = g_memdup2(bytes, size);

  g_assert_cmpint(LLVMFuzzerTestOneInput(copy, size), ==, 0);
}

static void
test_whole(gconstpointer data)
{
  const Seed *seed = data;

  run(seed->bytes, seed->size);
}

static void
test_cut(gconstpointer data)
{
  const Seed *seed = data;
  g_autoptr(GRand) random = g_rand_new_with_seed(1);
  guint i;

  for (i = 0; i < CUTS; i++) {
    /* Half of them in the first kilobyte, where most files have their structure. */
    gsize most = i % 2 == 0 ? seed->size : MIN(seed->size, 1024);

    run(seed->bytes, (gsize)(g_rand_double(random) * (double)most));
  }
}

static void
test_flipped(gconstpointer data)
{
  const Seed *seed = data;
  g_autofree char *bytes = g_memdup2(seed->bytes, seed->size);
  g_autoptr(GRand) random = g_rand_new_with_seed(2);
  guint i;

  for (i = 0; i < FLIPS && seed->size > 0; i++) {
    gsize most = i % 2 == 0 ? seed->size : MIN(seed->size, 1024);
    gsize at = (gsize)(g_rand_double(random) * (double)most);
    char kept = bytes[at];

    bytes[at] ^= (char)(1 << g_rand_int_range(random, 0, 8));
    run(bytes, seed->size);
    bytes[at] = kept;
  }
}

static void
add_tests(const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename(folder, name, NULL);
  Seed *seed = g_new0(Seed, 1);
  struct {
    const char *what;
    GTestDataFunc function;
  } tests[] = {{"whole", test_whole}, {"cut", test_cut}, {"flipped", test_flipped}};
  gsize i;

  g_assert_true(g_file_get_contents(path, &seed->bytes, &seed->size, NULL));
  for (i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_autofree char *test = g_strdup_printf("/fuzz/%s/%s", name, tests[i].what);

    /* The last test of a seed frees it. */
    g_test_add_data_func_full(test, seed, tests[i].function, i + 1 == G_N_ELEMENTS(tests) ? seed_free : NULL);
  }
}

int
main(int argc, char **argv)
{
  g_autofree char *folder = NULL;
  g_autoptr(GDir) dir = NULL;
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  const char *name;
  guint i;

  g_test_init(&argc, &argv, NULL);
  g_assert_cmpint(argc, ==, 3);
  folder = g_build_filename(argv[1], argv[2], NULL);
  dir = g_dir_open(folder, 0, NULL);
  g_assert_nonnull(dir);
  while ((name = g_dir_read_name(dir)) != NULL) {
    g_ptr_array_add(names, g_strdup(name));
  }
  g_assert_cmpuint(names->len, >, 0);
  for (i = 0; i < names->len; i++) {
    add_tests(folder, names->pdata[i]);
  }
  return g_test_run();
}
