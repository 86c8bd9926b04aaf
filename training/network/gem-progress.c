#include "training/network/gem-progress.h"

#include <math.h>
#include <signal.h>

#define PRINT_EVERY_US (10 * G_USEC_PER_SEC)

struct _GemProgress {
  char *title;
  guint64 started_at, done, total;
  gint64 started, printed; /* monotonic, us */
  double loss;             /* since the last line */
  gsize tokens, all_tokens;
};

static volatile sig_atomic_t interrupted;

static void
take_signal(int number)
{
  interrupted = 1;
}

void
gem_progress_take_signals(void)
{
  struct sigaction action = {.sa_handler = take_signal,
                             .sa_flags = SA_RESETHAND}; /* a second Ctrl-C ends it at once */
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

GemProgress *
gem_progress_new(const char *title, guint64 done, guint64 total)
{
  GemProgress *self = g_new0(GemProgress, 1);
  self->title = g_strdup(title);
  self->started_at = done;
  self->done = done;
  self->total = total;
  self->started = self->printed = g_get_monotonic_time();
  gem_progress_take_signals();
  return self;
}

void
gem_progress_free(GemProgress *self)
{
  g_free(self->title);
  g_free(self);
}

gboolean
gem_progress_interrupted(void)
{
  return interrupted != 0;
}

void
gem_progress_step(GemProgress *self, guint64 done, double loss, gsize tokens, double rate, const char *more)
{
  self->done = done;
  self->loss += loss;
  self->tokens += tokens;
  self->all_tokens += tokens;
  gint64 now = g_get_monotonic_time();
  if (now - self->printed < PRINT_EVERY_US && done < self->total) {
    return;
  }
  double seconds = (double)(now - self->started) / 1e6;
  double per_step = seconds / (double)MAX(done - self->started_at, 1);
  double left = per_step * (double)(self->total - done);
  double mean = self->tokens > 0 ? self->loss / (double)self->tokens : 0.0;
  g_printerr("%s: step %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
             "  loss %.4f  rate %.2e  %.0f tokens/s  %.2f M tokens  %d:%02d left%s%s\n",
             self->title, done, self->total, mean, rate, (double)self->all_tokens / seconds,
             (double)self->all_tokens / 1e6, (int)(left / 60.0), (int)fmod(left, 60.0),
             more != NULL ? "  " : "", more != NULL ? more : "");
  self->loss = 0.0;
  self->tokens = 0;
  self->printed = now;
}
