/* Bags of words as rows of numbers: what stands in a text, weighed by how rare it is (tf-idf). */
#pragma once

#include "bench/baseline/gem-baseline-words.h"

typedef struct {
  guint32 feature;
  float value;
} GemBaselineEntry;

/* A sparse matrix, row after row. */
typedef struct {
  GArray *entries; /* GemBaselineEntry */
  GArray *ends;    /* gsize [rows]: where each row's entries end */
} GemBaselineRows;

GemBaselineRows *
gem_baseline_rows_new(void);
void
gem_baseline_rows_free(GemBaselineRows *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBaselineRows, gem_baseline_rows_free)

/* Row `row`, borrowed until the next one is added. */
const GemBaselineEntry *
gem_baseline_rows_get(const GemBaselineRows *self, guint row, guint *ret_n);
/* Ends the row whose entries were appended to `entries`. */
void
gem_baseline_rows_end(GemBaselineRows *self);

/* Which words, and pairs of words that follow on each other, are features: those in at least two of the texts
 * that it was made of. */
typedef struct _GemBaselineFeatures GemBaselineFeatures;

/* Of `texts` [n]. With `fields`, a word or pair counts as itself and once more as one of its field; FALSE in
 * effect when the texts have fewer than two fields, see gem_baseline_features_has_fields. */
GemBaselineFeatures *
gem_baseline_features_new(const char *const *texts, guint n, gboolean fields);
void
gem_baseline_features_free(GemBaselineFeatures *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBaselineFeatures, gem_baseline_features_free)

gboolean
gem_baseline_features_has_fields(const GemBaselineFeatures *self);
/* Features have numbers from 0 to below this. */
guint
gem_baseline_features_count(const GemBaselineFeatures *self);

/* Appends entries to the row that `rows` is at: (1 + log count) (1 + log((1 + n) / (1 + texts with it))),
 * scaled so that their squares sum to 1; none when nothing in `text` is a feature. */
void
gem_baseline_features_append(GemBaselineFeatures *self, const char *text, GemBaselineRows *rows);
/* The rows of `texts`. Transfer full. */
GemBaselineRows *
gem_baseline_features_of(GemBaselineFeatures *self, const char *const *texts, guint n);
