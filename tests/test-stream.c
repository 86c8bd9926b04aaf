/* The writing end of a pipe: order, back pressure, a reader that goes away. */
#include "daemon/bus/gem-stream.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-memory.h"
#include "tests/gem-test-patience.h"

typedef struct {
  guint drained, broken, closed;
} Counts;

static void
on_drained(gpointer data)
{
  ((Counts *)data)->drained++;
}

static void
on_broken(gpointer data)
{
  ((Counts *)data)->broken++;
}

static void
on_closed(gpointer data)
{
  ((Counts *)data)->closed++;
}

static const GemStreamEvents events = {on_drained, on_broken, on_closed};

static void
run_until(const guint *count)
{
  gint64 end = gem_test_deadline(10);

  while (*count == 0) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_main_context_iteration(NULL, FALSE);
  }
}

static void
run_pending(void)
{
  while (g_main_context_iteration(NULL, FALSE)) {
  }
}

static void
test_short(void)
{
  Counts counts = {0};
  int reader = -1;
  g_autoptr(GemStream) stream = gem_stream_new(&events, &counts, &reader, NULL);
  char buffer[16];

  g_assert_nonnull(stream);
  g_assert_cmpint(fcntl(reader, F_GETFL) & O_NONBLOCK, ==, 0);
  g_assert_cmpint(fcntl(reader, F_GETFD) & FD_CLOEXEC, !=, 0);
  gem_stream_write(stream, "hello ", 6);
  gem_stream_write(stream, "world", 5);
  g_assert_cmpuint(gem_stream_get_queued(stream), ==, 0);
  g_assert_cmpint(read(reader, buffer, sizeof buffer), ==, 11);
  g_assert_cmpint(memcmp(buffer, "hello world", 11), ==, 0);
  gem_stream_finish(stream);
  g_assert_cmpuint(counts.closed, ==, 1);
  g_assert_cmpint(read(reader, buffer, sizeof buffer), ==, 0);
  g_assert_cmpuint(counts.broken, ==, 0);
  close(reader);
}

/* More than the pipe holds: it is queued, read back in order, and drained is told. */
static void
test_back_pressure(void)
{
  Counts counts = {0};
  int reader = -1;
  g_autoptr(GemStream) stream = gem_stream_new(&events, &counts, &reader, NULL);
  g_autoptr(GByteArray) received = g_byte_array_new();
  guint8 buffer[10000];
  guint32 number = 0;

  while (gem_stream_get_queued(stream) <= GEM_STREAM_HIGH_WATER) {
    gem_stream_write(stream, (const char *)&number, sizeof number);
    number++;
  }
  gem_stream_finish(stream);
  run_pending();
  g_assert_cmpuint(counts.closed, ==, 0);
  g_assert_true(g_unix_set_fd_nonblocking(reader, TRUE, NULL));
  for (;;) {
    gssize length = read(reader, buffer, sizeof buffer);

    if (length == 0) {
      break;
    }
    if (length > 0) {
      g_byte_array_append(received, buffer, (guint)length);
    }
    g_main_context_iteration(NULL, FALSE);
  }
  g_assert_cmpuint(counts.closed, ==, 1);
  g_assert_cmpuint(received->len, ==, number * sizeof number);
  for (guint32 i = 0; i < number; i++) {
    guint32 value;

    memcpy(&value, received->data + i * sizeof value, sizeof value);
    g_assert_cmpuint(value, ==, i);
  }
  close(reader);
}

static void
test_drained(void)
{
  Counts counts = {0};
  int reader = -1;
  g_autoptr(GemStream) stream = gem_stream_new(&events, &counts, &reader, NULL);
  g_autofree char *block = g_malloc0(256 * 1024);
  gsize taken = 0;

  gem_stream_write(stream, block, 256 * 1024);
  run_pending();
  g_assert_cmpuint(counts.drained, ==, 0);
  while (counts.drained == 0) {
    taken += (gsize)read(reader, block, 64 * 1024);
    run_pending();
  }
  g_assert_cmpuint(gem_stream_get_queued(stream), <=, GEM_STREAM_LOW_WATER);
  g_assert_cmpuint(taken, >, 128 * 1024);
  close(reader);
}

/* On a clock of the test's own: a reader that takes some from time to time is not stalled, one that takes
 * nothing is. */
