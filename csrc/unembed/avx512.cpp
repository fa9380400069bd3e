#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsAvx512 = {kWide, {}, fold, kDigits, kRows, screen_panel};
