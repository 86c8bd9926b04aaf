/* Tasks whose answer is one of several: their lines as tokens (gem-choice-score.h: what a model chooses). */
#pragma once

#include <glib.h>

#include "format/gem-tokenizer.h"

typedef struct {
  GArray *prompt;  /* guint32: the ask template around the input; the end of a long one */
  GArray *choices; /* guint32: all choices' tokens, each ended by </s> */
  GArray *starts;  /* guint32: of each choice, and the end */
  guint right;     /* index of the right one */
} GemChoiceItem;

typedef struct {
  char *name; /* "legal/contract_nli" */
  gint8 domain;
  GPtrArray *items; /* of GemChoiceItem */
  double majority;  /* the accuracy of one answer to all: the commonest target's share, or an even choice's */
} GemChoiceTask;

typedef struct {
  const char *folder;
  const char *const *domains;
  const char *file; /* "dev.jsonl" */
  gsize most_items; /* of each task, evenly picked; 0: all */
  guint longest;    /* tokens of a prompt with its longest choice */
  const char *ask_template;
} GemChoiceTasksOptions;

#define GEM_CHOICES_MOST 255 /* of one item */

/* All tasks with choices of these domains, whatever their licence: this is for measuring. Errors name file
 * and line. Transfer full, of GemChoiceTask. */
GPtrArray *
gem_choice_tasks_load(const GemChoiceTasksOptions *options, GemTokenizer *tokenizer, GError **error);
