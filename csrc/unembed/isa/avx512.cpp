#include "unembed/isa/divergence-inl.h"
#include "unembed/isa/screen-inl.h"
#include "unembed/isa/tile-inl.h"

const pivotkit::FloatKernels pivotkit::kFloatsAvx512 = {"avx512", kWide, fold, weigh, diverge};
const pivotkit::ScreenKernels pivotkit::kScreenAvx512 = {"avx512", kDigits, 1, kRows, screen_panel};
