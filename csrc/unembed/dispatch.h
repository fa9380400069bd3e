// The kernels of an instruction set.
#pragma once

#include "common/isa.h"
#include "unembed/kernels.h"

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
    default:
      return kKernelsScalar;
  }
}

}  // namespace pivotkit
