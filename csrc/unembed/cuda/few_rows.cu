// Products and everything after them for a few rows, in one read of the weight: warps take a few ids at a time, their
// lanes 16 bytes of each weight row, and the sums stay in registers until a tree across the lanes closes them.
#include <algorithm>

#include "common/launch.cuh"
#include "unembed/cuda/segment.cuh"

namespace pivotkit::cuda {

namespace {

constexpr int kQuad = 16;  // bytes of a lane's load

template <class T>
constexpr int kStep = kQuad / static_cast<int>(sizeof(T));  // weights of a lane's load

// Values d .. d + Step of a row, widened; zero beyond its end. Aligned: rows begin at multiples of 16 bytes, and their
// length is a multiple of Step.
template <bool Aligned, int Step, class T>
__device__ inline void load_step(const T* row, int d, int dim, float (&out)[Step]) {
  if constexpr (Aligned) {
    constexpr int kValues = kQuad / static_cast<int>(sizeof(T));
#pragma unroll
    for (int first = 0; first < Step; first += kValues) {
      alignas(kQuad) T values[kValues];
      memcpy(values, __builtin_assume_aligned(row + d + first, kQuad), kQuad);
#pragma unroll
      for (int j = 0; j < kValues; ++j) out[first + j] = widen(values[j]);
    }
  } else {
#pragma unroll
    for (int j = 0; j < Step; ++j) out[j] = d + j < dim ? widen(row[d + j]) : 0.0f;
  }
}

// Adds N sums over the warp's lanes. Lane l gets sum l / (32 / N): each step halves the sums a lane still carries,
// until one is left. The tree over the lanes is the same for every N.
template <int N, int Step = kWarp / 2>
__device__ inline float sum_lanes(const float (&sums)[N]) {
  if constexpr (N > 1) {
    const bool upper = (lane_index() & Step) != 0;
    float halved[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      const float mine = upper ? sums[i + N / 2] : sums[i], theirs = upper ? sums[i] : sums[i + N / 2];
      halved[i] = mine + __shfl_xor_sync(kAll, theirs, Step);
    }
    return sum_lanes<N / 2, Step / 2>(halved);
  } else {
    float sum = sums[0];
#pragma unroll
    for (int step = Step; step > 0; step /= 2) sum += __shfl_xor_sync(kAll, sum, step);
    return sum;
  }
}

// This lane's share of h . w for Count rows of hidden and Ids rows of the weight.
template <class T, int Count, int Ids, bool Aligned>
__device__ inline void lane_products(const float* hidden, const T* const (&weight)[Ids], int dim,
                                     float (&sums)[Ids * Count]) {
#pragma unroll
  for (int i = 0; i < Ids * Count; ++i) sums[i] = 0.0f;
#pragma unroll 1
  for (int d = lane_index() * kStep<T>; d < dim; d += kWarp * kStep<T>) {
    float w[Ids][kStep<T>];
#pragma unroll
    for (int i = 0; i < Ids; ++i) load_step<Aligned>(weight[i], d, dim, w[i]);
#pragma unroll
    for (int r = 0; r < Count; ++r) {
      float h[kStep<T>];
      load_step<Aligned>(hidden + r * dim, d, dim, h);
#pragma unroll
      for (int j = 0; j < kStep<T>; ++j) {
#pragma unroll
        for (int i = 0; i < Ids; ++i) sums[i * Count + r] = fmaf(h[j], w[i][j], sums[i * Count + r]);
      }
    }
  }
}

template <class T>
__device__ inline const T* weight_row(const WeightRows& weight, std::int64_t id) {
  return static_cast<const T*>(weight.data) + id * weight.stride;
}

// grid (segments of `width` ids): Count rows of hidden, of which rows.count are answered.
template <class T, int Count, bool Aligned>
__global__ void __launch_bounds__(kThreads, kResident)
    reduce_few_kernel(const float* hidden, WeightRows weight, std::int64_t ids, int width, Head head, Rows rows,
                      State state) {
  constexpr int kIds = Count < 4 ? 8 : 4;  // of a warp at a time: 8 to 32 sums in registers
  __shared__ float products[Count][kFewIds];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * width;
  const int here = ids - first < width ? static_cast<int>(ids - first) : width;
  for (int begin = warp_index() * kIds; begin < here; begin += kWarps * kIds) {
    const T* lines[kIds];
    for (int i = 0; i < kIds; ++i) lines[i] = weight_row<T>(weight, first + (begin + i < here ? begin + i : here - 1));
    float sums[kIds * Count];
    lane_products<T, Count, kIds, Aligned>(hidden, lines, static_cast<int>(weight.dim), sums);
    const float sum = sum_lanes(sums);
    constexpr int kLanesEach = kWarp / (kIds * Count);
    const int index = lane_index() / kLanesEach;
    if (lane_index() % kLanesEach == 0) products[index % Count][begin + index / Count] = sum;
  }
  __syncthreads();
  for (std::int64_t row = 0; row < rows.count; ++row) {
    Segment segment{};
    segment.products = products[row];
    segment.first = first;
    segment.ids = here;
    segment.row = row;
    segment.index = blockIdx.x;
    reduce_segment<kFewIds / kThreads>(segment, false, head, rows, state);
  }
}

// A warp for each target of each row, in the bits of reduce_few_kernel.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kThreads, kResident)
    target_products_kernel(const float* hidden, WeightRows weight, Rows rows) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kWarps + warp_index();
  if (at >= rows.count * rows.targets) return;
  const T* const lines[1] = {weight_row<T>(weight, rows.target_ids[at])};
  float sums[1];
  lane_products<T, 1, 1, Aligned>(hidden + at / rows.targets * weight.dim, lines, static_cast<int>(weight.dim), sums);
  const float sum = sum_lanes(sums);
  if (lane_index() == 0) rows.target_products[at] = sum;
}

// Segments enough for every multiprocessor, whatever the vocabulary.
int few_width(std::int64_t ids) {
  constexpr std::int64_t kSegments = 512, kLeast = 64;
  return static_cast<int>(std::clamp((ids + kSegments - 1) / kSegments, kLeast, std::int64_t{kFewIds}));
}

template <class T, int Count, bool Aligned>
void reduce_few_as(const float* hidden, const WeightRows& weight, std::int64_t ids, const Head& head, const Rows& rows,
                   const State& state, Stream stream) {
  if constexpr (Count > 1) {
    if (rows.count <= Count / 2)
      return reduce_few_as<T, Count / 2, Aligned>(hidden, weight, ids, head, rows, state, stream);
  }
  if (rows.targets != 0) {
    const auto blocks = static_cast<unsigned>((rows.count * rows.targets + kWarps - 1) / kWarps);
    launch(target_products_kernel<T, Aligned>, dim3(blocks), kThreads, stream, hidden, weight, rows);
  }
  launch(reduce_few_kernel<T, Count, Aligned>, dim3(static_cast<unsigned>(few_segments(ids))), kThreads, stream, hidden,
         weight, ids, few_width(ids), head, rows, state);
}

template <class T>
void reduce_few_of(const float* hidden, const WeightRows& weight, std::int64_t ids, const Head& head, const Rows& rows,
                   const State& state, Stream stream) {
  const auto address = reinterpret_cast<std::uintptr_t>(weight.data) | reinterpret_cast<std::uintptr_t>(hidden);
  const bool aligned = address % kQuad == 0 && weight.stride % kStep<T> == 0 && weight.dim % kStep<T> == 0;
  aligned ? reduce_few_as<T, kFewRows, true>(hidden, weight, ids, head, rows, state, stream)
          : reduce_few_as<T, kFewRows, false>(hidden, weight, ids, head, rows, state, stream);
}

}  // namespace

std::int64_t few_segments(std::int64_t ids) { return (ids + few_width(ids) - 1) / few_width(ids); }

void reduce_few(const float* hidden, const WeightRows& weight, std::int64_t ids, const Head& head, const Rows& rows,
                const State& state, Stream stream) {
  if (rows.count == 0) return;
  switch (weight.type) {
    case Dtype::float32:
      return reduce_few_of<float>(hidden, weight, ids, head, rows, state, stream);
    case Dtype::bfloat16:
      return reduce_few_of<bfloat16>(hidden, weight, ids, head, rows, state, stream);
    case Dtype::float16:
      return reduce_few_of<float16>(hidden, weight, ids, head, rows, state, stream);
  }
}

}  // namespace pivotkit::cuda
