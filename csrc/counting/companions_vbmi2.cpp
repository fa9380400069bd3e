// Built for AVX-512 VBMI2. No inline function of another file may appear here (common/lanes.h).
#include <immintrin.h>

#include "counting/companions.h"

namespace pivotkit {

Gathered gather_filtered(const CompanionRow<std::uint16_t>& row) {
  constexpr std::size_t kStep = CompanionRow<std::uint16_t>::kStep;
  const __m512i low = _mm512_loadu_si512(row.filter);
  const __m512i high = _mm512_loadu_si512(row.filter + kFilterWords / 2);
  const __m512i one = _mm512_set1_epi16(1);
  const __m512i bit_of = _mm512_set1_epi16(15);
  std::size_t filled = 0, i = 0;
  for (; i < row.size; ++i) {
    __builtin_prefetch(row.slots + row.documents[i + kAhead], 1);
    std::uint16_t* slot = row.slots + row.documents[i];
    const std::size_t held = slot[0];
    if (filled + held + kStep > row.room) break;
    for (std::size_t j = 0; j < held; j += kStep) {
      const __m512i ranks = _mm512_loadu_si512(slot + 1 + j);
      const __m512i words = _mm512_permutex2var_epi16(low, _mm512_srli_epi16(ranks, 4), high);
      const __mmask32 among = held - j < kStep ? (1u << (held - j)) - 1 : ~0u;
      const __mmask32 kept =
          _mm512_mask_test_epi16_mask(among, words, _mm512_sllv_epi16(one, _mm512_and_si512(ranks, bit_of)));
      _mm512_storeu_si512(row.companions + filled, _mm512_maskz_compress_epi16(kept, ranks));
      filled += static_cast<std::size_t>(__builtin_popcount(kept));
    }
    slot[0] = static_cast<std::uint16_t>(held + 1);
    slot[1 + held] = row.rank;
  }
  return {i, filled};
}

}  // namespace pivotkit
