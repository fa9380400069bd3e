// All that the matcher must know of a code point, in one look-up. A code point separates words, belongs to a word of a
// script with spaces, belongs to a script without spaces, or is white space. It has a part in grapheme clusters, and a
// *symbol*: a dense number for the code points of the words in the trie. All white space is one symbol.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "unicode/code_points.h"

namespace pivotkit {

enum class CharClass : std::uint8_t { separator = 0, word = 1, unspaced = 2, space = 3 };

// Which code points form a grapheme cluster (UAX #29), in text that is normalized. Those from `extend` on belong to
// what they follow. Those below may belong to certain ones before them: `Clusters` in clusters.h has the rules.
enum class ClusterClass : std::uint8_t {
  other = 0,
  control = 1,
  prepend = 2,    // what follows belongs to it
  picture = 3,    // a pictograph: belongs to a joiner
  flag = 4,       // a regional indicator: two are one flag
  consonant = 5,  // belongs to a stacker
  sara_aa = 6,    // with nikhahit: SARA AM, which is one character before it is normalized
  ho = 7,         // with no: HO NO and HO MO of Lao, likewise
  no = 8,
  extend = 16,
  joiner = 17,
  stacker = 18,  // coeng, virama
  nikhahit = 19,
  enclosing = 20  // makes a sign of a letter: a word ends behind it
};

class Letter {
 public:
  Letter() = default;
  constexpr explicit Letter(std::uint32_t traits) : bits_(traits) {}

  CharClass kind() const noexcept { return static_cast<CharClass>(bits_ & 3); }
  ClusterClass cluster() const noexcept { return static_cast<ClusterClass>(bits_ >> 2 & 31); }
  bool attaches() const noexcept { return (bits_ & 64) != 0; }  // belongs to what it follows
  std::uint32_t symbol() const noexcept { return bits_ >> 7; }  // 0: in no word of the trie
  void set_symbol(std::uint32_t symbol) noexcept { bits_ = symbol << 7 | (bits_ & 127); }

 private:
  std::uint32_t bits_ = 0;
};

class Alphabet {
 public:
  // `letters` (kCodePoints) holds CharClass values plus four times ClusterClass values. Throws std::invalid_argument
  // for other values, and unless ASCII has these classes: lower-case letters, digits and underscore are words; tab to
  // carriage return and blank are white space; NUL is a separator; none attaches. The code that reads eight bytes at a
  // time relies on it.
  explicit Alphabet(const std::uint8_t* letters);

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
