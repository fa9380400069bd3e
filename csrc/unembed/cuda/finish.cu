#include "common/launch.cuh"
#include "unembed/cuda/segment.cuh"

namespace pivotkit::cuda {

namespace {

constexpr int kOffered = 4;  // keys of a thread at a time

// Bitonic network (Batcher, 1968), descending; `size` is a power of two.
__device__ inline void sort_keys(std::uint64_t* keys, int size) {
  for (int span = 2; span <= size; span *= 2) {
    for (int step = span / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) {
        const int other = i ^ step;
        if (other < i) continue;
        const bool descending = (i & span) == 0;
        if ((keys[i] < keys[other]) == descending) {
          const std::uint64_t key = keys[i];
          keys[i] = keys[other];
          keys[other] = key;
        }
      }
    }
  }
  __syncthreads();
}

// Merges every `segments`-th partial sum from `parts` on (each `width` doubles), a lane for every 32nd.
template <bool Relative>
__device__ inline Merged merge_parts(const double* parts, std::int64_t segments, std::int64_t width) {
  Merged mine;
  for (std::int64_t i = lane_index(); i < segments; i += kWarp) {
    const double* part = parts + i * width;
    const double weighted = width == 3 ? part[2] : 0.0;
    Relative ? mine.add(part[0], part[1], weighted) : mine.add_weighted(part[0], part[1], weighted);
  }
  return warp_merge<Relative>(mine);
}

// For one warp.
__device__ inline void finish_divergence(std::int64_t row, double logsumexp, const Rows& rows, const State& state,
                                         float* out) {
  double kl = 0.0;
  if (rows.references[row] != row) {
    const Merged theirs = merge_parts<false>(state.divergences + row * state.segments * 3, state.segments, 3);
    kl = theirs.weighted / theirs.sum - theirs.logsumexp() + logsumexp;
  }
  if (lane_index() != 0) return;
  if (!(kl <= -kLowest)) atomicExch(state.nonfinite + 1, 1);
  *out = static_cast<float>(fmax(kl, 0.0));
}

__device__ inline void finish_top_k(std::int64_t row, const State& state, const UnembedOutput& output) {
  __shared__ std::uint64_t best[kMostCapacity];
  __shared__ std::uint64_t floor;
  __shared__ std::int32_t count;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    count = 0;
    floor = 0;
  }
  __syncthreads();
  const Candidates list{best, &count, &floor, static_cast<int>(state.k), static_cast<int>(state.capacity)};
  const std::int64_t slots = state.segments * state.capacity;
  for (std::int64_t begin = 0; begin < slots; begin += kThreads * kOffered) {
    std::uint64_t keys[kOffered];
    for (int i = 0; i < kOffered; ++i) {
      const std::int64_t slot = begin + i * kThreads + thread, part = row * state.segments + slot / state.capacity;
      const bool filled = slot < slots && slot % state.capacity < state.counts[part];
      keys[i] = filled ? state.keys[part * state.capacity + slot % state.capacity] : 0;
    }
    offer(keys, list);
  }
  int size = 1;
  while (size < count) size *= 2;
  for (int i = count + thread; i < size; i += kThreads) best[i] = 0;
  sort_keys(best, size);
  for (int i = thread; i < state.k; i += kThreads) {
    output.ids[row * state.k + i] = key_id(best[i]);
    output.logits[row * state.k + i] = key_logit(best[i]);
  }
}

// grid (rows)
__global__ void __launch_bounds__(kThreads, kResident)
    finish_kernel(Head head, Rows rows, State state, UnembedOutput output) {
  const std::int64_t row = blockIdx.x, part = row * state.segments, targets = rows.targets, sets = rows.sets.sets;
  const Merged all = merge_parts<true>(state.sums + part * 3, state.segments, 3);  // every warp does: all need it
  if (threadIdx.x == 0) {
    output.logsumexp[row] = static_cast<float>(all.logsumexp());
    if (output.entropy != nullptr) output.entropy[row] = static_cast<float>(fmax(all.entropy(), 0.0));
  }
  if (rows.references != nullptr && warp_index() == 0)
    finish_divergence(row, all.logsumexp(), rows, state, output.kl + row);
  for (std::int64_t s = warp_index(); s < sets; s += kWarps) {
    const Merged set = merge_parts<true>(state.masses + (part * sets + s) * 2, state.segments, sets * 2);
    if (lane_index() == 0) output.set_logprobs[row * sets + s] = static_cast<float>(set.logsumexp() - all.logsumexp());
  }
  for (std::int64_t t = threadIdx.x; t < targets; t += kThreads) {
    const std::int64_t at = row * targets + t;
    std::int64_t rank = 0;
    for (std::int64_t i = 0; i < state.segments; ++i) rank += state.ranks[(part + i) * targets + t];
    output.target_ranks[at] = rank;
    output.target_logits[at] = apply_head(rows.target_products[at], rows.target_ids[at], head);
  }
  if (state.k != 0) finish_top_k(row, state, output);
}

}  // namespace

void use_device(int device) { check(cudaSetDevice(device), "have the device of hidden"); }

void finish(const Head& head, const Rows& rows, const State& state, const UnembedOutput& output, Stream stream) {
  if (rows.count == 0) return;
  launch(finish_kernel, dim3(static_cast<unsigned>(rows.count)), kThreads, stream, head, rows, state, output);
}

}  // namespace pivotkit::cuda
