#include "cooccurrence/pair_product.h"

#include <algorithm>
#include <cstring>

namespace pivotkit {
namespace {

constexpr std::size_t kCopied = 64;       // bytes at a time: most documents take one step
constexpr std::size_t kAhead = 8;         // documents that are fetched before they are read
constexpr std::size_t kRow = 65535;       // documents of a row: what 16 bits count
constexpr std::size_t kBuffer = 4096;     // companions counted at once: half a core's first cache at most

}  // namespace

template <class Cell>
PairProduct<Cell>::PairProduct(std::size_t ranks, std::size_t hits)
    : capacity_(hits), hits_(ranks + 1), together_(ranks) {}

template <class Cell>
void PairProduct<Cell>::add(const std::uint32_t* ranks, std::size_t size) {
  const std::size_t slot = slots_.size();
  slots_.resize(slot + size + 1);
  slots_[slot] = static_cast<Cell>(size);
  for (std::size_t i = 0; i < size; ++i) {
    slots_[slot + 1 + i] = static_cast<Cell>(ranks[i]);
    ++hits_[ranks[i] + 1];
  }
}

// Turns the block: afterwards hits_[rank] is where the documents of the rank begin, and the slots are empty.
template <class Cell>
void PairProduct<Cell>::list_documents() {
  std::uint32_t total = 0;
  for (std::uint32_t& hits : hits_) hits = total += hits;
  documents_.resize(total + kAhead);
  for (std::size_t slot = 0; slot < slots_.size();) {
    const std::size_t size = slots_[slot];
    for (std::size_t i = 1; i <= size; ++i) documents_[hits_[slots_[slot + i]]++] = static_cast<std::uint32_t>(slot);
    slots_[slot] = 0;
    slot += size + 1;
  }
  std::move_backward(hits_.begin(), hits_.end() - 1, hits_.end());
  hits_[0] = 0;
}

template <class Cell>
void PairProduct<Cell>::take(const std::vector<std::uint32_t>& offsets, const std::uint32_t* others, std::int64_t* counts) {
  list_documents();
  slots_.resize(slots_.size() + kCopied / sizeof(Cell));
  for (std::size_t rank = 0; rank + 1 < hits_.size(); ++rank) {
    const std::size_t first = offsets[rank], last = offsets[rank + 1];
    before_.resize(std::max(before_.size(), last - first));
    for (std::size_t begin = hits_[rank]; begin < hits_[rank + 1]; begin += kRow) {
      const std::size_t size = std::min<std::size_t>(kRow, hits_[rank + 1] - begin);
      for (std::size_t e = first; e < last; ++e) before_[e - first] = together_[others[e]];
      gather(static_cast<Cell>(rank), documents_.data() + begin, size);
      together_[rank] = static_cast<std::uint16_t>(together_[rank] + size);
      for (std::size_t e = first; e < last; ++e)
        counts[e] += static_cast<std::uint16_t>(together_[others[e]] - before_[e - first]);
    }
  }
  clear();
}

// Counts the companions of a rank in its documents, and puts it into them.
template <class Cell>
std::size_t PairProduct<Cell>::gather(Cell rank, const std::uint32_t* documents, std::size_t size) {
  constexpr std::size_t kStep = kCopied / sizeof(Cell);
  const auto count = [&](std::size_t filled) {
    const Cell* companions = companions_.data();
    std::uint16_t* together = together_.data();
    for (std::size_t i = 0; i < filled; ++i) ++together[companions[i]];
  };
  std::size_t filled = 0;
  for (std::size_t i = 0; i < size; ++i) {
    __builtin_prefetch(slots_.data() + documents[i + kAhead], 1);
    Cell* slot = slots_.data() + documents[i];
    const std::size_t here = slot[0];
    if (filled + here + kStep > companions_.size()) {
      count(filled);
      filled = 0;
      companions_.resize(std::max(here + kStep, kBuffer));
    }
    for (std::size_t j = 0; j < here; j += kStep) std::memcpy(companions_.data() + filled + j, slot + 1 + j, kCopied);
    filled += here;
    slot[0] = static_cast<Cell>(here + 1);
    slot[1 + here] = rank;
  }
  count(filled);
  return 0;
}

template <class Cell>
void PairProduct<Cell>::clear() {
  slots_.clear();
  std::fill(hits_.begin(), hits_.end(), 0U);
}

template <class Cell>
std::size_t PairProduct<Cell>::bytes() const noexcept {
  return (slots_.capacity() + companions_.capacity()) * sizeof(Cell) + (hits_.capacity() + documents_.capacity()) * 4 +
         (together_.capacity() + before_.capacity()) * 2;
}

template class PairProduct<std::uint16_t>;
template class PairProduct<std::uint32_t>;

}  // namespace pivotkit
