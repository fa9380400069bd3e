#include "documents/utf8.h"

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__) && !defined(PIVOTKIT_PORTABLE)
#include <emmintrin.h>
#endif

namespace pivotkit {
namespace {

// The first bytes at `p`, zeros beyond `end`, the first of them lowest.
std::uint32_t four_bytes(const std::uint8_t* p, const std::uint8_t* end) noexcept {
  if (end - p >= 4)
    return std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[3]} << 24;
  std::uint32_t bytes = 0;
  for (std::ptrdiff_t i = 0; i < end - p; ++i) bytes |= std::uint32_t{p[i]} << 8 * i;
  return bytes;
}

// Bytes of the sequence of two to four that `bytes` begin with; 0 when they begin with none.
unsigned sequence_length(std::uint32_t bytes) noexcept {
  if ((bytes & 0x00c0c0f0u) == 0x008080e0u) {
    const std::uint32_t code = (bytes & 0x0fu) << 12 | (bytes & 0x3f00u) >> 2 | (bytes >> 16 & 0x3fu);
    return code >= 0x800u && code - 0xd800u >= 0x800u ? 3 : 0;
  }
  if ((bytes & 0x0000c0e0u) == 0x000080c0u) return (bytes & 0x1eu) != 0 ? 2 : 0;
  if ((bytes & 0xc0c0c0f8u) == 0x808080f0u) {
    const std::uint32_t high = (bytes & 0x07u) << 2 | (bytes >> 12 & 0x03u);  // the code point's bits from 16 on
    return high >= 1 && high <= 0x10 ? 4 : 0;
  }
  return 0;
}

bool one_by_one(const std::uint8_t* p, const std::uint8_t* end) noexcept {
  while (p != end) {
    const unsigned length = *p < 0x80 ? 1 : sequence_length(four_bytes(p, end));
    if (length == 0) return false;
    p += length;
  }
  return true;
}

#if defined(__SSE2__) && !defined(PIVOTKIT_PORTABLE)

__m128i load(const std::uint8_t* p) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
__m128i all(int byte) noexcept { return _mm_set1_epi8(static_cast<char>(byte)); }
bool any_high(__m128i bytes) noexcept { return _mm_movemask_epi8(bytes) != 0; }

// Judges sixteen bytes, each by itself and the three bytes before it (`back` 1 to 3). A byte must continue a sequence
// exactly if a lead byte one, two or three places back reaches that far, and the byte after E0, ED, F0 and F4 has a
// range of its own. Sequences that reach beyond the sixteen are judged with the next. Returns zero if all is well.
__m128i faults(__m128i bytes, __m128i back1, __m128i back2, __m128i back3) noexcept {
  const __m128i reach = _mm_or_si128(_mm_subs_epu8(back1, all(0xbf)),
                                     _mm_or_si128(_mm_subs_epu8(back2, all(0xdf)), _mm_subs_epu8(back3, all(0xef))));
  const __m128i free = _mm_cmpeq_epi8(reach, _mm_setzero_si128());
  const __m128i continues = _mm_cmplt_epi8(bytes, all(0xc0));  // signed: 80 to bf
  const __m128i sound = _mm_xor_si128(free, continues);
  const __m128i below_a0 = _mm_cmplt_epi8(bytes, all(0xa0)), below_90 = _mm_cmplt_epi8(bytes, all(0x90));
  __m128i wrong = _mm_and_si128(_mm_cmpeq_epi8(back1, all(0xe0)), below_a0);
  wrong = _mm_or_si128(wrong, _mm_andnot_si128(below_a0, _mm_cmpeq_epi8(back1, all(0xed))));
  wrong = _mm_or_si128(wrong, _mm_and_si128(_mm_cmpeq_epi8(back1, all(0xf0)), below_90));
  wrong = _mm_or_si128(wrong, _mm_andnot_si128(below_90, _mm_cmpeq_epi8(back1, all(0xf4))));
  wrong = _mm_or_si128(wrong, _mm_cmpeq_epi8(_mm_and_si128(bytes, all(0xfe)), all(0xc0)));  // c0, c1
  wrong = _mm_or_si128(wrong, _mm_subs_epu8(bytes, all(0xf4)));                             // f5 to ff
  return _mm_or_si128(wrong, _mm_cmpeq_epi8(sound, _mm_setzero_si128()));
}

#endif

}  // namespace

bool is_utf8(const std::uint8_t* p, const std::uint8_t* end) noexcept {
#if defined(__SSE2__) && !defined(PIVOTKIT_PORTABLE)
  if (end - p >= 32) {
    const __m128i head = load(p);
    __m128i wrong = faults(head, _mm_slli_si128(head, 1), _mm_slli_si128(head, 2), _mm_slli_si128(head, 3));
    p += 16;
    const auto judge = [](const std::uint8_t* at) {
      return faults(load(at), load(at - 1), load(at - 2), load(at - 3));
    };
    for (; end - p >= 64; p += 64) {
      const __m128i four = _mm_or_si128(_mm_or_si128(load(p), load(p + 16)), _mm_or_si128(load(p + 32), load(p + 48)));
      if (!any_high(_mm_or_si128(four, load(p - 1)))) continue;  // the one before may want a continuation
      wrong = _mm_or_si128(_mm_or_si128(wrong, _mm_or_si128(judge(p), judge(p + 16))),
                           _mm_or_si128(judge(p + 32), judge(p + 48)));
    }
    for (; end - p >= 16; p += 16) wrong = _mm_or_si128(wrong, judge(p));
    wrong = _mm_or_si128(wrong, judge(end - 16));
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) != 0xffff) return false;
    return end[-1] < 0xc0 && end[-2] < 0xe0 && end[-3] < 0xf0;  // no sequence reaches beyond the end
  }
#endif
  return one_by_one(p, end);
}

}  // namespace pivotkit
