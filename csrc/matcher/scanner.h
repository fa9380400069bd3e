// One scan over normalized text; every occurrence goes to a sink as `add(word, begin, end)`, bytes of that text.
//
// A look-up in a table of 10^5 words waits for memory, and what it finds is a branch that no one can predict. So
// look-ups are made in batches: what is to be looked up is collected and prefetched, and looked up when the batch is
// full. Occurrences therefore come in no order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/byte_table.h"
#include "common/bits.h"
#include "matcher/alphabet.h"
#include "matcher/trie.h"
#include "vocabulary/vocabulary.h"

namespace pivotkit {

// A value of the trie: a word's id, and whether its last code point needs a free neighbour.
inline constexpr std::uint32_t kBound = 0x80000000U;

template <class Sink>
class Scanner {
 public:
  Scanner(const Alphabet& alphabet, const Vocabulary& runs, const Trie& trie, Sink& sink)
      : alphabet_(alphabet), runs_(runs), trie_(trie), sink_(sink), has_runs_(runs.size() > 0) {}

  // `text` is well-formed, normalized, shorter than 2^32 bytes, and followed by NUL and 15 readable bytes more.
  void scan(Bytes text) {
    text_ = text.data;
    size_ = text.size;
    bool after_word = false;  // the code point before `at` is a word character
    for (std::size_t at = 0; at < size_;) {
      std::size_t length = 1;
      Letter letter;
      if (text_[at] < 0x80) {
        letter = alphabet_.ascii(text_[at]);
      } else {
        const CodePoint code = decode_valid(text_ + at);
        letter = alphabet_[code.value];
        length = code.length;
        if (letter.kind() == CharClass::unspaced) {
          at = unspaced(at, length, letter);
          after_word = false;
          continue;
        }
      }
      if (letter.symbol() != 0 && !after_word) start(letter.symbol(), at, at + length);
      after_word = letter.kind() == CharClass::word;
      if (!after_word) {
        at += length;
        continue;
      }
      const std::size_t begin = at;  // a run is consumed whole: inside it no word can begin
      at = end_of_run(at + length);
      if (has_runs_) run(begin, at);
    }
    flush_runs();
    flush_starts();
  }

 private:
  static constexpr std::size_t kBatch = 32;

  struct Run {
    Vocabulary::Key key;
    std::uint32_t begin, end;
  };
  struct Start {
    std::uint32_t slot, parent, symbol;
    std::uint32_t begin, end;  // of the two code points
  };

  Letter letter_at(std::size_t at, std::size_t& length) const noexcept {
    if (text_[at] < 0x80) {
      length = 1;
      return alphabet_.ascii(text_[at]);
    }
    const CodePoint code = decode_valid(text_ + at);
    length = code.length;
    return alphabet_[code.value];
  }
  bool is_free(std::size_t at) const noexcept {
    std::size_t length;
    return letter_at(at, length).kind() != CharClass::word;
  }

  // Where the word characters from `at` on end.
  std::size_t end_of_run(std::size_t at) const noexcept {
    while (true) {
      const std::uint64_t bytes = load<std::uint64_t>(text_ + at);
      const std::uint64_t low = bytes & ~swar::kHigh;
      const std::uint64_t words = swar::in_range(low, 'a', 'z') | swar::in_range(low, '0', '9') | swar::in_range(low, '_', '_');
      const std::uint64_t others = (~words | bytes) & swar::kHigh;
      at += swar::first_byte(others);
      if (others == 0) continue;
      while (text_[at] >= 0x80) {
        const CodePoint code = decode_valid(text_ + at);
        if (alphabet_[code.value].kind() != CharClass::word) return at;
        at += code.length;
      }
      const CharClass kind = alphabet_.ascii(text_[at]).kind();
      if (kind != CharClass::word) return at;
    }
  }

