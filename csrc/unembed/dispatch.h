// The kernels of an instruction set.
#pragma once

#include "common/isa.h"
#include "unembed/kernels.h"
#include "unembed/unembed.h"

namespace pivotkit {

inline const Kernels& kernels_of(Isa isa) {
  switch (isa) {
#ifdef PIVOTKIT_ARM64
    case Isa::neon:
      return kKernelsNeon;
#endif
#ifdef PIVOTKIT_X86
    case Isa::avx2:
      return kKernelsAvx2;
    case Isa::avx512:
      return kKernelsAvx512;
    case Isa::avx512vnni:
      return kKernelsAvx512vnni;
#endif
#ifdef PIVOTKIT_AVX512BF16
    case Isa::avx512bf16:
      return kKernelsAvx512bf16;
#endif
#ifdef PIVOTKIT_AMX
    case Isa::amx:
      return kKernelsAmx;
#endif
    default:
      return kKernelsScalar;
  }
}

inline const Products& products_of(const Kernels& kernels, const UnembedRequest& request) {
  const bool pairs = request.hidden.type == Dtype::bfloat16 && request.weight.type == Dtype::bfloat16;
  return pairs && kernels.pairs.panel != nullptr ? kernels.pairs : kernels.wide;
}

}  // namespace pivotkit
