// Context tables: for each watch word, in how many of its documents each token is.
//
//   context(w, t) = documents that contain word w and token t        equivalent: (H^T X)[w, t], H and X 0/1
//
// The table is a product of two sparse 0/1 matrices, words x documents and documents x tokens. Documents are gathered
// into a block, as many as fit the memory given; then the block's rows are made one word at a time (F. Gustavson, "Two
// fast algorithms for sparse matrices", ACM TOMS 4(3), 1978), so that the counts of one word live in an array over the
// vocabulary that fits a core's second cache. Tokens that are in many documents of the block are a bit matrix beside it,
// and a row adds up 64 of them at a time in vertical counters (a carry-save adder of bits). The few tokens of a rare word
// are sorted instead, so that no row costs the vocabulary but one that fills a good part of it.
//
// Rows of different blocks add up; the table itself is never held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/token_documents.h"
#include "cooccurrence/distinct_tokens.h"
#include "cooccurrence/row_file.h"
#include "cooccurrence/vertical_counters.h"

namespace pivotkit {

// Rows of the context table in compressed sparse rows; token ids of a row ascend.
struct ContextRows {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> tokens;
  std::vector<std::uint32_t> counts;  // a block has fewer documents than 2^32
};

class ContextCounter {
 public:
  // A block holds up to `capacity` cells, or one document: one for each distinct token of a document with a hit, two for
  // each hit, four for each such document. A cell takes up to 8 bytes, and the counter besides 17 bytes for each id of the
  // vocabulary and 16 for each word.
  ContextCounter(std::size_t words, std::size_t vocabulary, std::size_t capacity);

  // The distinct hit words words[offsets[d] .. offsets[d + 1]) of some documents, and their tokens. Takes documents
  // until the block is full and says how many it took. Throws std::out_of_range for an id outside the vocabulary.
  template <class Id>
  std::size_t add(const std::int64_t* offsets, const std::int32_t* words, const TokenDocuments<Id>& documents,
                  std::size_t from);

  // Rows begin..end of the block's table.
  ContextRows rows(std::size_t begin, std::size_t end);

  // All of them into a file.
  void write(RowFileWriter& file);

  // Begins the next block.
  void clear();

  // Documents that contain each token, over all documents added.
  const std::vector<std::int64_t>& background() const noexcept { return background_; }
  std::size_t words() const noexcept { return words_; }

 private:
  std::size_t used() const noexcept;
  void finish();
  void split_dense();
  template <class Found>
  void each_token(std::size_t document, Found&& found) const;
  void append_row(std::size_t word, ContextRows& rows);
  void sort_row(const std::uint32_t* documents, std::size_t size, ContextRows& rows);
  void scan_row(const std::uint32_t* documents, std::size_t size, std::size_t most, ContextRows& rows);
  void count_row(const std::uint32_t* documents, std::size_t size);

  std::size_t words_, capacity_;
  DistinctTokens distinct_;
  std::vector<std::int64_t> background_;

  // The block: distinct tokens of each document, and its hit words.
  std::vector<std::int64_t> kept_offsets_{0};
  std::vector<std::uint32_t> kept_tokens_;
  std::vector<std::int64_t> hit_offsets_{0};
  std::vector<std::int32_t> hit_words_;

  // Made of it once it is full: the documents of each word; the tokens of many documents as rows of bits, and the rest
  // (which are what kept_tokens_ holds then).
  bool finished_ = false;
  std::vector<std::int64_t> bounds_;  // no row has more cells: min(vocabulary, distinct tokens over the word's documents)
  std::vector<std::int64_t> word_offsets_;
  std::vector<std::uint32_t> word_documents_;
  std::vector<std::uint32_t> dense_tokens_;
  std::size_t dense_width_ = 0;            // 64-bit blocks of a row
  std::vector<std::uint64_t> dense_bits_;  // (documents, dense_width_)
  VerticalCounters dense_counters_;
  std::vector<std::uint32_t> dense_counts_;

  std::vector<std::uint32_t> counts_;    // (vocabulary): of one row
  std::vector<std::uint32_t> gathered_;  // the tokens of one row
};

}  // namespace pivotkit
