// The text of each token of a vocabulary, and the text round a place in a document of token ids.
//
// A token's text is bytes, and may be a part of a character. Tokenizers that keep white space have it in these bytes.
// Others drop it: then two tokens have a blank between them if the first has kGapAfter or the second kGapBefore, and
// neither says that it joins the other (the tokenizer cuts there without white space, too).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/byte_table.h"

namespace pivotkit {

// Some text round a word: the word is the code points [begin, end) of it.
struct Surroundings {
  std::vector<std::uint8_t> text;
  bool goes_on_before = false, goes_on_behind = false;  // a letter stands for the rest
  std::size_t begin = 0, end = 0;
};

class TokenTexts {
 public:
  enum Flag : std::uint8_t { kUnknown = 1, kGapBefore = 2, kGapAfter = 4, kJoinsBefore = 8, kJoinsAfter = 16 };

  TokenTexts() = default;
  // Token t has the text texts[t] and the flags flags[t] (Flag bits). A token that may stand for any text is kUnknown.
  TokenTexts(ByteTable texts, const std::uint8_t* flags);

  std::size_t size() const noexcept { return flags_.size(); }
  std::size_t bytes() const noexcept {
    return data_.capacity() + offsets_.capacity() * sizeof(std::int64_t) + flags_.capacity();
  }

  // The character before the tokens from `at` on, or that with which they begin. A blank where a blank or an end of the
  // document is there, kReplacement for bytes that are no whole character.
  template <class Id>
  std::uint32_t character_before(const Id* ids, std::size_t size, std::size_t at) const;
  template <class Id>
  std::uint32_t character_at(const Id* ids, std::size_t size, std::size_t at) const;

  // The text of the tokens [begin, end) of a document with some 64 bytes of text on each side, or all that there is.
  // Where the text goes on, a letter stands for the rest. False if the word may be joined to what is not known: an
  // unknown token beside it, or bytes that are no whole character.
  template <class Id>
  bool around(const Id* ids, std::size_t size, std::size_t begin, std::size_t end, Surroundings& out) const;

 private:
  static constexpr std::size_t kReach = 64;

  bool is_unknown(std::size_t token) const noexcept { return (flags_[token] & kUnknown) != 0; }
  Bytes text(std::size_t token) const noexcept {
    return {data_.data() + offsets_[token], static_cast<std::size_t>(offsets_[token + 1] - offsets_[token])};
  }
  bool gap(std::size_t first, std::size_t second) const noexcept {
    return has_gaps_ && ((flags_[first] & kGapAfter) != 0 || (flags_[second] & kGapBefore) != 0) &&
           (flags_[first] & kJoinsAfter) == 0 && (flags_[second] & kJoinsBefore) == 0;
  }

  std::vector<std::uint8_t> data_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::uint8_t> flags_;
  bool has_gaps_ = false;
};

}  // namespace pivotkit
