// Reductions of a warp and of a block, each in one fixed tree, so that a sum has the same bits every time.
#pragma once

#include <cuda_runtime.h>

#include "unembed/cuda/unembed_cuda.h"
#include "unembed/merge.h"

namespace pivotkit::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kResident = 2;  // blocks of a multiprocessor at least: 128 registers a thread at most
constexpr int kWarps = kThreads / kWarp;
constexpr unsigned kAll = 0xffffffffu;

__device__ inline int lane_index() { return threadIdx.x % kWarp; }
__device__ inline int warp_index() { return threadIdx.x / kWarp; }

struct Maximum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

template <class T, class Op>
__device__ inline T warp_reduce(T value, Op op) {
  for (int step = kWarp / 2; step > 0; step /= 2) value = op(value, __shfl_xor_sync(kAll, value, step));
  return value;
}

// Every thread of the block gets the result. All of them must call it.
template <class T, class Op>
__device__ inline T block_reduce(T value, Op op) {
  __shared__ T parts[kWarps];
  value = warp_reduce(value, op);
  __syncthreads();  // parts may still be read from the call before
  if (lane_index() == 0) parts[warp_index()] = value;
  __syncthreads();
  T total = parts[0];
  for (int warp = 1; warp < kWarps; ++warp) total = op(total, parts[warp]);
  return total;
}

// Merges the lanes' partial sums, weights relative to the maximum or not (merge.h); every lane gets the result.
template <bool Relative>
__device__ inline Merged warp_merge(Merged mine) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const double top = __shfl_xor_sync(kAll, mine.top, step), sum = __shfl_xor_sync(kAll, mine.sum, step);
    const double weighted = __shfl_xor_sync(kAll, mine.weighted, step);
    // The lower lane's share comes first on both sides of the exchange.
    Merged both, other;
    other.top = top;
    other.sum = sum;
    other.weighted = weighted;
    const bool lower = (lane_index() & step) == 0;
    both = lower ? mine : other;
    const Merged& second = lower ? other : mine;
    Relative ? both.add(second.top, second.sum, second.weighted)
             : both.add_weighted(second.top, second.sum, second.weighted);
    mine = both;
  }
  return mine;
}

}  // namespace
}  // namespace pivotkit::cuda
