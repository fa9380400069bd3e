// A frozen vocabulary: byte strings to ids and back, never lossy.
//
// The table holds one 64-bit hash per string. When two strings of the list share a hash, the list is hashed again with
// the next seed, so that within the vocabulary the hash is perfect; a lookup then compares the bytes of one candidate.
// Cost of a lookup: one hash, one probe, and for a candidate one comparison. Memory: the bytes, 12 bytes and about two
// 16-byte slots a string.
#pragma once

#include <cstdint>
#include <vector>

#include "common/byte_table.h"
#include "common/flat_map.h"

namespace pivotkit {

class Vocabulary {
 public:
  Vocabulary() = default;

  // Adds `word` under `id`. Throws std::invalid_argument when the word is there already.
  void add(Bytes word, std::int32_t id);

  // The id of `word`, or -1.
  std::int32_t find(Bytes word) const noexcept;

  std::size_t size() const noexcept { return ids_.size(); }
  std::size_t bytes() const noexcept;

 private:
  Bytes at(std::size_t index) const noexcept { return ByteTable{arena_.data(), offsets_.data(), ids_.size()}[index]; }
  void rehash();

  std::vector<std::uint8_t> arena_;
  std::vector<std::int64_t> offsets_{0};
  std::vector<std::int32_t> ids_;
  std::uint64_t seed_ = 0;
  FlatMap<std::uint32_t> index_;
};

}  // namespace pivotkit
