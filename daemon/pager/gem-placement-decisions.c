#include "daemon/pager/gem-placement-decisions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

guint
gem_placement_rows(GemPlacementCount count)
{
  return count == GEM_PLACEMENT_OF_ROW ? 1 : GEM_PLACEMENT_BLOCK;
}

/* Begins the group of a mark, and is all of it in files that were written before there was one for each. */
#define MARK "trying"

/* Every change reads the file, and writes it whole. */
static GMutex file_mutex;

static char *
group_of(const char *name, GemPlacementCount count, const char *identity)
{
  /* Names of devices and options of providers may have what no group's name may. */
  g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, identity, -1);
  return g_strdup_printf("%s, rows %u, %.32s", name, gem_placement_rows(count), hash);
}

static gboolean
load_one(GKeyFile *file, const char *group, GemPlacementDecision *ret_decision)
{
  g_autoptr(GError) error = NULL;
  GemPlacementDecision decision = {.device = g_key_file_get_boolean(file, group, "device", &error)};
  if (error == NULL) {
    decision.us = g_key_file_get_double(file, group, "us", &error);
  }
  if (error == NULL) {
    decision.device_us = g_key_file_get_double(file, group, "device-us", &error);
  }
  if (error != NULL || !(decision.us > 0.0) || !(decision.device_us > 0.0)) {
    return FALSE;
  }
  *ret_decision = decision;
  return TRUE;
}

static gboolean
read_file(GKeyFile *file, const char *path)
{
  g_mutex_lock(&file_mutex);
  gboolean read = g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL);
  g_mutex_unlock(&file_mutex);
  return read;
}

gboolean
gem_placement_decisions_load(const char *path,
                             const char *name,
                             const char *identity,
                             GemPlacementDecision ret_decisions[GEM_PLACEMENT_COUNTS])
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS];
  if (!read_file(file, path)) {
    return FALSE;
  }
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    g_autofree char *group = group_of(name, (GemPlacementCount)i, identity);
    if (!load_one(file, group, &decisions[i])) {
      return FALSE;
    }
  }
  memcpy(ret_decisions, decisions, sizeof decisions);
  return TRUE;
}

/* Reads the file, unless it is none, has `change` change it, and writes it if that did. */
static void
change_file(const char *path, gboolean (*change)(GKeyFile *file, gconstpointer data), gconstpointer data)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) error = NULL;
  g_mutex_lock(&file_mutex);
  (void)g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL);
  if (change(file, data) && !g_key_file_save_to_file(file, path, &error)) {
    g_debug("%s", error->message);
  }
  g_mutex_unlock(&file_mutex);
}

typedef struct {
  const char *name, *identity, *who;
  const GemPlacementDecision *decisions; /* [GEM_PLACEMENT_COUNTS] */
} Change;

static gboolean
put_decisions(GKeyFile *file, gconstpointer data)
{
  const Change *change = data;
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    const GemPlacementDecision *decision = &change->decisions[i];
    g_autofree char *group = group_of(change->name, (GemPlacementCount)i, change->identity);
    g_key_file_set_string(file, group, "of", change->identity);
    g_key_file_set_boolean(file, group, "device", decision->device);
    g_key_file_set_double(file, group, "us", decision->us);
    g_key_file_set_double(file, group, "device-us", decision->device_us);
  }
  return TRUE;
}

void
gem_placement_decisions_save(const char *path,
                             const char *name,
                             const char *identity,
                             const GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS])
{
  change_file(path, put_decisions, &(Change){.name = name, .identity = identity, .decisions = decisions});
}

/* ---- the mark ---- */

/* Which process: another one may get its number. */
static const char *
process_token(void)
{
  static char *token;
  static gsize once;
  if (g_once_init_enter(&once)) {
    token = g_uuid_string_random();
    g_once_init_leave(&once, 1);
  }
  return token;
}

static char *
group_of_mark(const char *who)
{
  return g_strdup_printf(MARK " %s", who);
}

