#define PIVOTKIT_KERNELS kKernelsAvx2
#include "unembed/tile-inl.h"
