#include "bench/direct/limits/gem-limits-memory.h"

#include <string.h>
#include <sys/mman.h>

#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

/* Every 64-bit word of the memory, so that the sum of a set is known. */
#define WORD G_GUINT64_CONSTANT(0x0123456789abcdef)

/* The smallest part of a thread, and the step between parts. */
#define LEAST_PART 4096u

struct _GemLimitsMemory {
  guint8 *data;
  gsize bytes;
  GemLimitsReadLoop read;
};

static GemLimitsReadLoop
choose_loop(GemLimitsFeatures features)
{
#ifdef GEM_LIMITS_WITH_AVX512
  if (features & GEM_LIMITS_HAS_AVX512) {
    return gem_limits_read_avx512;
  }
#endif
#ifdef GEM_LIMITS_WITH_AVX2
  if (features & GEM_LIMITS_HAS_AVX2) {
    return gem_limits_read_avx2;
  }
#endif
#ifdef GEM_LIMITS_WITH_NEON
  if (features & GEM_LIMITS_HAS_NEON) {
    return gem_limits_read_neon;
  }
#endif
  (void)features;
  return gem_limits_read_portable;
}

GemLimitsMemory *
gem_limits_memory_new(gsize bytes, GemLimitsFeatures features, GError **error)
{
  g_autoptr(GemLimitsMemory) self = g_new0(GemLimitsMemory, 1);
  void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  guint64 *words = data;
  gsize i;

  if (data == MAP_FAILED) {
    g_autofree char *size = gem_limits_memory_describe_size(bytes);

    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "no memory for a set of %s", size);
    return NULL;
  }
  self->data = data;
  self->bytes = bytes;
  self->read = choose_loop(features);
  /* Small pages would measure the table of pages; a system without huge ones does. */
  madvise(data, bytes, MADV_HUGEPAGE);
  for (i = 0; i < bytes / sizeof *words; i++) {
    words[i] = WORD;
  }
  return g_steal_pointer(&self);
}

void
gem_limits_memory_free(GemLimitsMemory *self)
{
  if (self->data != NULL) {
    munmap(self->data, self->bytes);
  }
  g_free(self);
}

/* ---- parts ---- */

/* What each of the threads goes over. */
static gsize
part_of(gsize bytes, guint threads)
{
  return bytes / threads / LEAST_PART * LEAST_PART;
}

gboolean
gem_limits_memory_can_divide(gsize bytes, guint threads)
{
  return part_of(bytes, threads) > 0;
}

static gboolean
read_part(const GemLimitsProbe *probe, guint thread, guint64 times)
{
  const GemLimitsMemory *self = probe->data;
  gsize part = part_of(probe->bytes, probe->threads);

  return self->read(self->data + thread * part, part, times) == part / sizeof(guint64) * times * WORD;
}

/* The target of the copies is cleared before each run, and looked at after it. */
static gboolean
copy_part(const GemLimitsProbe *probe, guint thread, guint64 times)
{
  const GemLimitsMemory *self = probe->data;
  gsize half = part_of(probe->bytes, probe->threads) / 2;
  guint8 *from = self->data + thread * 2 * half, *to = from + half;
  guint64 i, first, last;

  memset(to, 0, sizeof first);
  memset(to + half - sizeof last, 0, sizeof last);
  for (i = 0; i < times; i++) {
    memcpy(to, from, half);
    GEM_LIMITS_HIDE_MEMORY();
  }
  memcpy(&first, to, sizeof first);
  memcpy(&last, to + half - sizeof last, sizeof last);
  return first == WORD && last == WORD;
}

/* ---- probes ---- */

static GemLimitsProbe *
probe_new(const GemLimitsMemory *self, const char *what, gsize bytes, guint threads, gsize worth)
{
  g_autofree char *size = gem_limits_memory_describe_size(bytes);
  GemLimitsProbe fields = {
      .name = g_strdup_printf("%s %s", what, size),
      .threads = threads,
      .amount = (double)(worth * threads) / 1e9,
      .data = self,
      .bytes = bytes,
  };

  g_assert(bytes <= self->bytes && gem_limits_memory_can_divide(bytes, threads));
  return gem_limits_probe_new(&fields);
}

GemLimitsProbe *
gem_limits_memory_new_read(const GemLimitsMemory *self, gsize bytes, guint threads)
{
  GemLimitsProbe *probe = probe_new(self, "read", bytes, threads, part_of(bytes, threads));

  probe->work = read_part;
  return probe;
}

GemLimitsProbe *
gem_limits_memory_new_copy(const GemLimitsMemory *self, gsize bytes, guint threads)
{
  GemLimitsProbe *probe = probe_new(self, "copy", bytes, threads, part_of(bytes, threads) / 2);

  probe->work = copy_part;
  return probe;
}

char *
gem_limits_memory_describe_size(gsize bytes)
{
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
  guint unit = 0;

  while (unit + 1 < G_N_ELEMENTS(units) && bytes >= 1024 && bytes % 1024 == 0) {
    bytes /= 1024;
    unit++;
  }
  return g_strdup_printf("%" G_GSIZE_FORMAT " %s", bytes, units[unit]);
}
