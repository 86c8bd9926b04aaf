/* The memory of packed matrices: in one piece, aligned, given back when the last of a group is gone. */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/gem-packed.h"
#include "plugins/backends/cpu/gem-cpu-memory.h"

#define MATRIX ((size_t)300 * 1024)

/* Whether the page at that address is mapped. */
static gboolean
is_mapped(const void *address)
{
  guintptr page = (guintptr)sysconf(_SC_PAGESIZE);
  unsigned char in_memory = 0;
  return mincore((void *)((guintptr)address / page * page), 1, &in_memory) == 0;
}

static void
test_pieces(void)
{
  GemCpuGroup *group = gem_cpu_group_new(4 * MATRIX);
  guint8 *taken[4];
  g_assert_nonnull(group);
  for (guint i = 0; i < G_N_ELEMENTS(taken); i++) {
    taken[i] = gem_cpu_group_take(group, MATRIX);
    g_assert_nonnull(taken[i]);
    g_assert_cmpuint((guintptr)taken[i] % GEM_PACKED_ALIGNMENT, ==, 0);
    g_assert_true(i == 0 || taken[i] == taken[i - 1] + MATRIX);
    gem_cpu_group_fetch(taken[i], MATRIX);
    memset(taken[i], (int)i + 1, MATRIX);
  }
  gem_cpu_group_end(group);
  for (guint i = 0; i < G_N_ELEMENTS(taken); i++) {
    g_assert_cmpuint(taken[i][0], ==, i + 1);
    g_assert_cmpuint(taken[i][MATRIX - 1], ==, i + 1);
  }
  for (guint i = 0; i < G_N_ELEMENTS(taken); i++) {
    g_assert_true(is_mapped(taken[i]));
    gem_cpu_group_return(group, taken[i], MATRIX, NULL);
  }
  g_assert_false(is_mapped(taken[0]));
  g_assert_false(is_mapped(taken[3] + MATRIX - 1));
}

/* Pages of the first `bytes` at that address that are in memory. */
static gsize
count_pages(const guint8 *address, gsize bytes)
{
  gsize page = (gsize)sysconf(_SC_PAGESIZE), n = bytes / page, sum = 0;
  g_autofree unsigned char *in_memory = g_new0(unsigned char, n);
  g_assert_cmpint(mincore((void *)address, n * page, in_memory), ==, 0);
  for (gsize i = 0; i < n; i++) {
    sum += in_memory[i] & 1;
  }
  return sum;
}

/* Pieces, in whatever order they are fetched, are all that the group was made for, and no more than that. */
static void
check_pieces(gsize bytes)
{
  gsize page = (gsize)sysconf(_SC_PAGESIZE);
  gsize wanted = (bytes + page - 1) / page * page;
  GemCpuGroup *group = gem_cpu_group_new(bytes);
  guint8 *taken = gem_cpu_group_take(group, wanted);
  g_assert_nonnull(taken);
  g_assert_cmpuint(count_pages(taken, wanted), ==, 0);
  for (gsize piece = gem_cpu_group_pieces(group); piece-- > 0;) {
    gsize before = count_pages(taken, wanted);
    gem_cpu_group_fetch_piece(group, piece);
    g_assert_cmpuint(count_pages(taken, wanted), >, before);
  }
  g_assert_cmpuint(count_pages(taken, wanted), ==, wanted / page);
  g_assert_cmpuint(count_pages(taken + wanted, 32768), ==, 0); /* what is for padding */
  gem_cpu_group_return(group, taken, wanted, NULL);
  gem_cpu_group_end(group);
}

static void
test_fetch_pieces(void)
{
  GemCpuGroup *group = gem_cpu_group_new(MATRIX);
  guint8 *taken = gem_cpu_group_take(group, MATRIX);
  gem_cpu_group_fetch(taken, MATRIX);
  gboolean fetches = count_pages(taken, MATRIX) > 0;
  gem_cpu_group_return(group, taken, MATRIX, NULL);
  gem_cpu_group_end(group);
  if (!fetches) {
    g_test_skip("this system brings no pages in before they are used");
    return;
  }
  check_pieces(4096);
  check_pieces(MATRIX);
  check_pieces((gsize)2 << 20);
  check_pieces(((gsize)5 << 20) + 12345);
}

/* What was taken over and is not needed goes back before the group ends. */
static void
test_give_back(void)
{
  GemCpuGroup *group = gem_cpu_group_new(MATRIX), *heir = gem_cpu_group_new(MATRIX);
  guint8 *taken = gem_cpu_group_take(group, MATRIX);
  gem_cpu_group_end(group);
  gem_cpu_group_return(group, taken, MATRIX, heir);
  g_assert_true(is_mapped(taken));
  gem_cpu_group_give_back(heir);
  g_assert_false(is_mapped(taken));
  taken = gem_cpu_group_take(heir, MATRIX);
  g_assert_nonnull(taken);
  gem_cpu_group_give_back(heir); /* not what is in use */
  g_assert_true(is_mapped(taken));
  gem_cpu_group_return(heir, taken, MATRIX, NULL);
  gem_cpu_group_end(heir);
}

