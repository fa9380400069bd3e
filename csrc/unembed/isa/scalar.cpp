#include "unembed/isa/divergence-inl.h"
#include "unembed/isa/screen-inl.h"
#include "unembed/isa/tile-inl.h"

const pivotkit::FloatKernels pivotkit::kFloatsScalar = {"scalar", kWide, fold, weigh, diverge};
const pivotkit::ScreenKernels pivotkit::kScreenScalar = {"scalar", kDigits, 1, kRows, screen_panel};
