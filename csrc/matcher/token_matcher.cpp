#include "matcher/token_matcher.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/require.h"

namespace pivotkit {
namespace {

constexpr std::size_t kStretch = 2048;   // tokens between the two loops: their places fit a core's first cache
constexpr std::size_t kFollowBits = 16;  // for each continuation: one token in sixteen passes in vain

enum Verdict : std::uint8_t { kFree = 0, kAsked = 1, kBound = 2 };

// The verdict for each Kind of the neighbour (eight times) and of the word at the edge.
constexpr std::array<std::uint8_t, 64> verdicts() {
  using T = TokenMatcher;
  std::array<std::uint8_t, 64> table{};
  for (std::uint8_t neighbour = 0; neighbour < T::kKinds; ++neighbour) {
    for (std::uint8_t own = 0; own < T::kKinds; ++own) {
      const bool unsure = neighbour == T::kUnsure || own == T::kUnsure;
      const bool open = own == T::kOpen || neighbour == T::kOpen || neighbour == T::kSign;
      const bool plain = neighbour != T::kAsk && own != T::kAsk;
      const bool meets = neighbour == T::kWord && own != T::kUnspaced;
      table[neighbour * 8U + own] = unsure ? kAsked : open ? kFree : !plain ? kAsked : meets ? kBound : kFree;
    }
  }
  return table;
}

constexpr std::array<std::uint8_t, 64> kVerdicts = verdicts();

unsigned verdict(unsigned neighbour, unsigned own) { return kVerdicts[neighbour * 8 + own]; }

}  // namespace

// The hits of one document: each word's place among those touched, and how often it came.
class TokenMatcher::Tally {
 public:
  Tally(std::size_t words, bool keeps_places) : places_(words, 0), keeps_places_(keeps_places) {}

  void begin() {
    base_ += static_cast<std::uint32_t>(words_.size());
    if (base_ > std::numeric_limits<std::uint32_t>::max() / 2) {  // long before places wrap round
      std::fill(places_.begin(), places_.end(), 0);
      base_ = 0;
    }
    words_.clear();
    counts_.clear();
    found_.clear();
    last_.clear();
  }

  void add(std::int32_t word, std::size_t start, std::size_t end, std::size_t lead) {
    // places_[word] is base_ + 1 + the place of the word among those of this document, so a document needs no clearing.
    std::uint32_t& place = places_[static_cast<std::size_t>(word)];
    const auto letters = static_cast<std::int64_t>(start + lead);
    if (place <= base_) {
      words_.push_back(word);
      counts_.push_back(0);
      last_.push_back(-1);
      place = base_ + static_cast<std::uint32_t>(words_.size());
    }
    const std::size_t mine = place - base_ - 1;
    if (last_[mine] == letters) return;  // another spelling of the same occurrence
    last_[mine] = letters;
    ++counts_[mine];
    if (keeps_places_)
      found_.push_back(
          {static_cast<std::uint32_t>(mine), static_cast<std::int32_t>(start), static_cast<std::int32_t>(end)});
  }

  void flush(Hits& hits, Occurrences* occurrences) {
    hits.words.insert(hits.words.end(), words_.begin(), words_.end());
    hits.counts.insert(hits.counts.end(), counts_.begin(), counts_.end());
    hits.offsets.push_back(static_cast<std::int64_t>(hits.words.size()));
    if (occurrences == nullptr) return;
    const std::size_t base = occurrences->starts.size();
    occurrences->starts.resize(base + found_.size());
    occurrences->ends.resize(base + found_.size());
    next_.assign(words_.size(), base);
    for (std::size_t i = 0; i < words_.size(); ++i) {
      if (i > 0) next_[i] = next_[i - 1] + static_cast<std::size_t>(counts_[i - 1]);
      occurrences->offsets.push_back(static_cast<std::int64_t>(next_[i]) + counts_[i]);
    }
    for (const Found& one : found_) {
      const std::size_t to = next_[one.place]++;
      occurrences->starts[to] = one.start;
      occurrences->ends[to] = one.end;
    }
  }

 private:
  struct Found {
    std::uint32_t place;
    std::int32_t start, end;
  };

