// Which words of a watch list occur in a document, how often and where.
//
// Documents are raw UTF-8. The matcher normalizes each one in a buffer that stays in cache, exactly as `Normalizer`
// says. Words come normalized. A word occurs where its code points occur and both its edges are free. The word's own
// code point at an edge decides. If it is a word character of a script with spaces, the neighbour beyond must be none.
// If it belongs to a script without spaces, no grapheme cluster may go on over the edge (`Clusters`). If it is anything
// else, both. Marks at the beginning of a run of word characters belong to what they follow, and are no neighbours that
// bind. The ends of the text are free. A blank in a word stands for any run of white space, so phrases are found across
// line breaks. Occurrences of different words may overlap, and so may those of one word; each start counts once.
//
// There are two kinds of words, and one structure for each. A word made only of word characters (nearly all words of
// scripts with spaces) can occur only as a whole run of such characters. So each run of the text costs one look-up in a
// hash table, and with a small list mostly one bit of a filter. Every other word (phrases, punctuation, scripts without
// spaces) is in a trie, which is walked from each place where a word may begin. Time: O(text + walks). A walk ends at
// the first code point that no word has there, so only a list of very long words that repeat themselves approaches
// O(text x longest word). Memory: 26 bytes per word of the first kind (more beyond 12 bytes), 48 bytes per trie node,
// and at least 0.1 MB.
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

// Occurrences in the order of document, then begin, then end, then word. Places count code points of the original text,
// and ranges are half-open. Where normalization joins or expands code points, an occurrence that covers part of the
// result covers all of those code points.
struct Spans {
  std::vector<std::int64_t> documents;
  std::vector<std::int32_t> words;
  std::vector<std::int64_t> begins, ends;
};

// An occurrence in one text, in its code points.
struct Span {
  std::size_t begin, end;
  std::uint32_t word;
};

class Matcher {
 public:
  // Word i gets id i. Words must be distinct and not empty. They must not begin or end with white space, and white
  // space inside must be single blanks. `letters` (kCodePoints) is as for `Alphabet`.
  Matcher(ByteTable words, std::shared_ptr<const Normalizer> normalizer, const std::uint8_t* letters);

  // Safe to call from several threads at once. A document must normalize to fewer than 2^32 bytes (std::length_error).
  Hits match(ByteTable documents) const;
  Spans spans(ByteTable documents) const;

  // Finds the spans of one text after another, in the order of `Spans`. For short texts: it keeps its buffers.
  class Finder {
   public:
    explicit Finder(const Matcher& matcher);
    ~Finder();
    const std::vector<Span>& find(Bytes text);  // until the next call

   private:
    struct Buffers;
    const Matcher& matcher_;
    std::unique_ptr<Buffers> buffers_;
  };

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
