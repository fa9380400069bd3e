// Documents that wait, and in how many of them two words come together: a row of H^T H at a time, of which listed pairs are
// read.
//
// Words are ranks, 0 the most frequent. A block of documents is turned into lists, rank by rank the documents that hold it,
// and the lists are walked from the most frequent rank on. Each rank is put into its documents when its turn has come, so
// that a document holds the more frequent ones by then, which are the companions of the rank: half of H^T H, and nothing
// is sorted. The companions in all documents of a rank are copied one behind another (companions.h) and counted in one long
// loop; a loop for each document would end in a branch guessed wrong, which costs as much as 10 companions.
//
// What counts the companions is never set to 0. A row adds the difference of after and before, which 16 bits hold as long
// as the row is of fewer than 2^16 documents.
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
  // About `hits` hits make a block.
  PairProduct(std::size_t ranks, std::size_t hits);

  // One document's distinct ranks; there must be room.
  void add(const std::uint32_t* ranks, std::size_t size) noexcept;
  bool full() const noexcept { return used_ >= capacity_; }

  // Adds to counts[e] the documents that hold `rank` and others[e], for e from offsets[rank] to offsets[rank + 1]; others[e]
  // is at most `rank`. Then no document waits.
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
  HugeArray<Cell> slots_;               // of each document its size, then its ranks; in `take` those put so far
  HugeArray<std::uint32_t> documents_;  // places in slots_, rank by rank
  std::vector<std::uint32_t> ends_;      // (ranks + 1): documents of rank - 1; in `take` where they end
  std::vector<Cell> companions_;         // one behind another
  std::vector<std::uint16_t> together_;  // (ranks): times the rank was a companion, modulo 2^16
  std::vector<std::uint16_t> before_;    // together_ of the others of a row
  std::uint16_t filter_[kFilterWords];   // of the others of a row
};

}  // namespace pivotkit
