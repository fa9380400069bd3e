// What screening costs on each instruction set, as a share of the exact pass, so that it is left where it would lose.
#pragma once

#include "common/isa.h"

namespace pivotkit {

struct ScreenCost {
  double row;   // a screened row of many, without its open ids, over an exact row
  double open;  // the exact product of one open id, wherever it lies in memory, over one in the exact pass

  // Whether rows are answered sooner by screening, where `left` of the vocabulary stays open in a certified row, and
  // `failed` of the rows are not certified and take an exact pass, too.
  bool pays(double left, double failed) const { return row + open * left + failed < 1.0; }
};

// `pairs`: the exact pass multiplies bfloat16 pairs by an instruction of their own. From times of 256 rows and more on
// two cores (benchmarks/README.md), but for what is marked; those rest on how many products an instruction makes.
inline ScreenCost screen_cost(Isa isa, bool pairs) {
  switch (isa) {
    case Isa::scalar:
    case Isa::neon:  // not measured; it multiplies bytes one by one, too
      return {3.5, 15.0};
    case Isa::avx2:
    case Isa::avx512:  // not measured
      return {0.75, 15.0};
    case Isa::avx2vnni:  // not measured
    case Isa::neondot:   // not measured
    case Isa::neoni8mm:  // not measured
      return {0.5, 15.0};
    case Isa::avx512vnni:
      return {0.4, 10.0};
    case Isa::neonbf16:  // not measured
    case Isa::avx512bf16:
    case Isa::amx:  // not measured
      return {pairs ? 0.6 : 0.4, 10.0};
  }
  return {1.0, 15.0};
}

}  // namespace pivotkit
