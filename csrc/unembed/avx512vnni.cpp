// The screening alone; the work in float32 is that of avx512.cpp.
#include "unembed/screen-inl.h"

const pivotkit::ScreenKernels pivotkit::kScreenAvx512vnni = {kDigits, kRows, screen_panel};
