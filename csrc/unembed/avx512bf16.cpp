#include "unembed/divergence-inl.h"
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsAvx512bf16 = {kWide, kPairs, fold, weigh, diverge, kDigits, kRows, screen_panel};
