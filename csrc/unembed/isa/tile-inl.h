// Everything after the products of a tile: the head, the running reductions, the top-k filter, ranks. Written once over
// lanes.h and built once per instruction set.
#pragma once

#include "common/lane_math.h"
#include "common/lanes.h"
#include "unembed/isa/products-inl.h"
#include "unembed/kernels.h"

namespace pivotkit {
namespace {

inline bool plain(const Head& head) { return head.bias == nullptr && head.scale == 1.0f && head.softcap == 0.0f; }

inline F apply_head(F dot, F bias, const Head& head) {
  const F z = (dot + bias) * broadcast(head.scale);
  if (head.softcap == 0.0f) return z;
  const F cap = broadcast(head.softcap);
  return cap * tanh_lanes(z / cap);
}

// ---- what follows the products, while the logits are in cache -------------------------------------------------------

// Applies the head in place from position `begin` to `end`, and pads. Returns lanes that are NaN if a product or a
// logit was not finite.
inline F finish_logits(const Panel& panel, float* z, int begin, int end) {
  F poison = broadcast(0.0f);
  const F zero = broadcast(0.0f);
  const bool untouched = plain(panel.head);
  float bias[W];
  for (int v = begin; v < end; v += W) {
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
  for (int v = panel.ids > begin ? panel.ids : begin; v < end; ++v) z[v] = kPadding;
  return poison;
}

// Online logsumexp (Milakov and Gimelshein, 2018) in kLanes lanes, rescaled once per block, with the weighted sum that
// the entropy needs. Differences are cut at -87 like the exponential, so padding never makes infinity times zero.
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

// Appends to a row's hits.
inline void find_hits(const Panel& panel, int row, const float* z, int begin, int end) {
  const F bound = broadcast(panel.threshold[row]);
  std::uint16_t* hits = panel.hits + row * padded(panel.ids);
  int count = panel.hit_counts[row];
  for (int v = begin; v < end && v < panel.ids; v += W) {
    for (std::uint32_t mask = greater(load(z + v), bound); mask != 0; mask &= mask - 1) {
      const int position = v + __builtin_ctz(mask);
      if (position < panel.ids) hits[count++] = static_cast<std::uint16_t>(position);
    }
  }
  panel.hit_counts[row] = count;
}

// How many of these entries precede (logit, id) in the order logit descending, id ascending.
inline std::int32_t preceding(const Panel& panel, const float* z, int begin, int end, std::int64_t id, float logit) {
  std::int32_t count = 0;
  const std::int64_t first = panel.first + begin, behind = panel.first + (end < panel.ids ? end : panel.ids);
  if (id >= first && id < behind) {
    for (int v = begin; v < end && v < panel.ids; ++v) count += z[v] > logit || (z[v] == logit && panel.first + v < id);
    return count;
  }
  const F bound = broadcast(logit);
  const bool ties = id >= behind;  // all have smaller ids; padding is below every logit
  for (int v = begin; v < end; v += W)
    count += __builtin_popcount(ties ? greater_equal(load(z + v), bound) : greater(load(z + v), bound));
  return count;
}

// What follows the products of a row from position `begin` to `end`, whole blocks, which come in ascending order.
// Returns lanes that are NaN if one was not finite.
inline F finish_row(const Panel& panel, int row, int begin, int end) {
  float* z = panel.logits + row * padded(panel.ids);
  float* states = panel.states + row * kStates * kLanes;
  if (begin == 0) panel.hit_counts[row] = 0;
  const F poison = finish_logits(panel, z, begin, end);
  panel.entropy ? reduce<true>(z + begin, end - begin, states) : reduce<false>(z + begin, end - begin, states);
  find_hits(panel, row, z, begin, end);
  const std::int64_t source = panel.sources[row] * panel.targets;
  for (int t = 0; t < panel.targets; ++t)
    panel.target_ranks[row * panel.targets + t] +=
        preceding(panel, z, begin, end, panel.target_ids[source + t], panel.target_logits[source + t]);
  return poison;
}

// NaN is the only value that is neither above nor at most zero.
inline bool is_finite(F poison) {
  const std::uint32_t all = (1u << W) - 1;
  return (greater(poison, broadcast(0.0f)) | greater_equal(broadcast(0.0f), poison)) == all;
}

// Returns whether all products were finite.
bool finish_panel(const Panel& panel) {
  F poison = broadcast(0.0f);
  for (int i = 0; i < panel.rows; ++i) poison = poison + finish_row(panel, i, 0, padded(panel.ids));
  return is_finite(poison);
}

// From products to logits, for any ids.
void finish_exact(const Head& head, const std::int64_t* ids, int count, float* out) {
  if (plain(head)) return;
  for (int t = 0; t < count; t += W) {
    float z[W] = {}, bias[W] = {};
    for (int j = 0; j < W && t + j < count; ++j) {
      z[j] = out[t + j];
      if (head.bias != nullptr) bias[j] = head.bias[ids[t + j]];
    }
    store(z, apply_head(load(z), load(bias), head));
    for (int j = 0; j < W && t + j < count; ++j) out[t + j] = z[j];
  }
}

bool run_panel(const Panel& panel) {
  panel.weight != nullptr ? products_for<kRows, float>(panel) : direct_products_for<kDirect<float>.rows>(panel);
  return finish_panel(panel);
}

void exact(const float* hidden, int rows, int row, const WeightRows& weight, const Head& head, const std::int64_t* ids,
           int count, float* out) {
  switch (weight.type) {
    case Dtype::float32:
      gather_products<float>(hidden + row, rows, weight, ids, count, out);
      break;
    case Dtype::bfloat16:
      gather_products<bfloat16>(hidden + row, rows, weight, ids, count, out);
      break;
    case Dtype::float16:
      gather_products<float16>(hidden + row, rows, weight, ids, count, out);
      break;
  }
  finish_exact(head, ids, count, out);
}

[[maybe_unused]] constexpr Products kWide = {
    kRows, {kDirect<float>, kDirect<bfloat16>, kDirect<float16>}, 0, pack, run_panel, exact};

#if defined(PIVOTKIT_PAIRS)

void pack_pairs(const WeightRows& weight, int ids, float* packed) { pack_rows<Pair>(weight, ids, 1, packed); }

bool run_pairs(const Panel& panel) {
  panel.weight != nullptr ? products_for<kRows, Pair>(panel) : direct_pairs_for<kDirect<Pair>.rows>(panel);
  return finish_panel(panel);
}

void exact_pairs(const float* hidden, int rows, int row, const WeightRows& weight, const Head& head,
                 const std::int64_t* ids, int count, float* out) {
  gather_products<Pair>(hidden + row, rows, weight, ids, count, out);
  finish_exact(head, ids, count, out);
}

[[maybe_unused]] constexpr Products kPairs = {kRows, {{}, kDirect<Pair>, {}}, 1, pack_pairs, run_pairs, exact_pairs};

#endif

[[maybe_unused]] void fold(const float* states, bool relative, float* out) {
  float top = states[0];
  for (int j = 1; j < kLanes; ++j) top = states[j] > top ? states[j] : top;
  float sum[kLanes], weighted[kLanes];
  for (int j = 0; j < kLanes; j += W) {
    const F drop = max(load(states + j) - broadcast(top), broadcast(-87.0f)), factor = exp_negative(drop);
    const F lane_sum = load(states + kLanes + j), lane_weighted = load(states + 2 * kLanes + j);
    store(sum + j, lane_sum * factor);
    store(weighted + j, (relative ? fma(drop, lane_sum, lane_weighted) : lane_weighted) * factor);
  }
  out[0] = top;
  out[1] = out[2] = 0.0f;
  for (int j = 0; j < kLanes; ++j) {
    out[1] += sum[j];
    out[2] += weighted[j];
  }
}

}  // namespace
}  // namespace pivotkit
