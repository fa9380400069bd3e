// A row of the weight as 32-bit lanes: a value of any type each, or a pair of bfloat16 values each; and the sizes of
// the register blocks that multiply them. Built once per instruction set.
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

// Up to so many rows of a panel leave registers for all the W lanes that are turned at once; more leave half of them.
constexpr int kFullTurnRows = W == 16 ? 12 : W == 8 ? 4 : 3;

// Turning weights in registers, once a panel, beats packing a tile for so few rows (benchmarks/README.md). A position's
// trace through 18 blocks is one panel of float32 on AVX-512.
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

// Lane d of a row, for the few that do not fill a register.
template <class T>
inline float lane_at(const T* row, std::int64_t d, std::int64_t) {
  return widen(row[d]);
}

// turned[j] becomes lane d + j of W rows. Where `ahead` is not zero, the lanes that many further on are asked for.
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

// Whether a row's values are turned two to a lane, for half the shuffles, and then told apart.
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

#if defined(__AVX512BF16__)
template <>
constexpr int kPer<Pair> = 2;

template <>
constexpr Direct kDirect<Pair> = {18, 18};

template <>
inline float lane_at<Pair>(const Pair* row, std::int64_t d, std::int64_t dim) {
  return from_bits(2 * d + 1 < dim ? row[d].low.bits | static_cast<std::uint32_t>(row[d].high.bits) << 16
                                   : row[d].low.bits);
}

// The high halves' product first, then the low halves', each fused and rounded once; subnormals count as zero.
template <>
inline F add_product<Pair>(F h, F w, F sum) {
  return dot_pairs(h, w, sum);
}
#endif

}  // namespace
}  // namespace pivotkit
