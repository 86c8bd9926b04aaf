/* What the files of the pager share. */
#pragma once

#include "daemon/pager/gem-pager.h"

/* One pathway. The mutex guards what gem_pager_get_info reads; only the engine thread writes. */
typedef struct {
  const char *name; /* static as long as the model: of a learned domain the name of its module, since messages
                       of the service do not tell what users call theirs. NULL: the place is free */
  GemPathwayState state;
  char *reason; /* why it could not be paged in; NULL: nothing is known against it */
  guint bits;
  guint64 file_bytes;
  guint64 resident_bytes;
  GemPluginModule *module;
  const GemPathwayFunctions *functions;
  GemPathway *pathway;      /* NULL unless resident */
  gboolean on_device;       /* all of it runs there */
  GemPlacedPathway *beside; /* the same on the device, for some calls or all (gem_placed_pathway_takes); else
                               NULL */
  gsize beside_bytes;       /* of `resident_bytes`, those of `beside` */
  gboolean is_measured;     /* the next is valid */
  GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS];
  GemPlacing *placing;   /* it is being compiled for the device; else NULL */
  gsize last_bytes;      /* that it took when it was resident last; 0: it never was */
  guint64 touched;       /* see gem_pager_touch */
  GemFileIdentity tried; /* its file, when it was last tried */
  gint64 retry_wait;     /* us: how long it stays untried with the same file; 0: for good */
  gint64 retry_at;       /* monotonic, us; valid with a `retry_wait` */
  gint holds;            /* atomic, as the next */
  gint pinned;
  /* Of learned domains alone. */
  GemFileReader *reader; /* the file, open for as long as the domain is there */
  char *file;            /* its name in messages */
  float *row;            /* [row_values] of the router */
  guint row_values;
} GemPagerEntry;

struct GemPager {
  GemModelFiles *files;
  const GemPluginLoader *loader;
  const GemShape *shape;
  const GemBackend *backend;
  GemPlacement *placement;
  guint n_placing;  /* pathways that are being compiled */
  GemGguf *general; /* its file, when there is a device that it may go to again; else NULL */
  gboolean (*has_room)(gpointer data, gsize bytes); /* see gem_pager_set_room; NULL: always */
  gpointer room_data;
  GemPagerCounters *counters;
  gboolean read_ahead;
  gboolean has_place; /* a group of the backend has begun for the pathway that comes next */
  GemPathwaySet resident;
  GMutex mutex;
  guint n_domains;
  GemPagerEntry entries[GEM_MAX_PATHWAYS]; /* general at n_domains; learned ones from GEM_FIRST_LEARNED on */
};

/* Closes pathway and module of an entry, if they are open. */
void
gem_pager_close_entry(GemPager *self, GemPagerEntry *entry);

/* Bits of a value of the file's largest tensor; 0: unknown. */
guint
gem_pager_bits_of_file(GemGguf *file);

/* Opens the pathway of a module that is open, and looks whether its file stayed what it was: its matrices as
 * one group, in the place that has begun if there is one; those of general belong to the group of the whole
 * model. Errors: as of the file; GEM_ERROR, FAILED when it had too little memory, else PATHWAY. */
GemPathway *
gem_pager_open_in_place(GemPager *self, const GemPagerEntry *entry, GemGguf *file, GError **error);

/* Frees what is of a learned domain alone. */
void
gem_pager_clear_learned(GemPagerEntry *entry);

/* A pathway came in: begins to compile it for the device, if there is one, and room. What users teach stays
 * where everything runs. */
void
gem_pager_begin_placing(GemPager *self, guint index, GemGguf *file);
/* General came in, and the model is being loaded: waits a while for a device that was named. */
void
gem_pager_place_general(GemPager *self);
/* Runs a layer there, and returns how many of the n rows it has run: fewer when the device has failed, and is
 * left. */
guint
gem_pager_apply_on_device(GemPager *self, guint index, guint layer, const float *u, guint n, float *y);
/* Where calls go, into `info`. */
void
gem_pager_describe_places(const GemPager *self, const GemPagerEntry *entry, GemPathwayInfo *info);
