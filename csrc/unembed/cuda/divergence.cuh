// What the divergence of one row from its reference takes of one segment of the vocabulary.
#pragma once

#include "unembed/cuda/segment.cuh"

namespace pivotkit::cuda {
namespace {

// Adds the reference's exponentials, and their sum over the difference of the two rows' logits. Differences are taken
// of logits less their row's maximum. All threads of the block must call it. N * kThreads ids at most.
template <int N>
__device__ inline void add_divergence(const Segment& reference, const Segment& row, const Head& head,
                                      const State& state) {
  float theirs[N], ours[N], their_top = kLowest, our_top = kLowest;
  for (int i = 0; i < N; ++i) {
    const int position = i * kThreads + static_cast<int>(threadIdx.x);
    theirs[i] = ours[i] = kLowest;
    if (position < row.skip || position >= row.ids) continue;
    theirs[i] = apply_head(reference.products[position], row.first + position, head);
    ours[i] = apply_head(row.products[position], row.first + position, head);
    their_top = Maximum()(theirs[i], their_top);
    our_top = Maximum()(ours[i], our_top);
  }
  their_top = block_reduce(their_top, Maximum());
  our_top = block_reduce(our_top, Maximum());
  float sum = 0.0f, weighted = 0.0f;
  for (int i = 0; i < N; ++i) {
    const int position = i * kThreads + static_cast<int>(threadIdx.x);
    if (position < row.skip || position >= row.ids) continue;
    const float below = theirs[i] - their_top, e = expf(fmaxf(below, kCut));
    sum += e;
    weighted = fmaf(e, below - (ours[i] - our_top), weighted);
  }
  sum = block_reduce(sum, Sum());
  weighted = block_reduce(weighted, Sum());
  if (threadIdx.x != 0) return;
  double* const sums = state.divergences + (row.row * state.segments + row.index) * 3;
  Merged all;
  all.top = sums[0];
  all.sum = sums[1];
  all.weighted = sums[2];
  all.add_weighted(their_top, sum, weighted + (static_cast<double>(their_top) - our_top) * sum);
  sums[0] = all.top;
  sums[1] = all.sum;
  sums[2] = all.weighted;
}

}  // namespace
}  // namespace pivotkit::cuda
