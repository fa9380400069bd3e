#include "unembed/divergence-inl.h"
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::FloatKernels pivotkit::kFloatsAvx2 = {kWide, fold, weigh, diverge};
const pivotkit::ScreenKernels pivotkit::kScreenAvx2 = {kDigits, kRows, screen_panel};
