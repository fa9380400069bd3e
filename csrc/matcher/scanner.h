// One scan over normalized text. Every occurrence goes to a sink as `add(word, begin, end)`, in bytes of that text.
//
// A look-up in a table of 10^5 words waits for memory, and its result is a branch that no processor can predict. So
// look-ups are collected, prefetched, and made when the batch is full. Therefore occurrences come in no order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/bits.h"
#include "common/byte_table.h"
#include "matcher/alphabet.h"
#include "matcher/clusters.h"
#include "matcher/latin_words.h"
#include "matcher/trie.h"
#include "vocabulary/vocabulary.h"

namespace pivotkit {

// A value of the trie: the id of a word, and what its last code point asks of the next one.
inline constexpr std::uint32_t kBound = 0x80000000U;      // to be no word character
inline constexpr std::uint32_t kReaches = 0x40000000U;    // to be looked at, for a cluster may go on with it
inline constexpr std::uint32_t kCutsMarks = 0x20000000U;  // nothing as a mark: it is of a word, and only words bind it
inline constexpr std::uint32_t kWordId = 0x1FFFFFFFU;

template <class Sink>
class Scanner {
 public:
  Scanner(const Alphabet& alphabet, const Vocabulary& runs, const Trie& trie, Sink& sink)
      : alphabet_(alphabet), runs_(runs), trie_(trie), sink_(sink), has_runs_(runs.size() > 0) {
    prepare_latin();
  }

  // `text` is well-formed, normalized, shorter than 2^32 bytes, and followed by 64 bytes of NUL.
  void scan(Bytes text) {
    text_ = text.data;
    size_ = text.size;
    bool after_word = false;  // the code point before `at` is a word character
    last_ = Letter();
    std::size_t flags = 0;  // regional indicators directly before `at`
    for (std::size_t at = 0; at < size_;) {
      if (has_latin_ && !after_word && text_[at] < 0x80 && text_[at + 1] < 0xE0) {  // not for a mark between ideographs
        at = latin(at);
        last_ = Letter();
        flags = 0;
        if (at >= size_) break;
      }
      std::size_t length = 1;
      Letter letter = alphabet_.ascii(text_[at] & 0x7F);
      if (text_[at] >= 0x80) {
        const CodePoint code = decode_valid(text_ + at);
        letter = alphabet_[code.value];
        length = code.length;
        if (letter.kind() == CharClass::unspaced) {
          at = unspaced(at, length, letter);
          after_word = false;
          flags = 0;
          continue;
        }
      }
      const bool is_word = letter.kind() == CharClass::word;
      if (letter.symbol() != 0 && !after_word && !letter.attaches() && (is_word || !goes_on(letter, at, flags)))
        start(letter.symbol(), at, at + length);
      flags = letter.cluster() == ClusterClass::flag ? flags + 1 : 0;
      last_ = letter;
      after_word = is_word && !letter.attaches();  // the marks of a sign are none of the word behind them
      if (!after_word) {
        at += length;
        continue;
      }
      const std::size_t begin = at;  // a run is consumed whole: inside it no word can begin
      at = end_of_run(at + length, after_word);
      if (has_runs_) run(begin, at);
      last_ = kRun;
    }
    flush_runs();
    flush_walks();
  }

 private:
  static constexpr std::size_t kBatch = 64, kLetters = 1024;
  static constexpr Letter kRun{std::uint32_t{4} * static_cast<std::uint32_t>(ClusterClass::prepend)};

  struct Run {
    Vocabulary::Key key;
    std::uint32_t begin, end;
  };
  struct Walk {
    Trie::Edge edge;
    std::uint32_t begin, end;  // from the word's begin to the end of the edge's code point
    std::uint32_t next;        // the letter at `end`, in letters_
  };
  struct Seen {  // a letter that was read already, and where it ends; 0 where no more were
    Letter letter;
    std::uint32_t end;
  };

  struct Found {
    std::uint32_t value, begin, end;
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
  Clusters clusters() const noexcept { return {alphabet_, {text_, size_}}; }
  // Whether the cluster before `at` goes on with `letter`, which begins there and does not attach.
  bool goes_on(Letter letter, std::size_t at, std::size_t flags) const noexcept {
    if (letter.cluster() == ClusterClass::flag && last_.cluster() == ClusterClass::flag) return flags % 2 != 0;
    return Clusters::may_go_on(last_, letter) && clusters().go_on(at, 0);
  }

  // Checks what `latin` relies on: the letters that it takes for words are word characters, and no word of the trie
  // begins with an ASCII character that is not.
  void prepare_latin() {
    const auto begins = [this](Letter letter) {
      const Trie::End& first = trie_.first(letter.symbol());
      return letter.symbol() != 0 && (first.is_word() || first.children != 0);
    };
    for (std::uint32_t code = 0; code < 0x100; ++code) {
      const Letter letter = alphabet_[code];
      const bool is_word = letter.kind() == CharClass::word;
      if (code < 0x80) {
        begins_[code] = begins(letter);
        has_latin_ &= is_word || !begins(letter);
      } else if (code >= 0xC0 && code != 0xD7 && code != 0xF7) {
        begins_[0xC3] |= begins(letter);
        has_latin_ &= is_word;
      }
    }
  }

