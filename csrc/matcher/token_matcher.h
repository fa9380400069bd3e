// Which words of a watch list occur in documents of token ids, and how often.
//
// A word is given by its spellings: the sequences of ids that a tokenizer can write it as. A word occurs where one of
// its spellings begins and both its edges are free. Two spellings of a word whose letters begin at the same place are
// one occurrence (they differ in white space and characters that are left out): the one that begins first counts, of
// those that begin at one place the shortest. The ends of a document are free. A spelling does not cross documents.
//
// An edge is free if the text is free there by the rule of text (`Matcher`). `edges` gives the kinds of the characters
// at which each token begins and ends. For two plain kinds the rule is known. Where a character is cut into several
// tokens, it is put together and its kind looked up. If one of the two is not plain, the text round the word is put
// together (`TokenTexts`) and the matcher of text is asked. What that text does not settle is no occurrence.
//
// One table look-up per token tells whether a spelling begins there. Only those places are looked at again, and longer
// spellings are walked through a hash of (node, token). These are two loops over a stretch of the document, so that the
// first loop has no branch that could be mispredicted. Time: O(tokens + places where a spelling begins x its length),
// some 20 ns more where a character is cut, and some microseconds where one is not plain. Memory: an eighth of a byte
// and 4 bytes per id of the vocabulary, about 40 bytes per token of a spelling after its first, and the texts of the
// tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/flat_map.h"
#include "common/token_documents.h"
#include "matcher/hits.h"
#include "matcher/matcher.h"
#include "matcher/token_texts.h"
#include "unicode/code_points.h"

namespace pivotkit {

class TokenMatcher {
 public:
  // The character at which a token begins or ends, as the rule of text has it beside another plain one.
  enum Kind : std::uint8_t {
    kOpen,      // white space, and what is no text: free on both sides
    kSign,      // no word character: free for a word beside it; a word that ends in it needs a free neighbour
    kWord,      // a word character of a script with spaces
    kUnspaced,  // a character of a script without spaces
    kAsk,       // not plain, or not a whole character: the matcher of text decides, except beside kOpen and kSign
    kUnsure     // the matcher of text decides always
  };
  static constexpr std::size_t kKinds = 6;

  // The matcher of text, with the same word ids, the texts of tokens that it is asked about, and the Kind of each code
  // point. Without a matcher (null) an edge that is not plain is not free.
  struct Rule {
    std::shared_ptr<const Matcher> matcher;
    TokenTexts texts;
    CodePointTable<std::uint8_t> kinds;
  };

  // Spelling s is ids[offsets[s] .. offsets[s + 1]) of word words[s] < word_count; its first leads[s] tokens hold none
  // of the word's letters. edges[t] is the Kind at which token t begins plus 16 times the Kind at which it ends. Throws
  // std::invalid_argument for an empty spelling, for a spelling of two words and for edges or a rule that do not fit,
  // std::out_of_range for an id outside the vocabulary or a word outside the list.
  TokenMatcher(const std::uint32_t* ids, const std::int64_t* offsets, const std::int32_t* words,
               const std::uint8_t* leads, std::size_t spellings, std::size_t word_count, const std::uint8_t* edges,
               std::size_t vocabulary, Rule rule);

  // Words of a document come in the order of their first occurrence. `occurrences` may be null. Throws
  // std::out_of_range for an id outside the vocabulary. Safe to call from several threads at once.
  template <class Id>
  Hits match(const TokenDocuments<Id>& documents, Occurrences* occurrences) const;

  std::size_t size() const noexcept { return word_count_; }
  std::size_t vocabulary() const noexcept { return edges_.size(); }
  std::size_t bytes() const noexcept;

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  struct Node {
    std::int32_t word = -1;                  // said by the path to here
    std::uint8_t lead = 0;                   // tokens of the path before the word's first letter
    std::uint8_t first = kAsk, last = kAsk;  // the Kinds of the first and the last character of the path
    bool has_children = false;
  };

  class Tally;
  struct Asker;

  std::size_t follow_bit(std::uint64_t key) const noexcept {
    return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15ULL >> follow_shift_);
  }
  std::uint32_t child(std::uint32_t node, std::uint32_t token) const noexcept {
    const std::size_t bit = follow_bit(std::uint64_t{node} << 32 | token);
    if ((follows_[bit / 64] >> bit % 64 & 1) == 0) return kNone;
    const std::uint32_t* found = children_.find(std::uint64_t{node} << 32 | token);
    return found == nullptr ? kNone : *found;
  }
  template <class Id>
  void find_at(const Id* ids, std::size_t size, std::size_t at, Tally& tally, std::optional<Asker>& asker) const;
  bool is_settled(const Surroundings& around) const;
  template <class Id>
  bool stands(const Id* ids, std::size_t size, std::size_t begin, std::size_t end, const Node& word, unsigned left,
              unsigned right, std::optional<Asker>& asker) const;

  std::size_t word_count_;
  std::vector<std::uint64_t> begins_;  // a bit for each token that begins a spelling
  std::vector<std::uint32_t> roots_;   // (vocabulary): its node, or kNone
  std::vector<Node> nodes_;
  FlatMap<std::uint32_t> children_;
  // a bit for each hash of (node, token): most tokens continue nothing, and this says so
  std::vector<std::uint64_t> follows_;
  int follow_shift_ = 58;
  std::vector<std::uint8_t> edges_;
  Rule rule_;
};

}  // namespace pivotkit
