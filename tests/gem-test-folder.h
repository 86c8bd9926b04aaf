/* Folders that a test makes and leaves nothing of. */
#pragma once

#include <glib.h>

/* Writes FOLDER/PATH, with the folders above it. */
void
gem_test_write_file(const char *folder, const char *path, const char *content);

/* Removes a folder and all that is in it, but follows no links. */
void
gem_test_remove_folder(const char *folder);
