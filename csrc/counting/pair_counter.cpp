#include "counting/pair_counter.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/require.h"

namespace pivotkit {
namespace {

constexpr std::size_t kEdgeCost = 3;    // of looking at an edge, in companions counted
constexpr std::size_t kFewestHits = 4;  // a document with fewer is counted by edges at once
constexpr std::size_t kEdgeHits = 2;    // of a block per edge, so that reading all edges is a small part of its time
constexpr std::size_t kLeastHits = std::size_t{1} << 14, kMostHits = std::size_t{1} << 26;  // of a block
constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();

std::size_t at(std::int32_t word) noexcept { return static_cast<std::size_t>(word); }

}  // namespace

PairCounter::PairCounter(std::size_t words, const std::int32_t* pairs, std::size_t pair_count)
    : edge_of_(pair_count), rank_of_(words, kNoRank), product_(std::in_place_index<0>, 0, 0) {
  for (std::size_t i = 0; i < pair_count * 2; ++i)
    if (pairs[i] < 0 || at(pairs[i]) >= words)
      refuse<std::out_of_range>("PairCounter", "pairs", text("be word ids in [0, ", words, ")"), pairs[i]);
  if (pair_count > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    refuse("PairCounter", "pairs", "be fewer than 2^31", pair_count);

  // At first ranks follow the order of the words.
  std::uint32_t ranks = 0;
  for (std::size_t i = 0; i < pair_count * 2; ++i) rank_of_[at(pairs[i])] = 0;
  for (std::uint32_t& rank : rank_of_)
    if (rank != kNoRank) rank = ranks++;
  // both ranks, the larger first, and the pair
  std::vector<std::pair<std::uint64_t, std::uint32_t>> sorted(pair_count);
  for (std::size_t p = 0; p < pair_count; ++p) {
    const auto [low, high] = std::minmax(rank_of_[at(pairs[2 * p])], rank_of_[at(pairs[2 * p + 1])]);
    sorted[p] = {std::uint64_t{high} << 32 | low, static_cast<std::uint32_t>(p)};
  }
  std::sort(sorted.begin(), sorted.end());
  offsets_.resize(ranks + 1);
  std::vector<std::int64_t> degree(ranks);
  for (std::size_t i = 0; i < pair_count; ++i) {
    const auto [key, pair] = sorted[i];
    if (i == 0 || sorted[i - 1].first != key) {
      ++offsets_[(key >> 32) + 1];
      others_.push_back(static_cast<std::uint32_t>(key));
      ++degree[key >> 32];
      ++degree[others_.back()];
    }
    edge_of_[pair] = static_cast<std::uint32_t>(others_.size() - 1);
  }
  std::partial_sum(offsets_.begin(), offsets_.end(), offsets_.begin());
  std::vector<std::pair<std::uint64_t, std::uint32_t>>().swap(sorted);  // now, because it is the largest array of all
  counts_.resize(others_.size());
  present_.resize(ranks / 64 + 1);
  hit_of_.resize(ranks);
  const std::size_t hits = std::clamp(kEdgeHits * others_.size(), kLeastHits, kMostHits);
  if (ranks <= std::numeric_limits<std::uint16_t>::max())
    product_.emplace<PairProduct<std::uint16_t>>(ranks, hits);
  else
    product_.emplace<PairProduct<std::uint32_t>>(ranks, hits);

  std::vector<std::int64_t> frequency(words);
  for (std::size_t w = 0; w < words; ++w)
    if (rank_of_[w] != kNoRank) frequency[w] = degree[rank_of_[w]];
  arrange(frequency);
}

void PairCounter::arrange(const std::vector<std::int64_t>& frequency) {
  multiply();
  const std::size_t ranks = offsets_.size() - 1;
  std::vector<std::uint32_t> words;  // by rank
  words.reserve(ranks);
  for (std::size_t w = 0; w < rank_of_.size(); ++w)
    if (rank_of_[w] != kNoRank) words.push_back(static_cast<std::uint32_t>(w));
  std::stable_sort(words.begin(), words.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return frequency[a] > frequency[b]; });
  std::vector<std::uint32_t> moved(ranks);  // the new rank of an old one
  for (std::size_t r = 0; r < ranks; ++r) {
    moved[rank_of_[words[r]]] = static_cast<std::uint32_t>(r);
    rank_of_[words[r]] = static_cast<std::uint32_t>(r);
  }

  // Edges in the order of their new keepers.
  std::vector<std::uint32_t> offsets(ranks + 1);
  const auto each_edge = [&](auto&& visit) {
    for (std::size_t r = 0; r < ranks; ++r)
      for (std::size_t e = offsets_[r]; e < offsets_[r + 1]; ++e) visit(e, std::minmax(moved[r], moved[others_[e]]));
  };
  each_edge([&](std::size_t, auto ends) { ++offsets[ends.second + 1]; });
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  std::vector<std::uint32_t> next(offsets.begin(), offsets.end() - 1), others(others_.size()), edges(others_.size());
  std::vector<std::int64_t> counts(others_.size());
  each_edge([&](std::size_t e, auto ends) {
    const std::uint32_t edge = edges[e] = next[ends.second]++;
    others[edge] = ends.first;
    counts[edge] = counts_[e];
  });
  for (std::uint32_t& edge : edge_of_) edge = edges[edge];
  offsets_.swap(offsets);
  others_.swap(others);
  counts_.swap(counts);
}

// Lists the words of the document that have pairs, as ranks. Returns how many.
std::size_t PairCounter::rank_hits(const std::int32_t* words, std::size_t size) {
  if (ranks_.size() < size) ranks_.resize(size);
  std::size_t found = 0;
  for (std::size_t i = 0; i < size; ++i) {
    ranks_[found] = rank_of_[at(words[i])];
    found += ranks_[found] != kNoRank;
  }
  return found;
}

// The edges kept at the document's ranks.
std::size_t PairCounter::edges_at(std::size_t size) const noexcept {
  std::size_t edges = 0;
  for (std::size_t i = 0; i < size; ++i) edges += offsets_[ranks_[i] + 1] - offsets_[ranks_[i]];
  return edges;
}

// Calls found(a, b, edge) for each edge between two of the document's `size` ranks.
template <class Found>
void PairCounter::find(std::size_t size, Found&& found) {
  for (std::size_t i = 0; i < size; ++i) present_[ranks_[i] / 64] |= std::uint64_t{1} << ranks_[i] % 64;
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t last = offsets_[ranks_[i] + 1];
    for (std::size_t e = offsets_[ranks_[i]]; e < last; ++e)
      if (present_[others_[e] / 64] >> others_[e] % 64 & 1) found(ranks_[i], others_[e], e);
  }
  for (std::size_t i = 0; i < size; ++i) present_[ranks_[i] / 64] = 0;
}

