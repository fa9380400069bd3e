// All that the matcher must know of a code point, in one look-up. A code point separates words, belongs to a word of a
// script with spaces, belongs to a script without spaces, or is white space. It also has a *symbol*: a dense number for
// the code points of the words in the trie. All white space is one symbol.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "unicode/code_points.h"

namespace pivotkit {

enum class CharClass : std::uint8_t { separator = 0, word = 1, unspaced = 2, space = 3 };

class Letter {
 public:
  Letter() = default;
  explicit Letter(CharClass kind) : bits_(static_cast<std::uint32_t>(kind)) {}

  CharClass kind() const noexcept { return static_cast<CharClass>(bits_ & 3); }
  std::uint32_t symbol() const noexcept { return bits_ >> 2; }  // 0: in no word of the trie
  void set_symbol(std::uint32_t symbol) noexcept { bits_ = symbol << 2 | (bits_ & 3); }

 private:
  std::uint32_t bits_ = 0;
};

class Alphabet {
 public:
  // `classes` (kCodePoints) holds CharClass values. Throws std::invalid_argument for other values, and unless ASCII has
  // these classes: lower-case letters, digits and underscore are words; tab to carriage return and blank are white
  // space; NUL is a separator. The code that reads eight bytes at a time relies on it.
  explicit Alphabet(const std::uint8_t* classes);

  Letter operator[](std::uint32_t code_point) const noexcept { return letters_[code_point]; }
  Letter ascii(std::uint8_t byte) const noexcept { return ascii_[byte]; }

  // The symbol of `code_point`; a code point without one gets a new one. A symbol is never a multiple of 32, as the
  // filters of the trie require.
  std::uint32_t symbol(std::uint32_t code_point);
  std::uint32_t symbols() const noexcept { return symbols_; }  // one more than the greatest symbol
  std::size_t bytes() const noexcept { return letters_.bytes(); }

 private:
  CodePointTable<Letter> letters_;
  std::array<Letter, 128> ascii_;
  std::vector<std::uint32_t> spaces_;
  std::uint32_t symbols_ = 1;
};

}  // namespace pivotkit
