// A row of the weight as 32-bit lanes (one value of any type, or a pair of bfloat16 values per lane), and the sizes of
// the register blocks that multiply them. Built once per instruction set.
#pragma once

#include "common/lanes.h"
#include "unembed/kernels.h"

namespace pivotkit {
namespace {

constexpr std::int64_t kLine = 64;  // bytes of a cache line
constexpr int kIds = 2 * W;         // ids of one register block
#if defined(__AVX512F__)
constexpr int kRows = 14;  // 28 accumulators, 2 weights, 1 broadcast of 32 registers
#elif defined(PIVOTKIT_NEON)
constexpr int kRows = 10;  // 20 accumulators, 2 weights, the rest for hidden values: GCC spills at 11
#else
constexpr int kRows = W == 8 ? 6 : 3;  // 12 (or 6) accumulators of 16 registers
#endif

// Panels of up to so many rows leave registers to turn W lanes at once; larger panels leave half of them.
constexpr int kFullTurnRows = W == 16 ? 12 : W == 8 ? 4 : 3;

// For so few rows, turning weights in registers once per panel is faster than packing a tile (benchmarks/README.md).
// The trace of a position through 18 blocks is one panel of float32 on AVX-512.
template <class T>
constexpr Direct kDirect = {kFullTurnRows, 2 * kFullTurnRows};

#if defined(__AVX512F__)
template <>
constexpr Direct kDirect<float> = {22, 154};
template <>
constexpr Direct kDirect<bfloat16> = {kFullTurnRows, 84};
template <>
constexpr Direct kDirect<float16> = {kFullTurnRows, 48};
#endif

static_assert(kDirect<float>.rows >= kDirect<bfloat16>.rows && kDirect<float>.rows >= kDirect<float16>.rows,
              "the widest panel is of float32");
static_assert(kBlock % kIds == 0 && kLanes % W == 0, "blocks and lanes must hold whole registers");

template <class T>
constexpr int kPer = 1;  // values of a lane

// Products are added in runs of kDepth values.
template <class T>
constexpr int kRun = kDepth / kPer<T>;

// Lanes of a row of `dim` values; the last of them may be half a pair.
template <class T>
constexpr std::int64_t row_lanes(std::int64_t dim) {
  return (dim + kPer<T> - 1) / kPer<T>;
}

// A row that starts `values` after another one.
template <class T>
inline const T* row_at(const void* data, std::int64_t values) {
  return reinterpret_cast<const T*>(static_cast<const char*>(data) +
                                    values * static_cast<std::int64_t>(sizeof(T)) / kPer<T>);
}

// Lane d of a row, for the few lanes that do not fill a register.
template <class T>
inline float lane_at(const T* row, std::int64_t d, std::int64_t) {
  return widen(row[d]);
}

// turned[j] becomes lane d + j of W rows. If `ahead` is not zero, the lanes that many further on are prefetched.
template <class T>
inline void turn(const T* const (&rows)[W], std::int64_t d, std::int64_t ahead, F (&turned)[W]) {
  for (int j = 0; j < W; ++j) {
    turned[j] = load(rows[j] + d);
    if (ahead != 0 && d * static_cast<std::int64_t>(sizeof(T)) % kLine == 0)
      __builtin_prefetch(rows[j] + d + ahead, 0, 2);
  }
  transpose(turned);
}

#if defined(__AVX512F__)
// The same for half as many lanes.
template <class T>
inline void turn(const T* const (&rows)[W], std::int64_t d, std::int64_t ahead, F (&turned)[W / 2]) {
  for (int j = 0; j < W && ahead != 0 && d % W == 0; ++j) __builtin_prefetch(rows[j] + d + ahead, 0, 2);
  transpose_halves(rows, d, turned);
}
#endif

// Whether the values of a row are turned two per lane, for half the shuffles, and then separated.
template <class T>
constexpr bool kTurnedInPairs = false;

#if defined(__AVX512F__)
template <>
constexpr bool kTurnedInPairs<bfloat16> = true;
#endif

// sum + h * w.
template <class T>
inline F add_product(F h, F w, F sum) {
  return fma(h, w, sum);
}

#if defined(PIVOTKIT_PAIRS)
template <>
constexpr int kPer<Pair> = 2;

#if defined(__AVX512F__)
template <>
constexpr Direct kDirect<Pair> = {18, 18};
#endif

template <>
inline float lane_at<Pair>(const Pair* row, std::int64_t d, std::int64_t dim) {
  return from_bits(2 * d + 1 < dim ? row[d].low.bits | static_cast<std::uint32_t>(row[d].high.bits) << 16
                                   : row[d].low.bits);
}

// As the processor's instruction for pairs adds them (unembed.h). Subnormals count as zero.
template <>
inline F add_product<Pair>(F h, F w, F sum) {
  return dot_pairs(h, w, sum);
}
#endif

}  // namespace
}  // namespace pivotkit
