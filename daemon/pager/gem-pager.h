/*
 * The residency of pathways: which domains' weights and modules are in memory.
 *
 * `general` is resident for life. A domain is absent until the first token is routed to it, or until somebody
 * asks for it; what was paged out comes back by the same two ways. A domain whose file or module does not
 * hold says so from the start (`reason`) and stays absent until it is asked for by gem_pager_page_in, or
 * gem_pager_look_again sees a reason to try again: a token routed to it does not.
 *
 * Learned domains are added and removed at run time, and are paged like the others.
 *
 * Functions that load, free or run are for the engine thread; gem_pager_find, gem_pager_get_info and those
 * that keep a domain for any.
 */
#pragma once

#include "daemon/pager/gem-pathway-info.h"
#include "daemon/pager/gem-placement.h"
#include "daemon/plugin/gem-plugin-loader.h"
#include "format/gem-learned-file.h"

typedef struct GemPager GemPager;

/* Why a pathway is paged out. */
typedef enum { GEM_PAGE_OUT_ASKED, GEM_PAGE_OUT_RELIEF, GEM_PAGE_OUT_BUDGET } GemPageOutCause;

/* A set of pathways but general: bit i for index i. */
typedef guint64 GemPathwaySet;
#define GEM_MAX_PATHWAYS 64u
/* Where the indices of learned domains begin: behind those of a model that has as many as it may, and
 * general. */
#define GEM_FIRST_LEARNED (GEM_MAX_DOMAINS + 1u)
G_STATIC_ASSERT(GEM_FIRST_LEARNED + GEM_MAX_LEARNED == GEM_MAX_PATHWAYS);

/* That of one; empty for what is no pathway's index, as the route of a token that runs through general alone.
 */
static inline GemPathwaySet
gem_pathway_set_of(guint index)
{
  return index < GEM_MAX_PATHWAYS ? (GemPathwaySet)1 << index : 0;
}
/* All that a learned domain can have. */
#define GEM_LEARNED_PATHWAYS (~(((GemPathwaySet)1 << GEM_FIRST_LEARNED) - 1))

/* The lowest index of a set that is not empty, taken out of it: for loops over its members. */
static inline guint
gem_pathway_set_take(GemPathwaySet *set)
{
  guint index = (guint)__builtin_ctzll(*set);

  *set &= *set - 1;
  return index;
}

/* Opens the general pathway and looks at the others. All arguments outlive the pager; what it does is counted
 * in `counters`; `placement` says which pathways run on a device. GEM_ERROR_PATHWAY when general cannot be
 * opened. */
GemPager *
gem_pager_new(GemModelFiles *files,
              const GemPluginLoader *loader,
              const GemShape *shape,
              const GemBackend *backend,
              GemPlacement *placement,
              GemPagerCounters *counters,
              GError **error);
/* Frees all weights and closes all modules. */
void
gem_pager_free(GemPager *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPager, gem_pager_free)

/* A pathway's index: the router's class of a domain, or the number of domains for "general". */
gboolean
gem_pager_find(GemPager *self, const char *name, guint *ret_index);
/* Transfer full. */
GemPathwayInfo *
gem_pager_get_info(GemPager *self, guint index);

/* ---- learned domains ---- */

/* At an index from GEM_FIRST_LEARNED on that is free; absent at first. `reader` is the file that `learned`
 * was checked in, `file` what messages call it. FALSE: there is no module for learned domains. */
gboolean
gem_pager_add_learned(GemPager *self,
                      guint index,
                      GemFileReader *reader,
                      const char *file,
                      const GemLearnedFile *learned,
                      GError **error);
/* No route may have the index any more. */
void
gem_pager_remove_learned(GemPager *self, guint index);
/* Its row of the router; any thread, from its addition to its removal. */
const float *
gem_pager_get_row(const GemPager *self, guint index);

/* Tokens will need it: its file is read ahead, when the pathway is absent, while others are computed. */
void
gem_pager_expect(GemPager *self, guint index);
/* Whether gem_pager_expect does so; at first it does. */
void
gem_pager_set_read_ahead(GemPager *self, gboolean read_ahead);
/* Makes a pathway that tokens are routed to resident; FALSE, without trying, when it failed before.
 * GEM_ERROR_PATHWAY says why. */
