#include "vocabulary/vocabulary.h"

#include <cstring>
#include <limits>
#include <stdexcept>

#include "common/hash.h"

namespace pivotkit {
namespace {

bool equal(Bytes a, Bytes b) noexcept {
  return a.size == b.size && (a.size == 0 || std::memcmp(a.data, b.data, a.size) == 0);
}

}  // namespace

void Vocabulary::add(Bytes word, std::int32_t id) {
  if (ids_.size() >= std::numeric_limits<std::uint32_t>::max())
    throw std::length_error("Vocabulary: size must fit 32 bits; got one word more");
  const auto index = static_cast<std::uint32_t>(ids_.size());
  arena_.insert(arena_.end(), word.data, word.data + word.size);
  offsets_.push_back(static_cast<std::int64_t>(arena_.size()));
  ids_.push_back(id);
  const auto [value, made] = index_.insert(hash_bytes(word.data, word.size, seed_));
  if (made) {
    *value = index;
  } else if (equal(at(*value), word)) {
    throw std::invalid_argument("Vocabulary: words must be distinct; got one twice");
  } else {
    rehash();
  }
}

void Vocabulary::rehash() {
  for (bool collided = true; collided;) {
    collided = false;
    ++seed_;
    index_ = FlatMap<std::uint32_t>(seed_, ids_.size());
    for (std::size_t i = 0; i < ids_.size() && !collided; ++i) {
      const Bytes word = at(i);
      const auto [value, made] = index_.insert(hash_bytes(word.data, word.size, seed_));
      *value = static_cast<std::uint32_t>(i);
      collided = !made;
    }
  }
}

std::int32_t Vocabulary::find(Bytes word) const noexcept {
  const std::uint32_t* index = index_.find(hash_bytes(word.data, word.size, seed_));
  return index != nullptr && equal(at(*index), word) ? ids_[*index] : -1;
}

std::size_t Vocabulary::bytes() const noexcept {
  return arena_.capacity() + offsets_.capacity() * sizeof(std::int64_t) + ids_.capacity() * sizeof(std::int32_t) +
         index_.bytes();
}

}  // namespace pivotkit
