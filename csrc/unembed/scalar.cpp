#include "unembed/divergence-inl.h"
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::FloatKernels pivotkit::kFloatsScalar = {kWide, fold, weigh, diverge};
const pivotkit::ScreenKernels pivotkit::kScreenScalar = {kDigits, kRows, screen_panel};
