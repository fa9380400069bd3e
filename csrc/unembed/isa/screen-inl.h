// Screening in int8: approximate logits with a bound on each, from a quantized vocabulary. Built once per instruction
// set.
//
// Sums are integers, so every instruction set finds the same ones. The float arithmetic after them rounds, and RowBound
// covers that (quantized.cpp).
#pragma once

#include "common/lane_math.h"
#include "common/lanes.h"
#include "unembed/isa/tile-inl.h"
#include "unembed/kernels.h"

namespace pivotkit {
namespace {

// ---- W integer lanes, one id each; a group is four dimensions of an id in the four bytes of its lane ----------------

#if defined(__AVX512F__)
using I = __m512i;
inline I zeros() { return _mm512_setzero_si512(); }
inline I load_group(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
inline I load_sums(const std::int32_t* p) { return _mm512_loadu_si512(p); }
inline F to_float(I a, std::int32_t offset) {
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(a, _mm512_set1_epi32(offset)));
}
#elif defined(__AVX2__)
using I = __m256i;
inline I zeros() { return _mm256_setzero_si256(); }
inline I load_group(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline F to_float(I a, std::int32_t offset) {
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(a, _mm256_set1_epi32(offset)));
}
#elif defined(__ARM_FEATURE_DOTPROD)
using I = int32x4_t;
inline I zeros() { return vdupq_n_s32(0); }
inline uint8x16_t load_group(const std::uint8_t* p) { return vld1q_u8(p); }
#endif

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)

constexpr int kDigits = 1;
struct Group {
  I bytes;
};
inline Group split(I bytes) { return {bytes}; }
inline I dot(Group w, const std::int32_t* h, I sum) {
#if defined(__AVX512F__)
  return _mm512_dpbusd_epi32(sum, w.bytes, _mm512_set1_epi32(*h));
#else
  return _mm256_dpbusd_avx_epi32(sum, w.bytes, _mm256_set1_epi32(*h));
#endif
}

#elif defined(__AVX512F__)

// Bytes become 16 bits wide by a mask and a shift, so that pairs meet in one multiply-add without saturation.
constexpr int kDigits = 2;
struct Group {
  I even, odd;
};
inline Group split(I bytes) { return {_mm512_and_si512(bytes, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(bytes, 8)}; }
inline I dot(Group w, const std::int32_t* h, I sum) {
  sum = _mm512_add_epi32(sum, _mm512_madd_epi16(w.even, _mm512_set1_epi32(h[0])));
  return _mm512_add_epi32(sum, _mm512_madd_epi16(w.odd, _mm512_set1_epi32(h[1])));
}

#elif defined(__AVX2__)

constexpr int kDigits = 2;
struct Group {
  I even, odd;
};
inline Group split(I bytes) { return {_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(bytes, 8)}; }
inline I dot(Group w, const std::int32_t* h, I sum) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(w.even, _mm256_set1_epi32(h[0])));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(w.odd, _mm256_set1_epi32(h[1])));
}

#elif defined(__ARM_FEATURE_MATMUL_INT8)

constexpr int kDigits = 1;
struct Group {
  uint8x16_t bytes;
};
inline Group split(uint8x16_t bytes) { return {bytes}; }
inline I dot(Group w, const std::int32_t* h, I sum) {
  return vusdotq_s32(sum, w.bytes, vreinterpretq_s8_s32(vdupq_n_s32(*h)));
}
inline F to_float(I a, std::int32_t offset) { return vcvtq_f32_s32(vsubq_s32(a, vdupq_n_s32(offset))); }

#elif defined(__ARM_FEATURE_DOTPROD)

// Weights lose their offset as they are loaded, so that bytes of one sign meet.
constexpr int kDigits = 1;
struct Group {
  int8x16_t bytes;
};
inline Group split(uint8x16_t bytes) { return {vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128)))}; }
inline I dot(Group w, const std::int32_t* h, I sum) {
  return vdotq_s32(sum, w.bytes, vreinterpretq_s8_s32(vdupq_n_s32(*h)));
}
inline F to_float(I a, std::int32_t) { return vcvtq_f32_s32(a); }

#else

constexpr int kDigits = 1;
struct I {
  std::int32_t lane[W];
};
struct Group {
  std::uint8_t bytes[4 * W];
};
inline I zeros() { return {}; }
inline Group load_group(const std::uint8_t* p) {
  Group w;
  for (int j = 0; j < 4 * W; ++j) w.bytes[j] = p[j];
  return w;
}
inline Group split(Group w) { return w; }
inline I dot(Group w, const std::int32_t* h, I sum) {
  const auto steps = static_cast<std::uint32_t>(*h);
  for (int j = 0; j < W; ++j)
    for (int b = 0; b < 4; ++b)
      sum.lane[j] += w.bytes[4 * j + b] * static_cast<std::int8_t>(static_cast<std::uint8_t>(steps >> 8 * b));
  return sum;
}
inline F to_float(I a, std::int32_t offset) {
  float out[W];
  for (int j = 0; j < W; ++j) out[j] = static_cast<float>(a.lane[j] - offset);
  return load(out);
}

#endif

// ---- Rows x kIds sums -----------------------------------------------------------------------------------------------

inline const std::uint8_t* groups_of(const ScreenPanel& panel, int id) {
  return panel.weight + id / kLanes * kLanes * panel.groups * 4 + id % kLanes * 4;
}

// From sums to logits, before the head.
inline void store_logits(const ScreenPanel& panel, int row, int id, I sums) {
  const RowBound& bound = panel.bounds[row];
  store(panel.logits + row * padded(panel.ids) + id,
        to_float(sums, bound.offset) * (broadcast(bound.unit) * load(panel.scales + id)));
}

