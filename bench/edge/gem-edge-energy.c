#include "bench/edge/gem-edge-energy.h"

#include <math.h>
#include <string.h>

#define MICROJOULES 1e6

/* A package. */
typedef struct {
  char *counter; /* file with microjoules */
  double range;  /* at which it begins anew */
  double last;
} Zone;

struct _GemEdgeEnergy {
  GArray *zones; /* of Zone */
  char *absence;
};

static void
zone_clear(gpointer data)
{
  g_free(((Zone *)data)->counter);
}

static gboolean
read_number(const char *path, double *ret_number)
{
  g_autofree char *text = NULL;
  char *end;
  double number;

  if (!g_file_get_contents(path, &text, NULL, NULL)) {
    return FALSE;
  }
  number = g_ascii_strtod(text, &end);
  if (end == text) {
    return FALSE;
  }
  *ret_number = number;
  return TRUE;
}

/* "intel-rapl:0" stands at the top; "intel-rapl:0:1" is a part of it, whose energy it has too;
 * "intel-rapl-mmio:0" is the same zone by another way. */
static gboolean
is_top(const char *zone)
{
  return g_str_has_prefix(zone, "intel-rapl:") && strchr(zone + strlen("intel-rapl:"), ':') == NULL;
}

/* What stands at the top may be "psys", too, the whole board, which has the energy of the packages. */
static gboolean
is_package(const char *folder, const char *zone)
{
  g_autofree char *path = g_build_filename(folder, zone, "name", NULL);
  g_autofree char *name = NULL;

  return is_top(zone) && g_file_get_contents(path, &name, NULL, NULL) && g_str_has_prefix(name, "package-");
}

static void
add_zone(GemEdgeEnergy *self, const char *folder, const char *name)
{
  g_autofree char *range = g_build_filename(folder, name, "max_energy_range_uj", NULL);
  Zone zone = {.counter = g_build_filename(folder, name, "energy_uj", NULL)};

  if (read_number(zone.counter, &zone.last) && read_number(range, &zone.range)) {
    g_array_append_val(self->zones, zone);
  } else {
    g_free(self->absence);
    self->absence = g_strdup_printf("%s cannot be read (root alone may)", zone.counter);
    zone_clear(&zone);
  }
}

GemEdgeEnergy *
gem_edge_energy_new(const char *folder)
{
  GemEdgeEnergy *self = g_new0(GemEdgeEnergy, 1);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  self->zones = g_array_new(FALSE, FALSE, sizeof(Zone));
  g_array_set_clear_func(self->zones, zone_clear);
  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
    if (is_package(folder, name)) {
      add_zone(self, folder, name);
    }
  }
  if (self->zones->len == 0 && self->absence == NULL) {
    self->absence = g_strdup_printf("%s has no zone of a package (intel-rapl)", folder);
  }
  return self;
}

void
gem_edge_energy_free(GemEdgeEnergy *self)
{
  g_array_unref(self->zones);
  g_free(self->absence);
  g_free(self);
}

const char *
gem_edge_energy_get_absence(const GemEdgeEnergy *self)
{
  return self->absence;
}

double
gem_edge_energy_take(GemEdgeEnergy *self)
{
  double sum = 0;
  guint i;

  for (i = 0; i < self->zones->len; i++) {
    Zone *zone = &g_array_index(self->zones, Zone, i);
    double now;

    if (!read_number(zone->counter, &now)) {
      return NAN;
    }
    sum += now - zone->last + (now < zone->last ? zone->range : 0);
    zone->last = now;
  }
  return self->absence != NULL ? NAN : sum / MICROJOULES;
}
