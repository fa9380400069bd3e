// Products of hidden rows and weights in the fused unembedding; built once per instruction set.
//
// Order of a logit's sum: one accumulator lane per (row, id); products added in ascending order within runs of kDepth,
// run totals added in ascending order. Panels, tiles and threads only choose which lanes share a register, so they
// cannot change a bit. The packed layout (weights transposed so that lanes are ids) follows the panels of Goto and van de
// Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.
#pragma once

#include "common/lanes.h"
#include "unembed/kernels.h"

namespace pivotkit {
namespace {

constexpr std::int64_t kLine = 64;  // bytes of a cache line
constexpr int kIds = 2 * W;  // ids of one register block
#if defined(__AVX512F__)
constexpr int kRows = 14;  // 28 accumulators, 2 weights, 1 broadcast of 32 registers
#elif defined(PIVOTKIT_NEON)
constexpr int kRows = 10;  // 20 accumulators, 2 weights, the rest for hidden values: GCC spills at 11
#else
constexpr int kRows = W == 8 ? 6 : 3;  // 12 (or 6) accumulators of 16 registers
#endif

// Turning weights in registers, once a panel, beats packing a tile for so few rows (benchmarks/README.md).
constexpr int kDirectRows = W == 16 ? 12 : W == 8 ? 4 : 3;  // never above kRows
constexpr int kDirectMost = W == 16 ? 36 : 2 * kDirectRows;

static_assert(kDirectRows <= kRows, "scratch is for kRows rows");
static_assert(kBlock % kIds == 0 && kLanes % W == 0, "blocks and lanes must hold whole registers");

// ---- packing ---------------------------------------------------------------------------------------------------

template <class T>
void pack_rows(const T* source, std::int64_t stride, std::int64_t dim, int ids, float* packed) {
  for (int first = 0; first < padded(ids); first += W) {
    float* out = packed + first / kIds * kIds * dim + first % kIds;
    const T* rows = source + first * stride;
    const int here = ids - first < 0 ? 0 : ids - first < W ? ids - first : W;
    std::int64_t d = 0;
    if (here == W) {
      for (; d + W <= dim; d += W) {
        F block[W];
        for (int j = 0; j < W; ++j) {
          block[j] = load(rows + j * stride + d);
          // W short streams outrun the hardware's prefetcher; ask for the next W rows while these are turned.
          if (d * static_cast<std::int64_t>(sizeof(T)) % kLine == 0) __builtin_prefetch(rows + (W + j) * stride + d, 0, 2);
        }
        transpose(block);
        for (int j = 0; j < W; ++j) store(out + (d + j) * kIds, block[j]);
      }
    }
    for (; d < dim; ++d)
      for (int j = 0; j < W; ++j) out[d * kIds + j] = j < here ? widen(rows[j * stride + d]) : 0.0f;
  }
}

void pack(const WeightRows& weight, int ids, float* packed) {
  switch (weight.type) {
    case Dtype::float32:
      return pack_rows(static_cast<const float*>(weight.data), weight.stride, weight.dim, ids, packed);
    case Dtype::bfloat16:
      return pack_rows(static_cast<const bfloat16*>(weight.data), weight.stride, weight.dim, ids, packed);
    case Dtype::float16:
      return pack_rows(static_cast<const float16*>(weight.data), weight.stride, weight.dim, ids, packed);
  }
}

// ---- one run of at most kDepth products for Rows x kIds logits ------------------------------------------------------

template <int Rows>
void multiply(const float* hidden, const float* weight, int depth, float* logits, int stride, bool fresh) {
  F sum[Rows][2];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) sum[i][0] = sum[i][1] = broadcast(0.0f);
  for (int d = 0; d < depth; ++d) {
    const F low = load(weight + d * kIds), high = load(weight + d * kIds + W);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const F h = broadcast(hidden[d * Rows + i]);
      sum[i][0] = fma(h, low, sum[i][0]);
      sum[i][1] = fma(h, high, sum[i][1]);
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

template <int Rows>
void products(const Panel& panel) {
  const int width = padded(panel.ids);
  for (std::int64_t d = 0; d < panel.dim; d += kDepth) {
    const int depth = static_cast<int>(panel.dim - d < kDepth ? panel.dim - d : kDepth);
    for (int first = 0; first < width; first += kIds)
      multiply<Rows>(panel.hidden + d * Rows, panel.weight + first * panel.dim + d * kIds, depth,
                     panel.logits + first, width, d == 0);
  }
}

template <int Rows>
void products_for(const Panel& panel) {
  if (panel.rows == Rows) return products<Rows>(panel);
  if constexpr (Rows > 1) products_for<Rows - 1>(panel);
}

// ---- products without packing: the weights of W ids are turned in registers, for few rows ----------------------------

// Sums of products() for Rows rows and the W ids whose weights the pointers name. `hidden` holds dimension d of row i at
// d * stride + i. Where `ahead` is not zero, the weights that many elements on are asked for in time.
template <int Rows, class T>
inline void lane_products(const float* hidden, std::int64_t stride, const T* const (&lanes)[W], std::int64_t dim,
                          std::int64_t ahead, F (&total)[Rows]) {
  for (int i = 0; i < Rows; ++i) total[i] = broadcast(0.0f);
  for (std::int64_t begin = 0; begin < dim; begin += kDepth) {
    const std::int64_t end = dim - begin < kDepth ? dim : begin + kDepth;
    F sum[Rows];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) sum[i] = broadcast(0.0f);
    std::int64_t d = begin;
    for (; d + W <= end; d += W) {
      F block[W];
      for (int j = 0; j < W; ++j) {
        block[j] = load(lanes[j] + d);
        if (ahead != 0 && d * static_cast<std::int64_t>(sizeof(T)) % kLine == 0)
          __builtin_prefetch(lanes[j] + d + ahead, 0, 2);
      }
      transpose(block);
#pragma GCC unroll 16
      for (int j = 0; j < W; ++j) {
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) sum[i] = fma(broadcast(hidden[(d + j) * stride + i]), block[j], sum[i]);
      }
    }
    for (; d < end; ++d) {
      float column[W];
      for (int j = 0; j < W; ++j) column[j] = widen(lanes[j][d]);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) sum[i] = fma(broadcast(hidden[d * stride + i]), load(column), sum[i]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) total[i] = begin == 0 ? sum[i] : total[i] + sum[i];
  }
}

template <int Rows, class T>
void direct_products(const Panel& panel, const T* source) {
  const int width = padded(panel.ids);
  const std::int64_t stride = panel.source.stride;
  for (int first = 0; first < width; first += W) {
    // Lanes beyond the last id repeat it; finish_logits() pads them.
    const T* lanes[W];
    for (int j = 0; j < W; ++j) lanes[j] = source + (first + j < panel.ids ? first + j : panel.ids - 1) * stride;
    F total[Rows];
    lane_products<Rows>(panel.hidden, Rows, lanes, panel.dim, W * stride, total);
    for (int i = 0; i < Rows; ++i) store(panel.logits + i * width + first, total[i]);
  }
}

template <int Rows>
void direct_products_for(const Panel& panel) {
  if (panel.rows == Rows) {
    switch (panel.source.type) {
      case Dtype::float32:
        return direct_products<Rows>(panel, static_cast<const float*>(panel.source.data));
      case Dtype::bfloat16:
        return direct_products<Rows>(panel, static_cast<const bfloat16*>(panel.source.data));
      case Dtype::float16:
        return direct_products<Rows>(panel, static_cast<const float16*>(panel.source.data));
    }
  }
  if constexpr (Rows > 1) direct_products_for<Rows - 1>(panel);
}

// ---- products of any ids for one row -----------------------------------------------------------------------------------

template <class T>
void gather_products(const float* hidden, int rows, const T* data, const WeightRows& weight, const std::int64_t* ids,
                     int count, float* out) {
  for (int first = 0; first < count; first += W) {
    const T* lanes[W];
    for (int j = 0; j < W; ++j) lanes[j] = data + ids[first + j < count ? first + j : first] * weight.stride;
    F total[1];
    lane_products<1>(hidden, rows, lanes, weight.dim, 0, total);
    float lanes_out[W];
    store(lanes_out, total[0]);
    for (int j = 0; j < W && first + j < count; ++j) out[first + j] = lanes_out[j];
  }
}

}  // namespace
}  // namespace pivotkit
