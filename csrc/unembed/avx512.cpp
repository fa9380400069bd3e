#define PIVOTKIT_KERNELS kKernelsAvx512
#include "unembed/tile-inl.h"
