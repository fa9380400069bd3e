// The k best (logit, id) pairs in the total order: logit descending, then id ascending.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>

#include "common/dtype.h"

namespace pivotkit {

// One integer per pair whose descending order is the total order. Adding zero makes -0 and +0 the same logit.
PIVOTKIT_ANYWHERE inline std::uint64_t order_key(float logit, std::int64_t id) {
  const std::uint32_t bits = to_bits(logit + 0.0f);
  const std::uint32_t ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<std::uint64_t>(ordered) << 32 | (0xffffffffu - static_cast<std::uint32_t>(id));
}

PIVOTKIT_ANYWHERE inline float key_logit(std::uint64_t key) {
  const auto ordered = static_cast<std::uint32_t>(key >> 32);
  return from_bits((ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered);
}

PIVOTKIT_ANYWHERE inline std::int64_t key_id(std::uint64_t key) {
  return 0xffffffffu - static_cast<std::uint32_t>(key);
}

// A bounded set in storage that the caller owns: a heap with the worst pair at its root.
class TopK {
 public:
  TopK(std::uint64_t* keys, std::int32_t& size, std::int64_t k) : keys_(keys), size_(size), k_(k) {}

  void push(std::uint64_t key) {
    if (size_ == k_) {
      if (key <= keys_[0]) return;
      std::pop_heap(keys_, keys_ + size_--, std::greater<>());
    }
    keys_[size_++] = key;
    std::push_heap(keys_, keys_ + size_, std::greater<>());
  }

  // A logit must be above this to enter, when ids arrive in ascending order.
  float threshold() const { return size_ < k_ ? -std::numeric_limits<float>::infinity() : key_logit(keys_[0]); }

  // Sorts best first; afterwards the set is no heap.
  void sort() { std::sort(keys_, keys_ + size_, std::greater<>()); }

 private:
  std::uint64_t* keys_;
  std::int32_t& size_;
  std::int64_t k_;
};

}  // namespace pivotkit