  std::vector<std::uint32_t> places_;
  std::uint32_t base_ = 0;
  bool keeps_places_;
  std::vector<std::int32_t> words_, counts_;
  std::vector<std::int64_t> last_;  // where the letters of each word's last occurrence begin
  std::vector<Found> found_;
  std::vector<std::size_t> next_;
};

TokenMatcher::TokenMatcher(const std::uint32_t* ids, const std::int64_t* offsets, const std::int32_t* words,
                           const std::uint8_t* leads, std::size_t spellings, std::size_t word_count,
                           const std::uint8_t* edges, std::size_t vocabulary, Rule rule)
    : word_count_(word_count), begins_(vocabulary / 64 + 1), roots_(vocabulary, kNone),
      edges_(edges, edges + vocabulary), rule_(std::move(rule)) {
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (word_count > kMost || vocabulary > kMost)
    refuse("TokenMatcher", "words and vocabulary", "be below 2^31", text(word_count, ", ", vocabulary));
  for (std::size_t t = 0; t < vocabulary; ++t)
    if (edges[t] % 16 >= kKinds || edges[t] / 16 >= kKinds)
      refuse("TokenMatcher", "edges", "be two kinds each", text(int{edges[t]}, " at ", t));
  if (rule_.matcher && (rule_.matcher->size() != word_count || rule_.texts.size() != vocabulary))
    refuse("TokenMatcher", "rule", text("be of ", word_count, " words and ", vocabulary, " tokens"),
           text(rule_.matcher->size(), " and ", rule_.texts.size()));
  for (std::uint32_t code = 0; code < kCodePoints; ++code)
    if (rule_.kinds[code] >= kKinds) refuse("TokenMatcher", "kinds", "be a kind each", text(int{rule_.kinds[code]}));
  for (std::size_t s = 0; s < spellings; ++s) {
    const auto first = static_cast<std::size_t>(offsets[s]);
    const auto last = static_cast<std::size_t>(offsets[s + 1]);
    if (first == last) refuse("TokenMatcher", "spellings", "not be empty", text("spelling ", s));
    if (leads[s] >= last - first)
      refuse("TokenMatcher", "leads", "be fewer than a spelling's tokens", text(int{leads[s]}, " of ", last - first));
    if (words[s] < 0 || static_cast<std::size_t>(words[s]) >= word_count)
      refuse<std::out_of_range>("TokenMatcher", "words", text("be ids in [0, ", word_count, ")"), words[s]);
    std::uint32_t node = kNone;
    for (std::size_t i = first; i < last; ++i) {
      const std::uint32_t token = ids[i];
      if (token >= vocabulary)
        refuse<std::out_of_range>("TokenMatcher", "ids", text("be in [0, ", vocabulary, ")"), token);
      std::uint32_t* next = &roots_[token];
      if (i > first) {
        nodes_[node].has_children = true;
        const auto [value, made] = children_.insert(std::uint64_t{node} << 32 | token);
        if (made) *value = kNone;
        next = value;
      }
      if (*next == kNone) {
        if (nodes_.size() >= kNone)
          refuse<std::length_error>("TokenMatcher", "spellings", "need fewer than 2^32 nodes", "more");
        *next = static_cast<std::uint32_t>(nodes_.size());
        nodes_.emplace_back();
      }
      node = *next;
    }
    begins_[ids[first] / 64] |= std::uint64_t{1} << ids[first] % 64;
    Node& end = nodes_[node];
    if (end.word >= 0 && end.word != words[s])
      refuse("TokenMatcher", "spellings", "be of one word each", text("one of words ", end.word, " and ", words[s]));
    end.word = words[s];
    end.lead = leads[s];
    end.first = edges_[ids[first]] % 16U;
    end.last = edges_[ids[last - 1]] / 16U;
    if (rule_.matcher) {  // a character of the word may lie in several tokens
      end.first = rule_.kinds[rule_.texts.character_at(ids + first, last - first, 0)];
      end.last = rule_.kinds[rule_.texts.character_before(ids + first, last - first, last - first)];
    }
  }
  std::size_t bits = 64;
  for (; bits < kFollowBits * children_.size(); bits *= 2) --follow_shift_;
  follows_.resize(bits / 64);
  children_.each([&](std::uint64_t key, std::uint32_t) {
    follows_[follow_bit(key) / 64] |= std::uint64_t{1} << follow_bit(key) % 64;
  });
}

// Asks the matcher of text.
struct TokenMatcher::Asker {
  explicit Asker(const Rule& rule) : finder(*rule.matcher) {}

