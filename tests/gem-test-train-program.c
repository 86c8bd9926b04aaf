#include "tests/gem-test-train-program.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <glib/gstdio.h>

#include "format/gem-gguf.h"
#include "tests/gem-test-program.h"
#include "tests/gem-test-training.h"

void
gem_test_train_run_clear(GemTestTrainRun *self)
{
  g_clear_pointer(&self->out, g_free);
  g_clear_pointer(&self->err, g_free);
}

GStrv
gem_test_train_words(const char *command)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) words = gem_test_program_words("training", "gem-train");
  g_autofree char *line = g_strconcat("gem-train ", command, NULL);
  g_auto(GStrv) parsed = NULL;
  g_shell_parse_argv(line, NULL, &parsed, &error);
  g_assert_no_error(error);
  for (gsize i = 1; parsed[i] != NULL; i++) {
    g_ptr_array_add(words, g_strdup(parsed[i]));
  }
  g_ptr_array_add(words, NULL);
  return (GStrv)g_ptr_array_steal(words, NULL);
}

void
gem_test_train_run(const char *folder, const char *command, GemTestTrainRun *ret_run)
{
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) words = gem_test_train_words(command);
  int status = 0;
  gem_test_train_run_clear(ret_run);
  g_spawn_sync(folder, words, NULL, G_SPAWN_DEFAULT, NULL, NULL, &ret_run->out, &ret_run->err, &status,
               &error);
  g_assert_no_error(error);
  ret_run->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void
gem_test_train_assert_contains(const char *text, const char *part)
{
  if (strstr(text, part) == NULL) {
    g_test_message("no '%s' in: %s", part, text);
    g_test_fail();
  }
}

int
gem_test_train_stop(
    const char *folder, const char *command, const char *checkpoint, int signal_number, char **ret_err)
{
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) words = gem_test_train_words(command);
  g_autofree char *path = g_build_filename(folder, checkpoint, NULL);
  GPid pid = 0;
  int status = 0, stderr_fd = -1;
  g_spawn_async_with_pipes(folder, words, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL, NULL,
                           &stderr_fd, &error);
  g_assert_no_error(error);
  while (!g_file_test(path, G_FILE_TEST_EXISTS)) {
    g_assert_cmpint(waitpid(pid, &status, WNOHANG), ==, 0); /* it ended before its first checkpoint */
    g_usleep(500);
  }
  g_assert_cmpint(kill(pid, signal_number), ==, 0);
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  g_autoptr(GIOChannel) channel = g_io_channel_unix_new(stderr_fd);
  g_io_channel_set_encoding(channel, NULL, NULL);
  g_io_channel_set_close_on_unref(channel, TRUE);
  gsize length = 0;
  g_assert_cmpint(g_io_channel_read_to_end(channel, ret_err, &length, NULL), ==, G_IO_STATUS_NORMAL);
  return status;
}

void
gem_test_train_spoil(const char *folder, const char *checkpoint, const char *tensor, const char *copy)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *from = g_build_filename(folder, checkpoint, NULL),
                  *to = g_build_filename(folder, copy, NULL), *bytes = NULL;
  gsize size = 0;
  g_autoptr(GemGguf) file = gem_gguf_open(from, &error);
  g_assert_no_error(error);
  const GemTensor *spoiled = gem_gguf_find_tensor(file, tensor);
  g_assert_nonnull(spoiled);
  g_assert_true(g_file_get_contents(from, &bytes, &size, NULL));
  memset(bytes + spoiled->offset, 0xff, spoiled->bytes);
  g_assert_true(g_file_set_contents(to, bytes, (gssize)size, NULL));
}

void
gem_test_train_assert_done(const char *folder, const char *command, GemTestTrainRun *ret_run)
{
  gem_test_train_run(folder, command, ret_run);
  if (ret_run->status != 0) {
    g_test_message("%s: status %d: %s", command, ret_run->status, ret_run->err);
  }
  g_assert_cmpint(ret_run->status, ==, 0);
}

void
gem_test_train_assert_fails(const char *folder, const char *command, int status, const char *message)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_run(folder, command, &run);
  if (run.status != status || strstr(run.err, message) == NULL) {
    g_test_message("'%s': status %d for %d, and no '%s' in: %s", command, run.status, status, message,
                   run.err);
    g_test_fail();
  }
}

char *
gem_test_train_folder_new(void)
{
  g_auto(GemTestTrainRun) run = {0};
  char *folder = gem_test_folder_new();
  g_autofree char *data = gem_test_data_folder_new(), *into = g_build_filename(folder, "data", NULL);
  g_assert_cmpint(g_rename(data, into), ==, 0);
  gem_test_train_assert_done(folder, "init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE " --output start", &run);
  return folder;
}
