#include "kernels/gem-types.h"

#include <string.h>
#include <strings.h>

#include "kernels/gem-half.h"

typedef struct {
  GemType type;
  const char *name;
  size_t block_cols;
  size_t block_bytes;
} TypeInfo;

static const TypeInfo type_infos[] = {
    {GEM_TYPE_F32, "F32", 1, 4},     {GEM_TYPE_F16, "F16", 1, 2},       {GEM_TYPE_Q4_0, "Q4_0", 32, 18},
    {GEM_TYPE_Q8_0, "Q8_0", 32, 34}, {GEM_TYPE_Q6_K, "Q6_K", 256, 210},
};

enum { N_TYPES = sizeof(type_infos) / sizeof(type_infos[0]) };

static const TypeInfo *
find_info(uint32_t id)
{
  for (size_t i = 0; i < N_TYPES; i++) {
    if ((uint32_t)type_infos[i].type == id) {
      return &type_infos[i];
    }
  }
  return NULL;
}

bool
gem_type_is_known(uint32_t id)
{
  return find_info(id) != NULL;
}

const char *
gem_type_name(uint32_t id)
{
  const TypeInfo *info = find_info(id);
  return info ? info->name : NULL;
}

bool
gem_type_from_name(const char *name, GemType *ret_type)
{
  for (size_t i = 0; i < N_TYPES; i++) {
    if (strcasecmp(type_infos[i].name, name) == 0) {
      *ret_type = type_infos[i].type;
      return true;
    }
  }
  return false;
}

size_t
gem_type_block_cols(GemType type)
{
  const TypeInfo *info = find_info(type);
  return info ? info->block_cols : 0;
}

size_t
gem_type_block_bytes(GemType type)
{
  const TypeInfo *info = find_info(type);
  return info ? info->block_bytes : 0;
}

size_t
gem_type_row_bytes(GemType type, size_t cols)
{
  const TypeInfo *info = find_info(type);
  if (info == NULL || cols % info->block_cols != 0) {
    return 0;
  }
  size_t blocks = cols / info->block_cols;
  if (blocks > SIZE_MAX / info->block_bytes) {
    return 0;
  }
  return blocks * info->block_bytes;
}

float
gem_half_to_float(uint16_t half)
{
  return gem_half_decode(half);
}

uint16_t
gem_float_to_half(float value)
{
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
  uint32_t magnitude = bits & 0x7fffffffu;

  if (magnitude > 0x7f800000u) { /* NaN stays a quiet NaN, its top fraction bits kept */
    return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  if (magnitude >= 0x477ff000u) { /* 65520 and more round to infinity */
    return (uint16_t)(sign | 0x7c00u);
  }
  if (magnitude < 0x33000000u) { /* below 2^-25 nothing is left */
    return sign;
  }

  uint32_t kept, lost, half_way;
  if (magnitude < 0x38800000u) {
    /* Subnormal half: the 24-bit significand shifted so that its unit is 2^-24. */
    unsigned shift = 126 - (magnitude >> 23);
    uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    kept = significand >> shift;
    lost = significand & ((1u << shift) - 1);
    half_way = 1u << (shift - 1);
  } else {
    kept = (magnitude - (112u << 23)) >> 13;
    lost = magnitude & 0x1fffu;
    half_way = 0x1000u;
  }
  if (lost > half_way || (lost == half_way && (kept & 1u))) {
    kept++; /* a carry into the exponent is the right next value */
  }
  return (uint16_t)(sign | kept);
}
