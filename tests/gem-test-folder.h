/* Folders that a test makes and leaves nothing of. */
#pragma once

#include <glib.h>

/* A new temporary folder. Transfer full. */
char *
gem_test_folder_new(void);

/* Removes it and all that is in it, but follows no links. */
void
gem_test_folder_remove(const char *dir);

/* Writes `text` to DIR/`path` and makes the folders above it. */
void
gem_test_write_text(const char *dir, const char *path, const char *text);
