/* A domain that the service is taught for a measurement. */
#pragma once

#include "clients/gem-client/gem-client-job.h"

typedef struct {
  char *name;   /* of the domain */
  gint seconds; /* that learning may take; 0: the service's own */
} GemBenchLesson;

/* That the user has no domain of that name: it would be learned over, and forgotten at the end. */
gboolean
gem_bench_lesson_check(const GemBenchLesson *lesson, GemRemote *remote, GError **error);

/* Learns `text`. What became of it goes to `ret_result`, "done" or "refused"; FALSE with an error when it is
 * neither. */
gboolean
gem_bench_lesson_learn(const GemBenchLesson *lesson,
                       GemRemote *remote,
                       const GString *text,
                       GemJobResult *ret_result,
                       GError **error);

gboolean
gem_bench_lesson_forget(const GemBenchLesson *lesson, GemRemote *remote, GError **error);
