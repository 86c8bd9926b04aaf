#include "daemon/pressure/gem-pressure-files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* memory.stat and meminfo are two to three kilobytes. */
#define MAX_TEXT 16384
/* Stalls are counted over this time at least: a moment says nothing. */
#define STALL_MICROSECONDS (G_USEC_PER_SEC / 5)

typedef struct {
  char *path;
  int fd;         /* -1: not there */
  gboolean wrong; /* not as expected: left alone */
} File;

/* A control group: the unit's own, or one around it. */
typedef struct {
  File current, high, max, stat;
} Group;

/* A pressure file, and what it said last. */
typedef struct {
  File file;
  guint64 total; /* us that some task waited for memory, ever */
  gint64 read;   /* when that was so; 0: never */
  double share;  /* of the time before that */
} Stall;

struct _GemPressureFiles {
  GArray *groups; /* of Group; the unit's own first */
  Stall unit, system;
  File events, meminfo;
  guint64 counted[GEM_PRESSURE_STEPS]; /* events by step, as read last */
  gboolean events_known;
};

/* ---- one file ---- */

/* Whoever takes memory of a group that is above its limit is put to sleep for up to two seconds, each time:
 * to open a file takes some, even one that is not there, and so does the first time that it is read. */
static void
file_try(File *self)
{
  char text[MAX_TEXT];

  self->fd = open(self->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (self->fd >= 0 && pread(self->fd, text, sizeof text, 0) < 0) {
    g_debug("memory pressure: %s is not read yet: %s", self->path, g_strerror(errno));
  }
}

static void
file_open(File *self, char *path)
{
  self->path = path;
  self->wrong = FALSE;
  file_try(self);
  if (self->fd < 0) {
    g_debug("memory pressure: %s is not read: %s", path, g_strerror(errno));
  }
}

/* It may have come since. */
static void
file_find(File *self)
{
  if (self->fd < 0 && !self->wrong) {
    file_try(self);
  }
}

static void
file_close(File *self)
{
  if (self->fd >= 0) {
    close(self->fd);
  }
  self->fd = -1;
}

static void
file_clear(File *self)
{
  file_close(self);
  g_free(self->path);
}

static void
file_give_up(File *self, const char *why)
{
  g_debug("memory pressure: %s is not read any more: %s", self->path, why);
  file_close(self);
  self->wrong = TRUE;
}

/* Those of a control group come and go with its controller, which systemd turns on and off while the unit
 * runs: what is open then says ENODEV, and another stands in its place. What was not there before is not
 * looked for, see gem_pressure_files_find. */
static gboolean
file_read(File *self, char text[MAX_TEXT])
{
  gssize length = -1;

  if (self->fd >= 0) {
    length = pread(self->fd, text, MAX_TEXT - 1, 0);
  }
  if (self->fd >= 0 && length < 0) {
    file_close(self);
    file_try(self);
    length = self->fd >= 0 ? pread(self->fd, text, MAX_TEXT - 1, 0) : -1;
  }
  if (length < 0) {
    return FALSE;
  }
  text[length] = '\0';
  return TRUE;
}

/* The decimal number at `text`, which something that is no part of a number ends. */
static gboolean
parse_number(const char *text, guint64 *ret_number)
{
  char *end = NULL;
  guint64 number;

  if (!g_ascii_isdigit(text[0])) {
    return FALSE;
  }
  errno = 0;
  number = g_ascii_strtoull(text, &end, 10);
  if (errno != 0 || !(*end == '\0' || g_ascii_isspace(*end))) {
    return FALSE;
  }
  *ret_number = number;
  return TRUE;
}

/* The number that follows `key` at the beginning of a line: "KEY 5" or "KEY:   5 kB". */
static gboolean
find_number(const char *text, const char *key, guint64 *ret_number)
{
  gsize length = strlen(key);

  for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
    line += *line == '\n' ? 1 : 0;
    if (strncmp(line, key, length) == 0 && strchr(": ", line[length]) != NULL && line[length] != '\0') {
      return parse_number(line + length + strspn(line + length, ": "), ret_number);
    }
  }
  return FALSE;
}

