/*
 * bench-replay MODEL FOLDER: how long the texts take that a model writes of its own domains before a new one
 * is learned, with what the service does it with. They are left in FOLDER/replay, for bench-adapt.
 */
#include <stdio.h>
#include <unistd.h>

#include "daemon/engine/gem-engine.h"
#include "daemon/learned/gem-replay.h"

typedef struct {
  GMainLoop *loop;
  int status;
} Bench;

static void
on_progress(double share, gpointer data)
{
}

static void
on_ready(int fd, const GError *error, gpointer data)
{
  Bench *self = data;

  if (fd < 0) {
    fprintf(stderr, "bench-replay: %s\n", error->message);
    self->status = 1;
  } else {
    close(fd);
  }
  g_main_loop_quit(self->loop);
}

int
main(int argc, char **argv)
{
  static const GemReplayEvents events = {on_progress, on_ready};
  g_autoptr(GError) error = NULL;
  g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
  const char *build = g_getenv("GEM_BUILD_DIR");
  Bench self = {loop, 0};

  if (argc != 3 || build == NULL) {
    fprintf(stderr, "usage: GEM_BUILD_DIR=build bench-replay MODEL FOLDER\n");
    return 2;
  }
  g_autofree char *plugins = g_build_filename(build, "plugins", NULL);
  const char *const plugin_dirs[] = {plugins, NULL};
  const GemEngineConfig config = {
      .model_path = argv[1], .plugin_dirs = plugin_dirs, .backend = "cpu", .threshold_percent = -1};
  g_autoptr(GemEngine) engine = gem_engine_new(&config, &error);
  if (engine == NULL) {
    fprintf(stderr, "bench-replay: %s\n", error->message);
    return 1;
  }
  gint64 started = g_get_monotonic_time();
  g_autoptr(GemReplay) replay = gem_replay_new(engine, argv[2], argv[1], &events, &self);
  g_main_loop_run(loop);
  printf("%.1f s\n", (double)(g_get_monotonic_time() - started) / G_USEC_PER_SEC);
  return self.status;
}
