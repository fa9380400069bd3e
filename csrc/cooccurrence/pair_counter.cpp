#include "cooccurrence/pair_counter.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace pivotkit {
namespace {

constexpr std::size_t kEdgeCost = 2;         // of an edge looked at, in companions counted
constexpr std::size_t kClearCost = 8;        // of a companion set to 0 by itself, in companions of a whole array
constexpr std::size_t kBlockHits = 1 << 19;  // of the documents that wait: 2 MB, a core's second cache
constexpr std::size_t kFewestHits = 4;       // a document of fewer does not wait: it costs nothing either way

std::size_t at(std::int32_t word) noexcept { return static_cast<std::size_t>(word); }

}  // namespace

PairCounter::PairCounter(std::size_t words, const std::int32_t* pairs, std::size_t pair_count)
    : distinct_of_(pair_count), offsets_(words + 1), present_(words / 64 + 1), hit_of_(words) {
  for (std::size_t i = 0; i < pair_count * 2; ++i)
    if (pairs[i] < 0 || at(pairs[i]) >= words)
      throw std::out_of_range("PairCounter: pairs must be word ids in [0, " + std::to_string(words) + "); got " +
                              std::to_string(pairs[i]));
  if (pair_count > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw std::invalid_argument("PairCounter: pairs must be fewer than 2^31; got " + std::to_string(pair_count));
  std::vector<std::pair<std::uint64_t, std::uint32_t>> sorted(pair_count);  // both words, the lower first, and the pair
  for (std::size_t p = 0; p < pair_count; ++p) {
    const auto [low, high] = std::minmax(pairs[2 * p], pairs[2 * p + 1]);
    sorted[p] = {std::uint64_t{static_cast<std::uint32_t>(low)} << 32 | static_cast<std::uint32_t>(high),
                 static_cast<std::uint32_t>(p)};
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int64_t> degree(words);
  for (std::size_t i = 0; i < pair_count; ++i) {
    const auto [key, pair] = sorted[i];
    if (i == 0 || sorted[i - 1].first != key) {
      firsts_.push_back(static_cast<std::int32_t>(key >> 32));
      seconds_.push_back(static_cast<std::int32_t>(key & 0xFFFFFFFFU));
      ++degree[at(firsts_.back())];
      ++degree[at(seconds_.back())];
    }
    distinct_of_[pair] = static_cast<std::uint32_t>(firsts_.size() - 1);
  }
  counts_.resize(firsts_.size());
  for (std::size_t p = 0; p < firsts_.size(); ++p) {
    if (firsts_[p] != seconds_[p]) continue;
    if (loops_.empty()) loops_.assign(words, -1);
    loops_[at(firsts_[p])] = static_cast<std::int64_t>(p);
  }

  arrange(degree);
}

void PairCounter::arrange(const std::vector<std::int64_t>& frequency) {
  const auto home = [&](std::size_t p) {
    const std::int32_t a = firsts_[p];
    const std::int32_t b = seconds_[p];
    return frequency[at(b)] < frequency[at(a)] ? std::pair(b, a) : std::pair(a, b);
  };
  std::fill(offsets_.begin(), offsets_.end(), 0);
  for (std::size_t p = 0; p < firsts_.size(); ++p)
    if (firsts_[p] != seconds_[p]) ++offsets_[at(home(p).first) + 1];
  std::partial_sum(offsets_.begin(), offsets_.end(), offsets_.begin());
  edges_.resize(static_cast<std::size_t>(offsets_.back()));
  std::vector<std::int64_t> next(offsets_.begin(), offsets_.end() - 1);
  for (std::size_t p = 0; p < firsts_.size(); ++p) {
    if (firsts_[p] == seconds_[p]) continue;
    const auto [keeper, other] = home(p);
    edges_[static_cast<std::size_t>(next[at(keeper)]++)] = {other, static_cast<std::uint32_t>(p)};
  }
}

std::size_t PairCounter::edges_at(const std::int32_t* words, std::size_t size) const noexcept {
  std::size_t edges = 0;
  for (std::size_t i = 0; i < size; ++i)
    edges += static_cast<std::size_t>(offsets_[at(words[i]) + 1] - offsets_[at(words[i])]);
  return edges;
}

// Calls found(a, b, pair) for each listed pair of two of the words.
template <class Found>
void PairCounter::find(const std::int32_t* words, std::size_t size, Found&& found) {
  if (!loops_.empty())
    for (std::size_t i = 0; i < size; ++i)
      if (loops_[at(words[i])] >= 0) found(words[i], words[i], static_cast<std::size_t>(loops_[at(words[i])]));
  for (std::size_t i = 0; i < size; ++i) present_[at(words[i]) / 64] |= std::uint64_t{1} << at(words[i]) % 64;
  for (std::size_t i = 0; i < size; ++i) {
    const Edge* last = edges_.data() + offsets_[at(words[i]) + 1];
    for (const Edge* one = edges_.data() + offsets_[at(words[i])]; one != last; ++one)
      if (present_[at(one->other) / 64] >> at(one->other) % 64 & 1) found(words[i], one->other, one->pair);
  }
  for (std::size_t i = 0; i < size; ++i) present_[at(words[i]) / 64] = 0;
}

void PairCounter::add(const std::int32_t* words, std::size_t size) {
  if (size < kFewestHits || edges_at(words, size) * kEdgeCost <= size * (size - 1)) {
    find(words, size, [&](std::int32_t, std::int32_t, std::size_t pair) { ++counts_[pair]; });
    return;
  }
  block_words_.insert(block_words_.end(), words, words + size);
  block_offsets_.push_back(static_cast<std::int64_t>(block_words_.size()));
  if (block_words_.size() >= kBlockHits) multiply_block();
}

void PairCounter::multiply_block() {
  const std::size_t words = hit_of_.size();
  std::vector<std::uint32_t> starts(words + 1);
  for (const std::int32_t word : block_words_) ++starts[at(word) + 1];
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  std::vector<std::uint32_t> documents(block_words_.size());
  std::vector<std::uint32_t> next(starts.begin(), starts.end() - 1);
  for (std::size_t d = 0; d + 1 < block_offsets_.size(); ++d)
    for (std::int64_t i = block_offsets_[d]; i < block_offsets_[d + 1]; ++i)
      documents[next[at(block_words_[static_cast<std::size_t>(i)])]++] = static_cast<std::uint32_t>(d);
  companions_.resize(words);
  for (std::size_t w = 0; w < words; ++w) {
    if (starts[w] == starts[w + 1]) continue;
    if (!loops_.empty() && loops_[w] >= 0) counts_[static_cast<std::size_t>(loops_[w])] += starts[w + 1] - starts[w];
    if (offsets_[w] == offsets_[w + 1]) continue;
    each_companion(documents.data() + starts[w], starts[w + 1] - starts[w], [](std::uint32_t& count) { ++count; });
    for (std::int64_t e = offsets_[w]; e < offsets_[w + 1]; ++e) {
      const Edge& edge = edges_[static_cast<std::size_t>(e)];
      counts_[edge.pair] += companions_[at(edge.other)];
    }
    clear_companions(documents.data() + starts[w], starts[w + 1] - starts[w]);
  }
  block_words_.clear();
  block_offsets_.assign(1, 0);
}

// Calls visit(companions_[word]) for each word of each of the block's documents.
template <class Visit>
void PairCounter::each_companion(const std::uint32_t* documents, std::size_t size, Visit&& visit) {
  for (std::size_t i = 0; i < size; ++i)
    for (std::int64_t j = block_offsets_[documents[i]]; j < block_offsets_[documents[i] + 1]; ++j)
      visit(companions_[at(block_words_[static_cast<std::size_t>(j)])]);
}

// Undoes each_companion, by the same walk where the list of words is longer than it.
void PairCounter::clear_companions(const std::uint32_t* documents, std::size_t size) {
  std::size_t walked = 0;
  for (std::size_t i = 0; i < size; ++i)
    walked += static_cast<std::size_t>(block_offsets_[documents[i] + 1] - block_offsets_[documents[i]]);
  if (walked * kClearCost < companions_.size())
    each_companion(documents, size, [](std::uint32_t& count) { count = 0; });
  else
    std::fill(companions_.begin(), companions_.end(), 0U);
}

void PairCounter::add_windows(const std::int32_t* words, std::size_t size, const Occurrences& places, std::size_t first,
                              std::int64_t window) {
  for (std::size_t i = 0; i < size; ++i) hit_of_[at(words[i])] = static_cast<std::int32_t>(i);
  const auto begin = [&](std::int32_t word) { return static_cast<std::size_t>(places.offsets[first + at(hit_of_[at(word)])]); };
  const auto end = [&](std::int32_t word) { return static_cast<std::size_t>(places.offsets[first + at(hit_of_[at(word)]) + 1]); };
  const auto fits = [&](std::size_t a, std::size_t b) {
    return std::max(places.ends[a], places.ends[b]) - std::min(places.starts[a], places.starts[b]) <= window;
  };
  find(words, size, [&](std::int32_t a, std::int32_t b, std::size_t pair) {
    if (end(a) - begin(a) > end(b) - begin(b)) std::swap(a, b);
    const auto from = places.starts.begin() + static_cast<std::ptrdiff_t>(begin(b));
    const auto to = places.starts.begin() + static_cast<std::ptrdiff_t>(end(b));
    for (std::size_t i = begin(a); i < end(a); ++i) {
      // Outwards from this occurrence both ways, as far as one that begins there can still fit: the nearest need not,
      // as occurrences differ in length.
      const auto after = static_cast<std::size_t>(std::lower_bound(from, to, places.starts[i]) - places.starts.begin());
      bool near = false;
      for (std::size_t j = after; !near && j < end(b) && places.starts[j] + 1 - places.starts[i] <= window; ++j)
        near = fits(i, j);
      for (std::size_t j = after; !near && j > begin(b) && places.ends[i] - places.starts[j - 1] <= window; --j)
        near = fits(i, j - 1);
      if (near) {
        ++counts_[pair];
        return;
      }
    }
  });
}

void PairCounter::clear() {
  std::fill(counts_.begin(), counts_.end(), 0);
  block_words_.clear();
  block_offsets_.assign(1, 0);
}

std::vector<std::int64_t> PairCounter::counts() {
  multiply_block();
  std::vector<std::int64_t> counts(distinct_of_.size());
  for (std::size_t p = 0; p < counts.size(); ++p) counts[p] = counts_[distinct_of_[p]];
  return counts;
}

std::size_t PairCounter::bytes() const noexcept {
  return distinct_of_.capacity() * 4 + firsts_.capacity() * 8 + counts_.capacity() * 8 + loops_.capacity() * 8 +
         offsets_.capacity() * 8 + edges_.capacity() * sizeof(Edge) + present_.capacity() * 8 +
         hit_of_.capacity() * 4 + (block_words_.capacity() + companions_.capacity()) * 4 + block_offsets_.capacity() * 8;
}

}  // namespace pivotkit