static void
test_stalled(void)
{
  const gint64 hour = 3600 * G_TIME_SPAN_SECOND;
  Counts counts = {0};
  int reader = -1;
  g_autoptr(GemStream) stream = gem_stream_new(&events, &counts, &reader, NULL);
  g_autofree char *block = g_malloc0(256 * 1024);
  gint64 began = g_get_monotonic_time();

  gem_stream_write(stream, "taken by the pipe", 17);
  g_assert_cmpint(gem_stream_get_stalled(stream, began + hour), ==, 0);
  gem_stream_write(stream, block, 256 * 1024);
  g_assert_cmpint(gem_stream_get_stalled(stream, g_get_monotonic_time() + hour), >=, hour);
  g_assert_cmpint(gem_stream_get_stalled(stream, began + hour), <=, hour);
  /* More for it to take is no progress. */
  began = g_get_monotonic_time();
  gem_stream_write(stream, block, 1);
  run_pending();
  g_assert_cmpint(gem_stream_get_stalled(stream, began + hour), >=, hour);
  began = g_get_monotonic_time();
  g_assert_cmpint(read(reader, block, 64 * 1024), >, 0);
  run_pending();
  g_assert_cmpuint(gem_stream_get_queued(stream), >, 0);
  g_assert_cmpint(gem_stream_get_stalled(stream, began + hour), <=, hour);
  close(reader);
}

/* Noticed without a write. */
static void
test_reader_leaves(void)
{
  Counts counts = {0};
  int reader = -1;
  g_autoptr(GemStream) stream = gem_stream_new(&events, &counts, &reader, NULL);

  run_pending();
  g_assert_cmpuint(counts.broken, ==, 0);
  close(reader);
  run_until(&counts.broken);
  gem_stream_write(stream, "dropped", 7);
  g_assert_cmpuint(gem_stream_get_queued(stream), ==, 0);
  gem_stream_finish(stream);
  g_assert_cmpuint(counts.closed, ==, 1);
  run_pending();
  g_assert_cmpuint(counts.broken, ==, 1);
}

static void
test_reader_leaves_at_write(void)
{
  Counts counts = {0};
  int reader = -1;
  g_autoptr(GemStream) stream = gem_stream_new(&events, &counts, &reader, NULL);

  close(reader);
  gem_stream_write(stream, "x", 1);
  g_assert_cmpuint(counts.broken, ==, 1);
}

/* What is left after finish goes with the reader. */
static void
test_reader_leaves_at_end(void)
{
  Counts counts = {0};
  int reader = -1;
  g_autoptr(GemStream) stream = gem_stream_new(&events, &counts, &reader, NULL);
  g_autofree char *block = g_malloc0(256 * 1024);

  gem_stream_write(stream, block, 256 * 1024);
  gem_stream_finish(stream);
  run_pending();
  g_assert_cmpuint(counts.closed, ==, 0);
  close(reader);
  run_until(&counts.closed);
  g_assert_cmpuint(counts.broken, ==, 0);
}

#define SECRET 400u

/* An answer that waits for its reader stands in one place, however the queue grows and moves, and in none
 * when the stream is gone. */
static void
test_wiped(void)
{
  Counts counts = {0};
  int reader = -1;
  GemStream *stream = gem_stream_new(&events, &counts, &reader, NULL);
  g_autoptr(GPtrArray) between = g_ptr_array_new_with_free_func(g_free);
  GemTestSecret secret = {0};
  char *text = gem_test_draw_text(91, SECRET);
  char other[100];
  char buffer[1000];

  if (!gem_test_can_read_memory()) {
    g_test_skip("the memory of a process cannot be read here");
    gem_stream_free(stream);
    close(reader);
    g_free(text);
    return;
  }
  memset(other, '.', sizeof other);
  while (gem_stream_get_queued(stream) == 0) {
    gem_stream_write(stream, other, sizeof other);
  }
  gem_test_secret_set(&secret, text, SECRET);
  gem_stream_write(stream, text, SECRET);
  explicit_bzero(text, SECRET);
  g_free(text);
  while (gem_stream_get_queued(stream) < GEM_STREAM_HIGH_WATER) {
    gem_stream_write(stream, other, sizeof other);
    g_ptr_array_add(between, g_malloc(24)); /* so that it cannot grow where it is */
  }
  g_assert_cmpuint(gem_test_secret_count(&secret), ==, 1);
  /* The pipe takes in pages. */
  while (gem_stream_get_queued(stream) >= GEM_STREAM_HIGH_WATER) {
    g_assert_cmpint(read(reader, buffer, sizeof buffer), >, 0);
    run_pending();
  }
  g_assert_cmpuint(gem_test_secret_count(&secret), ==, 0); /* it is in the pipe */
  gem_stream_free(stream);
  g_assert_cmpuint(gem_test_secret_count(&secret), ==, 0);
  gem_test_secret_clear(&secret);
  close(reader);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  signal(SIGPIPE, SIG_IGN);
  g_test_add_func("/stream/short", test_short);
  g_test_add_func("/stream/back-pressure", test_back_pressure);
  g_test_add_func("/stream/drained", test_drained);
  g_test_add_func("/stream/stalled", test_stalled);
  g_test_add_func("/stream/reader-leaves", test_reader_leaves);
  g_test_add_func("/stream/reader-leaves-at-write", test_reader_leaves_at_write);
  g_test_add_func("/stream/reader-leaves-at-end", test_reader_leaves_at_end);
  g_test_add_func("/stream/wiped", test_wiped);
  return g_test_run();
}
