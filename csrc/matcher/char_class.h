// What the matcher must know of a code point: does it separate words, belong to a word of a script with spaces, or
// belong to a script without spaces. The caller brings the table (one byte for each of the 0x110000 code points), so
// that it agrees with the Unicode version that normalized the text; here it is folded into blocks of 256 (about 20 KB).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "unicode/code_points.h"

namespace pivotkit {

enum class CharClass : std::uint8_t { separator = 0, word = 1, unspaced = 2 };


class CharClasses {
 public:
  // `table` (kCodePoints) of CharClass values; throws std::invalid_argument on another value.
  explicit CharClasses(const std::uint8_t* table);

  CharClass ascii(std::uint8_t byte) const noexcept { return static_cast<CharClass>(ascii_[byte]); }
  CharClass operator[](std::uint32_t code_point) const noexcept {
    return static_cast<CharClass>(blocks_[static_cast<std::size_t>(block_of_[code_point >> 8]) * 256 + (code_point & 255)]);
  }
  std::size_t bytes() const noexcept { return blocks_.capacity() + block_of_.size() * sizeof(std::uint16_t); }

 private:
  std::array<std::uint8_t, 128> ascii_;
  std::vector<std::uint16_t> block_of_;
  std::vector<std::uint8_t> blocks_;
};

struct Decoded {
  CharClass kind;
  std::uint32_t length;  // bytes, at least 1
};

// The class of the code point at data[at], at < size. A byte that begins no well-formed code point is a separator of
// one byte, so any bytes are safe to scan.
inline Decoded classify(const CharClasses& classes, const std::uint8_t* data, std::size_t size, std::size_t at) noexcept {
  const std::uint8_t lead = data[at];
  if (lead < 0x80) return {classes.ascii(lead), 1};
  const std::uint32_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || size - at < length) return {CharClass::separator, 1};
  std::uint32_t code_point = lead & (0xFFU >> (length + 1));
  for (std::uint32_t i = 1; i < length; ++i) {
    const std::uint8_t byte = data[at + i];
    if ((byte & 0xC0) != 0x80) return {CharClass::separator, 1};
    code_point = code_point << 6 | (byte & 0x3FU);
  }
  if (code_point >= kCodePoints) return {CharClass::separator, 1};
  return {classes[code_point], length};
}

}  // namespace pivotkit
