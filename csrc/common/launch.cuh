// Queues a kernel on a stream, and turns the runtime's complaint into an exception.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>

#include "common/require.h"

namespace pivotkit {

inline void check(cudaError_t error, const char* rule) {
  if (error != cudaSuccess) refuse<std::runtime_error>("unembed", "backend", rule, cudaGetErrorString(error));
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, void* stream, Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = static_cast<cudaStream_t>(stream);
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "be able to launch on this device");
}

}  // namespace pivotkit