  // Walks over runs of Latin letters that end at ASCII, 64 bytes at a time, from a place where a run may begin. Finding
  // all ends at once spares a branch on the length of each run, which is hard to guess. Returns the place of the first
  // run or code point that it leaves, or the end.
  std::size_t latin(std::size_t at) {
    while (at < size_) {
      const LatinWords found(text_ + at);
      const std::uint64_t after = found.words << 1;
      const std::uint64_t known = found.others == 0 ? ~std::uint64_t{0} : (found.others & (0 - found.others)) - 1;
      std::uint64_t begins = found.words & ~after & known, ends = after & ~found.words & known;
      for (; ends != 0; ends &= ends - 1, begins &= begins - 1) {
        const std::size_t begin = at + lowest_bit(begins);
        if (begins_[text_[begin]]) {
          std::size_t length;
          const Letter letter = letter_at(begin, length);
          start(letter.symbol(), begin, begin + length);
        }
        if (has_runs_) run(begin, at + lowest_bit(ends));
      }
      // The end of the last run is not known yet.
      const std::size_t passed = begins != 0 ? lowest_bit(begins) : found.others != 0 ? lowest_bit(found.others) : 64;
      at += passed;
      if (passed == 0 || found.others != 0) break;
    }
    return at;
  }

  // Where the word characters from `at` on end, or those behind an enclosing mark begin; `after_word` says which.
  std::size_t end_of_run(std::size_t at, bool& after_word) const noexcept {
    while (true) {
      const std::uint64_t bytes = load<std::uint64_t>(text_ + at);
      const std::uint64_t low = bytes & ~swar::kHigh;
      const std::uint64_t words =
          swar::in_range(low, 'a', 'z') | swar::in_range(low, '0', '9') | swar::in_range(low, '_', '_');
      const std::uint64_t others = (~words | bytes) & swar::kHigh;
      at += swar::first_byte(others);
      if (others == 0) continue;
      while (text_[at] >= 0x80) {
        const CodePoint code = decode_valid(text_ + at);
        const Letter letter = alphabet_[code.value];
        if (letter.kind() != CharClass::word) return at;
        if (!after_word && !letter.attaches()) return at;
        after_word &= letter.cluster() != ClusterClass::enclosing;
        at += code.length;
      }
      if (!after_word || alphabet_.ascii(text_[at]).kind() != CharClass::word) return at;
    }
  }

  // Walks from a code point of a script without spaces to the first code point of another kind, or a part of that way.
  // The letters are kept, because walks that begin at different places read the same ones.
  std::size_t unspaced(std::size_t at, std::size_t length, Letter letter) {
    if (letter_count_ + 3 > kLetters) flush_walks();
    const std::size_t first = letter_count_;
    std::size_t begin = at;
    bool joins = false;  // some letter has a part in clusters of several
    do {
      at += length;
      letters_[letter_count_++] = {letter, static_cast<std::uint32_t>(at)};
      joins |= letter.cluster() != ClusterClass::other;
      letter = letter_at(at, length);
    } while (letter.kind() == CharClass::unspaced && letter_count_ + 2 < kLetters);
    const std::size_t end = letter_count_;
    letters_[letter_count_++] = {letter, static_cast<std::uint32_t>(at + length)};
    letters_[letter_count_++] = {Letter(), 0};
    Letter last = last_;  // in a register
    last_ = letters_[end - 1].letter;
    bool asks = true;  // the first letter, and each where some join
    for (std::size_t i = first; i < end; ++i) {
      const Letter own = letters_[i].letter;
      if (!asks || !(own.attaches() || (Clusters::may_go_on(last, own) && clusters().go_on(begin, 0))))
        start(own.symbol(), begin, letters_[i].end, letters_[i + 1].letter, letters_[i + 1].end, i + 2);
      begin = letters_[i].end;
      last = own;
      asks = joins;
    }
    return at;
  }

  void run(std::size_t begin, std::size_t end) {
    Run& entry = runs_waiting_[run_count_];
    entry.key = runs_.key(text_ + begin, end - begin);
    entry.begin = static_cast<std::uint32_t>(begin);
    entry.end = static_cast<std::uint32_t>(end);
    run_count_ += runs_.may_have(entry.key);  // written already: whether it stays is no branch to guess wrong
    if (run_count_ == kBatch) flush_runs();
  }
  void flush_runs() {
    std::size_t found = 0;
    for (std::size_t i = 0; i < run_count_; ++i) runs_.prefetch(runs_waiting_[i].key);
    for (std::size_t i = 0; i < run_count_; ++i) {
      const Run& entry = runs_waiting_[i];
      const std::int32_t word = runs_.find(entry.key, text_ + entry.begin, entry.end - entry.begin);
      found_[found] = {static_cast<std::uint32_t>(word), entry.begin, entry.end};
      if (word < 0) continue;
      sink_.prefetch(found_[found++].value);
    }
    for (std::size_t i = 0; i < found; ++i) sink_.add(found_[i].value, found_[i].begin, found_[i].end);
    run_count_ = 0;
  }

