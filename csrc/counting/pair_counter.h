// Per listed pair, the documents that contain both words. The cost is bounded whatever the number of pairs.
//
// Pairs are edges of a graph over words. Each edge is kept at the word that has been rarer so far. So a frequent word
// keeps few edges, and a hub that is paired with everything costs nothing. A document with u hit words takes the
// cheaper of two ways:
//   by edges    the edges kept at the hit words are looked at;
//   by product  the document waits in a block, whose words meet all their companions (pair_product.h): u^2 / 2 steps.
// The size of a block grows with the number of edges, so reading them adds only a few steps per hit. A document then
// costs at most min(edges at its words, u^2 / 2) steps, whatever the number of pairs. (By degree alone a word keeps
// O(sqrt(pairs)) edges: Chiba & Nishizeki, SIAM J. Comput. 14(1), 1985.)
//
// Words that are in some pair are numbered by rank, 0 the most frequent, so that what is looked up often lies together.
// Other words are skipped. Counts lie in the order of edges.
//
// Windows: a document counts for a pair if some window of n consecutive tokens holds a whole occurrence of each word.
// The pairs of the document are found as above; then the occurrences of the rarer word are looked up among those of the
// other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "counting/pair_product.h"
#include "matcher/hits.h"

namespace pivotkit {

class PairCounter {
 public:
  // `pairs` (pair_count, 2) holds word ids below `words`. A pair may be listed twice and either way round, and a word
  // may be paired with itself.
  PairCounter(std::size_t words, const std::int32_t* pairs, std::size_t pair_count);

  // Counts one document by its distinct hit words.
  void add(const std::int32_t* words, std::size_t size);

  // The same within windows of `window` tokens. Hit i has the occurrences places.offsets[first + i .. first + i + 1).
  void add_windows(const std::int32_t* words, std::size_t size, const Occurrences& places, std::size_t first,
                   std::int64_t window);

  // Ranks words by `frequency` (words) and moves each edge to its rarer word. The counts stay.
  void arrange(const std::vector<std::int64_t>& frequency);

  // (pairs): documents of each listed pair, as listed.
  std::vector<std::int64_t> counts();

  // Begins anew. Edges stay where they are.
  void clear();

  std::size_t bytes() const noexcept;

 private:
  std::size_t rank_hits(const std::int32_t* words, std::size_t size);
  std::size_t edges_at(std::size_t size) const noexcept;
  template <class Found>
  void find(std::size_t size, Found&& found);
  void multiply();

  std::vector<std::uint32_t> edge_of_;  // (pairs): the edge that a listed pair is
  std::vector<std::uint32_t> rank_of_;  // (words): 0 the most frequent; kNoRank of a word without pairs
  std::vector<std::uint32_t> offsets_;  // (ranks + 1): edges kept at each rank
  std::vector<std::uint32_t> others_;   // (edges): the other rank, not the larger one
  std::vector<std::int64_t> counts_;    // (edges)
  std::vector<std::uint64_t> present_;  // one bit per rank: those of this document
  std::vector<std::uint32_t> ranks_;    // of this document
  std::vector<std::int32_t> hit_of_;    // (ranks): the hit of this document; only windows ask
  std::variant<PairProduct<std::uint16_t>, PairProduct<std::uint32_t>> product_;
};

}  // namespace pivotkit
