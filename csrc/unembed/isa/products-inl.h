// Products of hidden rows and weights in the fused unembedding; built once per instruction set.
//
// Order of a logit's sum: one accumulator lane per (row, id). Products are added in ascending order within runs of
// kDepth, and run totals in ascending order. Panels, tiles and threads only choose which lanes share a register, so
// they cannot change a bit. The packed layout (weights transposed so that lanes are ids) follows the panels of Goto and
// van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.
#pragma once

#include "unembed/isa/row-lanes-inl.h"

namespace pivotkit {
namespace {

// ---- packing ---------------------------------------------------------------------------------------------------

// Lanes are filled up with zeros to a multiple of `run`.
template <class T>
void pack_rows(const WeightRows& weight, int ids, int run, float* packed) {
  const std::int64_t dim = weight.dim, lanes = row_lanes<T>(dim), all = (lanes + run - 1) / run * run;
  for (int first = 0; first < padded(ids); first += W) {
    float* out = packed + first / kIds * kIds * all + first % kIds;
    const T* rows = row_at<T>(weight.data, first * weight.stride);
    const auto row = [&](int j) { return row_at<T>(rows, j * weight.stride); };
    const int here = ids - first < 0 ? 0 : ids - first < W ? ids - first : W;
    std::int64_t d = 0;
    if (here == W) {
      for (; d + W <= dim / kPer<T>; d += W) {
        F block[W];
        for (int j = 0; j < W; ++j) {
          block[j] = load(row(j) + d);
          // W short streams outrun the hardware's prefetcher, so the next W rows are prefetched while these are turned.
          if (d * static_cast<std::int64_t>(sizeof(T)) % kLine == 0) __builtin_prefetch(row(W + j) + d, 0, 2);
        }
        transpose(block);
        for (int j = 0; j < W; ++j) store(out + (d + j) * kIds, block[j]);
      }
    }
    for (; d < all; ++d)
      for (int j = 0; j < W; ++j) out[d * kIds + j] = j < here && d < lanes ? lane_at(row(j), d, dim) : 0.0f;
  }
}

void pack(const WeightRows& weight, int ids, float* packed) {
  switch (weight.type) {
    case Dtype::float32:
      return pack_rows<float>(weight, ids, 1, packed);
    case Dtype::bfloat16:
      return pack_rows<bfloat16>(weight, ids, 1, packed);
    case Dtype::float16:
      return pack_rows<float16>(weight, ids, 1, packed);
  }
}

// ---- one run of at most kDepth products for Rows x kIds logits ------------------------------------------------------

template <int Rows, class T>
void multiply(const float* hidden, const float* weight, int depth, float* logits, int stride, bool fresh) {
  F sum[Rows][2];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) sum[i][0] = sum[i][1] = broadcast(0.0f);
  for (int d = 0; d < depth; ++d) {
    const F low = load(weight + d * kIds), high = load(weight + d * kIds + W);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const F h = broadcast(hidden[d * Rows + i]);
      sum[i][0] = add_product<T>(h, low, sum[i][0]);
      sum[i][1] = add_product<T>(h, high, sum[i][1]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    for (int half = 0; half < 2; ++half) {
      float* out = logits + i * stride + half * W;
      store(out, fresh ? sum[i][half] : load(out) + sum[i][half]);
    }
  }
}

// T: what pack() made lanes of, float or Pair.
template <int Rows, class T>
void products(const Panel& panel) {
  const int width = padded(panel.ids);
  const std::int64_t lanes = row_lanes<T>(panel.dim);
  for (std::int64_t d = 0; d < lanes; d += kRun<T>) {
    const int depth = static_cast<int>(lanes - d < kRun<T> ? lanes - d : kRun<T>);
    for (int first = 0; first < width; first += kIds)
      multiply<Rows, T>(panel.hidden + d * Rows, panel.weight + first * lanes + d * kIds, depth, panel.logits + first,
                        width, d == 0);
  }
}

template <int Rows, class T>
void products_for(const Panel& panel) {
  if (panel.rows == Rows) return products<Rows, T>(panel);
  if constexpr (Rows > 1) products_for<Rows - 1, T>(panel);
}

// ---- products without packing: the weights of W ids are turned in registers, for few rows ---------------------------

// Adds a lane's products for Rows rows and W ids.
template <int Rows, class T>
inline void add_lane(const float* hidden, F weights, F (&sum)[Rows]) {
#pragma GCC unroll 32
  for (int i = 0; i < Rows; ++i) sum[i] = add_product<T>(broadcast(hidden[i]), weights, sum[i]);
}

// Gives the sums of products() for Rows rows and the W ids whose weights the pointers name. `hidden` holds lane d of
// row i at d * stride + i. If `ahead` is not zero, the weights that many lanes on are prefetched.
template <int Rows, class T>
inline void lane_products(const float* hidden, std::int64_t stride, const T* const (&lanes)[W], std::int64_t dim,
                          std::int64_t ahead, F (&total)[Rows]) {
  for (int i = 0; i < Rows; ++i) total[i] = broadcast(0.0f);
  constexpr int kTurned = Rows <= kFullTurnRows ? W : W / 2;
  const std::int64_t count = row_lanes<T>(dim);
  for (std::int64_t begin = 0; begin < count; begin += kRun<T>) {
    const std::int64_t end = count - begin < kRun<T> ? count : begin + kRun<T>;
    const std::int64_t whole = end < count ? end : dim / kPer<T>;  // not half a pair, behind which the row has ended
    F sum[Rows];
#pragma GCC unroll 32
    for (int i = 0; i < Rows; ++i) sum[i] = broadcast(0.0f);
    std::int64_t d = begin;
#if defined(__AVX512F__)
    if constexpr (kTurnedInPairs<T>)
      for (; d + 2 * W <= whole; d += 2 * W) {
        F block[W];
        for (int j = 0; j < W; ++j) {
          block[j] = load(reinterpret_cast<const Pair*>(lanes[j] + d));
          if (ahead != 0 && d * static_cast<std::int64_t>(sizeof(T)) % kLine == 0)
            __builtin_prefetch(lanes[j] + d + ahead, 0, 2);
        }
        transpose(block);
#pragma GCC unroll 16
        for (int j = 0; j < W; ++j) {
          add_lane<Rows, T>(hidden + (d + 2 * j) * stride, low_halves(block[j]), sum);
          add_lane<Rows, T>(hidden + (d + 2 * j + 1) * stride, high_halves(block[j]), sum);
        }
      }
#endif
    for (; d + kTurned <= whole; d += kTurned) {
      F block[kTurned];
      turn(lanes, d, ahead, block);
#pragma GCC unroll 16
      for (int j = 0; j < kTurned; ++j) add_lane<Rows, T>(hidden + (d + j) * stride, block[j], sum);
    }
    for (; d < end; ++d) {
      float column[W];
      for (int j = 0; j < W; ++j) column[j] = lane_at(lanes[j], d, dim);
      add_lane<Rows, T>(hidden + d * stride, load(column), sum);
    }
#pragma GCC unroll 32
    for (int i = 0; i < Rows; ++i) total[i] = begin == 0 ? sum[i] : total[i] + sum[i];
  }
}

template <int Rows, class T>
void direct_products(const Panel& panel) {
  const int width = padded(panel.ids);
  const std::int64_t stride = panel.source.stride;
  for (int first = 0; first < width; first += W) {
    // Lanes beyond the last id repeat it. finish_logits() pads them.
    const T* lanes[W];
    for (int j = 0; j < W; ++j)
      lanes[j] = row_at<T>(panel.source.data, (first + j < panel.ids ? first + j : panel.ids - 1) * stride);
    F total[Rows];
    lane_products<Rows>(panel.hidden, Rows, lanes, panel.dim, W / kPer<T> * stride, total);
    for (int i = 0; i < Rows; ++i) store(panel.logits + i * width + first, total[i]);
  }
}

template <int Rows>
void direct_products_for(const Panel& panel) {
  if (panel.rows == Rows) {
    if constexpr (Rows <= kDirect<float>.rows)
      if (panel.source.type == Dtype::float32) return direct_products<Rows, float>(panel);
    if constexpr (Rows <= kDirect<bfloat16>.rows)
      if (panel.source.type == Dtype::bfloat16) return direct_products<Rows, bfloat16>(panel);
    if constexpr (Rows <= kDirect<float16>.rows)
      if (panel.source.type == Dtype::float16) return direct_products<Rows, float16>(panel);
  }
  if constexpr (Rows > 1) direct_products_for<Rows - 1>(panel);
}

#if defined(PIVOTKIT_PAIRS)
template <int Rows>
void direct_pairs_for(const Panel& panel) {
  if (panel.rows == Rows) return direct_products<Rows, Pair>(panel);
  if constexpr (Rows > 1) direct_pairs_for<Rows - 1>(panel);
}
#endif

// ---- products of any ids for one row --------------------------------------------------------------------------------

template <class T>
void gather_products(const float* hidden, int rows, const WeightRows& weight, const std::int64_t* ids, int count,
                     float* out) {
  for (int first = 0; first < count; first += W) {
    const T* lanes[W];
    for (int j = 0; j < W; ++j)
      lanes[j] = row_at<T>(weight.data, ids[first + j < count ? first + j : first] * weight.stride);
    F total[1];
    lane_products<1>(hidden, rows, lanes, weight.dim, 0, total);
    float lanes_out[W];
    store(lanes_out, total[0]);
    for (int j = 0; j < W && first + j < count; ++j) out[first + j] = lanes_out[j];
  }
}

}  // namespace
}  // namespace pivotkit
