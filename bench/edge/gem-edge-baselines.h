/* What a linear model of words reaches on the tasks, from the JSON of gem-bench baseline. */
#pragma once

#include <glib.h>

typedef struct {
  double accuracy, f1; /* NAN: not known */
  double f1_error;     /* standard error of f1; NAN: not known */
} GemEdgeBaseline;

typedef struct {
  GHashTable *tasks; /* "DOMAIN/NAME" -> GemEdgeBaseline * */
} GemEdgeBaselines;

/* Of the lines of one split. Errors: of the file; INVALID_DATA, naming it, for what gem-bench baseline has
 * not written, or not for this split. */
GemEdgeBaselines *
gem_edge_baselines_read(const char *path, const char *split, GError **error);
void
gem_edge_baselines_free(GemEdgeBaselines *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgeBaselines, gem_edge_baselines_free)

/* All NAN without baselines (`self` may be NULL) or without this task. */
GemEdgeBaseline
gem_edge_baselines_get(const GemEdgeBaselines *self, const char *task);
