#include "matcher/matcher.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "common/require.h"
#include "matcher/scanner.h"

namespace pivotkit {
namespace {

struct SpanSink {
  std::vector<Span> found;

  void prefetch(std::uint32_t /*word*/) const noexcept {}
  void add(std::uint32_t word, std::size_t begin, std::size_t end) { found.push_back({begin, end, word}); }
};

void check_word(const Alphabet& alphabet, const CodePoints& word, std::size_t id) {
  if (word.empty()) refuse("Matcher", "words", "not be empty", text("word ", id));
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (alphabet[word[i]].kind() != CharClass::space) continue;
    const bool edge = i == 0 || i + 1 == word.size();
    if (edge || word[i] != ' ' || word[i + 1] == ' ')
      refuse("Matcher", "words", "hold white space as single inner blanks only", text("word ", id));
  }
}

// What the end of a word asks of the letter behind it: bits of a value of the trie.
std::uint32_t asks(const Alphabet& alphabet, const CodePoints& word) {
  const Letter last = alphabet[word.back()];
  bool reaches = last.cluster() == ClusterClass::prepend || last.cluster() == ClusterClass::flag ||
                 last.cluster() == ClusterClass::ho || last.cluster() == ClusterClass::joiner;
  for (auto code = word.rbegin(); code != word.rend() && alphabet[*code].attaches(); ++code)
    reaches |=
        alphabet[*code].cluster() == ClusterClass::stacker || alphabet[*code].cluster() == ClusterClass::nikhahit;
  const std::uint32_t reach = reaches ? kReaches : 0;
  if (last.kind() == CharClass::unspaced || last.cluster() == ClusterClass::enclosing) return reach;
  return last.kind() == CharClass::word ? kBound | kCutsMarks : kBound | reach;
}

Bytes checked(const NormalizedText& text) {
  if (text.bytes().size >= std::numeric_limits<std::uint32_t>::max())
    refuse<std::length_error>("Matcher", "a document", "normalize to fewer than 2^32 bytes", text.bytes().size);
  return text.bytes();
}

}  // namespace

Matcher::Matcher(ByteTable words, std::shared_ptr<const Normalizer> normalizer, const std::uint8_t* letters)
    : size_(words.size), normalizer_(std::move(normalizer)), alphabet_(letters) {
  if (words.size >= kWordId) refuse("Matcher", "words", "be fewer than 2^29 - 1", words.size);
  std::vector<Bytes> runs;
  std::vector<std::int32_t> run_ids;
  SymbolTable others;
  std::vector<std::uint32_t> values;
  CodePoints word;
  const auto is_word = [this](std::uint32_t code) { return alphabet_[code].kind() == CharClass::word; };
  // A run of the text ends behind an enclosing mark, so a word that goes on there is no run.
  const auto goes_on = [this](const CodePoints& code_points) {
    bool enclosed = false;
    for (const std::uint32_t code : code_points) {
      if (enclosed && !alphabet_[code].attaches()) return true;
      enclosed |= alphabet_[code].cluster() == ClusterClass::enclosing;
    }
    return false;
  };
  for (std::size_t id = 0; id < words.size; ++id) {
    const Bytes bytes = words[id];
    word.clear();
    for (std::size_t at = 0; at < bytes.size;) {
      const CodePoint code = decode(bytes.data + at, bytes.size - at);
      word.push_back(code.value);
      at += code.length;
    }
    check_word(alphabet_, word, id);
    if (std::all_of(word.begin(), word.end(), is_word) && !goes_on(word)) {
      runs.push_back(bytes);
      run_ids.push_back(static_cast<std::int32_t>(id));
      continue;
    }
    for (const std::uint32_t code : word) others.symbols.push_back(alphabet_.symbol(code));
    others.offsets.push_back(others.symbols.size());
    values.push_back(static_cast<std::uint32_t>(id) | asks(alphabet_, word));
  }
  runs_ = Vocabulary(runs, run_ids);
  trie_ = Trie(others, values, alphabet_.symbols());
}

Hits Matcher::match(ByteTable documents) const {
  Hits hits;
  hits.offsets.reserve(documents.size + 1);
  Tally tally(size_);
  NormalizedText text;
  Scanner<Tally> scanner(alphabet_, runs_, trie_, tally);
  for (std::size_t i = 0; i < documents.size; ++i) {
    normalizer_->normalize(documents[i], text);
    scanner.scan(checked(text));
    tally.flush(hits);
  }
  return hits;
}

struct Matcher::Finder::Buffers {
  explicit Buffers(const Matcher& matcher) : scanner(matcher.alphabet_, matcher.runs_, matcher.trie_, sink) {}

  NormalizedText text;
  SpanSink sink;
  Scanner<SpanSink> scanner;
};

Matcher::Finder::Finder(const Matcher& matcher) : matcher_(matcher), buffers_(std::make_unique<Buffers>(matcher)) {}
Matcher::Finder::~Finder() = default;

const std::vector<Span>& Matcher::Finder::find(Bytes text) {
  std::vector<Span>& found = buffers_->sink.found;
  found.clear();
  const std::vector<Piece> pieces = matcher_.normalizer_->align(text, buffers_->text);
  buffers_->scanner.scan(checked(buffers_->text));
  const auto begins_after = [](std::size_t at, const Piece& piece) { return at < piece.begin; };
  for (Span& span : found) {
    // The piece that holds the first byte, and the end of the one that holds the last.
    span.begin = (std::upper_bound(pieces.begin(), pieces.end(), span.begin, begins_after) - 1)->source;
    span.end = std::upper_bound(pieces.begin(), pieces.end(), span.end - 1, begins_after)->source;
  }
  std::sort(found.begin(), found.end(), [](const Span& a, const Span& b) {
    return std::tie(a.begin, a.end, a.word) < std::tie(b.begin, b.end, b.word);
  });
  return found;
}

Spans Matcher::spans(ByteTable documents) const {
  Spans spans;
  Finder finder(*this);
  for (std::size_t i = 0; i < documents.size; ++i) {
    for (const Span& found : finder.find(documents[i])) {
      spans.documents.push_back(static_cast<std::int64_t>(i));
      spans.words.push_back(static_cast<std::int32_t>(found.word));
      spans.begins.push_back(static_cast<std::int64_t>(found.begin));
      spans.ends.push_back(static_cast<std::int64_t>(found.end));
    }
  }
  return spans;
}

}  // namespace pivotkit
