// The companions of a rank in its documents, copied one behind another.
//
// A word is paired with few of its companions. Where one instruction looks up 32 of them in a filter of 1,024 bits,
// companions without a bit are left out; companions that share a bit with a partner stay. One in 10 or 20 is left to
// count. Elsewhere a look-up costs as much as counting, so all companions are copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pivotkit {

constexpr std::size_t kFilterWords = 64;  // of 16 bits; rank r has bit r % 16 of word r / 16 % kFilterWords
constexpr std::size_t kCopied = 64;       // bytes per step: most documents take one step
constexpr std::size_t kAhead = 8;         // documents that are fetched before they are read

template <class Cell>
struct CompanionRow {
  static constexpr std::size_t kStep = kCopied / sizeof(Cell);  // cells beyond the end that may be read and written

  Cell rank;
  const std::uint16_t* filter;
  Cell* slots;                     // per document the number of its ranks, then the ranks; kStep cells more
  const std::uint32_t* documents;  // places in slots; kAhead more
  std::size_t size;                // documents
  Cell* companions;
  std::size_t room;  // for companions, at least kStep more than the first document has ranks
};

struct Gathered {
  std::size_t documents, companions;
};

// Copies the companions of as many documents as there is room for, from the first on, and puts the rank into these
// documents.
template <class Cell>
Gathered gather_all(const CompanionRow<Cell>& row) {
  constexpr std::size_t kStep = CompanionRow<Cell>::kStep;
  std::size_t filled = 0, i = 0;
  for (; i < row.size; ++i) {
    __builtin_prefetch(row.slots + row.documents[i + kAhead], 1);
    Cell* slot = row.slots + row.documents[i];
    const std::size_t held = slot[0];
    if (filled + held + kStep > row.room) break;
    for (std::size_t j = 0; j < held; j += kStep) std::memcpy(row.companions + filled + j, slot + 1 + j, kCopied);
    filled += held;
    slot[0] = static_cast<Cell>(held + 1);
    slot[1 + held] = row.rank;
  }
  return {i, filled};
}

#ifdef PIVOTKIT_AVX512
// The same, but leaves out companions that have no bit in the filter. For Isa::avx512 with VBMI2, which compresses
// lanes of 16 bits.
Gathered gather_filtered(const CompanionRow<std::uint16_t>& row);
#endif

}  // namespace pivotkit
