/*
 * Pathways that could not be had: for a reason that passes they are tried again, and again after longer
 * waits; for one that lasts they are not, as long as their file stays what it is. Time is what the test says.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/gem-test-engine.h"

#define SECOND ((gint64)G_USEC_PER_SEC)
#define HOUR   (3600 * SECOND)

typedef struct {
  GemTestEngine *test;
  GemModelFiles *files;
  GemRuntime *runtime;
  GemPager *pager;
  guint legal;
  gint64 now;             /* later than any that the pager has seen */
  struct rlimit files_of; /* the process's limit as it was */
} Scene;

static void
setup(Scene *self, gconstpointer data)
{
  self->test = gem_test_engine_new();
  self->runtime = gem_test_engine_open_runtime(self->test, &self->files);
  self->pager = self->runtime->pager;
  gem_pager_set_read_ahead(self->pager, FALSE);
  g_assert_true(gem_pager_find(self->pager, "legal", &self->legal));
  g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &self->files_of), ==, 0);
}

static void
teardown(Scene *self, gconstpointer data)
{
  gem_runtime_close(self->runtime);
  gem_model_files_free(self->files);
  gem_test_engine_free(self->test);
}

/* So many files can be opened from now on; G_MAXUINT: as many as ever. */
static void
allow_files(const Scene *self, guint n)
{
  struct rlimit limit = self->files_of;
  int free_fds[8];

  if (n != G_MAXUINT) {
    /* The lowest numbers that are not in use are those that are given out. */
    g_assert_cmpuint(n, <, G_N_ELEMENTS(free_fds));
    for (guint i = 0; i <= n; i++) {
      free_fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
      g_assert_cmpint(free_fds[i], >=, 0);
    }
    limit.rlim_cur = (rlim_t)free_fds[n];
    for (guint i = 0; i <= n; i++) {
      close(free_fds[i]);
    }
  }
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

/* Tries for the pathway with so many files to open; whether it came. */
static gboolean
need_with_files(Scene *self, guint n)
{
  g_autoptr(GError) error = NULL;
  gboolean came;

  allow_files(self, n);
  came = gem_pager_need(self->pager, self->legal, &error);
  allow_files(self, G_MAXUINT);
  if (!came) {
    g_assert_error(error, GEM_ERROR, GEM_ERROR_PATHWAY);
  }
  self->now = g_get_monotonic_time();
  return came;
}

/* Whether it would be tried again, so long after the last try. */
static gboolean
may_come_after(const Scene *self, gint64 wait)
{
  gem_pager_look_again(self->pager, self->now + wait);
  return gem_pager_may_come(self->pager, self->legal);
}

static void
test_passing(Scene *self, gconstpointer data)
{
  /* Seconds that it waits after each failure in a row. */
  static const gint64 waits[] = {1, 2, 4, 8, 16, 32, 64, 64};

  for (gsize i = 0; i < G_N_ELEMENTS(waits); i++) {
    g_assert_false(need_with_files(self, 0));
    g_assert_cmpuint(self->runtime->counters.paging.page_in_failures, ==, i + 1);
    /* Not before its time, and then without being told. */
    g_assert_false(need_with_files(self, G_MAXUINT));
    g_assert_false(may_come_after(self, waits[i] * SECOND - SECOND / 2));
    g_assert_true(may_come_after(self, waits[i] * SECOND));
  }
  g_assert_true(need_with_files(self, G_MAXUINT));
  /* What succeeded begins at the first wait again. */
  g_assert_true(gem_pager_page_out(self->pager, self->legal, GEM_PAGE_OUT_ASKED, NULL));
  g_assert_false(need_with_files(self, 0));
  g_assert_true(may_come_after(self, SECOND));
}

/* A module that could not be loaded for want of a file descriptor is not a broken one. */
static void
test_module(Scene *self, gconstpointer data)
{
  g_autoptr(GemPluginModule) module = NULL;
  g_autoptr(GError) error = NULL;

  allow_files(self, 0);
  module = gem_plugin_loader_open(self->runtime->loader, GEM_PLUGIN_PATHWAY, "legal", &error);
  allow_files(self, G_MAXUINT);
  g_assert_null(module);
  g_assert_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_SHORT);
}

static void
test_lasting(Scene *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->test->folder, "pathway-legal.gguf", NULL);
  g_autofree char *contents = NULL;
  gsize length;

  g_assert_true(g_file_get_contents(path, &contents, &length, NULL));
  contents[length - 1] ^= 1;
  g_assert_true(g_file_set_contents(path, contents, (gssize)length, NULL));
  g_assert_false(need_with_files(self, G_MAXUINT));
  g_assert_false(may_come_after(self, HOUR));
  contents[length - 1] ^= 1;
  g_assert_true(g_file_set_contents(path, contents, (gssize)length, NULL));
  g_assert_true(may_come_after(self, 0));
  g_assert_true(need_with_files(self, G_MAXUINT));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/pager-retry/passing", Scene, NULL, setup, test_passing, teardown);
  g_test_add("/pager-retry/module", Scene, NULL, setup, test_module, teardown);
  g_test_add("/pager-retry/lasting", Scene, NULL, setup, test_lasting, teardown);
  return g_test_run();
}