  // From a code point of a script without spaces to the first of another kind.
  std::size_t unspaced(std::size_t at, std::size_t length, Letter letter) {
    do {
      const std::size_t next = at + length;
      const Letter after = letter_at(next, length);
      if (letter.symbol() != 0) start(letter.symbol(), at, next, after, next + length);
      at = next;
      letter = after;
    } while (letter.kind() == CharClass::unspaced);
    return at;
  }

  void run(std::size_t begin, std::size_t end) {
    Run& entry = run_batch_[run_count_];
    entry.key = runs_.key(text_ + begin, end - begin);
    entry.begin = static_cast<std::uint32_t>(begin);
    entry.end = static_cast<std::uint32_t>(end);
    runs_.prefetch(entry.key);
    if (++run_count_ == kBatch) flush_runs();
  }
  void flush_runs() {
    for (std::size_t i = 0; i < run_count_; ++i) {
      const Run& entry = run_batch_[i];
      const std::int32_t word = runs_.find(entry.key, text_ + entry.begin, entry.end - entry.begin);
      if (word >= 0) sink_.add(static_cast<std::uint32_t>(word), entry.begin, entry.end);
    }
    run_count_ = 0;
  }

  // A word may begin at `begin` with the code point of `symbol`, which ends at `next`.
  void start(std::uint32_t symbol, std::size_t begin, std::size_t next) {
    if (!trie_.is_first(symbol)) return;
    std::size_t length;
    const Letter after = letter_at(next, length);
    start(symbol, begin, next, after, next + length);
  }
  void start(std::uint32_t symbol, std::size_t begin, std::size_t next, Letter after, std::size_t end) {
    const Trie::Node& first = trie_.first(symbol);
    if (first.value != Trie::kNone) report(first.value, begin, next);
    if (after.symbol() == 0 || next >= size_ || !Trie::has_children(first)) return;
    const std::uint32_t parent = Trie::first_name(symbol);
    const std::uint32_t slot = trie_.slot(parent, after.symbol());
    trie_.prefetch(slot);
    if (after.kind() == CharClass::space) end = end_of_space(end);
    start_batch_[start_count_] = {slot, parent, after.symbol(), static_cast<std::uint32_t>(begin),
                                  static_cast<std::uint32_t>(end)};
    if (++start_count_ == kBatch) flush_starts();
  }
  void flush_starts() {
    for (std::size_t i = 0; i < start_count_; ++i) {
      const Start& entry = start_batch_[i];
      const std::uint32_t name = trie_.child(entry.slot, entry.parent, entry.symbol);
      if (name != Trie::kNone) walk(name, entry.begin, entry.end);
    }
    start_count_ = 0;
  }
  void walk(std::uint32_t name, std::size_t begin, std::size_t at) {
    while (true) {
      const Trie::Node& node = trie_.node(name);
      if (node.value != Trie::kNone) report(node.value, begin, at);
      if (!Trie::has_children(node) || at >= size_) return;
      std::size_t length;
      const Letter letter = letter_at(at, length);
      if (letter.symbol() == 0) return;
      name = trie_.child(trie_.slot(name, letter.symbol()), name, letter.symbol());
      if (name == Trie::kNone) return;
      at += length;
      if (letter.kind() == CharClass::space) at = end_of_space(at);
    }
  }
  std::size_t end_of_space(std::size_t at) const noexcept {
    std::size_t length;
    while (letter_at(at, length).kind() == CharClass::space) at += length;
    return at;
  }
  void report(std::uint32_t value, std::size_t begin, std::size_t end) {
    if ((value & kBound) == 0 || is_free(end)) sink_.add(value & ~kBound, begin, end);
  }

  const Alphabet& alphabet_;
  const Vocabulary& runs_;
  const Trie& trie_;
  Sink& sink_;
  bool has_runs_;
  const std::uint8_t* text_ = nullptr;
  std::size_t size_ = 0;
  std::array<Run, kBatch> run_batch_;
  std::array<Start, kBatch> start_batch_;
  std::size_t run_count_ = 0, start_count_ = 0;
};

}  // namespace pivotkit
