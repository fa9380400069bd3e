// A register of W float lanes under one name per operation, for files that are built once per instruction set.
//
// The flags of the including file choose the section. Internal linkage only: an inline function that leaked from an
// AVX file could be the copy the linker keeps, and older machines would die on it (tests/kernels/test_isa.py).
// fma() is fused where the hardware fuses (NEON, AVX2 and AVX-512 give the same bits) and multiply-then-add elsewhere.
// PIVOTKIT_NEON chooses NEON: on its platform it is the compiler's baseline, so no flag tells it from scalar.
// PIVOTKIT_PAIRS is defined where pairs of bfloat16 are multiplied at once.
#pragma once

#include <cstdint>

#include "common/dtype.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(PIVOTKIT_NEON)
#include <arm_neon.h>
#endif

namespace pivotkit {
namespace {

#if defined(__AVX512F__)

constexpr int W = 16;
using F = __m512;

inline F load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, F a) { _mm512_storeu_ps(p, a); }
inline F broadcast(float a) { return _mm512_set1_ps(a); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline F max(F a, F b) { return _mm512_max_ps(a, b); }
inline F load(const bfloat16* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
inline F load(const float16* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
// Two neighbours of a row in one lane.
struct Pair {
  bfloat16 low, high;
};
inline F load(const Pair* p) { return _mm512_castsi512_ps(_mm512_loadu_si512(p)); }
inline F low_halves(F pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(pairs), 16)); }
inline F high_halves(F pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(pairs), _mm512_set1_epi32(-65536)));
}
// turned[j] becomes lane d + j of all rows, whose lanes are T.
template <class T>
inline void transpose_halves(const T* const (&rows)[W], std::int64_t d, F (&turned)[W / 2]) {
  static_assert(sizeof(T) == sizeof(float), "a lane is 32 bits");
  const auto half = [&](int row) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[row] + d)); };
  F a[W / 2], b[W / 2];
  // Such an order of the rows that the last step finds its quarters in theirs.
  for (int i = 0; i < 8; ++i) {
    const int row = i / 4 * 8 + i % 4;
    a[i] = _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(half(row)), half(row + 4), 1));
  }
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int h = 0; h < 2; ++h) {
      const __m512d low = _mm512_castps_pd(b[i + h]), high = _mm512_castps_pd(b[i + h + 2]);
      a[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      a[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  for (int i = 0; i < 4; ++i) {
    turned[i] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88);
    turned[i + 4] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
  }
}
#if defined(__AVX512BF16__)
#define PIVOTKIT_PAIRS
// c + high * high + low * low.
inline F dot_pairs(F a, F b, F c) {
  return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
#endif
// p * 2^n, where the low bits of `shifted` hold the integer n: n goes into p's exponent field.
inline F scale_by_power(F p, F shifted) {
  const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n));
}
// Bit j is set where a[j] > b[j].
inline std::uint32_t greater(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
inline std::uint32_t greater_equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
inline F select(std::uint32_t mask, F yes, F no) { return _mm512_mask_blend_ps(static_cast<__mmask16>(mask), no, yes); }

// a[i][j] becomes a[j][i].
inline void transpose(F (&a)[W]) {
  F b[W];
  for (int i = 0; i < W; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
  // Within each quarter register: rows 4q .. 4q+3 as 4 x 4 blocks.
  for (int i = 0; i < W; i += 4) {
    for (int h = 0; h < 2; ++h) {
      const __m512d low = _mm512_castps_pd(b[i + h]), high = _mm512_castps_pd(b[i + h + 2]);
      a[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      a[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
  // Then the 4 x 4 blocks among the quarters.
  for (int i = 0; i < 4; ++i) {
    const F ab_even = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88), ab_odd = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
    const F cd_even = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x88);
    const F cd_odd = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xdd);
    b[i] = _mm512_shuffle_f32x4(ab_even, cd_even, 0x88);
    b[i + 8] = _mm512_shuffle_f32x4(ab_even, cd_even, 0xdd);
    b[i + 4] = _mm512_shuffle_f32x4(ab_odd, cd_odd, 0x88);
    b[i + 12] = _mm512_shuffle_f32x4(ab_odd, cd_odd, 0xdd);
  }
  for (int i = 0; i < W; ++i) a[i] = b[i];
}

#elif defined(__AVX2__)

constexpr int W = 8;
using F = __m256;

inline F load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, F a) { _mm256_storeu_ps(p, a); }
inline F broadcast(float a) { return _mm256_set1_ps(a); }
inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline F max(F a, F b) { return _mm256_max_ps(a, b); }
inline F load(const bfloat16* p) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
inline F load(const float16* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline F scale_by_power(F p, F shifted) {
  const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}
inline std::uint32_t bits(F mask) { return static_cast<std::uint32_t>(_mm256_movemask_ps(mask)); }
inline std::uint32_t greater(F a, F b) { return bits(_mm256_cmp_ps(a, b, _CMP_GT_OQ)); }
inline std::uint32_t greater_equal(F a, F b) { return bits(_mm256_cmp_ps(a, b, _CMP_GE_OQ)); }
inline F select(std::uint32_t mask, F yes, F no) {
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(mask)), lane);
  return _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane)));
}

