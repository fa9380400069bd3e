// The screening alone; the work in float32 is that of neon.cpp.
#define PIVOTKIT_NEON
#include "unembed/isa/i8mm-screen-inl.h"

const pivotkit::ScreenKernels pivotkit::kScreenNeoni8mm = {"neoni8mm", 1, 2, kRows, screen_squares};
