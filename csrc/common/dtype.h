// The three floating types that cross into the kernels, and their widening to float32 (exact in every case).
// Safe to include in files built for one instruction set: internal linkage only.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/anywhere.h"

namespace pivotkit {

enum class Dtype { float32, bfloat16, float16 };

struct bfloat16 {
  std::uint16_t bits;
};
struct float16 {
  std::uint16_t bits;
};

namespace {

PIVOTKIT_ANYWHERE inline float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

[[maybe_unused]] PIVOTKIT_ANYWHERE inline std::uint32_t to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

[[maybe_unused]] PIVOTKIT_ANYWHERE inline float widen(float value) { return value; }

[[maybe_unused]] PIVOTKIT_ANYWHERE inline float widen(bfloat16 value) {
  return from_bits(static_cast<std::uint32_t>(value.bits) << 16);
}

[[maybe_unused]] PIVOTKIT_ANYWHERE inline float widen(float16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(value.bits & 0x7fffu) << 13;
  // Infinity and NaN keep their payload; the rest is re-based by 2^112, which also makes subnormals normal.
  if (rest >= 0x0f800000u) return from_bits(sign | rest | 0x7f800000u);
  const float magnitude = from_bits(rest) * 0x1p112f;
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace

}  // namespace pivotkit
