/*
 * What modules that read model files have in common: error lines, and tensors with the shape that they must
 * have. Plain C, linked into each module.
 */
#pragma once

#include "plugins/gem-plugin.h"

/* One line into `error`, cut at its size. */
void
gem_plugin_set_error(GemPluginError *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The tensor `name` as it lies in the file, which must be [rows][cols]. False: it is missing or has another
 * shape; the error names file and tensor. */
bool
gem_plugin_find_tensor(const GemTensorSource *source,
                       const char *name,
                       size_t rows,
                       size_t cols,
                       GemTensorView *ret_tensor,
                       GemPluginError *error);

/* The tensor `name` as a matrix [rows][cols] of the backend, released by its matrix_free. NULL: it is missing
 * or has another shape, or the backend does not take it; the error names file and tensor. */
GemMatrix *
gem_plugin_load_matrix(const GemTensorSource *source,
                       const GemBackend *backend,
                       const char *name,
                       size_t rows,
                       size_t cols,
                       GemPluginError *error);

/* The same as floats, of whatever type the file has it in; released by free(). */
float *
gem_plugin_load_floats(const GemTensorSource *source,
                       const GemBackend *backend,
                       const char *name,
                       size_t rows,
                       size_t cols,
                       GemPluginError *error);

/* A whole number of the metadata in 1 .. maximum. */
bool
gem_plugin_read_count(const GemTensorSource *source,
                      const char *key,
                      uint32_t maximum,
                      uint32_t *ret_value,
                      GemPluginError *error);
