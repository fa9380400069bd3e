// Where Latin words lie in 64 bytes of normalized text: one bit per byte, the lowest bit for the first byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__) && !defined(PIVOTKIT_PORTABLE)
#include <emmintrin.h>
#else
#include "common/bits.h"
#include "common/hash.h"
#endif

namespace pivotkit {

#if defined(__SSE2__) && !defined(PIVOTKIT_PORTABLE)

struct Lane {
  static constexpr std::size_t kBytes = 16;
  __m128i bytes;

  static Lane at(const std::uint8_t* p) noexcept { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
  std::uint64_t high() const noexcept { return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes)); }
  std::uint64_t in_range(std::uint8_t first, std::uint8_t last) const noexcept {
    const __m128i moved = _mm_sub_epi8(bytes, _mm_set1_epi8(static_cast<char>(first)));
    const __m128i within = _mm_min_epu8(moved, _mm_set1_epi8(static_cast<char>(last - first)));
    return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(within, moved)));
  }
};

#else

struct Lane {
  static constexpr std::size_t kBytes = 8;
  std::uint64_t bytes;

  static Lane at(const std::uint8_t* p) noexcept { return {load<std::uint64_t>(p)}; }
  std::uint64_t high() const noexcept { return bits(bytes & swar::kHigh); }
  // `first` and `last` on one side of 0x80.
  std::uint64_t in_range(std::uint8_t first, std::uint8_t last) const noexcept {
    const std::uint64_t found = swar::in_range(bytes & ~swar::kHigh, first & 0x7F, last & 0x7F);
    return bits(found & (first < 0x80 ? ~bytes : bytes));
  }

 private:
  static std::uint64_t bits(std::uint64_t marks) noexcept { return (marks >> 7) * 0x0102040810204080U >> 56; }
};

#endif

struct LatinWords {
  static constexpr std::size_t kBytes = 64;

  // ASCII's letters (none are capital), digits and underscore, and U+00C0 to U+00FF but × and ÷
  std::uint64_t words = 0;
  std::uint64_t others = 0;  // bytes of all other code points beyond ASCII

  explicit LatinWords(const std::uint8_t* p) noexcept {
    std::uint64_t leads = 0, signs = 0;
    for (std::size_t i = 0; i < kBytes; i += Lane::kBytes) {
      const Lane lane = Lane::at(p + i);
      words |= (lane.in_range('a', 'z') | lane.in_range('0', '9') | lane.in_range('_', '_')) << i;
      others |= lane.high() << i;
      leads |= lane.in_range(0xC3, 0xC3) << i;
      signs |= (lane.in_range(0x97, 0x97) | lane.in_range(0xB7, 0xB7)) << i;
    }
    leads &= ~(signs >> 1) & ~std::uint64_t{0} >> 1;  // the second byte must be here too
    words |= leads | leads << 1;
    others &= ~words;
  }
};

}  // namespace pivotkit
