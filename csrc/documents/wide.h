// Sixteen bytes at once where every processor of the architecture can, eight in a register elsewhere: how many bytes
// come before the first one that needs a look. Results do not depend on the width.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__) && !defined(PIVOTKIT_PORTABLE)
#include <emmintrin.h>
#endif

namespace pivotkit {

#if defined(__SSE2__) && !defined(PIVOTKIT_PORTABLE)

struct Wide {
  static constexpr unsigned kBytes = 16;
  __m128i bytes;

  static Wide load(const std::uint8_t* p) noexcept { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
  void store(std::uint8_t* p) const noexcept { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes); }

  // Marks of the bytes that end a run of a JSON string's plain characters: quotes, backslashes, controls. Zero
  // when there are none, and worth a branch of its own: then the next address does not wait for where the first is.
  std::uint32_t special() const noexcept {
    const __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i slashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, slashes), controls)));
  }
  static unsigned first(std::uint32_t marked) noexcept { return static_cast<unsigned>(__builtin_ctz(marked)); }
};

#else

struct Wide {
  static constexpr unsigned kBytes = 8;
  std::uint64_t bytes;  // the first of them lowest

  static Wide load(const std::uint8_t* p) noexcept {
    std::uint64_t bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    return {in_order(bytes)};
  }
  void store(std::uint8_t* p) const noexcept {
    const std::uint64_t ordered = in_order(bytes);
    std::memcpy(p, &ordered, sizeof ordered);
  }
  std::uint64_t special() const noexcept {
    const std::uint64_t found =
        zeros(bytes ^ kOnes * '"') | zeros(bytes ^ kOnes * '\\') | ((bytes - kOnes * 0x20) & ~bytes);
    return found & kOnes * 0x80;
  }
  static unsigned first(std::uint64_t marked) noexcept { return static_cast<unsigned>(__builtin_ctzll(marked)) / 8; }

 private:
  static constexpr std::uint64_t kOnes = 0x0101010101010101u;
  // A borrow may mark bytes behind the first that is meant, never one before it.
  static std::uint64_t zeros(std::uint64_t value) noexcept { return (value - kOnes) & ~value; }
  static std::uint64_t in_order(std::uint64_t value) noexcept {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(value);
#else
    return value;
#endif
  }
};

#endif

}  // namespace pivotkit