  // A word may begin at `begin` with the code point of `symbol`, which ends at `next`.
  void start(std::uint32_t symbol, std::size_t begin, std::size_t next) {
    if (trie_.first(symbol).is_word() || trie_.first(symbol).children != 0) {
      std::size_t length;
      const Letter after = letter_at(next, length);
      start(symbol, begin, next, after, next + length, 0);
    }
  }
  // The same where the letter after it is known to be `after`, which ends at `end`, and the one after that is `seen`.
  void start(std::uint32_t symbol, std::size_t begin, std::size_t next, Letter after, std::size_t end,
             std::size_t seen) {
    const Trie::End& first = trie_.first(symbol);
    if (first.is_word()) report(first.value, begin, next);
    if (!first.may_have(after.symbol()) || next >= size_) return;
    walks_[walk_count_] = step(Trie::first_name(symbol), begin, after, end, seen);
    trie_.prefetch(walks_[walk_count_].edge);
    if (++walk_count_ == kBatch) walk();
  }
  Walk step(std::uint32_t parent, std::size_t begin, Letter letter, std::size_t end, std::size_t next) const noexcept {
    const Trie::Edge edge = trie_.edge(parent, letter.symbol());
    if (letter.kind() == CharClass::space) {
      end = end_of_space(end);
      next = 0;
    }
    return {edge, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), static_cast<std::uint32_t>(next)};
  }
  // Takes all walks one step down, again and again, until none is left. An uncertain result is written and then kept or
  // not, because a branch that is guessed wrong costs more.
  void walk() {
    while (walk_count_ > 0) {
      std::size_t left = 0, found = 0;
      for (std::size_t i = 0; i < walk_count_; ++i) {
        const Walk& waiting = walks_[i];
        const std::uint32_t name = trie_.child({waiting.edge.key, waiting.edge.bucket});
        const std::size_t begin = waiting.begin, end = waiting.end, place = waiting.next;
        const Trie::Node& node = trie_.node(name);
        found_[found] = {node.value, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
        found += node.is_word();
        if (node.children == 0 || end >= size_) continue;
        Seen seen = letters_[place];
        std::size_t next = place + 1;
        if (seen.end == 0) {
          std::size_t length;
          seen.letter = letter_at(end, length);
          seen.end = static_cast<std::uint32_t>(end + length);
          next = 0;
        }
        walks_[left] = step(name, begin, seen.letter, seen.end, next);
        trie_.prefetch(walks_[left].edge);
        left += node.may_have(seen.letter.symbol());
      }
      for (std::size_t i = 0; i < found; ++i) sink_.prefetch(found_[i].value & kWordId);
      for (std::size_t i = 0; i < found; ++i) report(found_[i].value, found_[i].begin, found_[i].end);
      walk_count_ = left;
    }
  }
  void flush_walks() {
    walk();
    letter_count_ = 1;
  }
  std::size_t end_of_space(std::size_t at) const noexcept {
    std::size_t length;
    while (letter_at(at, length).kind() == CharClass::space) at += length;
    return at;
  }
  void report(std::uint32_t value, std::size_t begin, std::size_t end) {
    std::size_t length;
    const Letter next = letter_at(end, length);
    if ((value & kBound) != 0 && next.kind() == CharClass::word) return;
    if ((value & kCutsMarks) == 0 && next.attaches()) return;  // signs and scripts without spaces keep their marks
    if ((value & kReaches) != 0 && clusters().go_on(end, begin)) return;
    sink_.add(value & kWordId, begin, end);
  }

  const Alphabet& alphabet_;
  const Vocabulary& runs_;
  const Trie& trie_;
  Sink& sink_;
  bool has_runs_, has_latin_ = true;
  std::array<bool, 256> begins_{};  // whether a word of the trie may begin with this byte of a Latin letter
  const std::uint8_t* text_ = nullptr;
  std::size_t size_ = 0;
  Letter last_;  // the letter before the one that is looked at; kRun behind a run, whose last letter is not known
  std::array<Run, kBatch> runs_waiting_;
  std::array<Walk, kBatch> walks_;
  std::array<Seen, kLetters> letters_{};  // the first is none
  std::array<Found, kBatch> found_;
  std::size_t run_count_ = 0, walk_count_ = 0, letter_count_ = 1;
};

}  // namespace pivotkit
