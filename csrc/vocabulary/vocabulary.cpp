#include "vocabulary/vocabulary.h"

#include <array>
#include <limits>
#include <stdexcept>
#include <string>

namespace pivotkit {

Vocabulary::Vocabulary(const std::vector<Bytes>& words, const std::vector<std::int32_t>& ids) : size_(words.size()) {
  if (words.size() >= std::size_t{1} << 31)
    throw std::length_error("Vocabulary: words must be fewer than 2^31; got " + std::to_string(words.size()));
  slots_ = LargeVector<Slot>(words.size() / 5 * 8 + 16);
  std::array<std::uint8_t, kInline + kPadding> padded;
  for (std::size_t i = 0; i < words.size(); ++i) {
    Bytes word = words[i];
    if (word.size == 0 || word.data[0] == 0)
      throw std::invalid_argument("Vocabulary: words must not be empty or begin with NUL; got word " + std::to_string(i));
    if (word.size <= kInline) {
      padded = {};
      std::memcpy(padded.data(), word.data, word.size);
      word.data = padded.data();
    }
    const Key found = key(word.data, word.size);
    if (find(found, word.data, word.size) >= 0)
      throw std::invalid_argument("Vocabulary: words must be distinct; got word " + std::to_string(i) + " twice");
    filter_[found.hash / 64 % kFilter] |= std::uint64_t{1} << found.hash % 64;
    std::size_t at = first_slot(found);
    while (slots_[at].id >= 0) at = at + 1 == slots_.size() ? 0 : at + 1;
    slots_[at] = {found.head, found.tail, ids[i]};
    if (word.size <= kInline) continue;
    slots_[at].tail = static_cast<std::uint32_t>(ends_.size() - 1);
    arena_.insert(arena_.end(), word.data, word.data + word.size);
    ends_.push_back(arena_.size());
  }
}

}  // namespace pivotkit
