// Which words of a watch list occur in a document, and how often.
//
// Text and words are UTF-8 that went through the same normalization. A word occurs where its bytes occur and its two
// edges are free. An edge is free when the word's own code point there belongs to a script without spaces, or when the
// neighbour beyond it is no word character of a script with spaces (the text's ends are free). A space in a word
// stands for any run of ASCII white space, so that phrases are found across line breaks. Occurrences of different
// words, and of one word, may overlap; each start counts once.
//
// Two structures, because two kinds of words differ. A word made of word characters only (nearly all words of spaced
// scripts) can occur only as one whole run of such characters, so each run of the text costs one hash lookup. Every
// other word (phrases, punctuation, scripts without spaces) is in a double-array trie that is walked from each place
// where a word may begin. Cost: time O(text + walks), a walk ends at the first byte that no word has, so only a list
// of very long words that repeat themselves approaches O(text x longest word); memory about 50 bytes a word.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/byte_table.h"
#include "matcher/char_class.h"
#include "matcher/hits.h"
#include "matcher/trie.h"
#include "vocabulary/vocabulary.h"

namespace pivotkit {

class Matcher {
 public:
  // Word i gets id i. Words must be distinct and not empty, must not begin or end with white space, and white space
  // inside must be single spaces. `classes` (kCodePoints) holds CharClass values.
  Matcher(ByteTable words, const std::uint8_t* classes);

  // Safe to call from several threads at once.
  Hits match(ByteTable documents) const;

  std::size_t size() const noexcept { return size_; }
  std::size_t bytes() const noexcept { return runs_.bytes() + trie_.bytes() + classes_.bytes() + free_right_.size(); }

 private:
  class Tally;

  void scan(Bytes text, Tally& tally) const;
  void walk(Bytes text, std::size_t at, Tally& tally) const;
  bool only_word_characters(Bytes word) const noexcept;

  std::size_t size_;
  CharClasses classes_;
  Vocabulary runs_;
  Trie trie_;
  std::vector<std::uint8_t> free_right_;  // (words): the last code point needs no free neighbour
  std::array<bool, 256> walkable_{};      // bytes that begin a word of the trie
};

}  // namespace pivotkit
