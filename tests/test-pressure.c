/* The kernel's files, as a folder of the same shape, and what is asked for when they tell of pressure. */
#include "daemon/pressure/gem-pressure.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/pressure/gem-pressure-files.h"
#include "daemon/pressure/gem-pressure-lock.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-patience.h"

#define OWN     "sys/fs/cgroup/system.slice/gemd.service/"
#define SLICE   "sys/fs/cgroup/system.slice/"
#define SECOND  G_USEC_PER_SEC
#define UNKNOWN GEM_PRESSURE_UNKNOWN

typedef struct {
  char *dir;
  guint asked, step; /* how often, and for what the last time */
  GemPressureCause cause;
  guint looks;
  GemPressureReadings last;
} World;

/* In place, as the kernel's files change: those that are open see it. */
static void
set_text(World *self, const char *path, const char *text)
{
  g_autofree char *full = g_build_filename(self->dir, path, NULL);
  int fd = open(full, O_WRONLY | O_TRUNC | O_CLOEXEC);

  if (fd < 0) {
    gem_test_write_text(self->dir, path, text);
    return;
  }
  g_assert_cmpint((int)write(fd, text, strlen(text)), ==, (int)strlen(text));
  close(fd);
}

static void
set_stalls(World *self, const char *path, guint64 microseconds)
{
  g_autofree char *text =
      g_strdup_printf("some avg10=0.00 avg60=0.00 avg300=0.00 total=%" G_GUINT64_FORMAT "\n"
                      "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
                      microseconds);

  set_text(self, path, text);
}

static void
set_up(World *self, gconstpointer data)
{
  self->dir = gem_test_folder_new();
  set_text(self, "proc/self/cgroup", "1:name=systemd:/other\n0::/system.slice/gemd.service\n");
  set_text(self, "proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\nMemAvailable:     500 kB\n");
  set_stalls(self, "proc/pressure/memory", 5);
  set_stalls(self, OWN "memory.pressure", 5);
  set_text(self, OWN "memory.events", "low 0\nhigh 7\nmax 3\noom 0\noom_kill 0\n");
  set_text(self, OWN "memory.current", "1000\n");
  set_text(self, OWN "memory.high", "max\n");
  set_text(self, OWN "memory.max", "max\n");
  set_text(self, OWN "memory.stat", "anon 600\nfile 100\nactive_file 60\ninactive_file 140\n");
  set_text(self, SLICE "memory.current", "5000\n");
  set_text(self, SLICE "memory.high", "max\n");
  set_text(self, SLICE "memory.max", "max\n");
  set_text(self, SLICE "memory.stat", "anon 1\nactive_file 500\ninactive_file 500\nslab_reclaimable 1000\n");
}

static void
tear_down(World *self, gconstpointer data)
{
  gem_test_folder_remove(self->dir);
  g_free(self->dir);
}

static GemPressureReadings
read_at(GemPressureFiles *files, gint64 second)
{
  GemPressureReadings readings;

  gem_pressure_files_read(files, second * SECOND, &readings);
  g_assert_false(readings.told);
  return readings;
}

static void
test_held(World *self, gconstpointer data)
{
  g_autoptr(GemPressureFiles) files = gem_pressure_files_open(self->dir);

  g_assert_cmpfloat(read_at(files, 1).held, ==, UNKNOWN);
  /* Files that were read may go at once. */
  set_text(self, OWN "memory.high", "2000\n");
  g_assert_cmpfloat(read_at(files, 2).held, ==, 0.4);
  g_assert_cmpuint(read_at(files, 2).held_bytes, ==, 800);
  g_assert_cmpuint(read_at(files, 2).limit_bytes, ==, 2000);
  /* But not those that are mapped. */
  set_text(self, OWN "memory.stat", "anon 600\nfile_mapped 50\nactive_file 60\ninactive_file 140\n");
  g_assert_cmpuint(read_at(files, 2).held_bytes, ==, 850);
  set_text(self, OWN "memory.stat", "anon 600\nfile_mapped 5000\nactive_file 60\ninactive_file 140\n");
  g_assert_cmpuint(read_at(files, 2).held_bytes, ==, 1000);
  set_text(self, OWN "memory.stat", "anon 600\nfile 100\nactive_file 60\ninactive_file 140\n");
  set_text(self, OWN "memory.high", "1000\n");
  g_assert_cmpfloat(read_at(files, 3).held, ==, 0.8);
  /* The lower limit of the two; then that of the group around it, whose slabs go too. */
  set_text(self, OWN "memory.max", "500\n");
  g_assert_cmpfloat(read_at(files, 4).held, ==, 1.6);
  set_text(self, OWN "memory.max", "max\n");
  set_text(self, SLICE "memory.max", "3000\n");
  g_assert_cmpfloat(read_at(files, 5).held, ==, 1);
  g_assert_cmpuint(read_at(files, 5).held_bytes, ==, 3000);
  g_assert_cmpuint(read_at(files, 5).limit_bytes, ==, 3000);
}

