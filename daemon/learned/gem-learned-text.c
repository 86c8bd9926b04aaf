#include "daemon/learned/gem-learned-text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbus/gem-error.h"
#include "dbus/gem-text-scan.h"

#define FEWEST_BYTES 4096u
/* How long a pipe may say nothing, and how long the whole may take; looked at for a cancel more often. */
#define SILENCE_SECONDS   30
#define COPY_SECONDS      600
#define POLL_MILLISECONDS 200
#define ALL_SEALS         (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

typedef struct {
  int from, to;
  guint64 most_bytes;
  gint64 end; /* monotonic time: it is given up */
  gboolean seekable;
  int through[2]; /* a pipe of our own, when it is not */
  GemTextScan scan;
} Copy;

static gboolean
fail_size(guint64 bytes, guint64 most_bytes, GError **error)
{
  g_set_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED,
              "AdaptText: the text has %" G_GUINT64_FORMAT " bytes or more, %" G_GUINT64_FORMAT
              " are allowed",
              bytes, most_bytes);
  return FALSE;
}

static gboolean
fail_kind(GError **error)
{
  gem_error_set_argument(error, "text", "a memfd, a file or a pipe that can be read is wanted");
  return FALSE;
}

static gboolean
is_sealed(int fd)
{
  int seals = fcntl(fd, F_GET_SEALS);

  return seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS;
}

gboolean
gem_learned_text_check(int fd, guint64 most_bytes, GError **error)
{
  int flags = fcntl(fd, F_GETFL);
  struct stat info;

  if (flags < 0 || (flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_WRONLY) {
    return fail_kind(error);
  }
  /* Whoever has seals is in memory: asking for its size cannot take long. */
  if (is_sealed(fd) && fstat(fd, &info) == 0 && (guint64)info.st_size > most_bytes) {
    return fail_size((guint64)info.st_size, most_bytes, error);
  }
  return TRUE;
}

/* Before anything is read: what it is. */
static gboolean
look_at(Copy *copy, GError **error)
{
  struct stat info;

  if (fstat(copy->from, &info) != 0 || (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))) {
    return fail_kind(error);
  }
  copy->seekable = S_ISREG(info.st_mode);
  if (!copy->seekable && pipe2(copy->through, O_CLOEXEC) != 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the copy of the text: %s", g_strerror(errno));
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_time(const Copy *copy, GError **error)
{
  if (g_get_monotonic_time() >= copy->end) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, "the text did not come to its end within %d s",
                COPY_SECONDS);
    return FALSE;
  }
  return TRUE;
}

/* Waits until a pipe can be read. */
static gboolean
wait_readable(const Copy *copy, GCancellable *cancellable, GError **error)
{
  gint64 end = g_get_monotonic_time() + SILENCE_SECONDS * G_USEC_PER_SEC;
  struct pollfd wait = {copy->from, POLLIN, 0};

  while (!g_cancellable_set_error_if_cancelled(cancellable, error) && check_time(copy, error)) {
    int n = poll(&wait, 1, POLL_MILLISECONDS);

    if (n > 0) {
      return TRUE;
    }
    if (n == 0 && g_get_monotonic_time() >= end) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, "the text: nothing came for %d s",
                  SILENCE_SECONDS);
      return FALSE;
    }
  }
  return FALSE;
}

/* What a pipe has now, which may be nothing although it could be read a moment ago: whoever else has the pipe
 * can read it, too, and decides whether reading waits. Splicing never does, as we ask for it. -1 with errno
 * set. */
static gssize
read_pipe(const Copy *copy, char *bytes)
{
  gssize n = splice(copy->from, NULL, copy->through[1], NULL, GEM_TEXT_SCAN_PART, SPLICE_F_NONBLOCK);
  gssize done = 0;

  while (done < n) {
    gssize got = read(copy->through[0], bytes + done, (gsize)(n - done));

    if (got < 0 && errno != EINTR) {
      return -1;
    }
    done += MAX(got, 0);
  }
  return n;
}

