#include "unembed/screen-inl.h"
#include "unembed/tile-inl.h"

const pivotkit::Kernels pivotkit::kKernelsAvx512 = {
    kRows, pack, run_panel, exact, fold, kDigits, screen_panel};
