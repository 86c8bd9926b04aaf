/*
 * gem-adapt: learns a domain for gemd, in a process of its own. Descriptor 0 is the channel
 * (gem-adapt-channel.h); everything else comes through it. The program opens no path, and ends after one
 * training.
 */
#include <stdio.h>
#include <string.h>

#include "adaptation/gem-adapt-channel.h"
#include "adaptation/trainer/gem-adapt-guard.h"
#include "adaptation/trainer/gem-adapt-reporter.h"
#include "adaptation/trainer/gem-adapt-text-check.h"
#include "adaptation/trainer/gem-adapt-work.h"
#include "process/gem-streams.h"
#include "training/arithmetic/gem-matmul.h"

#define START_MS  60000 /* that a daemon may take to say what to do */
#define FINISH_MS 60000 /* and to hear what came of it */

static void
on_progress(GemAdaptPhase phase, double share, double loss, gpointer data)
{
  gem_adapt_reporter_set(data, phase, share, loss);
}

/* The first packet. */
static GemAdaptPacket *
receive_start(GemAdaptChannel *channel, GError **error)
{
  if (!gem_adapt_channel_wait(channel, G_IO_IN, START_MS)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "nobody said what to learn");
    return NULL;
  }
  g_autoptr(GemAdaptPacket) packet = gem_adapt_channel_receive(channel, error);
  if (packet != NULL && packet->kind != GEM_ADAPT_START) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the first packet is no start");
    return NULL;
  }
  return g_steal_pointer(&packet);
}

/* A message that may be sent: as long as one may be, on one line. */
static GemAdaptPacket *
error_packet(const GError *error)
{
  GemAdaptPacket *packet =
      gem_adapt_packet_new(error->domain == GEM_ADAPT_TEXT_ERROR ? GEM_ADAPT_BAD_TEXT : GEM_ADAPT_ERROR);
  g_autofree char *valid = g_utf8_make_valid(error->message, -1);
  g_autoptr(GString) line = g_string_new(NULL);
  for (const char *at = valid; *at != '\0' && line->len + 6 < GEM_ADAPT_MAX_MESSAGE;
       at = g_utf8_next_char(at)) {
    gunichar character = g_utf8_get_char(at);
    g_string_append_unichar(line, g_unichar_iscntrl(character) ? ' ' : character);
  }
  packet->message = g_strdup(line->len > 0 ? line->str : "an error without a message");
  return packet;
}

/* The last packet, once there is room for it. */
static gboolean
send_last(GemAdaptChannel *channel, const GemAdaptPacket *packet)
{
  gboolean sent = FALSE, again = TRUE;
  while (again && !sent) {
    g_autoptr(GError) error = NULL;
    sent = gem_adapt_channel_send(channel, packet, &error);
    again = !sent && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) &&
            gem_adapt_channel_wait(channel, G_IO_OUT, FINISH_MS);
  }
  return sent;
}

/* What came of it; NULL: it was cancelled. */
static GemAdaptPacket *
learn(GemAdaptChannel *channel, const GemAdaptStart *start)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemAdaptReporter) reporter = gem_adapt_reporter_new(channel);
  GCancellable *cancellable = gem_adapt_reporter_get_cancellable(reporter);
  GemAdaptPacket *result = NULL;
  if (gem_matmul_select("auto", &error) &&
      gem_adapt_guard_limit_memory(start->memory_bytes, start->threads, &error)) {
    result = gem_adapt_work(start, cancellable, on_progress, reporter, &error);
  }
  gboolean cancelled = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  return result != NULL || cancelled ? result : error_packet(error);
}

static int
run(GError **error)
{
  g_autoptr(GemAdaptChannel) channel =
      gem_adapt_guard_enter(error) ? gem_adapt_channel_new(0, GEM_ADAPT_TO_TRAINER, error) : NULL;
  if (channel == NULL) {
    return 2;
  }
  g_autoptr(GemAdaptPacket) start = receive_start(channel, error);
  g_autoptr(GemAdaptPacket) last = start != NULL ? learn(channel, &start->start) : error_packet(*error);
  if (last != NULL && !send_last(channel, last)) {
    g_clear_error(error);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "nobody hears what came of it");
  }
  return start != NULL && (error == NULL || *error == NULL) ? 0 : 1;
}

int
main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  gem_streams_begin();
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    printf("gem-adapt %s\n", GEM_VERSION);
    return 0;
  }
  if (argc != 1) {
    fprintf(stderr, "usage: gem-adapt (started by gemd, with their channel as descriptor 0)\n");
    return 2;
  }
  gem_matmul_prepare_process(argv);
  int status = run(&error);
  if (error != NULL) {
    fprintf(stderr, "gem-adapt: %s\n", error->message);
  }
  return status;
}
