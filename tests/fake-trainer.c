/*
 * A trainer that learns nothing: it speaks the channel, and does what the first line of the text says.
 *
 *   learn FILE: the bytes of FILE are what was learned
 *   hold FILE: first waits until FILE is gone, and tells its progress meanwhile; then goes on with the next
 * line die: ends without a last word die-once: the same, leaving a checkpoint; with a checkpoint it goes on
 * with the next line die-until N: the same until the checkpoint has so many bytes; each start adds one mute
 * N: as die-until, before it has said anything at all; as the first line flood N: tells its progress so
 * often, as fast as it can; then goes on with the next line refuse, fail, unfit: says so; the last, that it
 * is the text's fault boast FILE: says that it learned, with figures that do not keep the bounds babble:
 * sends what is no packet peek: fails unless it has nothing open but its files and the standard ones
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adaptation/gem-adapt-channel.h"

static GemAdaptPacket *
receive(GemAdaptChannel *channel)
{
  for (;;) {
    g_autoptr(GError) error = NULL;
    GemAdaptPacket *packet;

    gem_adapt_channel_wait(channel, G_IO_IN, -1);
    packet = gem_adapt_channel_receive(channel, &error);
    if (packet != NULL || !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
      return packet;
    }
  }
}

static void
tell_progress(GemAdaptChannel *channel, double share)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(GEM_ADAPT_PROGRESS);

  packet->progress = (GemAdaptProgress){share, GEM_ADAPT_LEARNING, 2.5};
  if (!gem_adapt_channel_send(channel, packet, NULL)) {
    _exit(0); /* nobody listens any more */
  }
}

static void
tell_result(GemAdaptChannel *channel, GemAdaptKind kind, double after, double other)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(kind);
  GemAdaptResult *result = &packet->result;

  result->held_out_before = 100;
  result->held_out_after = after;
  gem_adapt_result_add_other(result, "legal", other);
  result->worst_other_percent = other;
  result->routed_share = 0.5;
  result->tokens = 1000;
  result->steps = 10;
  result->seconds = 0.5;
  result->reason = kind == GEM_ADAPT_REFUSED ? g_strdup("it is no better") : NULL;
  if (!gem_adapt_channel_send(channel, packet, NULL)) {
    _exit(0); /* nobody listens any more */
  }
}

static void
write_output(const GemAdaptStart *start, const char *path)
{
  g_autofree char *bytes = NULL;
  gsize length = 0;

  g_assert_true(g_file_get_contents(path, &bytes, &length, NULL));
  g_assert_cmpint(write(start->files[GEM_ADAPT_OUTPUT], bytes, length), ==, (gssize)length);
}

static void
hold(GemAdaptChannel *channel, const GemAdaptStart *start, const char *path)
{
  while (g_file_test(path, G_FILE_TEST_EXISTS)) {
    tell_progress(channel, 0.5);
    if (gem_adapt_channel_wait(channel, G_IO_IN, 20)) {
      /* Cancelled, or closed. A checkpoint says how it left. */
      g_assert_cmpint(write(start->files[GEM_ADAPT_CHECKPOINT], "left", 4), ==, 4);
      _exit(0);
    }
  }
}

static void
babble(GemAdaptChannel *channel)
{
  char garbage[1000];

  memset(garbage, 0xa5, sizeof garbage);
  send(gem_adapt_channel_get_fd(channel), garbage, sizeof garbage, 0);
}

/* Descriptors that are open: of the directory that is being read, too. */
static guint
count_open(void)
{
  g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
  guint count = 0;

  while (g_dir_read_name(dir) != NULL) {
    count++;
  }
  return count;
}

/* What the packet must be whatever is to be done with it. */
static void
check_start(const GemAdaptStart *start)
{
  g_autoptr(GVariant) texts = NULL;
  char bytes[4];
  gssize size = lseek(start->files[GEM_ADAPT_REPLAY], 0, SEEK_END);
  g_autofree char *replay = g_malloc(size);

  g_assert_cmpuint(start->pathways->len, >, 0);
  g_assert_cmpint(pread(start->files[GEM_ADAPT_GENERAL], bytes, 4, 0), ==, 4);
  g_assert_cmpint(memcmp(bytes, "GGUF", 4), ==, 0);
  g_assert_cmpint(pread(start->files[GEM_ADAPT_REPLAY], replay, size, 0), ==, size);
  texts =
      g_variant_ref_sink(g_variant_new_from_data(G_VARIANT_TYPE("a(ss)"), replay, size, FALSE, NULL, NULL));
  /* Of each domain and of general. */
  g_assert_cmpuint(g_variant_n_children(texts), ==, 64 * (start->pathways->len + 1));
}

