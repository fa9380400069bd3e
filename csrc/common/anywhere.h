// Marks a function that both CUDA kernels and the code of the CPU call: one formula for both.
#pragma once

#ifdef __CUDACC__
#define PIVOTKIT_ANYWHERE __host__ __device__
#else
#define PIVOTKIT_ANYWHERE
#endif
