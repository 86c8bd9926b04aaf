#include "bench/bus/gem-bench-lesson.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

gboolean
gem_bench_lesson_check(const GemBenchLesson *lesson, GemRemote *remote, GError **error)
{
  g_autoptr(GVariant) reply =
      gem_remote_call_manager(remote, "LearnedDomains", g_variant_new("(a{sv})", NULL), "(aa{sv})", error);
  g_autoptr(GVariantIter) iter = NULL;
  GVariant *domain;
  gboolean is_there = FALSE;

  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(aa{sv})", &iter);
  while (g_variant_iter_loop(iter, "@a{sv}", &domain)) {
    const char *name = "";

    is_there |= g_variant_lookup(domain, "name", "&s", &name) && g_str_equal(name, lesson->name);
  }
  if (is_there) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                "there is a learned domain \"%s\": choose another --name, or forget it", lesson->name);
  }
  return !is_there;
}

/* A sealed memfd; -1 on failure. */
static int
seal_text(const GString *text, GError **error)
{
  int fd = memfd_create("gem-lesson", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  gsize written = 0;
  gssize n = 0;

  while (fd >= 0 && written < text->len && (n = write(fd, text->str + written, text->len - written)) > 0) {
    written += (gsize)n;
  }
  if (fd < 0 || written < text->len ||
      fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    int number = errno;

    g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(number),
                "the text cannot be put into memory: %s", g_strerror(number));
    if (fd >= 0) {
      close(fd);
    }
    return -1;
  }
  return fd;
}

/* What became of a job that was neither done nor refused. */
static gboolean
fail(const GemJobResult *result, GError **error)
{
  const char *message = "the service left the bus";

  if (result->error != NULL) {
    g_propagate_error(error, g_error_copy(result->error));
  } else if (result->interrupted) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "given up: nothing has changed");
  } else {
    if (result->details != NULL) {
      g_variant_lookup(result->details, "message", "&s", &message);
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "the learning did not come to an end: %s", message);
  }
  return FALSE;
}

gboolean
gem_bench_lesson_learn(const GemBenchLesson *lesson,
                       GemRemote *remote,
                       const GString *text,
                       GemJobResult *ret_result,
                       GError **error)
{
  g_auto(GemJobResult) result = {0};
  g_autoptr(GUnixFDList) descriptors = NULL;
  GVariantBuilder settings;
  int fd = seal_text(text, error);

  if (fd < 0) {
    return FALSE;
  }
  descriptors = g_unix_fd_list_new_from_array(&fd, 1); /* takes it */
  g_variant_builder_init(&settings, G_VARIANT_TYPE_VARDICT);
  if (lesson->seconds > 0) {
    g_variant_builder_add(&settings, "{sv}", "seconds", g_variant_new_uint32((guint32)lesson->seconds));
  }
  gem_job_run(remote, "learning", "AdaptDomain", g_variant_new("(sha{sv})", lesson->name, 0, &settings),
              descriptors, &result);
  if (g_strcmp0(result.result, "done") != 0 && g_strcmp0(result.result, "refused") != 0) {
    return fail(&result, error);
  }
  *ret_result = result;
  result = (GemJobResult){0};
  return TRUE;
}

gboolean
gem_bench_lesson_forget(const GemBenchLesson *lesson, GemRemote *remote, GError **error)
{
  g_autoptr(GVariant) reply = gem_remote_call_manager(
      remote, "ForgetDomain", g_variant_new("(sa{sv})", lesson->name, NULL), "()", error);

  return reply != NULL;
}
