#include "unembed/divergence-inl.h"
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsScalar = {kWide, {}, fold, weigh, diverge, kDigits, kRows, screen_panel};
