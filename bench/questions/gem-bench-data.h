/*
 * The folder of labelled text that is measured with:
 *   manifest.json                             {"tasks": [{"domain", "name", "form", ...}, ...],
 *                                              "suite": ["DOMAIN/NAME", ...]}
 *   tasks/DOMAIN/NAME/{train,dev,test}.jsonl  a line each: {"input", "choices" (or labels.json beside),
 *                                              "target", "refs" (other right answers)}
 *   corpus/DOMAIN.txt                         documents, a blank line between them
 */
#pragma once

#include <gio/gio.h>

/* A line of a task. */
typedef struct {
  char *input;
  GStrv labels; /* to choose from; NULL: the task has none */
  gint target;  /* index into labels; -1: not among them */
  GStrv right;  /* "target", then "refs": every text that is a right answer */
  guint number; /* in its file, from 1 on */
} GemBenchLine;

void
gem_bench_line_free(GemBenchLine *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchLine, gem_bench_line_free)

/* "DOMAIN/NAME" of every task of the manifest, in its order. Errors: of the file, or of its JSON, naming it.
 */
GStrv
gem_bench_data_list_tasks(const char *folder, GError **error);

/* "DOMAIN/NAME" of every task of the manifest's list "suite", in its order, and in `ret_forms` (transfer
 * full) the "form" of each. Errors: as above; INVALID_DATA for one that is no task with a form. */
GStrv
gem_bench_data_list_suite(const char *folder, GStrv *ret_forms, GError **error);

/* At most `limit` (0: all) lines of a task's split, drawn at random by `seed` and left in their order: an
 * array of GemBenchLine, empty when the task has no such split. Errors name file and line. */
GPtrArray *
gem_bench_data_read_lines(
    const char *folder, const char *task, const char *split, guint limit, guint seed, GError **error);

/* The documents of a text, as strings: what stands between blank lines, without line ends before and after.
 * Errors: INVALID_DATA for what is no UTF-8. */
GPtrArray *
gem_bench_data_read_documents(const char *path, GError **error);

/* The first document of a corpus and every so manieth after it are kept out of training
 * (training/text/gem-data-folder.c has the same). */
#define GEM_BENCH_DATA_HELD_OUT_EVERY 50u

/* Which of `total` are drawn: an array of guint, rising, of min(limit, total) entries; all for limit 0. */
GArray *
gem_bench_data_draw(guint total, guint limit, guint seed);