/* Bytes read behind what is kept; 0 at the end, -1 on an error. */
static gssize
read_block(Copy *copy, GCancellable *cancellable, GError **error)
{
  gssize n;

  do {
    if (copy->seekable ? g_cancellable_set_error_if_cancelled(cancellable, error) || !check_time(copy, error)
                       : !wait_readable(copy, cancellable, error)) {
      return -1;
    }
    n = copy->seekable
            ? pread(copy->from, gem_text_scan_room(&copy->scan), GEM_TEXT_SCAN_PART, (off_t)copy->scan.bytes)
            : read_pipe(copy, gem_text_scan_room(&copy->scan));
  } while (n < 0 && (errno == EINTR || (!copy->seekable && errno == EAGAIN)));
  if (n < 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, "the text cannot be read: %s", g_strerror(errno));
  }
  return n;
}

static gboolean
write_all(int fd, const char *bytes, gsize length, GError **error)
{
  while (length > 0) {
    gssize n = write(fd, bytes, length);

    if (n < 0 && errno != EINTR) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the copy of the text: %s", g_strerror(errno));
      return FALSE;
    }
    if (n > 0) {
      bytes += n;
      length -= (gsize)n;
    }
  }
  return TRUE;
}

static gboolean
copy_all(Copy *copy, GCancellable *cancellable, GError **error)
{
  GemTextScan *scan = &copy->scan;
  gssize n;

  while ((n = read_block(copy, cancellable, error)) > 0) {
    if (scan->bytes + (guint64)n > copy->most_bytes) {
      return fail_size(scan->bytes + (guint64)n, copy->most_bytes, error);
    }
    if (!write_all(copy->to, gem_text_scan_room(scan), (gsize)n, error) ||
        !gem_text_scan_part(scan, (gsize)n, error)) {
      return FALSE;
    }
  }
  if (n < 0) {
    return FALSE;
  }
  if (scan->bytes < FEWEST_BYTES) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT,
                "the text has %" G_GUINT64_FORMAT " bytes, %u at least are wanted", scan->bytes,
                FEWEST_BYTES);
    return FALSE;
  }
  if (!gem_text_scan_end(scan, error)) {
    return FALSE;
  }
  if (fsync(copy->to) != 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the copy of the text: %s", g_strerror(errno));
    return FALSE;
  }
  return TRUE;
}

/* Closing, too, may take its time. */
static void
copy_close(Copy *copy)
{
  int *const all[] = {&copy->from, &copy->to, &copy->through[0], &copy->through[1]};

  for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
    if (*all[i] >= 0) {
      close(*all[i]);
      *all[i] = -1;
    }
  }
}

static void
copy_free(gpointer data)
{
  Copy *copy = data;

  copy_close(copy);
  explicit_bzero(copy, sizeof *copy);
  g_free(copy);
}

static gpointer
copy_thread(gpointer data)
{
  g_autoptr(GTask) task = data;
  Copy *copy = g_task_get_task_data(task);
  GCancellable *cancellable = g_task_get_cancellable(task);
  GError *error = NULL;
  gboolean copied = look_at(copy, &error) && copy_all(copy, cancellable, &error);

  if (!copied && ftruncate(copy->to, 0) != 0) {
    g_debug("a part of a text stays until the domain is written down");
  }
  copy_close(copy);
  if (copied) {
    g_task_return_int(task, (gssize)copy->scan.bytes);
  } else {
    g_task_return_error(task, error);
  }
  return NULL;
}

void
gem_learned_text_copy_async(int from,
                            int to,
                            guint64 most_bytes,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer data)
{
  g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, data);
  g_autoptr(GError) error = NULL;
  Copy *copy = g_new0(Copy, 1);
  GThread *thread;

  copy->from = from;
  copy->to = to;
  copy->through[0] = copy->through[1] = -1;
  copy->most_bytes = most_bytes;
  copy->scan.name = "the text";
  copy->end = g_get_monotonic_time() + COPY_SECONDS * G_USEC_PER_SEC;
  g_task_set_task_data(task, copy, copy_free);
  /* Not of GLib's pool: a file can block for as long as its owner wants. */
  thread = g_thread_try_new("gem-text", copy_thread, g_object_ref(task), &error);
  if (thread != NULL) {
    g_thread_unref(thread);
    return;
  }
  g_object_unref(task); /* the thread's */
  g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_FAILED, "the text cannot be copied: %s", error->message);
}

gboolean
gem_learned_text_copy_finish(GAsyncResult *result, guint64 *ret_bytes, GError **error)
{
  g_autoptr(GError) local = NULL;
  gssize bytes = g_task_propagate_int(G_TASK(result), &local);

  if (local != NULL) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  *ret_bytes = (guint64)bytes;
  return TRUE;
}
