// A list of byte strings in two arrays: string i is data[offsets[i] .. offsets[i + 1]). This is how text crosses the
// border from Python, and `check_offsets` is the one place where such a pair is proved sound before anything reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace pivotkit {

struct Bytes {
  const std::uint8_t* data;
  std::size_t size;
};

struct ByteTable {
  const std::uint8_t* data;
  const std::int64_t* offsets;  // (size + 1)
  std::size_t size;

  Bytes operator[](std::size_t i) const noexcept {
    return {data + offsets[i], static_cast<std::size_t>(offsets[i + 1] - offsets[i])};
  }
};

// Throws unless offsets (count + 1) begin at 0, never step back and end at `length`.
inline void check_offsets(const std::string& name, const std::int64_t* offsets, std::size_t count, std::size_t length) {
  const std::string rule = name + " must begin at 0, never decrease and end at " + std::to_string(length) + "; got ";
  if (offsets[0] != 0) throw std::invalid_argument(rule + std::to_string(offsets[0]) + " at 0");
  for (std::size_t i = 0; i < count; ++i)
    if (offsets[i + 1] < offsets[i])
      throw std::invalid_argument(rule + std::to_string(offsets[i + 1]) + " at " + std::to_string(i + 1));
  if (static_cast<std::uint64_t>(offsets[count]) != length)
    throw std::invalid_argument(rule + std::to_string(offsets[count]) + " at " + std::to_string(count));
}

}  // namespace pivotkit
