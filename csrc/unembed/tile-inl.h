// The body of the fused unembedding, written once over lanes.h and built once per instruction set by the three-line
// files beside it. Define PIVOTKIT_KERNELS to the name of the exported table first.
//
// Order of a logit's sum: one accumulator lane per (row, id); products added in ascending order within runs of kDepth,
// run totals added in ascending order. Panels, tiles and threads only choose which lanes share a register, so they
// cannot change a bit. The layout (weights transposed so that lanes are ids) follows the panels of Goto and van de
// Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.
#pragma once

#include "common/lane_math.h"
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

static_assert(kBlock % kIds == 0 && kLanes % W == 0, "blocks and lanes must hold whole registers");

inline bool plain(const Head& head) { return head.bias == nullptr && head.scale == 1.0f && head.softcap == 0.0f; }

inline F apply_head(F dot, F bias, const Head& head) {
  const F z = (dot + bias) * broadcast(head.scale);
  if (head.softcap == 0.0f) return z;
  const F cap = broadcast(head.softcap);
  return cap * tanh_lanes(z / cap);
}

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

// ---- what follows the products, while the logits are in cache -------------------------------------------------------

// Applies the head in place and pads; returns lanes that are NaN where a product or a logit was not finite.
inline F finish_logits(const Panel& panel, float* z) {
  F poison = broadcast(0.0f);
  const F zero = broadcast(0.0f);
  const int width = padded(panel.ids);
  const bool untouched = plain(panel.head);
  float bias[W];
  for (int v = 0; v < width; v += W) {
    const F dot = load(z + v);
    poison = fma(dot, zero, poison);
    if (untouched) continue;
    F shift = zero;
    if (panel.head.bias != nullptr) {
      for (int j = 0; j < W; ++j) bias[j] = v + j < panel.ids ? panel.head.bias[panel.first + v + j] : 0.0f;
      shift = load(bias);
    }
    const F logit = apply_head(dot, shift, panel.head);
    poison = fma(logit, zero, poison);
    store(z + v, logit);
  }
  for (int v = panel.ids; v < width; ++v) z[v] = kLowest;
  return poison;
}

// Online logsumexp (Milakov and Gimelshein, 2018) in kLanes lanes, rescaled once a block; with the weighted sum that
// entropy needs. Differences are cut at -87 like the exponential, so kLowest never makes infinity times zero.
template <bool Entropy>
inline void reduce(const float* z, int width, float* states) {
  const F cut = broadcast(-87.0f);
  for (int lane = 0; lane < kLanes; lane += W) {
    F top = load(states + lane), sum = load(states + kLanes + lane), weighted = load(states + 2 * kLanes + lane);
    for (int first = lane; first < width; first += kBlock) {
      F here[kBlock / kLanes];
      F raised = top;
      for (int q = 0; q < kBlock / kLanes; ++q) {
        here[q] = load(z + first + q * kLanes);
        raised = max(raised, here[q]);
      }
      const F drop = max(top - raised, cut);
      const F factor = exp_negative(drop);
      if (Entropy) weighted = fma(drop, sum, weighted) * factor;
      sum = sum * factor;
      for (int q = 0; q < kBlock / kLanes; ++q) {
        const F below = max(here[q] - raised, cut);
        const F e = exp_negative(below);
        sum = sum + e;
        if (Entropy) weighted = fma(below, e, weighted);
      }
      top = raised;
    }
    store(states + lane, top);
    store(states + kLanes + lane, sum);
    store(states + 2 * kLanes + lane, weighted);
  }
}

inline int find_hits(const float* z, int ids, float threshold, std::uint16_t* hits) {
  const F bound = broadcast(threshold);
  int count = 0;
  for (int v = 0; v < ids; v += W) {
    for (std::uint32_t mask = greater(load(z + v), bound); mask != 0; mask &= mask - 1) {
      const int position = v + __builtin_ctz(mask);
      if (position < ids) hits[count++] = static_cast<std::uint16_t>(position);
    }
  }
  return count;
}

