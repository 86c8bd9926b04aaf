/*
 * Two models in memory while LoadModel has one take the other's place: what is asked of the one that is
 * served is asked of the one that still answers. With a service manager and a logind's signal that the test
 * plays, on an engine without a model, which gives back a hundred bytes a step.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/gem-test-calls.h"
#include "tests/gem-test-loads.h"
#include "tests/gem-test-logind.h"
#include "tests/gem-test-patience.h"

#define PATIENCE 20

typedef struct {
  GemTestLoads loads;
  char *fifo;
  GString *log;  /* what the daemon has written so far */
  char *request; /* that runs on the first model, without an end */
  int stream;
} World;

static void
set_up(World *self, gconstpointer data)
{
  GStrv environment;

  gem_test_loads_set_up(&self->loads, NULL);
  self->fifo = g_build_filename(self->loads.bus->dir, "pressure", NULL);
  g_assert_cmpint(mkfifo(self->fifo, 0600), ==, 0);
  self->log = g_string_new(NULL);
  self->loads.bus->pipe_log = TRUE;
  self->loads.bus->config_text = g_strdup("[gemd]\nMemoryLimit=2000\n");
  environment = g_new0(char *, 5);
  environment[0] = g_strdup(self->loads.bus->daemon_environment[0]);
  environment[1] = g_strconcat("MEMORY_PRESSURE_WATCH=", self->fifo, NULL);
  environment[2] = g_strdup("G_MESSAGES_DEBUG=all");
  /* The pressure of this machine is none of the test's. */
  environment[3] = g_strconcat("GEMD_PRESSURE_ROOT=", self->loads.bus->dir, NULL);
  g_strfreev(self->loads.bus->daemon_environment);
  self->loads.bus->daemon_environment = environment;
}

static void
tear_down(World *self, gconstpointer data)
{
  gem_test_loads_tear_down(&self->loads, NULL);
  g_string_free(self->log, TRUE);
  g_free(self->fifo);
  g_free(self->request);
}

static void
read_log(World *self)
{
  GInputStream *stream = g_subprocess_get_stdout_pipe(self->loads.bus->daemon);
  char text[4096];
  gssize length;

  while ((length = g_pollable_input_stream_read_nonblocking(G_POLLABLE_INPUT_STREAM(stream), text,
                                                            sizeof text, NULL, NULL)) > 0) {
    g_string_append_len(self->log, text, length);
  }
}

/* Runs the main loop until the daemon has written this so many times. */
static void
wait_count(World *self, const char *text, guint count)
{
  gint64 end = gem_test_deadline(PATIENCE);

  for (;;) {
    g_auto(GStrv) parts = g_strsplit(self->log->str, text, -1);

    if (g_strv_length(parts) > count) {
      return;
    }
    if (g_get_monotonic_time() > end) {
      g_error("not %u times \"%s\" in \"%s\"", count, text, self->log->str);
    }
    g_main_context_iteration(NULL, FALSE);
    g_usleep(2000);
    read_log(self);
  }
}

static void
wait_log(World *self, const char *text)
{
  wait_count(self, text, 1);
}

/* A turn without end runs on the first model when the other takes its place. */
static void
switch_models(World *self)
{
  g_autofree char *session = NULL, *job = NULL;

  gem_test_loads_start(&self->loads, "/fake/ok", "ready");
  session = gem_test_create_session(self->loads.client);
  self->stream = gem_test_generate(self->loads.client, session, "silent", "{}", &self->request);
  job = gem_test_load_model(self->loads.client, "other", "{}");
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->loads.ear, 1, "done");
}

static void
end_turn(World *self)
{
  g_variant_unref(
      gem_test_call(self->loads.client, self->request, GEM_REQUEST_INTERFACE, "Cancel", NULL, NULL));
  g_free(gem_test_read_all(self->stream));
}

