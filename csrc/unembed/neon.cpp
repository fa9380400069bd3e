#define PIVOTKIT_NEON
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsNeon = {kWide, {}, fold, kDigits, kRows, screen_panel};
