/* What the pager tells of a pathway, and of what it did. */
#pragma once

#include <glib.h>

/* Domains that may be learned beside those of the model, of all users together. */
#define GEM_MAX_LEARNED 47u

typedef enum { GEM_PATHWAY_ABSENT, GEM_PATHWAY_LOADING, GEM_PATHWAY_RESIDENT } GemPathwayState;
/* Where calls of so many rows of a pathway go, as measured; all its layers together. */
typedef struct {
  guint rows;
  char *backend;
  double us, device_us; /* on the backend that does everything, and on the device */
} GemPathwayPlace;
#define GEM_PATHWAY_PLACES 2

typedef struct {
  char *domain; /* "general" or a domain */
  GemPathwayState state;
  char *reason; /* why absent, when that was not asked for; else NULL */
  guint bits;   /* of its largest tensor: 4, 6, 8, 16, 32; 0 unknown */
  guint64 file_bytes;
  guint64 resident_bytes; /* 0 unless resident */
  char *backend; /* that it runs on: the device, if any call of it goes there; NULL unless resident */
  GemPathwayPlace places[GEM_PATHWAY_PLACES];
  guint n_places; /* 0: there is no device, or it was not measured yet */
  gboolean pinned;
} GemPathwayInfo;
void
gem_pathway_info_free(GemPathwayInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPathwayInfo, gem_pathway_info_free)

/* What was done since the pager was made. */
typedef struct {
  guint64 page_ins, page_in_failures; /* of domains */
  guint64 page_outs_asked;            /* by an administrator */
  guint64 page_outs_relief;           /* memory was short */
  guint64 page_outs_budget;           /* MemoryLimit wanted their room for something else */
} GemPagerCounters;
