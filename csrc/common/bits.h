// Bits of 64-bit words, and eight bytes of a word at a time (SIMD within a register). Portable, and fast enough where
// the rest is scalar. A mask holds 0x80 in each byte it names. Byte order is little-endian, as in hash.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pivotkit {
// Place of the lowest bit of `bits`, which must not be 0.
inline std::size_t lowest_bit(std::uint64_t bits) noexcept {
#if defined(__GNUC__)
  return static_cast<std::size_t>(__builtin_ctzll(bits));
#else
  std::size_t place = 0;
  for (; (bits & 1) == 0; bits >>= 1) ++place;
  return place;
#endif
}

namespace swar {

inline constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
inline constexpr std::uint64_t kHigh = 0x8080808080808080ULL;

// Names the bytes in [first, last], both below 0x80. `low` must have no byte of 0x80 or more.
inline std::uint64_t in_range(std::uint64_t low, std::uint8_t first, std::uint8_t last) noexcept {
  return (low + kOnes * (0x80U - first)) & ~(low + kOnes * (0x7FU - last)) & kHigh;
}

// Place of the first byte that `mask` names, or 8 when it names none.
inline std::size_t first_byte(std::uint64_t mask) noexcept { return mask == 0 ? 8 : lowest_bit(mask) / 8; }

}  // namespace swar
}  // namespace pivotkit
