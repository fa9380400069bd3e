// What follows the products of one row with one segment of the vocabulary: the pass that reduce_tile and reduce_few
// share.
#pragma once

#include "unembed/cuda/candidates.cuh"

namespace pivotkit::cuda {
namespace {

// Differences below it add nothing to a float32 sum; cutting there keeps infinity times zero out.
constexpr float kCut = -87.0f;

// A row's products with ids first .. first + ids, and which of its segments they belong to.
struct Segment {
  float* products;  // global or shared memory
  std::int64_t first;
  int ids, skip;  // the first `skip` do not count
  std::int64_t row, index;
};

__device__ inline float apply_head(float product, std::int64_t id, const Head& head) {
  const float z = (product + (head.bias == nullptr ? 0.0f : head.bias[id])) * head.scale;
  return head.softcap == 0.0f ? z : head.softcap * tanhf(z / head.softcap);
}

// Puts the targets' given products in place of those computed here, so that one id never has two logits.
__device__ inline void place_targets(const Segment& segment, const Rows& rows) {
  for (std::int64_t t = threadIdx.x; t < rows.targets; t += kThreads) {
    const std::int64_t at = segment.row * rows.targets + t, position = rows.target_ids[at] - segment.first;
    if (position >= 0 && position < segment.ids) segment.products[position] = rows.target_products[at];
  }
  __syncthreads();
}

template <int N>
__device__ inline void add_sums(const float (&logits)[N], const std::uint64_t (&keys)[N], double* sums) {
  float top = kLowest;
  for (int i = 0; i < N; ++i) top = keys[i] != 0 && logits[i] > top ? logits[i] : top;
  top = block_reduce(top, Maximum());
  float sum = 0.0f, weighted = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float below = fmaxf(logits[i] - top, kCut), e = keys[i] != 0 ? expf(below) : 0.0f;
    sum += e;
    weighted = fmaf(below, e, weighted);
  }
  sum = block_reduce(sum, Sum());
  weighted = block_reduce(weighted, Sum());
  if (threadIdx.x == 0) {
    Merged all;
    all.top = sums[0];
    all.sum = sums[1];
    all.weighted = sums[2];
    all.add(top, sum, weighted);
    sums[0] = all.top;
    sums[1] = all.sum;
    sums[2] = all.weighted;
  }
}

// Adds, for each target, how many of the segment's entries precede it.
template <int N>
__device__ inline void add_ranks(const std::uint64_t (&keys)[N], const Segment& segment, const Head& head,
                                 const Rows& rows, std::int32_t* ranks) {
  for (std::int64_t t = 0; t < rows.targets; ++t) {
    const std::int64_t at = segment.row * rows.targets + t, id = rows.target_ids[at];
    const std::uint64_t target = order_key(apply_head(rows.target_products[at], id, head), id);
    int preceding = 0;
    for (int i = 0; i < N; ++i) preceding += keys[i] > target;
    preceding = warp_reduce(preceding, Sum());
    if (lane_index() == 0 && preceding != 0) atomicAdd(ranks + t, preceding);
  }
}

__device__ inline std::int64_t first_at_least(const std::int64_t* ids, std::int64_t begin, std::int64_t end,
                                              std::int64_t id) {
  while (begin < end) {
    const std::int64_t middle = begin + (end - begin) / 2;
    if (ids[middle] < id) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

// Adds the mass of the row's sets in this segment: a warp for each set, a lane for every 32nd of its ids.
__device__ inline void add_masses(const Segment& segment, const Head& head, const TokenSets& sets, double* masses) {
  const std::int64_t* const offsets = sets.offsets + (sets.shared ? 0 : segment.row * sets.sets);
  for (std::int64_t s = warp_index(); s < sets.sets; s += kWarps) {
    const std::int64_t end = offsets[s + 1];
    std::int64_t at = first_at_least(sets.ids, offsets[s], end, segment.first + segment.skip) + lane_index();
    float top = kLowest, sum = 0.0f;
    for (; at < end && sets.ids[at] < segment.first + segment.ids; at += kWarp) {
      const float z = apply_head(segment.products[sets.ids[at] - segment.first], sets.ids[at], head);
      const float raised = z > top ? z : top;
      sum = fmaf(sum, expf(fmaxf(top - raised, kCut)), expf(fmaxf(z - raised, kCut)));
      top = raised;
    }
    Merged mine;
    mine.top = top;
    mine.sum = sum;
    mine = warp_merge<true>(mine);
    if (lane_index() == 0) {
      Merged all;
      all.top = masses[2 * s];
      all.sum = masses[2 * s + 1];
      all.add(mine.top, mine.sum, 0.0);
      masses[2 * s] = all.top;
      masses[2 * s + 1] = all.sum;
    }
  }
}

// All threads of the block must call it. N * kThreads ids at most.
template <int N>
__device__ inline void reduce_segment(const Segment& segment, bool store_logits, const Head& head, const Rows& rows,
                                      const State& state) {
  place_targets(segment, rows);
  const std::int64_t part = segment.row * state.segments + segment.index;
  float logits[N], poison = 0.0f;
  std::uint64_t keys[N];
  for (int i = 0; i < N; ++i) {
    const int position = i * kThreads + static_cast<int>(threadIdx.x);
    const std::int64_t id = segment.first + position;
    logits[i] = kLowest;
    keys[i] = 0;
    if (position < segment.skip || position >= segment.ids) continue;
    const float product = segment.products[position];
    logits[i] = apply_head(product, id, head);
    keys[i] = order_key(logits[i], id);
    poison = fmaf(product, 0.0f, fmaf(logits[i], 0.0f, poison));
  }
  if (poison != 0.0f) atomicExch(state.nonfinite, 1);  // NaN is the only other value it can have
  add_sums(logits, keys, state.sums + part * 3);
  add_ranks(keys, segment, head, rows, state.ranks + part * rows.targets);
  add_masses(segment, head, rows.sets, state.masses + part * rows.sets.sets * 2);
  if (state.k != 0)
    offer(keys, Candidates{state.keys + part * state.capacity, state.counts + part, state.floors + part,
                           static_cast<int>(state.k), static_cast<int>(state.capacity)});
  if (!store_logits) return;
  __syncthreads();  // the sets have read the products
  for (int i = 0; i < N; ++i)
    if (keys[i] != 0) segment.products[i * kThreads + static_cast<int>(threadIdx.x)] = logits[i];
}

}  // namespace
}  // namespace pivotkit::cuda
