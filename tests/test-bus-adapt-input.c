/*
 * What AdaptDomain takes: names, options, descriptors and texts. gemd with its modules on a tiny random
 * model.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/learned/gem-learned-text.h"
#include "tests/gem-test-adapt.h"
#include "tests/gem-test-learned-file.h"
#include "tests/gem-test-patience.h"

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

/* What a learning is given is what its caller says, or else not all that there might be. */
static void
test_seconds(GemTestAdapt *self, gconstpointer data)
{
  const GemTestAdaptCase *one = data;
  g_autofree char *user = g_strdup_printf("%u", geteuid());
  g_autofree char *record = g_build_filename(self->state, "learned", user, "mywork", "domain", NULL);
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) error = NULL;
  g_autofree char *job = NULL;

  gem_test_adapt_hold(self);
  job = gem_test_adapt_call(self->gemd->client, "mywork",
                            gem_test_adapt_orders(self, "mywork", "learn", TRUE), one->word, &error);
  g_assert_no_error(error);
  g_assert_nonnull(job);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  g_assert_true(g_key_file_load_from_file(file, record, G_KEY_FILE_NONE, &error));
  g_assert_cmpint(g_key_file_get_integer(file, "order", "Seconds", &error), ==, one->number);
  g_assert_no_error(error);
}

/* The job fails, as the one of that number; takes `text`. */
static void
fail_job(GemTestAdapt *self, int text, const char *error, const char *pattern, guint number)
{
  g_autoptr(GError) failure = NULL;
  g_autofree char *job = gem_test_adapt_call(self->gemd->client, "mywork", text, "{}", &failure);

  g_assert_no_error(failure);
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, number, "failed");
  gem_test_job_ear_check_error(self->ear, error, pattern);
}

static void
test_descriptors(GemTestAdapt *self, gconstpointer data)
{
  int ends[2];

  gem_test_adapt_fails(self, "mywork", open("/etc/hostname", O_PATH), "{}", GEM_ERROR_INVALID_OPTION,
                       "text: *");
  g_assert_cmpint(pipe(ends), ==, 0);
  gem_test_adapt_fails(self, "mywork", ends[1], "{}", GEM_ERROR_INVALID_OPTION, "text: *");
  close(ends[0]);
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
  /* What it is, is looked at where that may take its time. */
  fail_job(self, open("/", O_RDONLY | O_DIRECTORY), "org.gemd.Gem1.Error.InvalidOption", "text: *", 1);
  fail_job(self, open("/dev/zero", O_RDONLY), "org.gemd.Gem1.Error.InvalidOption", "text: *", 2);
}

static void
test_bad_text(
    GemTestAdapt *self, const char *text, gsize length, const char *error, const char *pattern, guint number)
{
  int fd = memfd_create("text", MFD_CLOEXEC);

  g_assert_cmpint(write(fd, text, length), ==, (gssize)length);
  fail_job(self, fd, error, pattern, number);
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
  text[4999] = '\0';
  test_bad_text(self, text, 5000, "org.gemd.Gem1.Error.InvalidText", "*byte 5000 *", 6);
  gem_test_adapt_fails(self, "mywork", sealed, "{}", GEM_ERROR_LIMIT_EXCEEDED, "AdaptText: *");
}

/* Of the control characters those of a text alone; a carriage return belongs to the line end after it, which
 * may be read later. */
static void
test_controls(GemTestAdapt *self, gconstpointer data)
{
  static const struct {
    gsize at;
    const char *bytes, *pattern;
  } cases[] = {
      {4000, "\x01", "*byte 4001 *control*"},     {4000, "\x7f", "*byte 4001 *control*"},
      {4000, "\xc2\x9b", "*byte 4001 *control*"}, {4000, "\ra", "*byte 4001 *control*"},
      {65535, "\ra", "*byte 65536 *control*"},    {69999, "\r", "*byte 70000 *control*"},
  };
  char text[70000];

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    memset(text, 'a', sizeof text);
    memcpy(text + cases[i].at, cases[i].bytes, strlen(cases[i].bytes));
    test_bad_text(self, text, sizeof text, "org.gemd.Gem1.Error.InvalidText", cases[i].pattern, i + 1);
  }
}

/* Tabs, form feeds, and line ends of both kinds, one of which is read in two pieces, are of a text. */
static void
test_line_ends(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *learned = gem_test_learned_file_write(self->gemd->folder, "mywork", 0);
  g_autofree char *head = g_strdup_printf("learn %s\n\ttext\r\n\f\n", learned);
  g_autoptr(GError) error = NULL;
  g_autofree char *job = NULL;
  g_autoptr(GString) text = g_string_new(head);
  int fd = memfd_create("text", MFD_CLOEXEC);

  while (text->len < 65535) {
    g_string_append_c(text, 'a');
  }
  g_string_append(text, "\r\nand more");
  g_assert_cmpint(write(fd, text->str, text->len), ==, (gssize)text->len);
  job = gem_test_adapt_call(self->gemd->client, "mywork", fd, "{}", &error);
  g_assert_no_error(error);
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "done");
}

/* What the process that learns says of the text is of the text. */
static void
test_unfit(GemTestAdapt *self, gconstpointer data)
{
  fail_job(self, gem_test_adapt_text("unfit", GEM_TEST_ADAPT_BYTES, 0), "org.gemd.Gem1.Error.InvalidText",
           "*too little of it*", 1);
}

