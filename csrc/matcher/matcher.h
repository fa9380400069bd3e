// Which words of a watch list occur in a document, how often and where.
//
// Documents are raw UTF-8 and are normalized here, each in a buffer that stays in cache, exactly as `Normalizer` says;
// words come normalized. A word occurs where its code points do and its two edges are free. An edge is free when the
// word's own code point there belongs to a script without spaces, or when the neighbour beyond it is no word character of
// a script with spaces (the text's ends are free). A blank in a word stands for any run of white space, so that phrases
// are found across line breaks. Occurrences of different words, and of one word, may overlap; each start counts once.
//
// Two structures, because two kinds of words differ. A word made of word characters only (nearly all words of spaced
// scripts) can occur only as one whole run of such characters, so each run of the text costs one look-up in a hash table, and
// in a small list mostly one bit of its filter.
// Every other word (phrases, punctuation, scripts without spaces) is in a trie that is walked from each place where a
// word may begin. Cost: time O(text + walks), a walk ends at the first code point that no word has, so only a list of
// very long words that repeat themselves approaches O(text x longest word). Memory: 26 bytes a word of the first kind
// (more beyond 12 bytes), 48 bytes a trie node, and at least 0.1 MB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/byte_table.h"
#include "matcher/alphabet.h"
#include "matcher/tally.h"
#include "matcher/trie.h"
#include "unicode/normalizer.h"
#include "vocabulary/vocabulary.h"

namespace pivotkit {

// Occurrences by document, then begin, then end, then word. A place is in code points of the original text, half-open.
// Where normalization joins or expands code points, an occurrence that covers part of what they become covers them all.
struct Spans {
  std::vector<std::int64_t> documents;
  std::vector<std::int32_t> words;
  std::vector<std::int64_t> begins, ends;
};

class Matcher {
 public:
  // Word i gets id i. Words must be distinct and not empty, must not begin or end with white space, and white space
  // inside must be single blanks. `classes` (kCodePoints) holds CharClass values.
  Matcher(ByteTable words, std::shared_ptr<const Normalizer> normalizer, const std::uint8_t* classes);

  // Safe to call from several threads at once. A document must normalize to fewer than 2^32 bytes (std::length_error).
  Hits match(ByteTable documents) const;
  Spans spans(ByteTable documents) const;

  std::size_t size() const noexcept { return size_; }
  std::size_t bytes() const noexcept { return alphabet_.bytes() + runs_.bytes() + trie_.bytes(); }

 private:
  std::size_t size_;
  std::shared_ptr<const Normalizer> normalizer_;
  Alphabet alphabet_;
  Vocabulary runs_;
  Trie trie_;
};

}  // namespace pivotkit
