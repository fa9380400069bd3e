// Queues a kernel on a stream, and turns the runtime's complaint into an exception.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>

#include "common/require.h"

namespace pivotkit {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, void* stream, Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = static_cast<cudaStream_t>(stream);
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  if (error != cudaSuccess)
    refuse<std::runtime_error>("unembed", "backend", "be able to launch on this device", cudaGetErrorString(error));
}

}  // namespace pivotkit
