#include "daemon/pager/gem-placement-decisions.h"

#include <math.h>
#include <string.h>

guint
gem_placement_rows(GemPlacementCount count)
{
  return count == GEM_PLACEMENT_OF_ROW ? 1 : GEM_PLACEMENT_BLOCK;
}

static char *
group_of(const char *name, GemPlacementCount count, const char *identity)
{
  return g_strdup_printf("%s, rows %u, %s", name, gem_placement_rows(count), identity);
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

gboolean
gem_placement_decisions_load(const char *path,
                             const char *name,
                             const char *identity,
                             GemPlacementDecision ret_decisions[GEM_PLACEMENT_COUNTS])
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS];
  if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL)) {
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

void
gem_placement_decisions_save(const char *path,
                             const char *name,
                             const char *identity,
                             const GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS])
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) error = NULL;
  (void)g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL);
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    g_autofree char *group = group_of(name, (GemPlacementCount)i, identity);
    g_key_file_set_boolean(file, group, "device", decisions[i].device);
    g_key_file_set_double(file, group, "us", decisions[i].us);
    g_key_file_set_double(file, group, "device-us", decisions[i].device_us);
  }
  if (!g_key_file_save_to_file(file, path, &error)) {
    g_debug("%s", error->message);
  }
}

guint
gem_placement_least_rows(const GemPlacementDecision *block)
{
  double rows = floor(block->device_us / block->us * GEM_PLACEMENT_BLOCK) + 1.0;
  return (guint)CLAMP(rows, 2.0, GEM_PLACEMENT_BLOCK + 1.0);
}
