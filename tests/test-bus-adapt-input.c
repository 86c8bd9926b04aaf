/*
 * What AdaptDomain takes: names, options, descriptors and texts. gemd with its modules on a tiny random
 * model.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/gem-test-adapt.h"
#include "tests/gem-test-learned-file.h"

#define NONE gem_test_options("{}")

static void
test_names(GemTestAdapt *self, gconstpointer data)
{
  static const char *const names[] = {"",
                                      "A",
                                      "../x",
                                      "a/b",
                                      "-a",
                                      "1a",
                                      "a b",
                                      "general",
                                      "learned",
                                      "legal",
                                      "abcdefghijklmnopqrstuvwxyz0123456"};

  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    gem_test_adapt_fails(self, names[i], gem_test_adapt_orders(self, "mywork", "learn", FALSE), "{}",
                         GEM_ERROR_INVALID_OPTION, "name: *");
  }
  gem_test_manager_fails(self->gemd->client, "ForgetDomain", g_variant_new("(s@a{sv})", "../../x", NONE),
                         GEM_ERROR_INVALID_OPTION, "name: *");
}

static void
test_options(GemTestAdapt *self, gconstpointer data)
{
  static const struct {
    const char *options, *pattern;
  } cases[] = {
      {"{'mode': <'plain'>}", "option \"mode\"*"},
      {"{'seconds': <uint32 9>}", "option \"seconds\"*10 to*"},
      {"{'seconds': <uint32 901>}", "option \"seconds\": 901*10 to 900*"},
      {"{'worst_other_percent': <-0.1>}", "option \"worst_other_percent\"*"},
      {"{'least_gain_percent': <91.0>}", "option \"least_gain_percent\"*"},
      {"{'seed': <1>}", "option \"seed\": type i*"},
      {"{'path': <'/etc/passwd'>}", "unknown option \"path\"*"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    gem_test_adapt_fails(self, "mywork", gem_test_adapt_orders(self, "mywork", "learn", FALSE),
                         cases[i].options, GEM_ERROR_INVALID_OPTION, cases[i].pattern);
  }
}

static void
test_descriptors(GemTestAdapt *self, gconstpointer data)
{
  int ends[2];

  gem_test_adapt_fails(self, "mywork", open("/", O_RDONLY | O_DIRECTORY), "{}", GEM_ERROR_INVALID_OPTION,
                       "text: *");
  gem_test_adapt_fails(self, "mywork", open("/etc/hostname", O_PATH), "{}", GEM_ERROR_INVALID_OPTION,
                       "text: *");
  gem_test_adapt_fails(self, "mywork", open("/dev/zero", O_RDONLY), "{}", GEM_ERROR_INVALID_OPTION,
                       "text: *");
  g_assert_cmpint(pipe(ends), ==, 0);
  gem_test_adapt_fails(self, "mywork", ends[1], "{}", GEM_ERROR_INVALID_OPTION, "text: *");
  close(ends[0]);
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
}

static void
test_bad_text(
    GemTestAdapt *self, const char *text, gsize length, const char *error, const char *pattern, guint number)
{
  g_autoptr(GError) failure = NULL;
  g_autofree char *job = NULL;
  int fd = memfd_create("text", MFD_CLOEXEC);

  g_assert_cmpint(write(fd, text, length), ==, (gssize)length);
  job = gem_test_adapt_call(self->gemd->client, "mywork", fd, "{}", &failure);
  g_assert_no_error(failure);
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, number, "failed");
  gem_test_job_ear_check_error(self->ear, error, pattern);
}

static void
test_texts(GemTestAdapt *self, gconstpointer data)
{
  const gsize most = 1 << 20;
  g_autofree char *text = g_malloc(most + 1);
  g_autoptr(GError) error = NULL;
  g_autofree char *job = NULL;
  int sealed = gem_test_adapt_text("learn", most + 1, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);

  memset(text, 'a', most + 1);
  test_bad_text(self, text, 4095, "org.gemd.Gem1.Error.InvalidText", "*4095 bytes, 4096*", 1);
  test_bad_text(self, text, most + 1, "org.gemd.Gem1.Error.LimitExceeded", "AdaptText: *", 2);
  text[4000] = '\0';
  test_bad_text(self, text, 5000, "org.gemd.Gem1.Error.InvalidText", "*byte 4001 *", 3);
  text[4000] = '\xff';
  test_bad_text(self, text, 5000, "org.gemd.Gem1.Error.InvalidText", "*byte 4001 *", 4);
  text[4000] = 'a';
  text[4999] = '\xc3'; /* a character that is cut off */
  test_bad_text(self, text, 5000, "org.gemd.Gem1.Error.InvalidText", "*cut off*", 5);
  gem_test_adapt_fails(self, "mywork", sealed, "{}", GEM_ERROR_LIMIT_EXCEEDED, "AdaptText: *");
}

/* A pipe is read to its end. */
static void
test_pipe(GemTestAdapt *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *job = NULL;
  g_autofree char *learned = gem_test_learned_file_write(self->gemd->folder, "mywork", 0);
  g_autofree char *head = g_strdup_printf("learn %s\n", learned);
  char block[GEM_TEST_ADAPT_BYTES];
  int ends[2];

  memset(block, 'a', sizeof block);
  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  job = gem_test_adapt_call(self->gemd->client, "mywork", ends[0], "{}", &error);
  g_assert_no_error(error);
  g_assert_nonnull(job);
  gem_test_adapt_wait_state(self, "mywork", "learning", "copying");
  g_assert_cmpint(write(ends[1], head, strlen(head)), ==, (gssize)strlen(head));
  g_assert_cmpint(write(ends[1], block, sizeof block), ==, (gssize)sizeof block);
  close(ends[1]);
  gem_test_job_ear_wait(self->ear, 1, "done");
}

int
main(int argc, char **argv)
{
  static const GemTestAdaptTest tests[] = {
      {"/bus/adapt-input/names", test_names},
      {"/bus/adapt-input/options", test_options},
      {"/bus/adapt-input/descriptors", test_descriptors},
      {"/bus/adapt-input/texts", test_texts, {.config = "AdaptText=1M\n"}},
      {"/bus/adapt-input/pipe", test_pipe},
      {NULL},
  };

  g_test_init(&argc, &argv, NULL);
  gem_test_adapt_add(tests);
  return g_test_run();
}
