#include "adaptation/trainer/gem-adapt-reporter.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "adaptation/gem-adapt-fields.h"

#define EVERY_MS 400

struct _GemAdaptReporter {
  GemAdaptChannel *channel;
  GCancellable *cancellable;
  GThread *thread;
  int stop;   /* eventfd */
  int news;   /* eventfd: there is something that is worth telling at once */
  int signal; /* signalfd */
  GMutex lock;
  GemAdaptProgress progress; /* guarded */
};

static void
tell(GemAdaptReporter *self)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(GEM_ADAPT_PROGRESS);
  g_mutex_lock(&self->lock);
  packet->progress = self->progress;
  g_mutex_unlock(&self->lock);
  /* A daemon that does not read misses some; one that is gone is noticed below. */
  gem_adapt_channel_send(self->channel, packet, NULL);
}

/* FALSE: nothing more will be heard. */
static gboolean
hear(GemAdaptReporter *self)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemAdaptPacket) packet = gem_adapt_channel_receive(self->channel, &error);
  if (packet != NULL && packet->kind == GEM_ADAPT_CANCEL) {
    g_cancellable_cancel(self->cancellable);
    return TRUE;
  }
  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
    return TRUE;
  }
  g_cancellable_cancel(self->cancellable);
  return FALSE;
}

static gpointer
run(gpointer data)
{
  GemAdaptReporter *self = data;
  struct pollfd pollers[] = {{.fd = self->stop, .events = POLLIN},
                             {.fd = self->signal, .events = POLLIN},
                             {.fd = gem_adapt_channel_get_fd(self->channel), .events = POLLIN},
                             {.fd = self->news, .events = POLLIN}};
  while (pollers[0].revents == 0) {
    tell(self);
    if (poll(pollers, G_N_ELEMENTS(pollers), EVERY_MS) <= 0) {
      continue;
    }
    if (pollers[3].revents != 0) {
      eventfd_t count;
      eventfd_read(self->news, &count);
    }
    if (pollers[1].revents != 0) {
      g_cancellable_cancel(self->cancellable);
      pollers[1].fd = -1;
    }
    if (pollers[2].revents != 0 && !hear(self)) {
      pollers[2].fd = -1;
    }
  }
  return NULL;
}

GemAdaptReporter *
gem_adapt_reporter_new(GemAdaptChannel *channel)
{
  GemAdaptReporter *self = g_new0(GemAdaptReporter, 1);
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, NULL);
  self->channel = channel;
  self->cancellable = g_cancellable_new();
  self->stop = eventfd(0, EFD_CLOEXEC);
  self->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->signal = signalfd(-1, &terminate, SFD_CLOEXEC);
  self->progress = (GemAdaptProgress){0.0, GEM_ADAPT_READING, -1.0};
  g_mutex_init(&self->lock);
  self->thread = g_thread_new("reporter", run, self);
  return self;
}

void
gem_adapt_reporter_free(GemAdaptReporter *self)
{
  if (self == NULL) {
    return;
  }
  eventfd_write(self->stop, 1);
  g_thread_join(self->thread);
  gem_adapt_close(&self->stop);
  gem_adapt_close(&self->news);
  gem_adapt_close(&self->signal);
  g_object_unref(self->cancellable);
  g_mutex_clear(&self->lock);
  g_free(self);
}

GCancellable *
gem_adapt_reporter_get_cancellable(GemAdaptReporter *self)
{
  return self->cancellable;
}

void
gem_adapt_reporter_set(GemAdaptReporter *self, GemAdaptPhase phase, double share, double loss)
{
  g_mutex_lock(&self->lock);
  const GemAdaptProgress now = {CLAMP(share, 0.0, 1.0), phase, isfinite(loss) ? loss : -1.0};
  gboolean news = now.phase != self->progress.phase || (now.loss >= 0.0) != (self->progress.loss >= 0.0);
  self->progress = now;
  g_mutex_unlock(&self->lock);
  if (news) {
    eventfd_write(self->news, 1);
  }
}
