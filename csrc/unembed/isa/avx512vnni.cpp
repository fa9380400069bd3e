// The screening alone; the work in float32 is that of avx512.cpp.
#include "unembed/isa/screen-inl.h"

const pivotkit::ScreenKernels pivotkit::kScreenAvx512vnni = {"avx512vnni", kDigits, 1, kRows, screen_panel};
