// Finds the places of an array that are not zero, in ascending order, 64 at a time as the bits of a word. It costs as
// much as the places found and a sixteenth of the array. No branch depends on a single value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/bits.h"

namespace pivotkit {

// Bit i says whether values[i] is not zero, i < 64.
template <class T>
std::uint64_t nonzero_mask(const T* values) noexcept {
  std::uint8_t flags[64];
  for (std::size_t i = 0; i < 64; ++i) flags[i] = values[i] != 0;
  std::uint64_t mask = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    std::uint64_t eight;
    std::memcpy(&eight, flags + 8 * i, 8);
    mask |= (eight * 0x0102040810204080U >> 56) << 8 * i;  // the lowest bit of each byte, gathered in the highest byte
  }
  return mask;
}

// Calls found(i) for each values[i] that is not zero.
template <class T, class Found>
void each_nonzero(const T* values, std::size_t size, Found&& found) {
  std::size_t begin = 0;
  for (; begin + 64 <= size; begin += 64)
    for (std::uint64_t mask = nonzero_mask(values + begin); mask != 0; mask &= mask - 1)
      found(begin + lowest_bit(mask));
  for (; begin < size; ++begin)
    if (values[begin] != 0) found(begin);
}

}  // namespace pivotkit