static void
fail(GemAdaptChannel *channel, GemAdaptKind kind, const char *message)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(kind);

  packet->message = g_strdup(message);
  g_assert_true(gem_adapt_channel_send(channel, packet, NULL));
}

/* Dies until it was started so often, by this or by another order. */
static void
die_until(const GemAdaptStart *start, const char *count)
{
  int checkpoint = start->files[GEM_ADAPT_CHECKPOINT];

  if (lseek(checkpoint, 0, SEEK_END) < (off_t)g_ascii_strtoull(count, NULL, 10)) {
    g_assert_cmpint(write(checkpoint, "x", 1), ==, 1);
    _exit(1);
  }
}

static void
flood(GemAdaptChannel *channel, guint count)
{
  for (guint i = 0; i < count; i++) {
    gem_adapt_channel_wait(channel, G_IO_OUT, -1);
    tell_progress(channel, 0.25 + 0.7 * i / count);
  }
}

/* FALSE: the next line is to be looked at, too. */
static gboolean
obey(GemAdaptChannel *channel, const GemAdaptStart *start, const char *order, const char *path)
{
  if (g_str_equal(order, "hold")) {
    hold(channel, start, path);
    return FALSE;
  }
  if (g_str_equal(order, "die-once")) {
    if (lseek(start->files[GEM_ADAPT_CHECKPOINT], 0, SEEK_END) > 0) {
      return FALSE;
    }
    g_assert_cmpint(write(start->files[GEM_ADAPT_CHECKPOINT], "so far", 6), ==, 6);
    _exit(1);
  }
  if (g_str_equal(order, "die-until")) {
    die_until(start, path);
    return FALSE;
  }
  if (g_str_equal(order, "flood")) {
    flood(channel, (guint)g_ascii_strtoull(path, NULL, 10));
    return FALSE;
  }
  if (g_str_equal(order, "die")) {
    _exit(1);
  }
  if (g_str_equal(order, "babble")) {
    babble(channel);
  } else if (g_str_equal(order, "fail")) {
    fail(channel, GEM_ADAPT_ERROR, "the text is too short");
  } else if (g_str_equal(order, "unfit")) {
    fail(channel, GEM_ADAPT_BAD_TEXT, "there is too little of it");
  } else if (g_str_equal(order, "peek")) {
    /* The directory itself, and those of the packet. */
    fail(channel, GEM_ADAPT_ERROR,
         count_open() == 4 + GEM_ADAPT_N_FILES - (start->files[GEM_ADAPT_PATHWAY] < 0) + start->pathways->len
             ? "nothing else is open"
             : "there is more");
  } else if (g_str_equal(order, "refuse")) {
    tell_result(channel, GEM_ADAPT_REFUSED, 99, 0.5);
  } else {
    write_output(start, path);
    tell_result(channel, GEM_ADAPT_DONE, 50, g_str_equal(order, "boast") ? 7 : 0.5);
  }
  return TRUE;
}

int
main(void)
{
  g_autoptr(GemAdaptChannel) channel = gem_adapt_channel_new(STDIN_FILENO, GEM_ADAPT_TO_TRAINER, NULL);
  g_autoptr(GemAdaptPacket) packet = channel != NULL ? receive(channel) : NULL;
  g_auto(GStrv) lines = NULL;
  char text[4096] = "";
  guint first;

  if (packet == NULL || packet->kind != GEM_ADAPT_START) {
    return 1;
  }
  check_start(&packet->start);
  g_assert_cmpint(pread(packet->start.files[GEM_ADAPT_TEXT], text, sizeof text - 1, 0), >, 0);
  lines = g_strsplit(text, "\n", -1);
  first = g_str_has_prefix(lines[0], "mute ") ? 1 : 0;
  if (first == 1) {
    die_until(&packet->start, lines[0] + strlen("mute "));
  }
  tell_progress(channel, 0.25);
  for (guint i = first; lines[i] != NULL; i++) {
    g_auto(GStrv) words = g_strsplit(lines[i], " ", 2);

    if (obey(channel, &packet->start, words[0], words[1])) {
      break;
    }
  }
  /* The other side has the last word. */
  do {
    g_clear_pointer(&packet, gem_adapt_packet_free);
    packet = receive(channel);
  } while (packet != NULL);
  return 0;
}
