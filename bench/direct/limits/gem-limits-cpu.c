#include "bench/direct/limits/gem-limits-cpu.h"

#include <sched.h>
#include <string.h>
#include <sys/utsname.h>

#include "kernels/gem-tile-unit.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static const struct {
  GemLimitsFeatures feature;
  const char *name;
} feature_names[] = {
    {GEM_LIMITS_HAS_AVX2, "avx2"},
    {GEM_LIMITS_HAS_AVX_VNNI, "avx-vnni"},
    {GEM_LIMITS_HAS_AVX512, "avx512"},
    {GEM_LIMITS_HAS_AVX512_VNNI, "avx512-vnni"},
    {GEM_LIMITS_HAS_AVX512_BF16, "avx512-bf16"},
    {GEM_LIMITS_HAS_AMX_INT8, "amx-int8"},
    {GEM_LIMITS_HAS_NEON, "neon"},
    {GEM_LIMITS_HAS_NEON_DOT, "neon-dot"},
    {GEM_LIMITS_HAS_NEON_I8MM, "neon-i8mm"},
};

#if defined(__x86_64__)

typedef struct {
  unsigned a, b, c, d;
} Leaf;

/* Zeros where the processor has no such leaf. */
static Leaf
read_leaf(unsigned leaf, unsigned subleaf)
{
  Leaf result = {0};

  __get_cpuid_count(leaf, subleaf, &result.a, &result.b, &result.c, &result.d);
  return result;
}

static gboolean
has_bits(unsigned value, unsigned bits)
{
  return (value & bits) == bits;
}

/* Which registers the system saves: XCR0. */
static unsigned
read_saved_registers(const Leaf *basic)
{
  unsigned low = 0, high = 0;

  if (has_bits(basic->c, bit_OSXSAVE)) {
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  }
  return low;
}

GemLimitsFeatures
gem_limits_cpu_get_features(void)
{
  enum { YMM = 0x06, ZMM = 0xe6, AVX_VNNI = 1 << 4, AVX512_BF16 = 1 << 5 };
  const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | (unsigned)bit_AVX512VL;
  Leaf basic = read_leaf(1, 0), extended = read_leaf(7, 0), more = read_leaf(7, 1);
  unsigned saved = read_saved_registers(&basic);
  GemLimitsFeatures features = 0;

  if (!has_bits(saved, YMM) || !has_bits(basic.c, bit_AVX | bit_FMA) || !has_bits(extended.b, bit_AVX2)) {
    return 0;
  }
  features |= GEM_LIMITS_HAS_AVX2;
  features |= has_bits(more.a, AVX_VNNI) ? GEM_LIMITS_HAS_AVX_VNNI : 0;
  if (has_bits(saved, ZMM) && has_bits(extended.b, avx512)) {
    features |= GEM_LIMITS_HAS_AVX512;
    features |= has_bits(extended.c, bit_AVX512VNNI) ? GEM_LIMITS_HAS_AVX512_VNNI : 0;
    features |= has_bits(more.a, AVX512_BF16) ? GEM_LIMITS_HAS_AVX512_BF16 : 0;
    features |= gem_tile_unit() & GEM_TILE_UNIT_BYTES ? GEM_LIMITS_HAS_AMX_INT8 : 0;
  }
  return features;
}

#elif defined(__aarch64__)

GemLimitsFeatures
gem_limits_cpu_get_features(void)
{
  unsigned long base = getauxval(AT_HWCAP), more = getauxval(AT_HWCAP2);
  GemLimitsFeatures features = 0;

  features |= base & HWCAP_ASIMD ? GEM_LIMITS_HAS_NEON : 0;
  features |= base & HWCAP_ASIMDDP ? GEM_LIMITS_HAS_NEON_DOT : 0;
  features |= more & HWCAP2_I8MM ? GEM_LIMITS_HAS_NEON_I8MM : 0;
  return features;
}

#else

GemLimitsFeatures
gem_limits_cpu_get_features(void)
{
  return 0;
}

#endif

char *
gem_limits_cpu_describe_features(GemLimitsFeatures features)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(feature_names); i++) {
    if (features & feature_names[i].feature) {
      g_ptr_array_add(names, (gpointer)feature_names[i].name);
    }
  }
  if (names->len == 0) {
    return g_strdup("none");
  }
  g_ptr_array_add(names, NULL);
  return g_strjoinv(" ", (char **)names->pdata);
}

/* The value of a line "KEY : VALUE" of /proc/cpuinfo; NULL when there is none. Transfer full. */
static char *
find_in_cpuinfo(const char *key)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  guint i;

  if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
    return NULL;
  }
  lines = g_strsplit(text, "\n", -1);
  for (i = 0; lines[i] != NULL; i++) {
    const char *colon = strchr(lines[i], ':');

    if (colon != NULL && g_str_has_prefix(lines[i], key)) {
      return g_strstrip(g_strdup(colon + 1));
    }
  }
  return NULL;
}

char *
gem_limits_cpu_get_name(void)
{
  char *name = find_in_cpuinfo("model name");
  struct utsname system;

  if (name == NULL) {
    name = find_in_cpuinfo("Model"); /* boards with an ARM processor: the board */
  }
  if (name == NULL) {
    name = g_strdup(uname(&system) == 0 ? system.machine : "unknown processor");
  }
  return name;
}

guint
gem_limits_cpu_count(void)
{
  cpu_set_t allowed;

  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    return g_get_num_processors(); /* more than a cpu_set_t tells */
  }
  return MAX(1u, (guint)CPU_COUNT(&allowed));
}