void PairCounter::add(const std::int32_t* words, std::size_t size) {
  const std::size_t found = rank_hits(words, size);
  if (found < kFewestHits || edges_at(found) * kEdgeCost <= found * (found - 1)) {
    find(found, [&](std::uint32_t, std::uint32_t, std::size_t edge) { ++counts_[edge]; });
    return;
  }
  const bool full = std::visit(
      [&](auto& product) {
        product.add(ranks_.data(), found);
        return product.full();
      },
      product_);
  if (full) multiply();
}

void PairCounter::multiply() {
  std::visit([&](auto& product) { product.take(offsets_.data(), others_.data(), counts_.data()); }, product_);
}

void PairCounter::add_windows(const std::int32_t* words, std::size_t size, const Occurrences& places, std::size_t first,
                              std::int64_t window) {
  for (std::size_t i = 0; i < size; ++i)
    if (rank_of_[at(words[i])] != kNoRank) hit_of_[rank_of_[at(words[i])]] = static_cast<std::int32_t>(i);
  const auto begin = [&](std::uint32_t rank) {
    return static_cast<std::size_t>(places.offsets[first + at(hit_of_[rank])]);
  };
  const auto end = [&](std::uint32_t rank) {
    return static_cast<std::size_t>(places.offsets[first + at(hit_of_[rank]) + 1]);
  };
  const auto fits = [&](std::size_t a, std::size_t b) {
    return std::max(places.ends[a], places.ends[b]) - std::min(places.starts[a], places.starts[b]) <= window;
  };
  find(rank_hits(words, size), [&](std::uint32_t a, std::uint32_t b, std::size_t edge) {
    if (end(a) - begin(a) > end(b) - begin(b)) std::swap(a, b);
    const auto from = places.starts.begin() + static_cast<std::ptrdiff_t>(begin(b));
    const auto to = places.starts.begin() + static_cast<std::ptrdiff_t>(end(b));
    for (std::size_t i = begin(a); i < end(a); ++i) {
      // Looks outwards from this occurrence both ways, as far as an occurrence can still fit. The nearest one need not
      // fit, because occurrences differ in length.
      const auto after = static_cast<std::size_t>(std::lower_bound(from, to, places.starts[i]) - places.starts.begin());
      bool near = false;
      for (std::size_t j = after; !near && j < end(b) && places.starts[j] + 1 - places.starts[i] <= window; ++j)
        near = fits(i, j);
      for (std::size_t j = after; !near && j > begin(b) && places.ends[i] - places.starts[j - 1] <= window; --j)
        near = fits(i, j - 1);
      if (near) {
        ++counts_[edge];
        return;
      }
    }
  });
}

void PairCounter::clear() {
  std::fill(counts_.begin(), counts_.end(), 0);
  std::visit([](auto& product) { product.clear(); }, product_);
}

std::vector<std::int64_t> PairCounter::counts() {
  multiply();
  std::vector<std::int64_t> counts(edge_of_.size());
  for (std::size_t p = 0; p < counts.size(); ++p) counts[p] = counts_[edge_of_[p]];
  return counts;
}

std::size_t PairCounter::bytes() const noexcept {
  return (edge_of_.capacity() + rank_of_.capacity() + offsets_.capacity() + others_.capacity() + ranks_.capacity() +
          hit_of_.capacity()) *
             4 +
         (counts_.capacity() + present_.capacity()) * 8 +
         std::visit([](const auto& product) { return product.bytes(); }, product_);
}

}  // namespace pivotkit