/* A file that holds one number, or "max" for none. */
static gboolean
file_read_number(File *self, guint64 *ret_number)
{
  char text[MAX_TEXT];

  if (!file_read(self, text)) {
    return FALSE;
  }
  if (g_str_has_prefix(text, "max")) {
    *ret_number = G_MAXUINT64;
    return TRUE;
  }
  if (!parse_number(text, ret_number)) {
    file_give_up(self, "no number");
    return FALSE;
  }
  return TRUE;
}

/* ---- what a group holds ---- */

static void
group_clear(gpointer data)
{
  Group *self = data;

  file_clear(&self->current);
  file_clear(&self->high);
  file_clear(&self->max);
  file_clear(&self->stat);
}

static guint64
group_limit(Group *self)
{
  guint64 high = G_MAXUINT64, max = G_MAXUINT64;

  file_read_number(&self->high, &high);
  file_read_number(&self->max, &max);
  return MIN(high, max);
}

/* Bytes of a group that can go at once: what files were read through it and is not mapped, which is in use
 * (pathways that are kept are), and caches of the kernel. */
static guint64
group_reclaimable(Group *self)
{
  char text[MAX_TEXT];
  guint64 active = 0, inactive = 0, mapped = 0, slab = 0;

  if (!file_read(&self->stat, text)) {
    return 0;
  }
  if (!find_number(text, "active_file", &active) || !find_number(text, "inactive_file", &inactive)) {
    file_give_up(&self->stat, "active_file or inactive_file is missing");
    return 0;
  }
  find_number(text, "file_mapped", &mapped);
  find_number(text, "slab_reclaimable", &slab);
  return active + inactive - MIN(mapped, active + inactive) + slab;
}

/* Takes what the group holds of its limit, when it has one and it is the greatest share so far. */
static void
group_read(Group *self, GemPressureReadings *readings)
{
  guint64 limit, bytes = 0, reclaimable;
  double held;

  limit = group_limit(self);
  if (limit == 0 || limit == G_MAXUINT64 || !file_read_number(&self->current, &bytes)) {
    return;
  }
  reclaimable = group_reclaimable(self);
  bytes -= MIN(bytes, reclaimable);
  held = (double)bytes / (double)limit;
  if (held > readings->held) {
    readings->held = held;
    readings->held_bytes = bytes;
    readings->limit_bytes = limit;
  }
}

/* ---- the others ---- */

/* The share of the time since the reading before in which some task waited for memory. */
static double
stall_read(Stall *self, gint64 now)
{
  char text[MAX_TEXT];
  const char *total;
  guint64 microseconds = 0;

  if (self->read != 0 && now - self->read < STALL_MICROSECONDS) {
    return self->share;
  }
  if (!file_read(&self->file, text)) {
    return GEM_PRESSURE_UNKNOWN;
  }
  total = g_str_has_prefix(text, "some ") ? strstr(text, " total=") : NULL;
  if (total == NULL || !parse_number(total + strlen(" total="), &microseconds)) {
    file_give_up(&self->file, "no line \"some ... total=\"");
    self->read = 0;
    return GEM_PRESSURE_UNKNOWN;
  }
  self->share = GEM_PRESSURE_UNKNOWN;
  if (self->read != 0 && microseconds >= self->total) {
    self->share = MIN((double)(microseconds - self->total) / (double)(now - self->read), 1);
  }
  self->total = microseconds;
  self->read = now;
  return self->share;
}

/* The gravest step of which memory.events counted something since the reading before. */
static guint
events_read(GemPressureFiles *self)
{
  static const char *const keys[GEM_PRESSURE_STEPS] = {"high", "max", NULL, "oom"};
  char text[MAX_TEXT];
  guint step = 0;

  if (!file_read(&self->events, text)) {
    return 0;
  }
  for (guint i = 0; i < GEM_PRESSURE_STEPS; i++) {
    guint64 count = 0;

    if (keys[i] == NULL) {
      continue;
    }
    if (!find_number(text, keys[i], &count)) {
      file_give_up(&self->events, "a count is missing");
      return 0;
    }
    if (self->events_known && count > self->counted[i]) {
      step = i + 1;
    }
    self->counted[i] = count;
  }
  self->events_known = TRUE;
  return step;
}

