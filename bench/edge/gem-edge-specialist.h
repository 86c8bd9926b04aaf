/* What other models reach on the tasks, from the JSON of an earlier run (docs/edgebench-format.md). */
#pragma once

#include <glib.h>

typedef struct {
  char *model;       /* its name */
  GHashTable *tasks; /* "DOMAIN/NAME" -> double *, F1 */
} GemEdgeSpecialist;

/* Errors: of the file; INVALID_DATA, naming it, for what is no result. */
GemEdgeSpecialist *
gem_edge_specialist_read(const char *path, GError **error);
void
gem_edge_specialist_free(GemEdgeSpecialist *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgeSpecialist, gem_edge_specialist_free)

/* F1 of a task; NAN without specialist (`self` may be NULL) or without this task. */
double
gem_edge_specialist_get(const GemEdgeSpecialist *self, const char *task);