/* Copies of a user that never end are counted; one that was given up, until it has ended. */
static void
test_many(GemTestAdapt *self, gconstpointer data)
{
  enum { MOST = 8 };
  gint64 end = gem_test_deadline(30);
  int ends[MOST + 1][2];
  g_autofree char *again = NULL;

  for (guint i = 0; i < MOST; i++) {
    g_autofree char *name = g_strdup_printf("slow-%u", i);
    g_autoptr(GError) error = NULL;
    g_autofree char *job = NULL;

    g_assert_cmpint(pipe2(ends[i], O_CLOEXEC), ==, 0);
    job = gem_test_adapt_call(self->gemd->client, name, ends[i][0], "{}", &error);
    g_assert_no_error(error);
    g_assert_nonnull(job);
  }
  g_assert_cmpint(pipe2(ends[MOST], O_CLOEXEC), ==, 0);
  gem_test_adapt_fails(self, "slow-8", fcntl(ends[MOST][0], F_DUPFD_CLOEXEC, 0), "{}",
                       GEM_ERROR_LIMIT_EXCEEDED, "texts that are being copied: 8 are in use, 8 are allowed");
  g_variant_unref(
      gem_test_manager(self->gemd->client, "ForgetDomain", g_variant_new("(s@a{sv})", "slow-0", NONE)));
  while (again == NULL) {
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(g_get_monotonic_time(), <, end);
    again = gem_test_adapt_call(self->gemd->client, "slow-8", fcntl(ends[MOST][0], F_DUPFD_CLOEXEC, 0), "{}",
                                &error);
  }
  for (guint i = 0; i <= MOST; i++) {
    close(ends[i][1]);
  }
  close(ends[MOST][0]);
  gem_test_job_ear_wait(self->ear, MOST + 1, "failed"); /* the first was cancelled */
}

typedef struct {
  int ends[2];
  gint over; /* atomic */
} Theft;

/* Takes out of a pipe what was put into it, byte by byte, while somebody else waits for the same. */
static gpointer
steal(gpointer data)
{
  Theft *self = data;
  char byte;

  while (!g_atomic_int_get(&self->over)) {
    g_assert_cmpint(write(self->ends[1], "a", 1), ==, 1);
    if (read(self->ends[0], &byte, 1) < 0) {
      g_assert_cmpint(errno, ==, EAGAIN); /* the other one had it */
    }
  }
  return NULL;
}

static void
on_copied(GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **)data = g_object_ref(result);
}

/* Who has the pipe, too, can empty it between the moment in which it can be read and the reading: that does
 * not wait then, but sees that it was given up. */
static void
test_theft(void)
{
  Theft theft = {.over = 0};
  g_autoptr(GCancellable) cancellable = g_cancellable_new();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  GThread *thief;
  guint64 bytes;

  g_assert_cmpint(pipe2(theft.ends, O_CLOEXEC), ==, 0);
  /* Whether the copy's reading waits is its own affair: the thief's does not, through another description. */
  g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", theft.ends[0]);
  int copied = theft.ends[0];
  theft.ends[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  g_assert_cmpint(theft.ends[0], >=, 0);
  gem_learned_text_copy_async(copied, memfd_create("copy", MFD_CLOEXEC), 64 << 20, cancellable, on_copied,
                              &result);
  thief = g_thread_new("thief", steal, &theft);
  for (guint i = 0; i < 200; i++) {
    g_usleep(1000);
  }
  g_atomic_int_set(&theft.over, 1);
  g_thread_join(thief);
  g_cancellable_cancel(cancellable);
  while (result == NULL) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_false(gem_learned_text_copy_finish(result, &bytes, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  close(theft.ends[0]);
  close(theft.ends[1]);
}

/* Of a text that is not taken nothing is kept. */
static void
test_emptied(void)
{
  const gsize length = 200000;
  g_autofree char *text = g_strnfill(length, 'a');
  int from = memfd_create("text", MFD_CLOEXEC), to = memfd_create("copy", MFD_CLOEXEC), kept;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  guint64 bytes;

  text[length - 1] = '\x01';
  kept = fcntl(to, F_DUPFD_CLOEXEC, 0);
  g_assert_cmpint(write(from, text, length), ==, (gssize)length);
  gem_learned_text_copy_async(from, to, 64 << 20, NULL, on_copied, &result);
  while (result == NULL) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_false(gem_learned_text_copy_finish(result, &bytes, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT);
  g_assert_cmpint(lseek(kept, 0, SEEK_END), ==, 0);
  close(kept);
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
      {"/bus/adapt-input/seconds/none", test_seconds, {.word = "{}", .number = 290}},
      {"/bus/adapt-input/seconds/few",
       test_seconds,
       {.config = "AdaptSeconds=60\n", .word = "{}", .number = 60}},
      {"/bus/adapt-input/seconds/most", test_seconds, {.word = "{'seconds': <uint32 900>}", .number = 900}},
      {"/bus/adapt-input/descriptors", test_descriptors},
      {"/bus/adapt-input/texts", test_texts, {.config = "AdaptText=1M\n"}},
      {"/bus/adapt-input/controls", test_controls},
      {"/bus/adapt-input/line-ends", test_line_ends},
      {"/bus/adapt-input/unfit", test_unfit},
      {"/bus/adapt-input/pipe", test_pipe},
      {"/bus/adapt-input/many", test_many, {.config = "MaxLearnedPerUser=16\n"}},
      {NULL},
  };

  g_test_init(&argc, &argv, NULL);
  gem_test_adapt_add(tests);
  g_test_add_func("/bus/adapt-input/theft", test_theft);
  g_test_add_func("/bus/adapt-input/emptied", test_emptied);
  return g_test_run();
}
