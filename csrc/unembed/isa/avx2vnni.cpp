// The screening alone; the work in float32 is that of avx2.cpp.
#include "unembed/isa/screen-inl.h"

const pivotkit::ScreenKernels pivotkit::kScreenAvx2vnni = {"avx2vnni", kDigits, 1, kRows, screen_panel};
