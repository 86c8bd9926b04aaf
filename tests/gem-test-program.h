/* Programs of the build as tests start them. */
#pragma once

#include <glib.h>

/* The words that start a program of the build tree, FOLDER/NAME: its path and, where the tests run in an
 * emulator, that before it. Without a NULL at the end; elements are freed with the array. Transfer full. */
GPtrArray *
gem_test_program_words(const char *folder, const char *name);