template <int Rows>
void screen_products(const ScreenPanel& panel) {
  for (int first = 0; first < padded(panel.ids); first += kIds) {
    const std::uint8_t *low_groups = groups_of(panel, first), *high_groups = groups_of(panel, first + W);
    I sum[Rows][2];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) sum[i][0] = sum[i][1] = zeros();
    const std::int32_t* hidden = panel.hidden;
    for (std::int64_t g = 0; g < panel.groups; ++g) {
      const Group low = split(load_group(low_groups + g * kLanes * 4));
      const Group high = split(load_group(high_groups + g * kLanes * 4));
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        sum[i][0] = dot(low, hidden + i * kDigits, sum[i][0]);
        sum[i][1] = dot(high, hidden + i * kDigits, sum[i][1]);
      }
      hidden += Rows * kDigits;
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      store_logits(panel, i, first, sum[i][0]);
      store_logits(panel, i, first + W, sum[i][1]);
    }
  }
}

template <int Rows>
void screen_products_for(const ScreenPanel& panel) {
  if (panel.rows == Rows) return screen_products<Rows>(panel);
  if constexpr (Rows > 1) screen_products_for<Rows - 1>(panel);
}

// ---- the head, the bounds and the sums of one row -------------------------------------------------------------------

// The head, and the bounds of the logits, from position `begin` to `end`.
inline void bound_logits(const ScreenPanel& panel, const RowBound& bound, int begin, int end, float* z, float* errors) {
  const bool untouched = plain(panel.head);
  const F residual = broadcast(bound.residual), norm = broadcast(bound.norm), rounding = broadcast(bound.rounding);
  float bias[W] = {};
  for (int v = begin; v < end; v += W) {
    if (!untouched) {
      for (int j = 0; panel.head.bias != nullptr && j < W; ++j)
        bias[j] = v + j < panel.ids ? panel.head.bias[panel.first + v + j] : 0.0f;
      store(z + v, apply_head(load(z + v), load(bias), panel.head));
    }
    store(errors + v, residual * load(panel.residuals + v) + (norm * load(panel.norms + v) + rounding));
  }
  for (int v = panel.ids > begin ? panel.ids : begin; v < end; ++v) {
    z[v] = kPadding;
    errors[v] = 0.0f;
  }
}

inline void sum_screened(const float* z, const float* errors, int width, float growth_rate, float* states) {
  const F cut = broadcast(-87.0f), half = broadcast(0.5f), one = broadcast(1.0f), cubic = broadcast(growth_rate);
  for (int lane = 0; lane < kLanes; lane += W) {
    F top = load(states + lane), sum = load(states + kLanes + lane), weighted = load(states + 2 * kLanes + lane);
    for (int first = lane; first < width; first += kBlock) {
      F raised = top;
      for (int q = 0; q < kBlock; q += kLanes) raised = max(raised, load(z + first + q));
      const F factor = exp_negative(max(top - raised, cut));
      sum = sum * factor;
      weighted = weighted * factor;
      for (int q = 0; q < kBlock; q += kLanes) {
        const F e = exp_negative(max(load(z + first + q) - raised, cut));
        sum = sum + e;
        const F x = load(errors + first + q);
        weighted = fma(x * fma(fma(cubic, x, half), x, one), e, weighted);
      }
      top = raised;
    }
    store(states + lane, top);
    store(states + kLanes + lane, sum);
    store(states + 2 * kLanes + lane, weighted);
  }
}

// Positions that may enter the top k, or whose order with a target the bounds leave open.
inline void find_open(const ScreenPanel& panel, int row, int begin, int end, const float* z, const float* errors) {
  const F threshold = broadcast(panel.threshold[row]);
  const float* targets = panel.target_logits + static_cast<std::int64_t>(row) * panel.targets;
  std::int32_t* ranks = panel.target_ranks + static_cast<std::int64_t>(row) * panel.targets;
  std::uint16_t* hits = panel.hits + row * padded(panel.ids);
  int count = panel.hit_counts[row];
  for (int v = begin; v < end && v < panel.ids; v += W) {
    const F logit = load(z + v), error = load(errors + v), upper = logit + error, lower = logit - error;
    std::uint32_t open = greater_equal(upper, threshold);
    for (int t = 0; t < panel.targets; ++t) {
      const F target = broadcast(targets[t]);
      const std::uint32_t above = greater(lower, target);
      ranks[t] += __builtin_popcount(above);
      open |= greater_equal(upper, target) & ~above;
    }
    for (; open != 0; open &= open - 1) {
      const int position = v + __builtin_ctz(open);
      if (position < panel.ids) hits[count++] = static_cast<std::uint16_t>(position);
    }
  }
  panel.hit_counts[row] = count;
}

// What follows the products of a row from position `begin` to `end`, whole blocks, which come in ascending order.
inline void screen_row(const ScreenPanel& panel, int row, int begin, int end) {
  const RowBound& bound = panel.bounds[row];
  float *z = panel.logits + row * padded(panel.ids), *errors = panel.errors + row * padded(panel.ids);
  if (begin == 0) panel.hit_counts[row] = 0;
  bound_logits(panel, bound, begin, end, z, errors);
  sum_screened(z + begin, errors + begin, end - begin, bound.growth, panel.states + row * kStates * kLanes);
  find_open(panel, row, begin, end, z, errors);
}

[[maybe_unused]] void screen_panel(const ScreenPanel& panel) {
  screen_products_for<kRows>(panel);
  for (int i = 0; i < panel.rows; ++i) screen_row(panel, i, 0, padded(panel.ids));
}

}  // namespace
}  // namespace pivotkit
