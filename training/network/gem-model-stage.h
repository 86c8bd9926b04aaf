/*
 * A model folder that is written whole or not at all. Its files are made in a folder of their own beside it,
 * FOLDER.XXXXXXXX.tmp, which then takes its place in one step; the old files go afterwards. Until then a full
 * disk or a killed process leaves the old model as it was.
 *
 * A folder that is there keeps its rights, and all that is in it but the files of a model: those of the new
 * one, and what the manifest of the old one names. Where no folder may be made beside it, or two cannot be
 * exchanged (a mount point, a file system that does not know how), the files are made in a folder within it
 * and moved from there one after the other, the manifest last: a process that is killed in that moment leaves
 * a folder whose manifest says that it is no model.
 *
 * What a killed process has staged is removed by the next one that stages for the same folder: a file .staged
 * in it, which whoever works on it keeps locked, tells it from all else.
 */
#pragma once

#include <gio/gio.h>

typedef struct _GemModelStage GemModelStage;

/* `folder` need not be there, nor what leads to it. IO, naming it. */
GemModelStage *
gem_model_stage_new(const char *folder, GError **error);

/* Removes what was staged, and what was made to lead to it, unless it was committed. */
void
gem_model_stage_free(GemModelStage *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemModelStage, gem_model_stage_free)

/* Where the files are to be written, each synced, as gem_file_replace does. Borrowed. */
const char *
gem_model_stage_get_folder(const GemModelStage *self);

/* One file of these bytes. */
gboolean
gem_model_stage_add(const GemModelStage *self, const char *file, GBytes *bytes, GError **error);

/* Writes the manifest of these files (NULL-terminated), all of which are there, and puts the model in its
 * place; once. IO, also where the model is in place and what was in the folder beside it is not: the error
 * says where that lies. */
gboolean
gem_model_stage_commit(GemModelStage *self, const char *name, const char *const *files, GError **error);
