#define PIVOTKIT_NEON
#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsNeon = {
    kRows, kDirectRows, kDirectMost, pack, run_panel, exact, fold, kDigits, screen_panel};
