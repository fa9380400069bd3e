#define PIVOTKIT_NEON
#define PIVOTKIT_KERNELS kKernelsNeon
#include "unembed/tile-inl.h"
