// The distinct tokens of a document, by one bit per id: a few kilobytes that stay in a core's first-level cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

class DistinctTokens {
 public:
  explicit DistinctTokens(std::size_t vocabulary) : seen_(vocabulary / 64 + 1) {}

  // Writes the distinct ids of ids[0 .. size) to `out` (room for `size`) in the order of their first occurrence.
  // Returns how many there are. Every id is written, but the place moves on only past a new one: a branch could not
  // predict which ids are new.
  template <class Id>
  std::size_t collect(const Id* ids, std::size_t size, Id* out) noexcept {
    std::size_t count = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const Id id = ids[i];
      std::uint64_t& block = seen_[id / 64];
      const std::uint64_t bit = std::uint64_t{1} << id % 64;
      out[count] = id;
      count += (block & bit) == 0;
      block |= bit;
    }
    for (std::size_t i = 0; i < count; ++i) seen_[out[i] / 64] = 0;
    return count;
  }

 private:
  std::vector<std::uint64_t> seen_;
};

}  // namespace pivotkit
