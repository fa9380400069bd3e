// Puts the kernels of an instruction set together, and chooses the products for a request.
#pragma once

#include "common/isa.h"
#include "unembed/kernels.h"
#include "unembed/unembed.h"

namespace pivotkit {

inline Kernels kernels_of(Isa isa) {
  switch (isa) {
#ifdef PIVOTKIT_ARM64
    case Isa::neon:
      return {&kFloatsNeon, nullptr, &kScreenNeon};
#endif
#ifdef PIVOTKIT_NEONDOT
    case Isa::neondot:
      return {&kFloatsNeon, nullptr, &kScreenNeondot};
#endif
#ifdef PIVOTKIT_NEONI8MM
    case Isa::neoni8mm:
      return {&kFloatsNeon, nullptr, &kScreenNeoni8mm};
    case Isa::neonbf16:
      return {&kFloatsNeon, &kPairsNeonbf16, &kScreenNeoni8mm};
#endif
#ifdef PIVOTKIT_X86
    case Isa::avx2:
      return {&kFloatsAvx2, nullptr, &kScreenAvx2};
#endif
#ifdef PIVOTKIT_AVX2VNNI
    case Isa::avx2vnni:
      return {&kFloatsAvx2, nullptr, &kScreenAvx2vnni};
#endif
#ifdef PIVOTKIT_AVX512
    case Isa::avx512:
      return {&kFloatsAvx512, nullptr, &kScreenAvx512};
    case Isa::avx512vnni:
      return {&kFloatsAvx512, nullptr, &kScreenAvx512vnni};
#endif
#ifdef PIVOTKIT_AVX512BF16
    case Isa::avx512bf16:
      return {&kFloatsAvx512, &kPairsAvx512bf16, &kScreenAvx512vnni};
#endif
#ifdef PIVOTKIT_AMX
    case Isa::amx:
      return {&kFloatsAvx512, &kPairsAmx, &kScreenAmx};
#endif
    default:
      return {&kFloatsScalar, nullptr, &kScreenScalar};
  }
}

inline const Products& products_of(const Kernels& kernels, const UnembedRequest& request) {
  const bool pairs = request.hidden.type == Dtype::bfloat16 && request.weight.type == Dtype::bfloat16;
  return pairs && kernels.pairs != nullptr ? *kernels.pairs : kernels.floats->products;
}

}  // namespace pivotkit
