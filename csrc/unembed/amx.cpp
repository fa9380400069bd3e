#include "unembed/amx-inl.h"
#include "unembed/divergence-inl.h"
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsAmx = {kWide, kAmx, fold, weigh, diverge, kDigits, kRows, screen_panel};