static void
test_stalls(World *self, gconstpointer data)
{
  g_autoptr(GemPressureFiles) files = gem_pressure_files_open(self->dir);
  GemPressureReadings readings = read_at(files, 1);

  g_assert_cmpfloat(readings.stalled, ==, UNKNOWN);
  g_assert_cmpfloat(readings.system_stalled, ==, UNKNOWN);
  set_stalls(self, OWN "memory.pressure", 5 + SECOND / 4);
  readings = read_at(files, 2);
  g_assert_cmpfloat(readings.stalled, ==, 0.25);
  g_assert_cmpfloat(readings.system_stalled, ==, 0);
  set_stalls(self, "proc/pressure/memory", 5 + SECOND);
  /* Too soon: as before. */
  gem_pressure_files_read(files, 2 * SECOND + SECOND / 10, &readings);
  g_assert_cmpfloat(readings.stalled, ==, 0.25);
  g_assert_cmpfloat(readings.system_stalled, ==, 0);
  readings = read_at(files, 4);
  g_assert_cmpfloat(readings.stalled, ==, 0);
  g_assert_cmpfloat(readings.system_stalled, ==, 0.5);
}

static void
test_events(World *self, gconstpointer data)
{
  g_autoptr(GemPressureFiles) files = gem_pressure_files_open(self->dir);

  /* What was before the start is nobody's. */
  g_assert_cmpuint(read_at(files, 1).limit, ==, 0);
  set_text(self, OWN "memory.events", "low 9\nhigh 8\nmax 3\noom 0\noom_kill 0\n");
  g_assert_cmpuint(read_at(files, 2).limit, ==, 1);
  g_assert_cmpuint(read_at(files, 3).limit, ==, 0);
  set_text(self, OWN "memory.events", "low 9\nhigh 9\nmax 4\noom 0\noom_kill 0\n");
  g_assert_cmpuint(read_at(files, 4).limit, ==, 2);
  set_text(self, OWN "memory.events", "low 9\nhigh 9\nmax 4\noom 1\noom_kill 0\n");
  g_assert_cmpuint(read_at(files, 5).limit, ==, 4);
}

