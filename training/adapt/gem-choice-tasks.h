/* Tasks whose answer is one of several: their lines as tokens, and whether a model chooses the right one. */
#pragma once

#include "format/gem-tokenizer.h"
#include "training/gem-backbone-continue.h"
#include "training/gem-lanes.h"
#include "training/gem-router-network.h"

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

/* All tasks with choices of these domains, whatever their licence: this is for measuring. Errors name file
 * and line. Transfer full, of GemChoiceTask. */
GPtrArray *
gem_choice_tasks_load(const GemChoiceTasksOptions *options, GemTokenizer *tokenizer, GError **error);

typedef struct {
  const GemBackbone *backbone;
  const float *values, *centroids;
  int cluster_set;
  gboolean general;               /* all text runs through the general part alone */
  const GemRouterNetwork *router; /* whose routes are taken; NULL: the task's own domain's */
  const float *router_values;
} GemChoiceModel;

/* right[i] = 1 where the choice with the largest log p a token is the right one, else 0; the first of equals.
 * The router reads a prompt as a turn; choices take the route of most of its tokens. */
void
gem_choice_task_score(const GemChoiceTask *task, const GemChoiceModel *model, GemLanes *lanes, guint8 *right);
