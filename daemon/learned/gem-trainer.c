#include "daemon/learned/gem-trainer.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "adaptation/gem-adapt-channel.h"
#include "daemon/base/gem-log.h"
#include "dbus/gem-error.h"

/* It speaks once a second; a machine that is short of memory may hold it up. */
#define SILENCE_SECONDS 120u
/* Packets that are read before others have their turn. */
#define BURST 16u
/* How long one that was told to go may take: it writes a checkpoint, and systemd takes note of its end. */
#define LEAVE_SECONDS 20u

struct _GemTrainer {
  GemAdaptChannel *channel;
  GSubprocess *child; /* NULL: systemd's */
  guint watch, silence, deadline;
  const GemTrainerEvents *events;
  gpointer data;

  /* When it goes. */
  guint leaving; /* source: it takes too long */
  void (*gone)(gpointer data);
  gpointer gone_data;
};

/* ---- how it is started ---- */

gboolean
gem_trainer_is_there(const GemConfig *config)
{
  /* The unit behind the socket runs the same. */
  return config->adapt_program != NULL && g_file_test(config->adapt_program, G_FILE_TEST_IS_EXECUTABLE);
}

/* -1 with errno set. */
static int
connect_socket(const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd, saved;

  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(address.sun_path, path, strlen(path) + 1);
  /* Does not wait: a queue that is full is an error. */
  fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
    saved = errno;
    close(fd);
    errno = saved;
    fd = -1;
  }
  return fd;
}

/* Our end of the channel; -1 on failure. */
static int
spawn(const char *program, GSubprocess **ret_child, GError **error)
{
  /* Whatever it writes there could only be of the program itself: it goes to the service's log. */
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_auto(GStrv) environment = g_strdupv((char *[]){NULL});
  int ours = -1, theirs = -1;

  if (!gem_adapt_channel_make_pair(&ours, &theirs, error)) {
    return -1;
  }
  for (const char *const *name = (const char *const[]){"ASAN_OPTIONS", "LD_LIBRARY_PATH", NULL};
       *name != NULL; name++) {
    if (g_getenv(*name) != NULL) {
      environment = g_environ_setenv(environment, *name, g_getenv(*name), TRUE);
    }
  }
  /* as the unit does: the program has threads of its own */
  environment = g_environ_setenv(environment, "OPENBLAS_NUM_THREADS", "1", TRUE);
  g_subprocess_launcher_set_environ(launcher, environment);
  g_subprocess_launcher_take_stdin_fd(launcher, theirs);
  *ret_child = g_subprocess_launcher_spawnv(launcher, (const char *const[]){program, NULL}, error);
  if (*ret_child == NULL) {
    close(ours);
    return -1;
  }
  return ours;
}

/* Our end of the channel; -1 on failure. */
static int
reach(const GemConfig *config, GSubprocess **ret_child, GError **error)
{
  g_autoptr(GError) local = NULL;
  int fd = -1;

  if (config->adapt_socket != NULL) {
    fd = connect_socket(config->adapt_socket);
    if (fd >= 0) {
      return fd;
    }
    if (errno != ENOENT && errno != ECONNREFUSED) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the process that learns cannot be started: %s",
                  g_strerror(errno));
      return -1;
    }
    gem_log(
        LOG_WARNING, GEM_LOG_TRAINER_IS_CHILD, NULL,
        "nothing listens at the socket behind which the process that learns is started: it runs as a child, "
        "without limits of its own");
  }
  if (!gem_trainer_is_there(config)) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_NOT_SUPPORTED,
                        "the program that learns domains is not installed");
    return -1;
  }
  fd = spawn(config->adapt_program, ret_child, &local);
  if (fd < 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the process that learns cannot be started: %s",
                local->message);
  }
  return fd;
}

/* ---- what it says ---- */

static void
trainer_end(GemTrainer *self, const GemAdaptPacket *packet, const GError *error)
{
  g_clear_handle_id(&self->watch, g_source_remove);
  g_clear_handle_id(&self->silence, g_source_remove);
  g_clear_handle_id(&self->deadline, g_source_remove);
  self->events->ended(packet, error, self->data);
}

/* It was told how long it may take; what it makes of that is its own affair. */
static gboolean
on_deadline(gpointer data)
{
  GemTrainer *self = data;
  g_autoptr(GError) error = g_error_new_literal(GEM_ERROR, GEM_ERROR_FAILED,
                                                "the process that learns did not come to its end in time");

  self->deadline = 0;
  trainer_end(self, NULL, error);
  return G_SOURCE_REMOVE;
}

static gboolean
on_silence(gpointer data)
{
  GemTrainer *self = data;
  g_autoptr(GError) error = g_error_new(GEM_ERROR, GEM_ERROR_FAILED,
                                        "the process that learns said nothing for %u s", SILENCE_SECONDS);

  self->silence = 0;
  trainer_end(self, NULL, error);
  return G_SOURCE_REMOVE;
}

