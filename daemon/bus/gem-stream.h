/*
 * The writing end of a pipe: takes text without ever blocking, queues what the pipe cannot hold, and notices
 * a reader that went away even while nothing is written. All on the main loop.
 */
#pragma once

#include <glib.h>

typedef struct _GemStream GemStream;

typedef struct {
  /* The queue fell to GEM_STREAM_LOW_WATER or below. */
  void (*drained)(gpointer data);
  /* The reader closed its end; what is queued or written from now on is dropped. Once. */
  void (*broken)(gpointer data);
  /* After gem_stream_finish: everything is in the pipe (or it is broken), and this end is closed. Once. */
  void (*closed)(gpointer data);
} GemStreamEvents;

/* Above the high-water mark the writer should pause; bytes beside the pipe's own, which are 64 KiB too. */
#define GEM_STREAM_HIGH_WATER (64u * 1024u)
#define GEM_STREAM_LOW_WATER  (16u * 1024u)

/* Makes a pipe. The reading end, blocking, goes to `ret_reader` (owned by the caller). `events` must outlive
 * the stream. Errors: GEM_ERROR_FAILED. */
GemStream *
gem_stream_new(const GemStreamEvents *events, gpointer data, int *ret_reader, GError **error);
/* Closes at once; nothing is called back. */
void
gem_stream_free(GemStream *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemStream, gem_stream_free)

/* May call `broken` before it returns. */
void
gem_stream_write(GemStream *self, const char *text, gsize length);
/* Bytes that wait for the reader. */
gsize
gem_stream_get_queued(GemStream *self);
/* For how many microseconds, at the monotonic time `now`, bytes wait of which the reader has taken none; 0:
 * none waits. */
gint64
gem_stream_get_stalled(GemStream *self, gint64 now);
/* No more text comes. `closed` may be called before it returns. */
void
gem_stream_finish(GemStream *self);
