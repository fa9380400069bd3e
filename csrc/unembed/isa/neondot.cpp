// The screening alone; the work in float32 is that of neon.cpp.
#define PIVOTKIT_NEON
#include "unembed/isa/screen-inl.h"

const pivotkit::ScreenKernels pivotkit::kScreenNeondot = {"neondot", kDigits, 1, kRows, screen_panel};