/* Files that have had marks of this process, and whether it is ending: then none comes any more. */
static GPtrArray *marked;
static gboolean exiting;

/* Those of the thread at hand stay: it is the device's code that ends the process there. */
static gboolean
remove_marks_of_others(GKeyFile *file, gconstpointer data)
{
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
  gboolean removed = FALSE;
  for (guint i = 0; groups[i] != NULL; i++) {
    g_autofree char *process = g_key_file_get_string(file, groups[i], "process", NULL);
    gint thread = g_key_file_get_integer(file, groups[i], "thread", NULL);
    if (g_strcmp0(process, process_token()) == 0 && thread != gettid()) {
      removed = g_key_file_remove_group(file, groups[i], NULL) || removed;
    }
  }
  return removed;
}

/* An end in good order is none that the device brought about, whatever its thread is at. */
static void
on_exit_marked(void)
{
  g_mutex_lock(&file_mutex);
  exiting = TRUE;
  g_mutex_unlock(&file_mutex);
  for (guint i = 0; i < marked->len; i++) {
    change_file(marked->pdata[i], remove_marks_of_others, NULL);
  }
  g_ptr_array_unref(marked);
}

static void
note_marked(const char *path)
{
  g_mutex_lock(&file_mutex);
  if (marked == NULL) {
    marked = g_ptr_array_new_with_free_func(g_free);
    atexit(on_exit_marked);
    at_quick_exit(on_exit_marked);
  }
  if (!exiting && !g_ptr_array_find_with_equal_func(marked, path, g_str_equal, NULL)) {
    g_ptr_array_add(marked, g_strdup(path));
  }
  g_mutex_unlock(&file_mutex);
}

static gboolean
put_mark(GKeyFile *file, gconstpointer data)
{
  const Change *change = data;
  g_autofree char *group = group_of_mark(change->who);
  if (exiting) {
    return FALSE;
  }
  g_key_file_set_string(file, group, "pathway", change->name);
  g_key_file_set_string(file, group, "of", change->identity);
  g_key_file_set_string(file, group, "process", process_token());
  g_key_file_set_integer(file, group, "thread", gettid());
  return TRUE;
}

void
gem_placement_decisions_mark(const char *path, const char *who, const char *device, const char *name)
{
  note_marked(path);
  change_file(path, put_mark, &(Change){.name = name, .identity = device, .who = who});
}

static gboolean
remove_mark(GKeyFile *file, gconstpointer data)
{
  const Change *change = data;
  g_autofree char *group = group_of_mark(change->who);
  return g_key_file_remove_group(file, group, NULL);
}

void
gem_placement_decisions_unmark(const char *path, const char *who)
{
  change_file(path, remove_mark, &(Change){.who = who});
}

static gboolean
is_left_mark(GKeyFile *file, const char *group, const char *device)
{
  if (!g_str_equal(group, MARK) && !g_str_has_prefix(group, MARK " ")) {
    return FALSE;
  }
  g_autofree char *process = g_key_file_get_string(file, group, "process", NULL);
  g_autofree char *of = g_key_file_get_string(file, group, "of", NULL);
  return process != NULL && !g_str_equal(process, process_token()) && g_strcmp0(of, device) == 0;
}

char *
gem_placement_decisions_find_mark(const char *path, const char *device)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  if (!read_file(file, path)) {
    return NULL;
  }
  char *name = NULL;
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
  for (guint i = 0; groups[i] != NULL && name == NULL; i++) {
    if (is_left_mark(file, groups[i], device)) {
      name = g_key_file_get_string(file, groups[i], "pathway", NULL);
    }
  }
  return name;
}

guint
gem_placement_least_rows(const GemPlacementDecision *block)
{
  double rows = floor(block->device_us / block->us * GEM_PLACEMENT_BLOCK) + 1.0;
  return (guint)CLAMP(rows, 2.0, GEM_PLACEMENT_BLOCK + 1.0);
}
