// Products of pairs and the screening, in tiles; the rest is that of avx512.cpp.
#include "unembed/isa/amx-pairs-inl.h"
#include "unembed/isa/amx-screen-inl.h"

const pivotkit::Products pivotkit::kPairsAmx = kAmx;
const pivotkit::ScreenKernels pivotkit::kScreenAmx = {"amx", 1, kTileRows, 2 * kTileRows, screen_tiles};