static void
listen_on(GemTrainer *self)
{
  g_clear_handle_id(&self->silence, g_source_remove);
  self->silence = g_timeout_add_seconds(SILENCE_SECONDS, on_silence, self);
}

static gboolean
on_readable(int fd, GIOCondition condition, gpointer data)
{
  GemTrainer *self = data;

  for (guint i = 0; i < BURST; i++) {
    g_autoptr(GError) local = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GemAdaptPacket) packet = gem_adapt_channel_receive(self->channel, &local);

    if (packet != NULL && packet->kind == GEM_ADAPT_PROGRESS) {
      listen_on(self);
      self->events->progress(&packet->progress, self->data);
    } else if (packet != NULL) {
      trainer_end(self, packet, NULL);
      return G_SOURCE_REMOVE;
    } else if (g_error_matches(local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
      return G_SOURCE_CONTINUE;
    } else {
      error = g_error_new(GEM_ERROR, GEM_ERROR_FAILED, "%s",
                          g_error_matches(local, G_IO_ERROR, G_IO_ERROR_INVALID_DATA)
                              ? "the process that learns did not keep to the rules of its channel"
                              : "the process that learns died");
      trainer_end(self, NULL, error);
      return G_SOURCE_REMOVE;
    }
  }
  return G_SOURCE_CONTINUE;
}

GemTrainer *
gem_trainer_start(const GemConfig *config,
                  const GemAdaptPacket *start,
                  guint most_seconds,
                  const GemTrainerEvents *events,
                  gpointer data,
                  GError **error)
{
  g_autoptr(GSubprocess) child = NULL;
  g_autoptr(GError) local = NULL;
  g_autoptr(GemAdaptChannel) channel = NULL;
  GemTrainer *self;
  int fd = reach(config, &child, error);

  if (fd < 0) {
    return NULL;
  }
  channel = gem_adapt_channel_new(fd, GEM_ADAPT_TO_DAEMON, &local);
  if (channel == NULL || !gem_adapt_channel_send(channel, start, &local)) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the process that learns cannot be spoken to: %s",
                local->message);
    return NULL;
  }
  self = g_new0(GemTrainer, 1);
  self->channel = g_steal_pointer(&channel);
  self->child = g_steal_pointer(&child);
  self->events = events;
  self->data = data;
  self->watch = g_unix_fd_add(gem_adapt_channel_get_fd(self->channel), G_IO_IN | G_IO_HUP | G_IO_ERR,
                              on_readable, self);
  self->deadline = g_timeout_add_seconds(most_seconds, on_deadline, self);
  listen_on(self);
  return self;
}

/* ---- its end ---- */

void
gem_trainer_free(GemTrainer *self)
{
  g_clear_handle_id(&self->watch, g_source_remove);
  g_clear_handle_id(&self->silence, g_source_remove);
  g_clear_handle_id(&self->deadline, g_source_remove);
  g_clear_handle_id(&self->leaving, g_source_remove);
  g_clear_pointer(&self->channel, gem_adapt_channel_free);
  g_clear_object(&self->child);
  g_free(self);
}

/* It is over, one way or the other. */
static void
trainer_gone(GemTrainer *self)
{
  void (*gone)(gpointer data) = self->gone;
  gpointer data = self->gone_data;

  gem_trainer_free(self);
  gone(data);
}

static gboolean
on_leave_late(gpointer data)
{
  GemTrainer *self = data;

  self->leaving = 0;
  if (self->child != NULL) {
    g_subprocess_force_exit(self->child);
  }
  trainer_gone(self);
  return G_SOURCE_REMOVE;
}

/* What it still says is not heard; that it closes the channel is. */
static gboolean
on_leave_readable(int fd, GIOCondition condition, gpointer data)
{
  GemTrainer *self = data;

  for (guint i = 0; i < BURST; i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GemAdaptPacket) packet = gem_adapt_channel_receive(self->channel, &error);

    if (packet == NULL && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
      return G_SOURCE_CONTINUE;
    }
    if (packet == NULL && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) {
      self->watch = 0;
      trainer_gone(self);
      return G_SOURCE_REMOVE;
    }
  }
  return G_SOURCE_CONTINUE;
}

void
gem_trainer_leave(GemTrainer *self, gboolean now, void (*gone)(gpointer data), gpointer data)
{
  int fd = gem_adapt_channel_get_fd(self->channel);

  g_clear_handle_id(&self->watch, g_source_remove);
  g_clear_handle_id(&self->silence, g_source_remove);
  g_clear_handle_id(&self->deadline, g_source_remove);
  self->gone = gone;
  self->gone_data = data;
  shutdown(fd, SHUT_WR);
  if (self->child != NULL && now) {
    g_subprocess_force_exit(self->child);
  }
  self->watch = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_leave_readable, self);
  self->leaving = g_timeout_add_seconds(LEAVE_SECONDS, on_leave_late, self);
}
