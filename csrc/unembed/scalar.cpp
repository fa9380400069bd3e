#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsScalar = {kWide, {}, fold, kDigits, kRows, screen_panel};
