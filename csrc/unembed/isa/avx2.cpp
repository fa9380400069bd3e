#include "unembed/isa/divergence-inl.h"
#include "unembed/isa/screen-inl.h"
#include "unembed/isa/tile-inl.h"

const pivotkit::FloatKernels pivotkit::kFloatsAvx2 = {"avx2", kWide, fold, weigh, diverge};
const pivotkit::ScreenKernels pivotkit::kScreenAvx2 = {"avx2", kDigits, 1, kRows, screen_panel};