// How many of the tile's entries precede (logit, id) in the order logit descending, id ascending.
inline std::int32_t preceding(const Panel& panel, const float* z, std::int64_t id, float logit) {
  std::int32_t count = 0;
  if (id >= panel.first && id < panel.first + panel.ids) {
    for (int v = 0; v < panel.ids; ++v) count += z[v] > logit || (z[v] == logit && panel.first + v < id);
    return count;
  }
  const F bound = broadcast(logit);
  const bool ties = id >= panel.first + panel.ids;  // the whole tile has smaller ids; then it has no padding either
  for (int v = 0; v < padded(panel.ids); v += W)
    count += __builtin_popcount(ties ? greater_equal(load(z + v), bound) : greater(load(z + v), bound));
  return count;
}

bool run_panel(const Panel& panel) {
  products_for<kRows>(panel);
  const int width = padded(panel.ids);
  F poison = broadcast(0.0f);
  for (int i = 0; i < panel.rows; ++i) {
    float* z = panel.logits + i * width;
    poison = poison + finish_logits(panel, z);
    float* states = panel.states + i * kStates * kLanes;
    panel.entropy ? reduce<true>(z, width, states) : reduce<false>(z, width, states);
    panel.hit_counts[i] = find_hits(z, panel.ids, panel.threshold[i], panel.hits + i * width);
    for (int t = i * panel.targets; t < (i + 1) * panel.targets; ++t)
      panel.target_ranks[t] += preceding(panel, z, panel.target_ids[t], panel.target_logits[t]);
  }
  // NaN is the only value that is neither above nor at most zero.
  const std::uint32_t all = (1u << W) - 1;
  return (greater(poison, broadcast(0.0f)) | greater_equal(broadcast(0.0f), poison)) == all;
}

template <class T>
float dot(const float* hidden, int rows, const T* weight, std::int64_t dim) {
  float total = 0.0f;
  for (std::int64_t d = 0; d < dim; d += kDepth) {
    const std::int64_t end = dim - d < kDepth ? dim : d + kDepth;
    float sum = 0.0f;
    for (std::int64_t e = d; e < end; ++e) sum = fma(hidden[e * rows], widen(weight[e]), sum);
    total = d == 0 ? sum : total + sum;
  }
  return total;
}

void exact(const float* hidden, int rows, int row, const WeightRows& weight, const Head& head, const std::int64_t* ids,
           int count, float* out) {
  float bias[kLanes] = {};
  for (int t = 0; t < kLanes; ++t) {
    out[t] = 0.0f;
    if (t >= count) continue;
    const std::int64_t at = ids[t] * weight.stride;
    switch (weight.type) {
      case Dtype::float32:
        out[t] = dot(hidden + row, rows, static_cast<const float*>(weight.data) + at, weight.dim);
        break;
      case Dtype::bfloat16:
        out[t] = dot(hidden + row, rows, static_cast<const bfloat16*>(weight.data) + at, weight.dim);
        break;
      case Dtype::float16:
        out[t] = dot(hidden + row, rows, static_cast<const float16*>(weight.data) + at, weight.dim);
        break;
    }
    if (head.bias != nullptr) bias[t] = head.bias[ids[t]];
  }
  if (plain(head)) return;
  for (int t = 0; t < kLanes; t += W) store(out + t, apply_head(load(out + t), load(bias + t), head));
}

void fold(const float* states, float* out) {
  float top = states[0];
  for (int j = 1; j < kLanes; ++j) top = states[j] > top ? states[j] : top;
  float sum[kLanes], weighted[kLanes];
  for (int j = 0; j < kLanes; j += W) {
    const F drop = max(load(states + j) - broadcast(top), broadcast(-87.0f)), factor = exp_negative(drop);
    const F lane_sum = load(states + kLanes + j);
    store(sum + j, lane_sum * factor);
    store(weighted + j, fma(drop, lane_sum, load(states + 2 * kLanes + j)) * factor);
  }
  out[0] = top;
  out[1] = out[2] = 0.0f;
  for (int j = 0; j < kLanes; ++j) {
    out[1] += sum[j];
    out[2] += weighted[j];
  }
}

}  // namespace

extern const Kernels PIVOTKIT_KERNELS = {kRows, pack, run_panel, exact, fold};

}  // namespace pivotkit
