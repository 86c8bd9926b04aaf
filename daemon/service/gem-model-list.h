/*
 * The names of the models that there are: read on a thread, since a folder may be slow, when a model folder
 * has changed. Everything else on the main loop.
 */
#pragma once

#include "daemon/base/gem-config.h"

typedef struct _GemModelList GemModelList;

/* Reads the folders, this once without a thread, and watches them; `changed` is called when the names are
 * others. */
GemModelList *
gem_model_list_new(GemConfig *config, void (*changed)(gpointer data), gpointer data);
void
gem_model_list_free(GemModelList *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemModelList, gem_model_list_free)

/* In order; borrowed until the next change. */
const char *const *
gem_model_list_get(const GemModelList *self);
