// A block of documents, and how many of them hold two words: one row of H^T H at a time, of which listed pairs are
// read.
//
// Words are ranks, 0 the most frequent. A block of documents becomes lists: per rank, the documents that hold it. The
// lists are walked from the most frequent rank on, and each rank is put into its documents when its turn has come. So a
// document then holds just the more frequent ranks, the companions: half of H^T H, and nothing is sorted. The
// companions in all documents of a rank are copied one behind another (companions.h) and counted in one long loop. A
// loop per document would end in a branch that is guessed wrong, which costs as much as 10 companions.
//
// The counts of companions are never set back to 0. A row adds the difference of after and before, which fits 16 bits
// as long as the row has fewer than 2^16 documents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/huge_array.h"
#include "counting/companions.h"

namespace pivotkit {

template <class Cell>  // an unsigned integer that holds the number of ranks
class PairProduct {
 public:
  // A block has about `hits` hits.
  PairProduct(std::size_t ranks, std::size_t hits);

  // Takes the distinct ranks of one document. There must be room.
  void add(const std::uint32_t* ranks, std::size_t size) noexcept;
  bool full() const noexcept { return used_ >= capacity_; }

  // Adds to counts[e] the documents that hold both `rank` and others[e], for e from offsets[rank] to offsets[rank + 1].
  // others[e] is at most `rank`. The block is empty afterwards.
  void take(const std::uint32_t* offsets, const std::uint32_t* others, std::int64_t* counts);

  void clear();
  std::size_t bytes() const noexcept;

 private:
  void list_documents() noexcept;
  void put(Cell rank, const std::uint32_t* documents, std::size_t size);
  void count(std::size_t companions) noexcept;

  Gathered (*gather_)(const CompanionRow<Cell>&);
  std::size_t ranks_, capacity_;
  std::size_t used_ = 0;
  HugeArray<Cell> slots_;                // of each document its size, then its ranks; in `take` those put so far
  HugeArray<std::uint32_t> documents_;   // places in slots_, rank by rank
  std::vector<std::uint32_t> ends_;      // (ranks + 1): documents of rank - 1; in `take` where they end
  std::vector<Cell> companions_;         // one behind another
  std::vector<std::uint16_t> together_;  // (ranks): times the rank was a companion, modulo 2^16
  std::vector<std::uint16_t> before_;    // together_ of the others of a row
  std::uint16_t filter_[kFilterWords];   // of the others of a row
};

}  // namespace pivotkit
