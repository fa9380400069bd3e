#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsAvx512bf16 = {kWide, kPairs, fold, kDigits, kRows, screen_panel};
