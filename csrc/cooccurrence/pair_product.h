// Documents that wait, and the words that come together in them: a row of H^T H at a time, of which listed pairs are read.
//
// Words are ranks, 0 the most frequent. A block of documents is turned into lists, word by word the documents that hold it,
// and the lists are walked from the most frequent word on. Each word is put into its documents when its turn has come, so
// that a document holds the more frequent ones by then, which are its companions: the triangle, with nothing sorted.
// The companions of all documents of a word are copied one behind another and then counted in one long loop: a loop for
// each document would end in a mispredicted branch, which costs as much as 10 companions.
//
// What counts companions is never set to 0. What a row added is the difference of before and after, which 16 bits hold as
// long as the row is of fewer than 2^16 documents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

template <class Cell>  // an unsigned integer that holds `ranks`
class PairProduct {
 public:
  // `hits` of waiting documents are a block.
  PairProduct(std::size_t ranks, std::size_t hits);

  // One document's distinct ranks.
  void add(const std::uint32_t* ranks, std::size_t size);
  bool full() const noexcept { return slots_.size() >= capacity_; }

  // Adds the documents that hold `rank` and others[e] to counts[e], for e from offsets[rank] to offsets[rank + 1]; the other
  // must not be the larger rank. Then no document waits.
  void take(const std::vector<std::uint32_t>& offsets, const std::uint32_t* others, std::int64_t* counts);

  void clear();
  std::size_t bytes() const noexcept;

 private:
  void list_documents();
  std::size_t gather(Cell rank, const std::uint32_t* documents, std::size_t size);

  std::size_t capacity_;
  std::vector<Cell> slots_;              // of each document its size, then its ranks; while rows are made, those so far
  std::vector<std::uint32_t> hits_;      // (ranks + 1): documents that hold rank - 1; while rows are made, where they end
  std::vector<std::uint32_t> documents_; // places in slots_, rank by rank
  std::vector<Cell> companions_;         // one behind another
  std::vector<std::uint16_t> together_;  // (ranks): times the rank was a companion, modulo 2^16
  std::vector<std::uint16_t> before_;
};

}  // namespace pivotkit