static void
test_available(World *self, gconstpointer data)
{
  g_autoptr(GemPressureFiles) files = gem_pressure_files_open(self->dir);

  g_assert_cmpfloat(read_at(files, 1).available, ==, 0.5);
  set_text(self, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable:  30 kB\n");
  g_assert_cmpfloat(read_at(files, 2).available, ==, 0.03);
}

/* A file that says something else costs its own reading, for good, and no other. */
static void
test_malformed(World *self, gconstpointer data)
{
  static const struct {
    const char *path, *text;
  } broken[] = {
      {OWN "memory.current", "many\n"},
      {OWN "memory.current", ""},
      {OWN "memory.current", "12x\n"},
      {OWN "memory.current", "99999999999999999999\n"},
      {OWN "memory.pressure", "full avg10=0.00 total=1\n"},
      {OWN "memory.pressure", "some avg10=0.00\n"},
      {OWN "memory.events", "low 1\nhigh 2\n"},
      {"proc/meminfo", "MemTotal: 1000 kB\n"},
      {"proc/meminfo", "MemTotal: 0 kB\nMemAvailable: 0 kB\n"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(broken); i++) {
    World world = {0};
    GemPressureReadings readings;

    set_up(&world, NULL);
    {
      g_autoptr(GemPressureFiles) files = gem_pressure_files_open(world.dir);

      g_test_message("%s: %s", broken[i].path, broken[i].text);
      set_text(&world, OWN "memory.high", "2000\n");
      read_at(files, 1);
      set_text(&world, broken[i].path, broken[i].text);
      readings = read_at(files, 2);
      g_assert_cmpint(readings.held == UNKNOWN, ==, i <= 3);
      g_assert_cmpint(readings.stalled == UNKNOWN, ==, i == 4 || i == 5);
      g_assert_cmpint(readings.available == UNKNOWN, ==, i >= 7);
      g_assert_cmpuint(readings.limit, ==, 0);
      g_assert_cmpfloat(readings.system_stalled, ==, 0);
    }
    tear_down(&world, NULL);
  }
}

/* systemd turns the controller of a unit's memory off and on: its files are others then. */
static void
test_files_come_and_go(World *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->dir, OWN "memory.high", NULL);
  g_autoptr(GemPressureFiles) files = NULL;

  g_assert_cmpint(unlink(path), ==, 0);
  files = gem_pressure_files_open(self->dir);
  g_assert_cmpfloat(read_at(files, 1).held, ==, UNKNOWN);
  set_text(self, OWN "memory.high", "1000\n");
  /* To look for it would take memory, of which there may be none. */
  g_assert_cmpfloat(read_at(files, 2).held, ==, UNKNOWN);
  gem_pressure_files_find(files);
  g_assert_cmpfloat(read_at(files, 3).held, ==, 0.8);
}

static void
test_nothing_there(World *self, gconstpointer data)
{
  g_autofree char *empty = gem_test_folder_new();
  g_autoptr(GemPressureFiles) files = gem_pressure_files_open(empty);
  GemPressureReadings readings;

  read_at(files, 1);
  readings = read_at(files, 2);
  g_assert_cmpfloat(readings.held, ==, UNKNOWN);
  g_assert_cmpfloat(readings.stalled, ==, UNKNOWN);
  g_assert_cmpfloat(readings.system_stalled, ==, UNKNOWN);
  g_assert_cmpfloat(readings.available, ==, UNKNOWN);
  g_assert_cmpuint(readings.limit, ==, 0);
  gem_test_folder_remove(empty);
}

/* A group that a stranger named must not lead out of the control groups. */
static void
test_own_group(World *self, gconstpointer data)
{
  g_autoptr(GemPressureFiles) files = NULL;

  set_text(self, "sys/fs/memory.current", "10\n");
  set_text(self, "sys/fs/memory.max", "10\n");
  set_text(self, "proc/self/cgroup", "0::/../\n");
  files = gem_pressure_files_open(self->dir);
  g_assert_cmpfloat(read_at(files, 1).held, ==, UNKNOWN);
}

/* What the process has locked, in kB. */
static guint64
locked_kilobytes(void)
{
  g_autofree char *text = NULL;
  const char *line;

  g_assert_true(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
  line = strstr(text, "\nVmLck:");
  g_assert_nonnull(line);
  return g_ascii_strtoull(line + strlen("\nVmLck:"), NULL, 10);
}

static void
test_lock_code(World *self, gconstpointer data)
{
  gsize bytes;

  g_assert_cmpuint(locked_kilobytes(), ==, 0);
  bytes = gem_pressure_lock_code();
  if (bytes == 0) {
    g_test_skip("this process may lock no memory");
    return;
  }
  /* The C library alone has more; again, it is the same. */
  g_assert_cmpuint(bytes, >, 1 << 20);
  g_assert_cmpuint(locked_kilobytes(), ==, bytes / 1024);
  g_assert_cmpuint(gem_pressure_lock_code(), ==, bytes);
  g_assert_cmpuint(locked_kilobytes(), ==, bytes / 1024);
}

/* ---- what is asked for ---- */

static void
on_look(const GemPressureReadings *readings, gpointer data)
{
  World *self = data;

  self->looks++;
  self->last = *readings;
}

static void
on_ask(guint step, GemPressureCause cause, const GemPressureReadings *readings, gpointer data)
{
  World *self = data;

  self->asked++;
  self->step = step;
  self->cause = cause;
}

static void
wait_asked(World *self, guint asked)
{
  gint64 end = gem_test_deadline(20);

  while (self->asked < asked && g_get_monotonic_time() < end) {
    g_main_context_iteration(NULL, FALSE);
    g_usleep(1000);
  }
  g_assert_cmpuint(self->asked, >=, asked);
}

static void
test_asks(World *self, gconstpointer data)
{
  g_autoptr(GemPressure) pressure = NULL;

  set_text(self, OWN "memory.high", "2000\n");
  pressure = gem_pressure_new(&(GemPressureConfig){.root = self->dir}, on_look, on_ask, self);
  g_assert_nonnull(pressure);
  set_text(self, OWN "memory.current", "2060\n");
  wait_asked(self, 1);
  g_assert_cmpuint(self->step, ==, 3);
  g_assert_cmpint(self->cause, ==, GEM_PRESSURE_HELD);
  wait_asked(self, 2); /* it does not suffice */
  g_assert_cmpuint(self->looks, >=, 1);
  g_assert_cmpuint(self->last.limit_bytes, ==, 2000);
  g_assert_cmpuint(self->step, ==, 3);
  set_text(self, OWN "memory.current", "2200\n");
  wait_asked(self, 3);
  while (self->step == 3) {
    wait_asked(self, self->asked + 1);
  }
  g_assert_cmpuint(self->step, ==, 4);
  set_text(self, OWN "memory.current", "500\n");
  while (self->step != 0) {
    wait_asked(self, self->asked + 1);
  }
}

static void
test_asks_when_told(World *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->dir, "fifo", NULL);
  g_autoptr(GemPressure) pressure = NULL;
  int fd;

  g_assert_cmpint(mkfifo(path, 0600), ==, 0);
  pressure = gem_pressure_new(&(GemPressureConfig){.root = self->dir, .watch = path}, on_look, on_ask, self);
  g_assert_nonnull(pressure);
  fd = open(path, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint((int)write(fd, "x", 1), ==, 1);
  wait_asked(self, 1);
  g_assert_cmpuint(self->step, ==, 2);
  g_assert_cmpint(self->cause, ==, GEM_PRESSURE_TOLD);
  close(fd);
}

/* Neither listens nor looks. */
static void
test_off(World *self, gconstpointer data)
{
  g_autoptr(GemPressure) pressure = NULL;

  set_text(self, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable:  10 kB\n");
  pressure =
      gem_pressure_new(&(GemPressureConfig){.root = self->dir, .watch = "/dev/null"}, on_look, on_ask, self);
  g_assert_nonnull(pressure);
  g_assert_false(g_main_context_pending(NULL));
  {
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    gint timeout = 0, priority = 0;

    g_assert_true(g_main_context_acquire(context));
    g_main_context_prepare(context, &priority);
    g_main_context_query(context, priority, &timeout, NULL, 0);
    g_main_context_release(context);
    g_assert_cmpint(timeout, ==, -1); /* there is no timer */
  }
}

/* What cannot be watched is no reason not to look. */
static void
test_bad_watch(World *self, gconstpointer data)
{
  g_autoptr(GemPressure) pressure = NULL;

  set_text(self, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable:  30 kB\n");
  pressure =
      gem_pressure_new(&(GemPressureConfig){.root = self->dir, .watch = "/nowhere/at/all", .payload = "!"},
                       on_look, on_ask, self);
  g_assert_nonnull(pressure);
  wait_asked(self, 1);
  g_assert_cmpuint(self->step, ==, 3);
  g_assert_cmpint(self->cause, ==, GEM_PRESSURE_AVAILABLE);
}

static void
add(const char *path, void (*test)(World *self, gconstpointer data))
{
  g_test_add(path, World, NULL, set_up, test, tear_down);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  add("/pressure/held", test_held);
  add("/pressure/stalls", test_stalls);
  add("/pressure/events", test_events);
  add("/pressure/available", test_available);
  add("/pressure/malformed", test_malformed);
  add("/pressure/files-come-and-go", test_files_come_and_go);
  add("/pressure/nothing-there", test_nothing_there);
  add("/pressure/own-group", test_own_group);
  add("/pressure/lock-code", test_lock_code);
  add("/pressure/asks", test_asks);
  add("/pressure/asks-when-told", test_asks_when_told);
  add("/pressure/off", test_off);
  add("/pressure/bad-watch", test_bad_watch);
  return g_test_run();
}