inline void transpose(F (&a)[W]) {
  F b[W];
  for (int i = 0; i < W; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < W; i += 4) {
    for (int h = 0; h < 2; ++h) {
      const __m256d low = _mm256_castps_pd(b[i + h]), high = _mm256_castps_pd(b[i + h + 2]);
      a[i + 2 * h] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
      a[i + 2 * h + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
    }
  }
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm256_permute2f128_ps(a[i], a[i + 4], 0x20);
    b[i + 4] = _mm256_permute2f128_ps(a[i], a[i + 4], 0x31);
  }
  for (int i = 0; i < W; ++i) a[i] = b[i];
}

#elif defined(PIVOTKIT_NEON)

constexpr int W = 4;
using F = float32x4_t;

inline F load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, F a) { vst1q_f32(p, a); }
inline F broadcast(float a) { return vdupq_n_f32(a); }
inline F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
// The second operand where the first is not greater, as on x86: vmaxq_f32 ranks -0 below 0 and keeps a NaN.
inline F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline F load(const bfloat16* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(p)), 16));
}
inline F load(const float16* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(p))));
}
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define PIVOTKIT_PAIRS
// Two neighbours of a row in one lane.
struct Pair {
  bfloat16 low, high;
};
inline F load(const Pair* p) { return vld1q_f32(reinterpret_cast<const float*>(p)); }
// c + (low * low + high * high).
inline F dot_pairs(F a, F b, F c) { return vbfdotq_f32(c, vreinterpretq_bf16_f32(a), vreinterpretq_bf16_f32(b)); }
#endif
inline F scale_by_power(F p, F shifted) {
  const uint32x4_t n = vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23);
  return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p), n));
}
inline std::uint32_t bits(uint32x4_t mask) {
  const uint32x4_t lane = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(mask, lane));
}
inline std::uint32_t greater(F a, F b) { return bits(vcgtq_f32(a, b)); }
inline std::uint32_t greater_equal(F a, F b) { return bits(vcgeq_f32(a, b)); }
inline F select(std::uint32_t mask, F yes, F no) {
  const uint32x4_t lane = {1, 2, 4, 8};
  return vbslq_f32(vtstq_u32(vdupq_n_u32(mask), lane), yes, no);
}

inline void transpose(F (&a)[W]) {
  const float32x4x2_t low = vtrnq_f32(a[0], a[1]), high = vtrnq_f32(a[2], a[3]);
  a[0] = vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0]));
  a[1] = vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1]));
  a[2] = vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0]));
  a[3] = vcombine_f32(vget_high_f32(low.val[1]), vget_high_f32(high.val[1]));
}

#else

constexpr int W = 4;
struct F {
  float lane[W];
};

template <class T>
inline F load(const T* p) {
  F a;
  for (int j = 0; j < W; ++j) a.lane[j] = widen(p[j]);
  return a;
}
inline void store(float* p, F a) {
  for (int j = 0; j < W; ++j) p[j] = a.lane[j];
}
inline F broadcast(float value) {
  F a;
  for (int j = 0; j < W; ++j) a.lane[j] = value;
  return a;
}
inline float fma(float a, float b, float c) { return a * b + c; }
inline F fma(F a, F b, F c) {
  for (int j = 0; j < W; ++j) c.lane[j] = fma(a.lane[j], b.lane[j], c.lane[j]);
  return c;
}
inline F max(F a, F b) {
  for (int j = 0; j < W; ++j) a.lane[j] = a.lane[j] > b.lane[j] ? a.lane[j] : b.lane[j];
  return a;
}
inline F scale_by_power(F p, F shifted) {
  for (int j = 0; j < W; ++j) p.lane[j] = from_bits(to_bits(p.lane[j]) + (to_bits(shifted.lane[j]) << 23));
  return p;
}
inline std::uint32_t greater(F a, F b) {
  std::uint32_t mask = 0;
  for (int j = 0; j < W; ++j) mask |= static_cast<std::uint32_t>(a.lane[j] > b.lane[j]) << j;
  return mask;
}
inline std::uint32_t greater_equal(F a, F b) {
  std::uint32_t mask = 0;
  for (int j = 0; j < W; ++j) mask |= static_cast<std::uint32_t>(a.lane[j] >= b.lane[j]) << j;
  return mask;
}
inline F select(std::uint32_t mask, F yes, F no) {
  for (int j = 0; j < W; ++j) no.lane[j] = (mask >> j & 1u) != 0 ? yes.lane[j] : no.lane[j];
  return no;
}
inline void transpose(F (&a)[W]) {
  for (int i = 0; i < W; ++i)
    for (int j = 0; j < i; ++j) {
      const float swap = a[i].lane[j];
      a[i].lane[j] = a[j].lane[i];
      a[j].lane[i] = swap;
    }
}
inline F operator+(F a, F b) {
  for (int j = 0; j < W; ++j) a.lane[j] += b.lane[j];
  return a;
}
inline F operator-(F a, F b) {
  for (int j = 0; j < W; ++j) a.lane[j] -= b.lane[j];
  return a;
}
inline F operator*(F a, F b) {
  for (int j = 0; j < W; ++j) a.lane[j] *= b.lane[j];
  return a;
}
inline F operator/(F a, F b) {
  for (int j = 0; j < W; ++j) a.lane[j] /= b.lane[j];
  return a;
}

#endif

}  // namespace
}  // namespace pivotkit
