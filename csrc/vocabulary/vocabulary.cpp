#include "vocabulary/vocabulary.h"

#include <array>
#include <limits>
#include <stdexcept>
#include <string>

#include "common/require.h"

namespace pivotkit {

Vocabulary::Vocabulary(const std::vector<Bytes>& words, const std::vector<std::int32_t>& ids) : size_(words.size()) {
  if (words.size() >= std::size_t{1} << 31)
    refuse<std::length_error>("Vocabulary", "words", "be fewer than 2^31", words.size());
  slots_ = HugeArray<Slot>(words.size() / 5 * 8 + 16, Slot());
  std::array<std::uint8_t, kInline + kPadding> padded;
  for (std::size_t i = 0; i < words.size(); ++i) {
    Bytes word = words[i];
    if (word.size == 0 || word.data[0] == 0)
      refuse("Vocabulary", "words", "not be empty or begin with NUL", text("word ", i));
    if (word.size <= kInline) {
      padded = {};
      std::memcpy(padded.data(), word.data, word.size);
      word.data = padded.data();
    }
    const Key found = key(word.data, word.size);
    if (find(found, word.data, word.size) >= 0)
      refuse("Vocabulary", "words", "be distinct", text("word ", i, " twice"));
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
