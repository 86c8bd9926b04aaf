/* What a network chooses of the tasks whose answer is one of several. */
#pragma once

#include "training/arithmetic/gem-lanes.h"
#include "training/experiment/gem-choice-tasks.h"
#include "training/network/gem-backbone.h"
#include "training/network/gem-router-network.h"

#define GEM_CHOICE_OWN_DOMAIN (-2)

typedef struct {
  const GemBackbone *backbone;
  const float *values, *centroids;
  int cluster_set;
  gint8 forced; /* the route of all text, GEM_ROUTE_GENERAL one of them; GEM_CHOICE_OWN_DOMAIN: the task's */
  const GemRouterNetwork *router; /* whose routes are taken in place of `forced`, or NULL */
  const float *router_values;
} GemChoiceModel;

/* chosen[i]: index of the choice with the largest log p a token; the first of equals. The router reads a
 * prompt as a turn; choices take the route of most of its tokens. Lanes share the items, several of which are
 * run at once; what is chosen does not depend on how many lanes there are. */
void
gem_choice_task_choose(const GemChoiceTask *task,
                       const GemChoiceModel *model,
                       GemLanes *lanes,
                       guint8 *chosen);
