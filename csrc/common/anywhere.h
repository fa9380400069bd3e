// Marks a function that CUDA kernels call as well as the CPU's code: one formula for both.
#pragma once

#ifdef __CUDACC__
#define PIVOTKIT_ANYWHERE __host__ __device__
#else
#define PIVOTKIT_ANYWHERE
#endif
