/* Energy that the processor packages took, from the powercap interface of the kernel (intel-rapl). */
#pragma once

#include <glib.h>

typedef struct _GemEdgeEnergy GemEdgeEnergy;

/* Reads the zones below `folder`, /sys/class/powercap elsewhere than in tests. Never NULL. */
GemEdgeEnergy *
gem_edge_energy_new(const char *folder);
void
gem_edge_energy_free(GemEdgeEnergy *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgeEnergy, gem_edge_energy_free)

/* Why nothing is measured; NULL: it is. */
const char *
gem_edge_energy_get_absence(const GemEdgeEnergy *self);

/* Joules since the call before, or since it was made: of all packages together, whatever ran on them. NAN
 * when a counter cannot be read. A counter that began anew meanwhile is taken to have done so once. */
double
gem_edge_energy_take(GemEdgeEnergy *self);