gboolean
gem_pager_need(GemPager *self, guint index, GError **error);
/* The same, trying again whatever happened before. */
gboolean
gem_pager_page_in(GemPager *self, guint index, GError **error);
/* Before others are paged out for a pathway that then comes in: the backend may give it their memory, whose
 * pages are there. Whatever came of it, gem_pager_end_place afterwards: what is left over is the system's. */
void
gem_pager_begin_place(GemPager *self, guint index);
void
gem_pager_end_place(GemPager *self);
/* Moves pathways to the device that have been compiled for it and are better off there. Between two steps. */
void
gem_pager_settle(GemPager *self);
/* The same for all that are on their way. FALSE: time was up before. */
gboolean
gem_pager_settle_all(GemPager *self, gint64 microseconds);

/* ---- copies on the device ----
 * A pathway whose calls are divided between both sides is in memory twice, general always. The copy on the
 * device's side makes it faster, no more: it is the first to go, and takes nobody's place. */

/* `has_room` is asked before a pathway goes to the device, whether it may take so many bytes more. */
void
gem_pager_set_room(GemPager *self, gboolean (*has_room)(gpointer data, gsize bytes), gpointer data);
/* Memory of all copies; part of gem_pager_bytes. */
gsize
gem_pager_get_copy_bytes(const GemPager *self);
/* Drops that of the pathway that was touched longest ago. FALSE: there is none. */
gboolean
gem_pager_drop_copy(GemPager *self);
/* Drops all, and what is on its way there. */
void
gem_pager_drop_copies(GemPager *self);
/* Begins again with those that are in memory and may go to the device, but did not or were dropped. */
void
gem_pager_place_again(GemPager *self);

/* Frees the weights and closes the module. GEM_ERROR_PATHWAY for general; nothing to do when absent. */
gboolean
gem_pager_page_out(GemPager *self, guint index, GemPageOutCause cause, GError **error);
/* All domains but those in `set`. */
void
gem_pager_page_out_others(GemPager *self, GemPathwaySet set, GemPageOutCause cause);

/* ---- who goes first ---- */

/* What is held stays where it is, whatever needs its room, until it was released as often; nothing is paged
 * in. Any thread. */
void
gem_pager_hold(GemPager *self, guint index);
void
gem_pager_release(GemPager *self, guint index);
void
gem_pager_set_pinned(GemPager *self, guint index, gboolean pinned);
/* The domains that are held or pinned now. */
GemPathwaySet
gem_pager_get_kept(const GemPager *self);

/* The domains that are in memory. */
GemPathwaySet
gem_pager_get_resident(const GemPager *self);
/* Tokens were routed to it in the step of that number. */
void
gem_pager_touch(GemPager *self, guint index, guint64 step);
/* Those that are in memory and were, in that step or after it. */
GemPathwaySet
gem_pager_get_touched(const GemPager *self, guint64 since);
/* FALSE: it is known not to hold (see gem_pager_need). */
gboolean
gem_pager_may_come(const GemPager *self, guint index);
/* What it will take, as far as is known, when it is paged in. */
gsize
gem_pager_get_expected_bytes(const GemPager *self, guint index);
/* Memory of what may go: copies on the device, and pathways that are resident, not in `kept`, and kept by
 * nobody. */
gsize
gem_pager_get_spare_bytes(const GemPager *self, GemPathwaySet kept);
/* Pages out the one of them that was touched longest ago. FALSE: there is none. */
gboolean
gem_pager_page_out_oldest(GemPager *self, GemPathwaySet kept, GemPageOutCause cause);

/* Tries those again, as soon as they are needed, whose file is not any more what it was when they failed, and
 * those that failed for a reason that passes (no memory, no file descriptor, an error in reading) when a
 * second is over since then; twice as long after each further failure, up to about a minute. `now`:
 * monotonic, us. */
void
gem_pager_look_again(GemPager *self, gint64 now);

/* Whether rows of calls of `n` run on the device. As no call tells what a row came with, since neighbours of
 * other sequences are in it, `n` is asked for: see GemTextRows. */
gboolean
gem_pager_goes_to_device(const GemPager *self, guint index, guint n);
/* y [n][width] += FFN(u [n][width]) of that layer; the pathway is resident. `on_device`: the rows go there,
 * as the function above said since the last call. When the device fails it goes on without; a domain that
 * cannot be opened again then adds nothing. */
void
gem_pager_apply(
    GemPager *self, guint index, guint layer, gboolean on_device, const float *u, guint n, float *y);

/* Memory that resident pathways take. */
gsize
gem_pager_bytes(GemPager *self);
