/* The probes of gem-bench limits: that they do the work that they time, on as many threads as they say. Of
 * the figures only what must hold on any machine. */
#include <math.h>
#include <string.h>

#include "bench/direct/limits/gem-limits-barrier.h"
#include "bench/direct/limits/gem-limits-file.h"
#include "bench/direct/limits/gem-limits-memory.h"
#include "bench/direct/limits/gem-limits-peaks.h"
#include "bench/direct/limits/gem-limits-pool.h"
#include "tests/gem-test-folder.h"

/* Short: nothing here is a measurement. */
#define SECONDS 1e-4

static double
last_value(const GemLimitsProbe *probe)
{
  return g_array_index(probe->values, double, probe->values->len - 1);
}

/* Warms up and measures: a value that is a number above 0. */
static void
check_measures(GemLimitsProbe *probe)
{
  g_autoptr(GError) error = NULL;

  g_assert_true(gem_limits_probe_warm_up(probe, SECONDS, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(probe->times, >, 0);
  g_assert_cmpuint(probe->values->len, ==, 0);
  g_assert_true(gem_limits_probe_measure(probe, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(probe->values->len, ==, 1);
  g_assert_true(isfinite(last_value(probe)) && last_value(probe) > 0);
}

/* ---- arithmetic ---- */

static void
test_peaks_count(void)
{
  g_autoptr(GPtrArray) peaks = gem_limits_peaks_find(gem_limits_cpu_get_features());
  guint i;

  for (i = 0; i < peaks->len; i++) {
    const GemLimitsPeak *peak = peaks->pdata[i];

    g_test_message("%s", peak->name);
    g_assert_cmpuint(peak->loop(0), ==, 0);
    g_assert_cmpuint(peak->loop(1), ==, peak->round);
    g_assert_cmpuint(peak->loop(1001), ==, 1001 * (guint64)peak->round);
  }
}

/* The largest number of rounds that a call takes is still counted right: sums of floats stay exact. */
static void
test_peaks_most(void)
{
  g_autoptr(GPtrArray) peaks = gem_limits_peaks_find(gem_limits_cpu_get_features());
  guint i;

  for (i = 0; i < peaks->len; i++) {
    const GemLimitsPeak *peak = peaks->pdata[i];

    g_assert_cmpuint(peak->loop(GEM_LIMITS_MOST_ROUNDS), ==, GEM_LIMITS_MOST_ROUNDS * peak->round);
  }
}

/* A machine has a probe of 8-bit integers and one of floats, each name once; without instructions none. */
static void
test_peaks_find(void)
{
  GemLimitsFeatures features = gem_limits_cpu_get_features();
  g_autoptr(GPtrArray) peaks = gem_limits_peaks_find(features);
  g_autoptr(GPtrArray) none = gem_limits_peaks_find(0);
  g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
  gboolean integers = FALSE, floats = FALSE;
  guint i;

  g_assert_cmpuint(none->len, ==, 0);
  for (i = 0; i < peaks->len; i++) {
    const GemLimitsPeak *peak = peaks->pdata[i];

    g_assert_cmpuint(peak->needs & ~features, ==, 0);
    g_assert_true(g_hash_table_add(names, (gpointer)peak->name));
    integers |= g_str_has_prefix(peak->name, "int8 ") && g_str_equal(peak->unit, "Gop/s");
    floats |= g_str_has_prefix(peak->name, "fp32 ") && g_str_equal(peak->unit, "Gflop/s");
  }
  if (features == 0) {
    g_test_skip("no vector instructions that a probe is for");
    return;
  }
  g_assert_true(integers && floats);
}

static void
test_peaks_probe(void)
{
  g_autoptr(GPtrArray) peaks = gem_limits_peaks_find(gem_limits_cpu_get_features());
  guint i, threads;

  for (i = 0; i < peaks->len; i++) {
    const GemLimitsPeak *peak = peaks->pdata[i];

    for (threads = 1; threads <= 2; threads++) {
      g_autoptr(GemLimitsProbe) probe = gem_limits_peaks_new_probe(peak, threads);

      g_assert_cmpstr(probe->name, ==, peak->name);
      g_assert_cmpfloat_with_epsilon(probe->amount, 2e-6 * peak->round * threads, 1e-12);
      check_measures(probe);
    }
  }
}

static void
test_features(void)
{
  g_autofree char *none = gem_limits_cpu_describe_features(0);
  g_autofree char *two = gem_limits_cpu_describe_features(GEM_LIMITS_HAS_AVX2 | GEM_LIMITS_HAS_NEON_DOT);
  g_autofree char *name = gem_limits_cpu_get_name();

  g_assert_cmpstr(none, ==, "none");
  g_assert_cmpstr(two, ==, "avx2 neon-dot");
  g_assert_cmpstr(name, !=, "");
  g_assert_cmpuint(gem_limits_cpu_count(), >=, 1);
#if defined(__x86_64__)
  /* The compiler's own look at the processor says the same. */
  g_assert_true(!(gem_limits_cpu_get_features() & GEM_LIMITS_HAS_AVX2) == !__builtin_cpu_supports("avx2"));
  g_assert_true(!(gem_limits_cpu_get_features() & GEM_LIMITS_HAS_AVX512_VNNI) ==
                !__builtin_cpu_supports("avx512vnni"));
#endif
}

/* ---- memory ---- */

/* All loops that the machine has, the plainest first: what is missing falls back to it. */
static void
test_memory(void)
{
  const GemLimitsFeatures sets[] = {0, GEM_LIMITS_HAS_AVX2, GEM_LIMITS_HAS_AVX512, GEM_LIMITS_HAS_NEON};
  GemLimitsFeatures features = gem_limits_cpu_get_features();
  gsize i;
  guint threads;

  for (i = 0; i < G_N_ELEMENTS(sets); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GemLimitsMemory) memory = gem_limits_memory_new(1 << 20, sets[i] & features, &error);

    g_assert_no_error(error);
    for (threads = 1; threads <= 3; threads++) {
      g_autoptr(GemLimitsProbe) read = gem_limits_memory_new_read(memory, 1 << 16, threads);
      g_autoptr(GemLimitsProbe) copy = gem_limits_memory_new_copy(memory, 1 << 16, threads);
      g_autoptr(GemLimitsProbe) again = gem_limits_memory_new_read(memory, 1 << 20, threads);

      g_assert_cmpstr(read->name, ==, "read 64 KiB");
      /* Three parts of 16 pages of 4 KiB: 5 pages each. */
      g_assert_cmpfloat_with_epsilon(read->amount, threads == 3 ? 61440e-9 : 65536e-9, 1e-15);
      g_assert_cmpfloat_with_epsilon(copy->amount, read->amount / 2, 1e-15);
      check_measures(read);
      check_measures(copy);
      /* Copying has left the words as they were, or this fails. */
      check_measures(again);
    }
  }
}

static void
test_memory_sizes(void)
{
  static const struct {
    gsize bytes;
    const char *text;
  } cases[] = {{512, "512 bytes"}, {16384, "16 KiB"}, {1536 * 1024, "1536 KiB"}, {1 << 30, "1 GiB"}};
  g_autoptr(GError) error = NULL;
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *text = gem_limits_memory_describe_size(cases[i].bytes);

    g_assert_cmpstr(text, ==, cases[i].text);
  }
  g_assert_true(gem_limits_memory_can_divide(16384, 4));
  g_assert_false(gem_limits_memory_can_divide(16384, 5));
  g_assert_null(gem_limits_memory_new((gsize)1 << 60, 0, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_nonnull(strstr(error->message, "1073741824 GiB"));
}

/* ---- threads ---- */

typedef struct {
  guint calls[4];    /* of each thread */
  guint64 times[4];  /* repetitions in all */
  guint wrong_after; /* calls that come out right; atomic */
} Diary;

static gboolean
write_down(const GemLimitsProbe *probe, guint thread, guint64 times)
{
  Diary *diary = (Diary *)probe->data;

  g_assert_cmpuint(thread, <, 4);
  diary->calls[thread]++;
  diary->times[thread] += times;
  g_usleep(20 * times);
  return diary->wrong_after == 0 || diary->calls[thread] <= diary->wrong_after;
}

static void
test_probe_threads(void)
{
  Diary diary = {0};
  GemLimitsProbe fields = {
      .name = g_strdup("sleep"), .threads = 3, .amount = 6e-6, .work = write_down, .data = &diary};
  g_autoptr(GemLimitsProbe) probe = gem_limits_probe_new(&fields);
  g_autoptr(GError) error = NULL;
  guint64 before;

  g_assert_true(gem_limits_probe_warm_up(probe, 0.005, &error));
  before = diary.times[0];
  g_assert_true(gem_limits_probe_measure(probe, &error));
  g_assert_cmpuint(diary.times[0] - before, ==, probe->times);
  g_assert_cmpuint(diary.times[1], ==, diary.times[0]);
  g_assert_cmpuint(diary.times[2], ==, diary.times[0]);
  g_assert_cmpuint(diary.calls[3], ==, 0);
  /* Nobody sleeps shorter than asked for: 6000 in no less than 20 us. */
  g_assert_cmpfloat(last_value(probe), <=, 0.3);
  /* A repetition takes longer than asked for, so it takes fewer of them. */
  g_assert_cmpuint(probe->times, <=, 500);
}

/* Without an amount the time is the figure, in nanoseconds. */
static void
test_probe_time(void)
{
  Diary diary = {0};
  GemLimitsProbe fields = {.name = g_strdup("sleep"), .threads = 1, .work = write_down, .data = &diary};
  g_autoptr(GemLimitsProbe) probe = gem_limits_probe_new(&fields);

  check_measures(probe);
  g_assert_cmpfloat(last_value(probe), >=, 20e3);
}

static void
test_probe_wrong(void)
{
  Diary diary = {.wrong_after = 3};
  GemLimitsProbe fields = {
      .name = g_strdup("a loop of nothing"), .threads = 2, .work = write_down, .data = &diary};
  g_autoptr(GemLimitsProbe) probe = gem_limits_probe_new(&fields);
  g_autoptr(GError) error = NULL;

  g_assert_false(gem_limits_probe_warm_up(probe, 1, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_true(g_str_has_prefix(error->message, "a loop of nothing, 2 threads: "));
  g_clear_error(&error);
  probe->times = 1;
  g_assert_false(gem_limits_probe_measure(probe, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_cmpuint(probe->values->len, ==, 0);
}

/* Twice, since the flags go on from where they stood. */
static void
test_barrier(void)
{
  g_autoptr(GemLimitsProbe) first = gem_limits_barrier_new_probe();
  g_autoptr(GemLimitsProbe) second = gem_limits_barrier_new_probe();

  if (gem_limits_cpu_count() < 2) {
    g_test_skip("one processor: two threads that spin take turns");
    return;
  }
  check_measures(first);
  check_measures(second);
}

/* Every round has a value above 0 of each kind. */
static void
test_pool(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemLimitsPool) pool = NULL;
  guint round;

  if (gem_limits_cpu_count() < 2) {
    g_test_skip("one processor: threads that spin take turns");
    return;
  }
  pool = gem_limits_pool_new(2, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(pool->threads, ==, 2);
  for (round = 1; round <= 2; round++) {
    const GArray *const kinds[] = {pool->empty, pool->meeting};
    gsize i;

    g_assert_true(gem_limits_pool_measure(pool, SECONDS, &error));
    g_assert_no_error(error);
    for (i = 0; i < G_N_ELEMENTS(kinds); i++) {
      double value = g_array_index(kinds[i], double, round - 1);

      g_assert_cmpuint(kinds[i]->len, ==, round);
      g_assert_true(isfinite(value) && value > 0);
    }
  }
}

/* Two parts of a pool that has the caller alone, which runs them in turn: the first waits for one that only
 * comes when it has given up. The round ends, and has no value. */
static void
test_pool_missed(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemLimitsPool) pool = gem_limits_pool_new(1, &error);

  g_assert_no_error(error);
  pool->threads = 2;
  g_assert_false(gem_limits_pool_measure(pool, SECONDS, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_nonnull(strstr(error->message, "not all of them came"));
  g_assert_cmpuint(pool->empty->len, ==, 0);
  g_assert_cmpuint(pool->meeting->len, ==, 0);
}

/* ---- files ---- */

static void
test_file(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *path = g_build_filename(folder, "text", NULL);
  g_autofree char *text = g_strnfill(300000, 'x');
  g_autoptr(GemLimitsFile) file = NULL;
  g_autoptr(GError) error = NULL;
  guint i;

  gem_test_write_text(folder, "text", text);
  file = gem_limits_file_new(path, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(file->bytes, ==, 300000);
  for (i = 1; i <= 2; i++) {
    g_assert_true(gem_limits_file_measure(file, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(file->bytes, ==, 300000);
    g_assert_cmpuint(file->cached->len, ==, i);
    g_assert_true(file->stored->len == i || file->left > 0);
    g_assert_cmpfloat(g_array_index(file->cached, double, i - 1), >, 0);
  }
  /* One that goes away has no further round. */
  gem_test_folder_remove(folder);
  g_assert_false(gem_limits_file_measure(file, &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_cmpuint(file->cached->len, ==, 2);
}

static void
test_file_refuses(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *empty = g_build_filename(folder, "empty", NULL);
  g_autoptr(GError) error = NULL;

  g_assert_null(gem_limits_file_new("/nonexistent", &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_nonnull(strstr(error->message, "/nonexistent"));
  g_clear_error(&error);
  g_assert_null(gem_limits_file_new(folder, &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_ISDIR);
  g_clear_error(&error);
  gem_test_write_text(folder, "empty", "");
  g_assert_null(gem_limits_file_new(empty, &error));
  g_assert_nonnull(strstr(error->message, "an empty file"));
  gem_test_folder_remove(folder);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/limits/peaks/count", test_peaks_count);
  g_test_add_func("/gem-bench/limits/peaks/most", test_peaks_most);
  g_test_add_func("/gem-bench/limits/peaks/find", test_peaks_find);
  g_test_add_func("/gem-bench/limits/peaks/probe", test_peaks_probe);
  g_test_add_func("/gem-bench/limits/features", test_features);
  g_test_add_func("/gem-bench/limits/memory/probes", test_memory);
  g_test_add_func("/gem-bench/limits/memory/sizes", test_memory_sizes);
  g_test_add_func("/gem-bench/limits/probe/threads", test_probe_threads);
  g_test_add_func("/gem-bench/limits/probe/time", test_probe_time);
  g_test_add_func("/gem-bench/limits/probe/wrong", test_probe_wrong);
  g_test_add_func("/gem-bench/limits/barrier", test_barrier);
  g_test_add_func("/gem-bench/limits/pool", test_pool);
  g_test_add_func("/gem-bench/limits/pool/missed", test_pool_missed);
  g_test_add_func("/gem-bench/limits/file/read", test_file);
  g_test_add_func("/gem-bench/limits/file/refuses", test_file_refuses);
  return g_test_run();
}