/* Both give back what a step asks for, and it is one line in the journal. */
static void
test_pressure(World *self, gconstpointer data)
{
  int fd;

  switch_models(self);
  fd = open(self->fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint((int)write(fd, "x", 1), ==, 1);
  close(fd);
  wait_log(self, "step 2 of 4, no cold pathways; 400 bytes given back in ");
  end_turn(self);
}

static void
test_limit(World *self, gconstpointer data)
{
  switch_models(self);
  /* The first one is told again. */
  wait_log(self, "other may take 2000 bytes");
  wait_count(self, "fake may take 2000 bytes", 2);
  end_turn(self);
}

/* An administrator pages in meanwhile: on the model that is served, whichever that is. */
static void
page_in(World *self, const char *domain, gboolean there)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(self->loads.client, path, GEM_PATHWAY_INTERFACE, "PageIn",
                                            g_variant_new("(@a{sv})", gem_test_options("{}")), &error);

  if (there) {
    g_autoptr(GVariant) state = gem_test_get(self->loads.client, path, GEM_PATHWAY_INTERFACE, "State");

    g_assert_no_error(error);
    g_assert_cmpstr(g_variant_get_string(state, NULL), ==, "resident");
  } else {
    g_assert_nonnull(error);
  }
}

static void
test_page_in(World *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  gem_test_loads_start(&self->loads, "/fake/ok", "ready");
  gem_test_loads_hold(&self->loads, "other");
  job = gem_test_load_model(self->loads.client, "other", "{}");
  page_in(self, "legal", TRUE);
  page_in(self, "music", FALSE);
  gem_test_job_is(self->loads.client, job, "running", 0);
  gem_test_loads_let_go(&self->loads, "other");
  gem_test_job_ear_wait(self->loads.ear, 1, "done");
  page_in(self, "legal", FALSE);
  page_in(self, "music", TRUE);
}

/* Before the other one is loaded, the first gives up what it can, and what memory asks for otherwise stands
 * again afterwards. */
static void
test_room(World *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  gem_test_loads_start(&self->loads, "/fake/ok", "ready");
  gem_test_loads_hold(&self->loads, "other");
  job = gem_test_load_model(self->loads.client, "other", "{}");
  wait_log(self, "another model is loaded beside this one: 300 bytes given back");
  wait_log(self, "model fake: relief 0");
  gem_test_job_is(self->loads.client, job, "running", 0);
  gem_test_loads_let_go(&self->loads, "other");
  gem_test_job_ear_wait(self->loads.ear, 1, "done");
}

/* Without a limit it stays as it is. */
static void
test_no_limit(World *self, gconstpointer data)
{
  g_free(self->loads.bus->config_text);
  self->loads.bus->config_text = g_strdup("[gemd]\n");
  switch_models(self);
  /* When its place is taken: what comes before that is written by now. */
  wait_log(self, "model fake: relief 3");
  g_assert_null(strstr(self->log->str, "loaded beside"));
  end_turn(self);
}

/* The machine goes to sleep: both give back what idle caches take, the lock is held until both have, and it
 * is one line in the journal. The turn on the first one runs on. */
static void
test_sleep(World *self, gconstpointer data)
{
  GemTestLogind logind = {0};

  gem_test_logind_start(&logind, self->loads.bus);
  switch_models(self);
  gem_test_logind_wait_asked(&logind, 1);
  g_assert_true(gem_test_logind_has_lock(&logind));
  gem_test_logind_say(&logind, TRUE);
  gem_test_logind_wait_released(&logind);
  wait_log(self, "the machine goes to sleep: 600 bytes given back in ");
  gem_test_logind_say(&logind, FALSE);
  gem_test_logind_wait_asked(&logind, 2);
  gem_test_manager_answers(self->loads.client);
  end_turn(self);
  gem_test_logind_stop(&logind);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(World *self, gconstpointer data);
  } tests[] = {
      {"/bus/retired/pressure", test_pressure}, {"/bus/retired/room", test_room},
      {"/bus/retired/no-limit", test_no_limit}, {"/bus/retired/sleep", test_sleep},
      {"/bus/retired/limit", test_limit},       {"/bus/retired/page-in", test_page_in},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, World, NULL, set_up, tests[i].run, tear_down);
  }
  return g_test_run();
}
