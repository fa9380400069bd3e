// Context tables: for each watch word, in how many of its documents each token is.
//
//   context(w, t) = documents that contain word w and token t        equivalent: (H^T X)[w, t], H and X 0/1
//
// The table is the product of two sparse 0/1 matrices, words x documents and documents x tokens. Documents fill a
// block, as many as fit the given memory. Then the block makes its rows, one word at a time. Rows of different blocks
// add up, in memory (context_table.h) or in files (rows/row_merge.h).
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

// Rows of the table as compressed sparse rows.
struct ContextRows {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> tokens;
  std::vector<std::uint32_t> counts;
};

class ContextCounter {
 public:
  using Block = std::variant<ContextBlock<std::uint16_t>, ContextBlock<std::uint32_t>>;

  // A block holds up to `capacity` cells, or one document. A document with a hit takes four cells, one cell per
  // distinct token and two per hit. A cell takes up to 8 bytes. The counter takes 30 more bytes per id of the
  // vocabulary and 24 per word.
  ContextCounter(std::size_t words, std::size_t vocabulary, std::size_t capacity);

  // Takes documents from `from` on until the block is full, and returns how many it took. words[offsets[d] .. offsets[d
  // + 1]) are the distinct hit words of document d. Throws std::out_of_range for an id outside the vocabulary.
  template <class Id>
  std::size_t add(const std::int64_t* offsets, const std::int32_t* words, const TokenDocuments<Id>& documents,
                  std::size_t from);

  // Rows [begin, end) of the table of the block.
  ContextRows rows(std::size_t begin, std::size_t end);

  // Calls visit(word, row) for each word of the block from `begin` on, in ascending order, until it returns false.
  // Returns the word to go on with. A row is valid until the next. Before it makes the row it asks old(word) for a row
  // to add (ContextBlock::row), or null.
  template <class Old, class Visit>
  std::size_t each_row(std::size_t begin, Old&& old, Visit&& visit) {
    return std::visit(
        [&](auto& block) {
          std::size_t w = begin;
          for (bool more = true; more && w < words_; ++w) {
            const auto word = static_cast<std::uint32_t>(w);
            more = visit(word, block.row(w, old(word)));
          }
          return w;
        },
        block_);
  }

  // Writes all rows of the block into a file.
  void write(RowFileWriter& file);

  // Begins the next block.
  void clear();

  // Per token the documents that contain it, over all documents added so far.
  const std::vector<std::int64_t>& background() { return distinct_.df(); }
  std::size_t words() const noexcept { return words_; }
  std::size_t vocabulary() const noexcept { return distinct_.vocabulary(); }
  bool empty() const;  // whether the block has no documents

 private:
  std::size_t words_;
  DistinctTokens distinct_;
  Block block_;
};

}  // namespace pivotkit
