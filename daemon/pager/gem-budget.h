/*
 * MemoryLimit: who has to go before memory is taken for something new.
 *
 * Copies of pathways on a device go first, then the weights of domains, those that were used longest ago
 * before the others, then the caches of idle conversations in the same order. What is running, and what
 * somebody keeps, stays; when that leaves too little room, what is new is refused, and nothing goes for it in
 * vain.
 */
#pragma once

#include "daemon/pager/gem-pager.h"

/* What a budget is over. `kept`: domains that must not go. */
typedef struct {
  gsize (*used)(gpointer data);                      /* bytes of all that counts */
  gsize (*spare)(gpointer data, GemPathwaySet kept); /* of them, what the next two could free */
  gboolean (*drop_pathway)(gpointer data,
                           GemPathwaySet kept); /* the oldest, or its copy; FALSE: none may go */
  gboolean (*drop_cache)(gpointer data);
} GemBudgetFunctions;

typedef struct {
  const GemBudgetFunctions *functions;
  gpointer data;
  guint64 limit; /* bytes; 0: none */
  guint64 fixed; /* bytes that stay in any case. A limit below them cannot be kept: whatever may go goes then,
                    and what is new is taken nevertheless, so that there is a service */
} GemBudget;

/* Whether there is room for `bytes` more and nothing need go. */
gboolean
gem_budget_has_room(const GemBudget *self, gsize bytes);

/* Whether there would be room for `bytes` more when all that may go went. */
gboolean
gem_budget_fits(const GemBudget *self, gsize bytes, GemPathwaySet kept);

/* Makes it. FALSE, and nothing went, when it does not fit. */
gboolean
gem_budget_make_room(const GemBudget *self, gsize bytes, GemPathwaySet kept);

/* LIMIT_EXCEEDED naming MemoryLimit: there is no room for the `bytes` of `what`. */
void
gem_budget_refuse(const GemBudget *self, const char *what, gsize bytes, GError **error);
