// An open-addressing map from 64-bit keys to small values: one flat array of a power of two of slots, linear probing,
// at most three quarters full. Every 64-bit integer is a legal key, because a byte of its own marks a used slot. A
// seeded mix spreads the keys, so keys that differ by a constant do not pile up. There is no erase: counters only grow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/hash.h"

namespace pivotkit {

template <class Value>
class FlatMap {
 public:
  explicit FlatMap(std::uint64_t seed = 0, std::size_t expected = 0) : seed_(seed) {
    std::size_t slots = 16;
    while (slots / 4 * 3 < expected) slots *= 2;
    slots_.resize(slots);
  }

  std::size_t size() const noexcept { return size_; }
  std::size_t bytes() const noexcept { return slots_.size() * sizeof(Slot); }

  // The value of `key`, or null.
  const Value* find(std::uint64_t key) const noexcept {
    const Slot& slot = slots_[place(slots_, key)];
    return slot.used ? &slot.value : nullptr;
  }

  // Calls visit(key, value) for each entry, in no order.
  template <class Visit>
  void each(Visit&& visit) const {
    for (const Slot& slot : slots_)
      if (slot.used) visit(slot.key, slot.value);
  }

  // The value of `key`. A key that was absent gets `Value()`; `second` says whether that happened.
  std::pair<Value*, bool> insert(std::uint64_t key) {
    if (size_ + 1 > slots_.size() / 4 * 3) grow();
    Slot& slot = slots_[place(slots_, key)];
    const bool made = !slot.used;
    if (made) {
      slot.key = key;
      slot.used = 1;
      ++size_;
    }
    return {&slot.value, made};
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    Value value = Value();
    std::uint8_t used = 0;
  };

  std::size_t place(const std::vector<Slot>& slots, std::uint64_t key) const noexcept {
    const std::size_t mask = slots.size() - 1;
    std::size_t at = static_cast<std::size_t>(mix64(key ^ seed_)) & mask;
    while (slots[at].used && slots[at].key != key) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    std::vector<Slot> larger(slots_.size() * 2);
    for (const Slot& slot : slots_)
      if (slot.used) larger[place(larger, slot.key)] = slot;
    slots_.swap(larger);
  }

  std::uint64_t seed_;
  std::size_t size_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace pivotkit