  Matcher::Finder finder;
  Surroundings around;
};

template <class Id>
void TokenMatcher::find_at(const Id* ids, std::size_t size, std::size_t at, Tally& tally,
                           std::optional<Asker>& asker) const {
  std::uint32_t node = roots_[ids[at]];
  for (std::size_t end = at + 1;; ++end) {
    const Node& here = nodes_[node];
    if (here.word >= 0) {
      const unsigned left = at == 0 ? unsigned{kFree} : verdict(edges_[ids[at - 1]] / 16U, here.first);
      const unsigned right = end == size ? unsigned{kFree} : verdict(edges_[ids[end]] % 16U, here.last);
      const unsigned both = left | right;
      if (both == kFree || (both == kAsked && stands(ids, size, at, end, here, left, right, asker)))
        tally.add(here.word, at, end, here.lead);
    }
    if (!here.has_children || end == size) return;
    node = child(node, ids[end]);
    if (node == kNone) return;
  }
}

// Whether the text that is not there cannot change the answer: a plain character lies between it and the word.
bool TokenMatcher::is_settled(const Surroundings& around) const {
  bool before = !around.goes_on_before, behind = !around.goes_on_behind;
  const std::size_t size = around.text.size() - (around.goes_on_behind ? 1 : 0);
  std::size_t place = around.goes_on_before ? 1 : 0;
  for (std::size_t at = place; at < size && !(before && behind); ++place) {
    const CodePoint code = decode(around.text.data() + at, size - at);
    const bool plain = rule_.kinds[code.value] != kAsk;
    before |= plain && place < around.begin;
    behind |= plain && place >= around.end;
    at += code.length;
  }
  return before && behind;
}

// Whether the text has the word where the tokens [begin, end) write it. `left` and `right` are what its edges say.
template <class Id>
bool TokenMatcher::stands(const Id* ids, std::size_t size, std::size_t begin, std::size_t end, const Node& word,
                          unsigned left, unsigned right, std::optional<Asker>& asker) const {
  if (!rule_.matcher) return false;
  if (left == kAsked) left = verdict(rule_.kinds[rule_.texts.character_before(ids, size, begin)], word.first);
  if (right == kAsked) right = verdict(rule_.kinds[rule_.texts.character_at(ids, size, end)], word.last);
  const unsigned both = left | right;
  if (both != kAsked) return both == kFree;
  if (!asker) asker.emplace(rule_);
  Surroundings& around = asker->around;
  if (!rule_.texts.around(ids, size, begin, end, around)) return false;
  if (!is_settled(around)) return false;
  for (const Span& found : asker->finder.find({around.text.data(), around.text.size()}))
    if (static_cast<std::int32_t>(found.word) == word.word && found.begin <= around.begin && found.end >= around.end)
      return true;
  return false;
}

template <class Id>
Hits TokenMatcher::match(const TokenDocuments<Id>& documents, Occurrences* occurrences) const {
  check_tokens("match", documents, edges_.size());
  Hits hits;
  hits.offsets.reserve(documents.size + 1);
  Tally tally(word_count_, occurrences != nullptr);
  std::vector<std::uint32_t> places(kStretch);
  std::optional<Asker> asker;
  for (std::size_t d = 0; d < documents.size; ++d) {
    const Id* ids = documents.ids + documents.offsets[d];
    const auto size = static_cast<std::size_t>(documents.offsets[d + 1] - documents.offsets[d]);
    if (size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
      refuse<std::length_error>("match", "documents", "be shorter than 2^31 tokens", size);
    tally.begin();
    for (std::size_t begin = 0; begin < size; begin += kStretch) {
      const std::size_t end = std::min(size, begin + kStretch);
      std::size_t count = 0;
      for (std::size_t i = begin; i < end; ++i) {
        places[count] = static_cast<std::uint32_t>(i);
        count += begins_[ids[i] / 64] >> (ids[i] % 64) & 1;
      }
      for (std::size_t i = 0; i < count; ++i) find_at(ids, size, places[i], tally, asker);
    }
    tally.flush(hits, occurrences);
  }
  return hits;
}

std::size_t TokenMatcher::bytes() const noexcept {
  return begins_.capacity() * sizeof(std::uint64_t) + roots_.capacity() * sizeof(std::uint32_t) +
         nodes_.capacity() * sizeof(Node) + children_.bytes() + edges_.capacity() +
         follows_.capacity() * sizeof(std::uint64_t) + rule_.texts.bytes() +
         (rule_.matcher ? rule_.matcher->bytes() : 0);
}

template Hits TokenMatcher::match(const TokenDocuments<std::uint16_t>&, Occurrences*) const;
template Hits TokenMatcher::match(const TokenDocuments<std::uint32_t>&, Occurrences*) const;

}  // namespace pivotkit
