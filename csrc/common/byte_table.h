// A list of byte strings in two arrays: string i is data[offsets[i] .. offsets[i + 1]). Text comes from Python in this
// form. `check_offsets` proves the offsets before anything reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/require.h"

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

// Refuses offsets (count + 1) that do not begin at 0, step back, or do not end at `length`.
inline void check_offsets(const std::string& function, const std::string& argument, const std::int64_t* offsets,
                          std::size_t count, std::size_t length) {
  const auto bad = [&](std::size_t at) {
    refuse(function, argument, text("begin at 0, never decrease and end at ", length), text(offsets[at], " at ", at));
  };
  if (offsets[0] != 0) bad(0);
  for (std::size_t i = 0; i < count; ++i)
    if (offsets[i + 1] < offsets[i]) bad(i + 1);
  if (static_cast<std::uint64_t>(offsets[count]) != length) bad(count);
}

}  // namespace pivotkit
