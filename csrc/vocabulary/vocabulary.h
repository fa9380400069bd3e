// A frozen vocabulary: byte strings to ids, exact.
//
// One open-addressing table of 16-byte slots, four per cache line, at most 5/8 full, with linear probing. A string of
// up to 12 bytes without NUL lies in its slot, padded with zeros, so most look-ups touch one cache line. For a longer
// string the slot holds 56 bits of its hash and its place in an arena, where the bytes are compared. From 10^5 words on
// such a table misses the cache nearly always. So a caller with many look-ups makes the keys first, prefetches, and
// then finds: `key`, `prefetch`, `find`. `may_have` refuses most strings that a small vocabulary does not hold, by one
// bit of a filter that stays in the first-level cache.
//
// Memory: 26 bytes per string, its length and 8 bytes more for a string longer than 12 bytes, and 8 KB for the filter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/byte_table.h"
#include "common/hash.h"
#include "common/huge_array.h"

namespace pivotkit {

class Vocabulary {
 public:
  static constexpr std::size_t kInline = 12;
  static constexpr std::size_t kPadding = 12;  // readable bytes after the data of `key`

  struct Key {
    std::uint64_t head;  // the first 8 bytes, or for long strings a hash above a zero byte
    std::uint32_t tail;  // the next 4 bytes
    std::uint32_t hash;  // of all bytes
  };

  Vocabulary() = default;

  // Throws std::invalid_argument for a word that comes twice, is empty or begins with NUL.
  Vocabulary(const std::vector<Bytes>& words, const std::vector<std::int32_t>& ids);

  // `data` must be readable up to kPadding bytes after its end.
  Key key(const std::uint8_t* data, std::size_t size) const noexcept {
    Key key;
    std::uint64_t hash;
    if (size <= kInline) {
      key.head = load<std::uint64_t>(data) & kHeadMasks[size];
      key.tail = static_cast<std::uint32_t>(load<std::uint32_t>(data + 8)) & kTailMasks[size];
      hash = mix64(key.head ^ key.tail * 0x9E3779B97F4A7C15ULL);
    } else {
      hash = hash_bytes(data, size, 0);
      key.head = hash << 8;
      key.tail = 0;
    }
    key.hash = static_cast<std::uint32_t>(hash >> 32);
    return key;
  }
  // Whether the string that `key` was made of may be here.
  bool may_have(const Key& key) const noexcept { return (filter_[key.hash / 64 % kFilter] >> key.hash % 64 & 1) != 0; }
  void prefetch(const Key& key) const noexcept {
#if defined(__GNUC__)
    __builtin_prefetch(slots_.data() + first_slot(key));
#endif
  }

  // The id of the string that `key` was made of, or -1.
  std::int32_t find(const Key& key, const std::uint8_t* data, std::size_t size) const noexcept {
    for (std::size_t at = first_slot(key);; at = at + 1 == slots_.size() ? 0 : at + 1) {
      const Slot& slot = slots_[at];
      if (slot.id < 0) return -1;
      if (slot.head != key.head) continue;
      if (size <= kInline ? slot.tail == key.tail : is_long(slot.tail, data, size)) return slot.id;
    }
  }

  std::size_t size() const noexcept { return size_; }
  std::size_t bytes() const noexcept {
    return slots_.size() * sizeof(Slot) + arena_.capacity() + (ends_.capacity() + kFilter) * sizeof(std::uint64_t);
  }

 private:
  struct Slot {
    std::uint64_t head = 0;
    std::uint32_t tail = 0;
    std::int32_t id = -1;
  };

  static constexpr std::size_t kFilter = 1024;  // words of 64 bits
  static constexpr std::uint64_t kAll = ~std::uint64_t{0};
  static constexpr std::uint64_t kHeadMasks[kInline + 1] = {0,          kAll >> 56, kAll >> 48, kAll >> 40, kAll >> 32,
                                                            kAll >> 24, kAll >> 16, kAll >> 8,  kAll,       kAll,
                                                            kAll,       kAll,       kAll};
  static constexpr std::uint32_t kTailMasks[kInline + 1] = {0, 0, 0,    0,      0,        0,         0,
                                                            0, 0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF};

  // Where the search for a key begins: by the upper bits of its hash, as the filter takes the lower ones.
  std::size_t first_slot(const Key& key) const noexcept { return key.hash * slots_.size() >> 32; }
  bool is_long(std::uint32_t place, const std::uint8_t* data, std::size_t size) const noexcept {
    return ends_[place + 1] - ends_[place] == size && std::memcmp(arena_.data() + ends_[place], data, size) == 0;
  }

  HugeArray<Slot> slots_{1, Slot()};
  std::vector<std::uint64_t> filter_ = std::vector<std::uint64_t>(kFilter);
  std::size_t size_ = 0;
  std::vector<std::uint8_t> arena_;     // the long strings
  std::vector<std::uint64_t> ends_{0};  // (long strings + 1)
};

}  // namespace pivotkit
