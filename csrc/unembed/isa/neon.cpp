#define PIVOTKIT_NEON
#include "unembed/isa/divergence-inl.h"
#include "unembed/isa/screen-inl.h"
#include "unembed/isa/tile-inl.h"

const pivotkit::FloatKernels pivotkit::kFloatsNeon = {"neon", kWide, fold, weigh, diverge};
const pivotkit::ScreenKernels pivotkit::kScreenNeon = {"neon", kDigits, 1, kRows, screen_panel};
