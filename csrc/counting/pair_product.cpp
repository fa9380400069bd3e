#include "counting/pair_product.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <type_traits>

#include "common/isa.h"

namespace pivotkit {
namespace {

constexpr std::size_t kRow = 65535;    // documents of a row at most: what 16 bits count
constexpr std::size_t kBuffer = 2048;  // companions counted at once: a fraction of a core's first cache

template <class Cell>
Gathered (*choose_gather())(const CompanionRow<Cell>&) {
#ifdef PIVOTKIT_AVX512
  static const bool compresses = __builtin_cpu_supports("avx512vbmi2");
  if constexpr (std::is_same_v<Cell, std::uint16_t>)
    if (compresses && select_isa("") >= Isa::avx512) return gather_filtered;
#endif
  return gather_all<Cell>;
}

}  // namespace

template <class Cell>
PairProduct<Cell>::PairProduct(std::size_t ranks, std::size_t hits)
    : gather_(choose_gather<Cell>()), ranks_(ranks), capacity_(hits),
      slots_(hits + ranks + 1 + CompanionRow<Cell>::kStep), documents_(hits + ranks + kAhead), ends_(ranks + 1),
      together_(ranks) {}

template <class Cell>
void PairProduct<Cell>::add(const std::uint32_t* ranks, std::size_t size) noexcept {
  Cell* slot = slots_.data() + used_;
  slot[0] = static_cast<Cell>(size);
  for (std::size_t i = 0; i < size; ++i) {
    slot[1 + i] = static_cast<Cell>(ranks[i]);
    ++ends_[ranks[i] + 1];
  }
  used_ += size + 1;
}

// Empties the slots, too.
template <class Cell>
void PairProduct<Cell>::list_documents() noexcept {
  std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
  std::uint32_t* next = ends_.data();  // where the documents of each rank begin; afterwards where they end
  for (std::size_t place = 0; place < used_;) {
    Cell* slot = slots_.data() + place;
    const std::size_t size = slot[0];
    for (std::size_t i = 1; i <= size; ++i) documents_[next[slot[i]]++] = static_cast<std::uint32_t>(place);
    slot[0] = 0;
    place += size + 1;
  }
}

template <class Cell>
void PairProduct<Cell>::take(const std::uint32_t* offsets, const std::uint32_t* others, std::int64_t* counts) {
  if (used_ == 0) return;
  list_documents();
  std::size_t begin = 0;
  for (std::size_t rank = 0; rank < ranks_; ++rank) {
    if (ends_[rank] == begin) continue;
    const std::size_t first = offsets[rank], last = offsets[rank + 1];
    if (before_.size() < last - first) before_.resize(last - first);
    std::fill(std::begin(filter_), std::end(filter_), std::uint16_t{0});
    for (std::size_t e = first; e < last; ++e) {
      std::uint16_t& word = filter_[others[e] / 16 % kFilterWords];
      word = static_cast<std::uint16_t>(word | 1 << others[e] % 16);
    }
    for (const std::size_t end = ends_[rank]; begin < end;) {
      const std::size_t size = std::min(kRow, end - begin);
      for (std::size_t e = first; e < last; ++e) before_[e - first] = together_[others[e]];
      put(static_cast<Cell>(rank), documents_.data() + begin, size);
      together_[rank] = static_cast<std::uint16_t>(together_[rank] + size);  // a word may be paired with itself
      for (std::size_t e = first; e < last; ++e)
        counts[e] += static_cast<std::uint16_t>(together_[others[e]] - before_[e - first]);
      begin += size;
    }
  }
  clear();
}

// Counts the companions of a rank in some of its documents, and puts it into them.
template <class Cell>
void PairProduct<Cell>::put(Cell rank, const std::uint32_t* documents, std::size_t size) {
  while (size > 0) {
    const std::size_t least = slots_[documents[0]] + CompanionRow<Cell>::kStep;
    if (companions_.size() < least) companions_.resize(std::max(least, kBuffer));
    const Gathered done =
        gather_({rank, filter_, slots_.data(), documents, size, companions_.data(), companions_.size()});
    count(done.companions);
    documents += done.documents;
    size -= done.documents;
  }
}

template <class Cell>
void PairProduct<Cell>::count(std::size_t companions) noexcept {
  std::uint16_t* together = together_.data();
  const Cell* last = companions_.data() + companions;
  for (const Cell* rank = companions_.data(); rank != last; ++rank) ++together[*rank];
}

template <class Cell>
void PairProduct<Cell>::clear() {
  used_ = 0;
  std::fill(ends_.begin(), ends_.end(), 0U);
}

template <class Cell>
std::size_t PairProduct<Cell>::bytes() const noexcept {
  return (capacity_ + ranks_ + companions_.capacity()) * sizeof(Cell) + (capacity_ + ranks_) * 4 +
         ends_.capacity() * 4 + (together_.capacity() + before_.capacity()) * 2;
}

template class PairProduct<std::uint16_t>;
template class PairProduct<std::uint32_t>;

}  // namespace pivotkit
