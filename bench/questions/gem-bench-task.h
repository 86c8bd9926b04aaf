/* A labelled task while it is classified, and what comes out. */
#pragma once

#include "bench/questions/gem-bench-data.h"

typedef enum {
  GEM_BENCH_USED,
  GEM_BENCH_SKIPPED_LABELS,  /* fewer than two, two alike, or the target is none of them */
  GEM_BENCH_SKIPPED_TEXT,    /* the service does not take the text or a label: empty or too long */
  GEM_BENCH_SKIPPED_CONTEXT, /* more tokens than the model's context holds */
  GEM_BENCH_N_FATES,
} GemBenchFate;

typedef struct {
  GemBenchLine *line; /* owned by the task */
  guint choice;       /* index into line->labels, once it is answered */
  GemBenchFate fate;
} GemBenchExample;

typedef struct {
  char *name;       /* DOMAIN/NAME */
  GPtrArray *lines; /* of GemBenchLine */
  GArray *examples; /* of GemBenchExample, one a line */
} GemBenchTask;

typedef struct {
  guint fates[GEM_BENCH_N_FATES];   /* examples by what became of them */
  guint fewest_labels, most_labels; /* of those used */
  /* Whether all had the same labels in the same order. If so the baseline is the majority class among the
   * examples used, and the classes of macro-F1 are the labels. If not the baseline is chance, the mean of
   * 1 / labels, and the classes are the labels' positions. */
  gboolean same_labels;
  double baseline, accuracy, standard_error, macro_f1; /* 0 to 1; NAN when no example was used */
} GemBenchResult;

/* Takes over `lines`. */
GemBenchTask *
gem_bench_task_new(const char *name, GPtrArray *lines);
void
gem_bench_task_free(GemBenchTask *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchTask, gem_bench_task_free)

/* Whether there is anything to choose from: some line has labels. */
gboolean
gem_bench_task_is_labelled(const GPtrArray *lines);

void
gem_bench_task_judge(const GemBenchTask *self, GemBenchResult *ret_result);

/* Better than the baseline, by more than `errors` times the standard error that an accuracy as good as the
 * baseline has in so many examples. */
gboolean
gem_bench_result_beats(const GemBenchResult *result, double errors);

/* What was skipped and why, "3 longer than the context, 1 with unusable labels"; NULL: nothing. Transfer
 * full. */
char *
gem_bench_fates_describe_skipped(const guint fates[GEM_BENCH_N_FATES]);

/* The fate of a text that the service refused with `refusal`. */
GemBenchFate
gem_bench_fate_of_refusal(const GError *refusal);
