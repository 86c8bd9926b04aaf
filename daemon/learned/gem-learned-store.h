/*
 * Where learned domains are kept: STATE/learned/UID/NAME/, readable by the service alone.
 *
 *   domain           what is known of it (gem-learned-record.h); replaced as a whole, and what it does not
 *                    name is nothing
 *   version-N.gguf   learned files
 *   text, checkpoint, output   while it is being learned
 *
 * Files are written on one thread, in the order in which that was asked for; callbacks come to the main loop.
 * No message here has a path, a name or a uid in it: they may stand in the journal.
 */
#pragma once

#include <gio/gio.h>

#include "daemon/learned/gem-learned-record.h"

typedef struct _GemLearnedStore GemLearnedStore;

/* `state_dir` is there. Nothing is read or made yet. */
GemLearnedStore *
gem_learned_store_new(const char *state_dir);
/* Waits for what was asked for; their callbacks may still come, and find their data as they left it. */
void
gem_learned_store_free(GemLearnedStore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedStore, gem_learned_store_free)

/* All that there is, as a GPtrArray of GemLearnedRecord. Folders without a record, and files that no record
 * names, are removed; folders whose record cannot be read are left alone, named ("UID/NAME", a GPtrArray,
 * transfer full) and counted. */
void
gem_learned_store_load_async(GemLearnedStore *self, GAsyncReadyCallback callback, gpointer data);
GPtrArray *
gem_learned_store_load_finish(GAsyncResult *result, GPtrArray **ret_left, guint *ret_unread);

/* The folder is there, and an empty file for the text in it, open for writing: its descriptor, or -1. */
void
gem_learned_store_begin_async(GemLearnedStore *self,
                              const GemLearnedRecord *record,
                              GAsyncReadyCallback callback,
                              gpointer data);
int
gem_learned_store_begin_finish(GAsyncResult *result, GError **error);

/* Writes the record as it is now, durably; then removes what it does not name, unless `keeps_files`: a text
 * is being copied. */
void
gem_learned_store_save_async(GemLearnedStore *self,
                             const GemLearnedRecord *record,
                             gboolean keeps_files,
                             GAsyncReadyCallback callback,
                             gpointer data);
/* The same after what was learned (`output`) was copied into the file of the record's version. */
void
gem_learned_store_commit_async(GemLearnedStore *self,
                               const GemLearnedRecord *record,
                               GAsyncReadyCallback callback,
                               gpointer data);
/* `ret_bytes` (may be NULL): of the version's file. */
gboolean
gem_learned_store_save_finish(GAsyncResult *result, guint64 *ret_bytes, GError **error);

/* Removes the folder with all that is in it, its record first: when that cannot be, nothing is removed. */
void
gem_learned_store_remove_async(GemLearnedStore *self,
                               const GemLearnedRecord *record,
                               GAsyncReadyCallback callback,
                               gpointer data);
gboolean
gem_learned_store_remove_finish(GAsyncResult *result, GError **error);

/* Opens what one learning works on. */
typedef struct {
  int text, checkpoint, output; /* -1: none; output is empty */
} GemLearnedFiles;
void
gem_learned_files_clear(GemLearnedFiles *files);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemLearnedFiles, gem_learned_files_clear)
/* In the folder of a domain. Any thread. */
gboolean
gem_learned_files_open(const char *folder, GemLearnedFiles *ret_files, GError **error);

/* Transfer full. */
char *
gem_learned_store_get_folder(GemLearnedStore *self, const GemLearnedRecord *record);
/* The file of the version that is in service. Transfer full. */
char *
gem_learned_store_get_file(GemLearnedStore *self, const GemLearnedRecord *record);
