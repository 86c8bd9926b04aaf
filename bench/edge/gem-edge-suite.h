/* The tasks of the suite, as a data folder has them (bench/questions/gem-bench-data.h). */
#pragma once

#include "bench/questions/gem-bench-data.h"

/* How a task is asked, and which score counts. */
typedef enum {
  GEM_EDGE_CHOICE,   /* one of the labels: macro-F1 */
  GEM_EDGE_ANSWER,   /* a short answer: token F1 */
  GEM_EDGE_TEXT,     /* a longer text: ROUGE-L */
  GEM_EDGE_MENTIONS, /* a list "one; two": F1 of its entries over all lines */
} GemEdgeForm;

typedef struct {
  char *full, *domain;
  const char *name; /* in `full`, behind the domain */
  GemEdgeForm form;
  gboolean has_classes; /* there is a majority class: choices, and lists of labels */
  GPtrArray *lines;     /* of GemBenchLine */
  GArray *fates;        /* GemBenchFate of each line: what is known before it is asked */
  guint n_domain;       /* index of the domain among the suite's */
} GemEdgeTask;

typedef struct {
  GPtrArray *tasks;   /* of GemEdgeTask, in the order of the suite */
  GPtrArray *domains; /* of char *, in the order in which the tasks have them */
} GemEdgeSuite;

/* What is read of it. */
typedef struct {
  const char *folder;
  const char *tasks; /* patterns with * and ?, commas between them, for DOMAIN/NAME; NULL: all */
  const char *split;
  guint limit, seed; /* as of gem_bench_data_read_lines */
} GemEdgeWish;

/* Errors: of the files, naming them; INVALID_DATA, naming its file, for a task without lines of the split;
 * G_OPTION_ERROR for a pattern that no task has, and for no task at all. */
GemEdgeSuite *
gem_edge_suite_read(const GemEdgeWish *wish, GError **error);
void
gem_edge_suite_free(GemEdgeSuite *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgeSuite, gem_edge_suite_free)

/* "choice", "answer", "text", "mentions". */
const char *
gem_edge_form_name(GemEdgeForm form);

/* SHA-256 in hex over all that the tasks ask and want: the same texts, the same sum. Transfer full. */
char *
gem_edge_suite_digest(const GemEdgeSuite *self);
