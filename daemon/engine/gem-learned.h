/*
 * Learned domains, as the main loop knows them: whose they are, who may use them, and where the pager has
 * them. What a text is routed with is a view: taken when its turn begins, kept until it ends, the same all
 * the time, whatever is added, removed or shared meanwhile.
 */
#pragma once

#include "daemon/engine/gem-engine.h"
#include "daemon/pager/gem-pager.h"

/* ---- what one user's text is routed with ---- */

/* The learned domains that it may be routed to, and the names of all its classes. Any thread. */
struct GemLearnedView {
  gatomicrefcount references;
  guint n;                            /* learned domains */
  guint8 routes[GEM_MAX_LEARNED];     /* the pager's index of each */
  GemRouterRow rows[GEM_MAX_LEARNED]; /* of the pager: there as long as a job has the domain in its set */
  char *learned[GEM_MAX_LEARNED];     /* their names; owned */
  GemRouterClasses classes;           /* for the router; its columns: the model's domains, then `rows` */
  GemPathwaySet set;                  /* of `routes` */
  GemPathwaySet allowed;              /* the same, and of what only its own domains hide from it */
  /* As its user sees them: the model's domains, a learned one in the place of what it replaces, then the
   * others. */
  guint n_names;
  const char *names[GEM_MAX_DOMAINS + GEM_MAX_LEARNED + 1]; /* NULL-terminated */
  guint8 columns[GEM_MAX_DOMAINS + GEM_MAX_LEARNED];        /* of the router, for each name */
};

GemLearnedView *
gem_learned_view_ref(GemLearnedView *self);
void
gem_learned_view_unref(GemLearnedView *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedView, gem_learned_view_unref)

/* FALSE: the name is none of the learned ones. */
gboolean
gem_learned_view_find(const GemLearnedView *self, const char *name, guint8 *ret_route);
/* NULL: the route is none of them. As long as the view is there. */
const char *
gem_learned_view_get_name(const GemLearnedView *self, guint8 route);

/* ---- all of them, on the main loop ---- */

typedef struct {
  char *name;
  guint owner;
  gboolean shared;
  guint index;      /* the pager's */
  char *replaces;   /* NULL: none */
  GemRouterRow row; /* of the pager */
} GemLearned;

typedef struct {
  GPtrArray *domains; /* of GemLearned: those that turns may begin with */
  GemPathwaySet
      used; /* indices of these, of those that are being added, and of those that turns still have */
} GemLearnedList;

void
gem_learned_list_init(GemLearnedList *self);
void
gem_learned_list_clear(GemLearnedList *self);

/* A free index for a new one, used from now on. LIMIT_EXCEEDED when there is none. */
gboolean
gem_learned_list_take_index(GemLearnedList *self, guint *ret_index, GError **error);

/* The user's own of that name; NULL: there is none. */
GemLearned *
gem_learned_list_find(const GemLearnedList *self, guint owner, const char *name);

/* INVALID_OPTION when another user's domain of that name is shared: it could not be told from this one. */
gboolean
gem_learned_list_check_share(const GemLearnedList *self, guint owner, const char *name, GError **error);

/* Takes `learned` (its strings, too), in the place of the user's one of that name. Returns the index of that
 * one, which is still used; 0: there was none. */
guint
gem_learned_list_add(GemLearnedList *self, const GemLearned *learned);
/* Returns its index, which is still used. */
guint
gem_learned_list_remove(GemLearnedList *self, GemLearned *learned);

/* What the texts of `owner` are routed with: its own, and those that are shared unless it has one of that
 * name. NULL: none but the model's domains. Transfer full. */
GemLearnedView *
gem_learned_list_view(const GemLearnedList *self, const GemModelShape *shape, guint owner);
