// The candidates of a row's top k: a short list that is filtered by a floor and searched only when it is full.
//
// Which thread appends first is left to chance, and so is the order of a list; what it holds is not.
#pragma once

#include "unembed/cuda/block.cuh"
#include "unembed/top_k.h"

namespace pivotkit::cuda {
namespace {

constexpr int kMostCapacity = 2 * kMostK;
constexpr int kHeld = kMostCapacity / kThreads;  // entries of a full list per thread

struct Candidates {
  std::uint64_t* keys;
  std::int32_t* count;
  std::uint64_t* floor;
  int k, capacity;
};

template <int N>
__device__ inline int count_from(std::uint64_t bound, const std::uint64_t (&keys)[N]) {
  int count = 0;
  for (int i = 0; i < N; ++i) count += keys[i] >= bound;
  return count;
}

// A bound that at least k and at most `capacity` of the block's distinct keys reach, where more than `capacity` reach
// `low`: halves the range of keys.
template <int N>
__device__ inline std::uint64_t find_bound(const std::uint64_t (&held)[kHeld], const std::uint64_t (&fresh)[N],
                                           std::uint64_t low, int k, int capacity) {
  std::uint64_t high = ~std::uint64_t{0};
  for (;;) {
    const std::uint64_t middle = low + (high - low) / 2;
    const int count = block_reduce(count_from(middle, held) + count_from(middle, fresh), Sum());
    if (count > capacity) {
      low = middle;
    } else if (count < k) {
      high = middle;
    } else {
      return middle;
    }
  }
}

// Offers N keys of every thread, 0 for none. All threads of the block must call it; keys are distinct, in the list too.
template <int N>
__device__ inline void offer(const std::uint64_t (&keys)[N], const Candidates& list) {
  __shared__ int fill;
  const int thread = static_cast<int>(threadIdx.x), held = *list.count;
  std::uint64_t bound = *list.floor + 1;
  const int fresh = block_reduce(count_from(bound, keys), Sum());
  if (fresh == 0) return;
  if (held + fresh <= list.capacity) {
    if (thread == 0) fill = held;
    __syncthreads();
  } else {
    std::uint64_t old[kHeld];
    for (int i = 0; i < kHeld; ++i) {
      const int at = i * kThreads + thread;
      old[i] = at < held ? list.keys[at] : 0;
    }
    bound = find_bound(old, keys, bound, list.k, list.capacity);
    if (thread == 0) {
      fill = 0;
      *list.floor = bound - 1;
    }
    __syncthreads();
    for (int i = 0; i < kHeld; ++i)
      if (old[i] >= bound) list.keys[atomicAdd(&fill, 1)] = old[i];
  }
  for (int i = 0; i < N; ++i)
    if (keys[i] >= bound) list.keys[atomicAdd(&fill, 1)] = keys[i];
  __syncthreads();
  if (thread == 0) *list.count = fill;
  __syncthreads();
}

}  // namespace
}  // namespace pivotkit::cuda