static double
available_read(File *meminfo)
{
  char text[MAX_TEXT];
  guint64 total = 0, available = 0;

  if (!file_read(meminfo, text)) {
    return GEM_PRESSURE_UNKNOWN;
  }
  if (!find_number(text, "MemTotal", &total) || !find_number(text, "MemAvailable", &available) ||
      total == 0) {
    file_give_up(meminfo, "MemTotal or MemAvailable is missing");
    return GEM_PRESSURE_UNKNOWN;
  }
  return (double)available / (double)total;
}

/* ---- all of them ---- */

/* Path of the process's own control group of version 2, below the file system of control groups: "/a/b". */
static char *
find_own_group(const char *root)
{
  g_autofree char *path = g_strconcat(root, "/proc/self/cgroup", NULL);
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (!g_file_get_contents(path, &text, NULL, NULL)) {
    return NULL;
  }
  lines = g_strsplit(text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++) {
    if (g_str_has_prefix(lines[i], "0::/") && strstr(lines[i], "/..") == NULL) {
      return g_strdup(lines[i] + strlen("0::"));
    }
  }
  return NULL;
}

static void
open_group(GemPressureFiles *self, const char *dir)
{
  Group group;

  file_open(&group.current, g_build_filename(dir, "memory.current", NULL));
  file_open(&group.high, g_build_filename(dir, "memory.high", NULL));
  file_open(&group.max, g_build_filename(dir, "memory.max", NULL));
  file_open(&group.stat, g_build_filename(dir, "memory.stat", NULL));
  g_array_append_val(self->groups, group);
}

/* The unit's own group, and those around it, whose limits hold for it too. The root has files only where it
 * is some container's. */
static void
open_groups(GemPressureFiles *self, const char *top, const char *own)
{
  g_autofree char *group = g_strdup(own);
  gboolean more = TRUE;

  while (more) {
    g_autofree char *dir = g_strconcat(top, group, NULL);
    char *parent = g_path_get_dirname(group);

    open_group(self, dir);
    more = !g_str_equal(group, "/");
    g_free(group);
    group = parent;
  }
}

GemPressureFiles *
gem_pressure_files_open(const char *root)
{
  GemPressureFiles *self = g_new0(GemPressureFiles, 1);
  g_autofree char *own = find_own_group(root);
  g_autofree char *top = g_strconcat(root, "/sys/fs/cgroup", NULL);

  self->groups = g_array_new(FALSE, FALSE, sizeof(Group));
  g_array_set_clear_func(self->groups, group_clear);
  self->unit.file = self->events = (File){.fd = -1, .wrong = TRUE};
  if (own != NULL) {
    open_groups(self, top, own);
    file_open(&self->unit.file, g_strconcat(top, own, "/memory.pressure", NULL));
    file_open(&self->events, g_strconcat(top, own, "/memory.events", NULL));
  } else {
    g_debug("memory pressure: there is no control group of version 2 to read");
  }
  file_open(&self->system.file, g_strconcat(root, "/proc/pressure/memory", NULL));
  file_open(&self->meminfo, g_strconcat(root, "/proc/meminfo", NULL));
  return self;
}

void
gem_pressure_files_close(GemPressureFiles *self)
{
  g_array_unref(self->groups);
  file_clear(&self->unit.file);
  file_clear(&self->system.file);
  file_clear(&self->events);
  file_clear(&self->meminfo);
  g_free(self);
}

void
gem_pressure_files_find(GemPressureFiles *self)
{
  for (guint i = 0; i < self->groups->len; i++) {
    Group *group = &g_array_index(self->groups, Group, i);

    file_find(&group->current);
    file_find(&group->high);
    file_find(&group->max);
    file_find(&group->stat);
  }
  file_find(&self->unit.file);
  file_find(&self->system.file);
  file_find(&self->events);
  file_find(&self->meminfo);
}

void
gem_pressure_files_read(GemPressureFiles *self, gint64 now, GemPressureReadings *ret_readings)
{
  gem_pressure_readings_init(ret_readings);
  for (guint i = 0; i < self->groups->len; i++) {
    group_read(&g_array_index(self->groups, Group, i), ret_readings);
  }
  ret_readings->stalled = stall_read(&self->unit, now);
  ret_readings->system_stalled = stall_read(&self->system, now);
  ret_readings->available = available_read(&self->meminfo);
  ret_readings->limit = events_read(self);
}
