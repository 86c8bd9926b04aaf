#include "kernels/reference/gem-reference.h"

const GemKernels *
gem_kernels_reference(void)
{
  static const GemKernels reference = {
      .name = "reference",
      .linear = gem_reference_linear,
      .rms_norm = gem_reference_rms_norm,
      .rope = gem_reference_rope,
      .softmax = gem_reference_softmax,
      .swiglu = gem_reference_swiglu,
      .gelu = gem_reference_gelu,
      .scar_assign = gem_reference_scar_assign,
      .attend = gem_reference_attend,
  };
  return &reference;
}
