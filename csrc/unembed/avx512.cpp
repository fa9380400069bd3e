#include "unembed/divergence-inl.h"
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::FloatKernels pivotkit::kFloatsAvx512 = {kWide, fold, weigh, diverge};
const pivotkit::ScreenKernels pivotkit::kScreenAvx512 = {kDigits, kRows, screen_panel};
