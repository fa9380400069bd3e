#include "matcher/matcher.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace pivotkit {
namespace {

bool is_space(std::uint8_t byte) noexcept { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

CharClass last_class(const CharClasses& classes, Bytes word) noexcept {
  CharClass last = CharClass::separator;
  for (std::size_t at = 0; at < word.size;) {
    const Decoded next = classify(classes, word.data, word.size, at);
    last = next.kind;
    at += next.length;
  }
  return last;
}

void check_word(Bytes word, std::size_t id) {
  const std::string which = "; got word " + std::to_string(id);
  if (word.size == 0) throw std::invalid_argument("Matcher: words must not be empty" + which);
  for (std::size_t i = 0; i < word.size; ++i) {
    const bool edge = i == 0 || i + 1 == word.size;
    if (is_space(word.data[i]) && (edge || word.data[i] != ' ' || word.data[i + 1] == ' '))
      throw std::invalid_argument("Matcher: words must hold white space as single inner spaces only" + which);
  }
}

}  // namespace

// Counts of one document: an array over all words, and the list of those touched, which is what gets cleared.
class Matcher::Tally {
 public:
  explicit Tally(std::size_t words) : counts_(words, 0) {}

  void add(std::int32_t word) {
    std::int32_t& count = counts_[static_cast<std::size_t>(word)];
    if (count == 0) touched_.push_back(word);
    if (count == std::numeric_limits<std::int32_t>::max())
      throw std::overflow_error("Matcher: occurrences of a word in one document must fit 31 bits; got 2^31");
    ++count;
  }

  void flush(Hits& hits) {
    std::sort(touched_.begin(), touched_.end());
    for (const std::int32_t word : touched_) {
      hits.words.push_back(word);
      hits.counts.push_back(counts_[static_cast<std::size_t>(word)]);
      counts_[static_cast<std::size_t>(word)] = 0;
    }
    touched_.clear();
    hits.offsets.push_back(static_cast<std::int64_t>(hits.words.size()));
  }

 private:
  std::vector<std::int32_t> counts_;
  std::vector<std::int32_t> touched_;
};

Matcher::Matcher(ByteTable words, const std::uint8_t* classes)
    : size_(words.size), classes_(classes), trie_({}, {}), free_right_(words.size, 0) {
  if (words.size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw std::invalid_argument("Matcher: words must be fewer than 2^31; got " + std::to_string(words.size));
  std::vector<Bytes> others;
  std::vector<std::uint32_t> ids;
  for (std::size_t id = 0; id < words.size; ++id) {
    const Bytes word = words[id];
    check_word(word, id);
    if (only_word_characters(word)) {
      runs_.add(word, static_cast<std::int32_t>(id));
      continue;
    }
    others.push_back(word);
    ids.push_back(static_cast<std::uint32_t>(id));
    free_right_[id] = last_class(classes_, word) == CharClass::unspaced;
    walkable_[word.data[0]] = true;
  }
  trie_ = Trie(others, ids);
}

bool Matcher::only_word_characters(Bytes word) const noexcept {
  for (std::size_t at = 0; at < word.size;) {
    const Decoded next = classify(classes_, word.data, word.size, at);
    if (next.kind != CharClass::word) return false;
    at += next.length;
  }
  return true;
}

Hits Matcher::match(ByteTable documents) const {
  Hits hits;
  hits.offsets.reserve(documents.size + 1);
  Tally tally(size_);
  for (std::size_t i = 0; i < documents.size; ++i) {
    scan(documents[i], tally);
    tally.flush(hits);
  }
  return hits;
}

void Matcher::scan(Bytes text, Tally& tally) const {
  bool after_word = false;  // the code point before `at` is a word character
  for (std::size_t at = 0; at < text.size;) {
    Decoded next = classify(classes_, text.data, text.size, at);
    if (walkable_[text.data[at]] && (!after_word || next.kind == CharClass::unspaced)) walk(text, at, tally);
    after_word = next.kind == CharClass::word;
    if (!after_word) {
      at += next.length;
      continue;
    }
    // A run is consumed whole: inside it no word can begin.
    const std::size_t begin = at;
    for (at += next.length; at < text.size; at += next.length) {
      next = classify(classes_, text.data, text.size, at);
      if (next.kind != CharClass::word) break;
    }
    const std::int32_t word = runs_.find({text.data + begin, at - begin});
    if (word >= 0) tally.add(word);
  }
}

void Matcher::walk(Bytes text, std::size_t at, Tally& tally) const {
  for (std::uint32_t node = Trie::kRoot; at < text.size;) {
    const bool space = is_space(text.data[at]);
    node = trie_.child(node, space ? std::uint8_t{' '} : text.data[at]);
    if (node == Trie::kNone) return;
    ++at;
    if (space)
      while (at < text.size && is_space(text.data[at])) ++at;
    if (!trie_.is_word(node)) continue;
    const std::uint32_t word = trie_.value(node);
    if (free_right_[word] || at == text.size ||
        classify(classes_, text.data, text.size, at).kind != CharClass::word)
      tally.add(static_cast<std::int32_t>(word));
  }
}

}  // namespace pivotkit
