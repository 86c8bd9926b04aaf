/*
 * One file of packed matrices, in the machine's own byte order:
 *
 *   head     GemCpuKeptHead
 *   entries  [count] GemCpuKeptEntry, in the order of the model file
 *   padding  to 64 bytes
 *   matrices packed (kernels/gem-packed.h), each at a multiple of 64 bytes
 */
#pragma once

#include "plugins/backends/cpu/gem-cpu-keep.h"

typedef struct {
  char magic[8];
  uint32_t form;  /* GEM_PACKED_FORM */
  uint32_t count; /* of entries */
  char digest[GEM_CPU_DIGEST_DIGITS];
  uint64_t bytes; /* of the whole file */
  uint64_t check; /* of the head, with 0 here, and all that follows */
  uint8_t zeros[32];
} GemCpuKeptHead;

typedef struct {
  uint64_t offset; /* of the blocks, in the model file */
  uint64_t place;  /* of the packed bytes, in this one */
  uint64_t rows, cols;
  uint32_t type;
  uint32_t zero;
} GemCpuKeptEntry;

/* Bytes of a file of these matrices. */
uint64_t
gem_cpu_kept_file_bytes(const GemCpuKeptMatrix *matrices, size_t count);

/* Writes it from the start of `file` on. False: it cannot be written, or `stop` was set. */
bool
gem_cpu_kept_file_write(
    int file, const char *digest, const GemCpuKeptMatrix *matrices, size_t count, const atomic_bool *stop);

/* Maps a file of `bytes` that is open for reading, and stays the caller's, its pages in memory. NULL: it is
 * not of that model file, not of this form, its entries do not hold, or, where it is to be `checked`, its
 * checksum is another; or, with errno set, there is no memory. */
GemCpuKept *
gem_cpu_kept_file_map(int file, uint64_t bytes, const char *digest, bool checked);
