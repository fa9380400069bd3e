// Context tables: for each watch word, in how many of its documents each token is.
//
//   context(w, t) = documents that contain word w and token t        equivalent: (H^T X)[w, t], H and X 0/1
//
// The table is a product of two sparse 0/1 matrices, words x documents and documents x tokens. Documents are gathered
// into a block, as many as fit the memory given; then the block's rows are made, one word at a time. Rows of different blocks
// add up; the table itself is never held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "common/token_documents.h"
#include "counting/context_block.h"
#include "counting/distinct_tokens.h"
#include "rows/row_file.h"

namespace pivotkit {

// Rows of the table in compressed sparse rows.
struct ContextRows {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> tokens;
  std::vector<std::uint32_t> counts;
};

class ContextCounter {
 public:
  using Block = std::variant<ContextBlock<std::uint16_t>, ContextBlock<std::uint32_t>>;

  // A block holds up to `capacity` cells, or one document: one for each distinct token of a document with a hit, two for
  // each hit, four for each such document. A cell takes up to 8 bytes, and the counter besides 27 bytes for each id of the
  // vocabulary and 24 for each word.
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
  std::size_t words_;
  DistinctTokens distinct_;
  std::vector<std::int64_t> background_;
  Block block_;
};

}  // namespace pivotkit