/* A group that goes leaves its memory, as it is, to one that has begun without a matrix. What is too small
 * grows where it stands, or goes. */
static void
check_heir(gsize bytes, gsize bytes_of_heir, gboolean grows)
{
  GemCpuGroup *group = gem_cpu_group_new(bytes), *heir = gem_cpu_group_new(bytes_of_heir);
  guint8 *taken = gem_cpu_group_take(group, bytes), *next;
  gem_cpu_group_end(group);
  memset(taken, 7, bytes);
  gem_cpu_group_return(group, taken, bytes, heir);
  g_assert_true(is_mapped(taken));
  g_assert_true(gem_cpu_group_is_new(heir));
  next = gem_cpu_group_take(heir, bytes_of_heir);
  g_assert_nonnull(next);
  g_assert_false(gem_cpu_group_is_new(heir));
  if (next == taken) {
    g_assert_cmpuint(next[0], ==, 7);
    g_assert_cmpuint(next[MIN(bytes, bytes_of_heir) - 1], ==, 7);
  } else {
    g_assert_true(grows);
  }
  memset(next, 8, bytes_of_heir);
  gem_cpu_group_end(heir);
  g_assert_cmpuint(next[bytes_of_heir - 1], ==, 8);
  if (bytes > bytes_of_heir) {
    g_assert_false(is_mapped(taken + bytes - 1));
  }
  gem_cpu_group_return(heir, next, bytes_of_heir, NULL);
  g_assert_false(is_mapped(taken));
  g_assert_false(is_mapped(next + bytes_of_heir - 1));
}

static void
test_heir(void)
{
  check_heir(10 * MATRIX, 10 * MATRIX, FALSE);
  check_heir(10 * MATRIX, 8 * MATRIX, FALSE);
  check_heir(8 * MATRIX, 10 * MATRIX, TRUE);
  check_heir(MATRIX, 20 * MATRIX, TRUE);
}

/* One that has begun and goes without a matrix leaves nothing behind; one that has matrices takes nothing. */
static void
test_no_heir(void)
{
  for (guint i = 0; i < 2; i++) {
    GemCpuGroup *group = gem_cpu_group_new(MATRIX), *heir = gem_cpu_group_new(MATRIX);
    guint8 *own = i == 0 ? NULL : gem_cpu_group_take(heir, MATRIX);
    guint8 *taken = gem_cpu_group_take(group, MATRIX);
    gem_cpu_group_end(group);
    gem_cpu_group_return(group, taken, MATRIX, heir);
    g_assert_true(is_mapped(taken) == (i == 0));
    gem_cpu_group_end(heir);
    g_assert_false(is_mapped(taken));
    if (own != NULL) {
      gem_cpu_group_return(heir, own, MATRIX, NULL);
    }
  }
}

/* More than was said is refused; what was said and not used goes back at the end. */
static void
test_bounds(void)
{
  GemCpuGroup *group = gem_cpu_group_new(16 * MATRIX);
  g_assert_null(gem_cpu_group_take(group, 32 * MATRIX));
  guint8 *taken = gem_cpu_group_take(group, MATRIX);
  g_assert_nonnull(taken);
  g_assert_true(is_mapped(taken + 15 * MATRIX));
  gem_cpu_group_end(group);
  g_assert_true(is_mapped(taken + MATRIX - 1));
  g_assert_false(is_mapped(taken + 15 * MATRIX));
  gem_cpu_group_return(group, taken, MATRIX, NULL);
  g_assert_null(gem_cpu_group_new(SIZE_MAX - 4096));
}

/* A matrix that goes at once, as one that is only unpacked, leaves its room to the next. */
static void
test_last_goes(void)
{
  GemCpuGroup *group = gem_cpu_group_new(MATRIX);
  guint8 *first = NULL;
  for (guint i = 0; i < 100; i++) {
    guint8 *taken = gem_cpu_group_take(group, MATRIX);
    g_assert_true(taken != NULL && (first == NULL || taken == first));
    first = taken;
    gem_cpu_group_return(group, taken, MATRIX, NULL);
  }
  gem_cpu_group_end(group);
  g_assert_false(is_mapped(first));
}

static void
test_empty(void)
{
  gem_cpu_group_end(gem_cpu_group_new(0));
  gem_cpu_group_end(gem_cpu_group_new(64 * MATRIX));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cpu-memory/pieces", test_pieces);
  g_test_add_func("/cpu-memory/give-back", test_give_back);
  g_test_add_func("/cpu-memory/fetch-pieces", test_fetch_pieces);
  g_test_add_func("/cpu-memory/heir", test_heir);
  g_test_add_func("/cpu-memory/no-heir", test_no_heir);
  g_test_add_func("/cpu-memory/bounds", test_bounds);
  g_test_add_func("/cpu-memory/last-goes", test_last_goes);
  g_test_add_func("/cpu-memory/empty", test_empty);
  return g_test_run();
}
