#define PIVOTKIT_NEON
#include "unembed/divergence-inl.h"
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::FloatKernels pivotkit::kFloatsNeon = {kWide, fold, weigh, diverge};
const pivotkit::ScreenKernels pivotkit::kScreenNeon = {kDigits, kRows, screen_panel};
