#define PIVOTKIT_KERNELS kKernelsScalar
#include "unembed/tile-inl.h"
