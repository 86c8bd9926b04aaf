#include "tests/gem-test-trainer.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fcntl.h>

#include "format/gem-model-files.h"
#include "tests/gem-test-patience.h"
#include "tests/gem-test-program.h"

#define GIB ((guint64)1 << 30)

int
gem_test_adapt_file(gconstpointer data, gsize size)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = g_bytes_new(data, size);
  int fd = memfd_create("file", MFD_CLOEXEC);
  g_assert_cmpint(fd, >=, 0);
  gem_file_overwrite(fd, "file", bytes, &error);
  g_assert_no_error(error);
  return fd;
}

GBytes *
gem_test_adapt_read(int fd)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemFileReader) reader = gem_file_reader_new_from_fd(fd, "file", &error);
  g_assert_no_error(error);
  gsize size = (gsize)gem_file_reader_get_size(reader);
  guint8 *data = g_malloc(MAX(size, 1));
  gem_file_reader_read(reader, 0, data, size, &error);
  g_assert_no_error(error);
  return g_bytes_new_take(data, size);
}

static int
open_in(const char *dir, const char *file)
{
  g_autofree char *path = g_build_filename(dir, file, NULL);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint(fd, >=, 0);
  return fd;
}

static int
open_pathway(const char *dir, const char *domain)
{
  g_autofree char *file = gem_model_pathway_file(domain);
  return open_in(dir, file);
}

GemAdaptPacket *
gem_test_adapt_start(const char *dir,
                     const char *name,
                     const char *replaces,
                     const char *from,
                     const char *text,
                     gsize length,
                     GVariant *replay)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemModelFiles) model = gem_model_files_open(dir, &error);
  g_assert_no_error(error);
  g_autoptr(GVariant) kept = g_variant_ref_sink(replay);
  GemAdaptPacket *packet = gem_adapt_packet_new(GEM_ADAPT_START);
  GemAdaptStart *start = &packet->start;
  start->name = g_strdup(name);
  start->replaces = g_strdup(replaces);
  start->general_sha256 = g_strdup(gem_manifest_get_sha256(model->manifest, GEM_MODEL_GENERAL_FILE));
  start->router_sha256 = g_strdup(gem_manifest_get_sha256(model->manifest, GEM_MODEL_ROUTER_FILE));
  start->memory_bytes = GIB;
  start->seconds = 3600;
  start->threads = 1;
  start->seed = 1;
  start->worst_other_percent = 100.0;
  start->least_gain_percent = -1000.0;
  start->files[GEM_ADAPT_TEXT] = gem_test_adapt_file(text, length);
  start->files[GEM_ADAPT_GENERAL] = open_in(dir, GEM_MODEL_GENERAL_FILE);
  start->files[GEM_ADAPT_ROUTER] = open_in(dir, GEM_MODEL_ROUTER_FILE);
  start->files[GEM_ADAPT_PATHWAY] = from != NULL ? open_pathway(dir, from) : -1;
  start->files[GEM_ADAPT_REPLAY] = gem_test_adapt_file(g_variant_get_data(kept), g_variant_get_size(kept));
  start->files[GEM_ADAPT_CHECKPOINT] = gem_test_adapt_file("", 0);
  start->files[GEM_ADAPT_OUTPUT] = gem_test_adapt_file("", 0);
  for (guint d = 0; d < model->shape.n_domains; d++) {
    gem_adapt_start_add_pathway(start, model->shape.domains[d], open_pathway(dir, model->shape.domains[d]));
  }
  return packet;
}

/* ---- the program ---- */

static GSubprocess *
spawn(int channel)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
  g_autoptr(GPtrArray) words = gem_test_program_words("adaptation/trainer", "gem-adapt");
  g_ptr_array_add(words, NULL);
  g_subprocess_launcher_take_stdin_fd(launcher, channel);
  GSubprocess *process = g_subprocess_launcher_spawnv(launcher, (const char *const *)words->pdata, &error);
  g_assert_no_error(error);
  return process;
}

GemTestAdapt *
gem_test_adapt_new(const GemAdaptPacket *start)
{
  GemTestAdapt *self = g_new0(GemTestAdapt, 1);
  g_autoptr(GError) error = NULL;
  int daemon, trainer;
  g_assert_true(gem_adapt_channel_make_pair(&daemon, &trainer, &error));
  self->channel = gem_adapt_channel_new(daemon, GEM_ADAPT_TO_DAEMON, &error);
  g_assert_no_error(error);
  self->process = spawn(trainer);
  if (start != NULL) {
    gem_adapt_channel_send(self->channel, start, &error);
    g_assert_no_error(error);
  }
  return self;
}

void
gem_test_adapt_free(GemTestAdapt *self)
{
  g_subprocess_force_exit(self->process);
  g_subprocess_wait(self->process, NULL, NULL);
  g_clear_pointer(&self->channel, gem_adapt_channel_free);
  g_object_unref(self->process);
  g_free(self);
}

/* The next packet, after waiting for it; NULL: there are no more. */
static GemAdaptPacket *
next_packet(GemTestAdapt *self)
{
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_adapt_channel_wait(self->channel, G_IO_IN, (int)(gem_test_patience(60) / 1000)));
  GemAdaptPacket *packet = gem_adapt_channel_receive(self->channel, &error);
  if (packet == NULL) {
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
  } else if (packet->kind == GEM_ADAPT_PROGRESS) {
    self->progress[packet->progress.phase]++;
    self->last_share = packet->progress.share;
  }
  return packet;
}

gboolean
gem_test_adapt_wait_phase(GemTestAdapt *self, GemAdaptPhase phase)
{
  for (;;) {
    g_autoptr(GemAdaptPacket) packet = next_packet(self);
    if (packet == NULL || packet->kind != GEM_ADAPT_PROGRESS) {
      return FALSE;
    }
    if (packet->progress.phase == phase && (phase != GEM_ADAPT_LEARNING || packet->progress.loss >= 0.0)) {
      return TRUE;
    }
  }
}

GemAdaptPacket *
gem_test_adapt_wait_last(GemTestAdapt *self)
{
  for (;;) {
    g_autoptr(GemAdaptPacket) packet = next_packet(self);
    if (packet == NULL || packet->kind != GEM_ADAPT_PROGRESS) {
      return g_steal_pointer(&packet);
    }
  }
}

void
gem_test_adapt_cancel(GemTestAdapt *self)
{
  g_autoptr(GemAdaptPacket) packet = gem_adapt_packet_new(GEM_ADAPT_CANCEL);
  g_autoptr(GError) error = NULL;
  gem_adapt_channel_send(self->channel, packet, &error);
  g_assert_no_error(error);
}

int
gem_test_adapt_wait_exit(GemTestAdapt *self)
{
  g_assert_true(g_subprocess_wait(self->process, NULL, NULL));
  return g_subprocess_get_if_exited(self->process) ? g_subprocess_get_exit_status(self->process) : -1;
}
