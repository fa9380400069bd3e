// A block of documents, and the rows of its context table.
//
// The block makes one row per word (F. Gustavson, "Two fast algorithms for sparse matrices", ACM TOMS 4(3), 1978), so
// the counts of one word live in an array over the vocabulary that fits a core's second-level cache. Tokens of many
// documents are columns of a bit matrix; a row adds up 64 of these columns at a time in vertical counters (a carry-save
// adder of bits). The few tokens of a rare word are sorted instead. So a row costs a pass over the vocabulary only if
// it fills a good part of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "counting/vertical_counters.h"
#include "rows/row_cells.h"

namespace pivotkit {

// A row of the table; token ids ascend.
struct ContextRow {
  const std::int32_t* tokens;
  const std::uint32_t* counts;  // a block has fewer documents than 2^32
  std::size_t size;
  bool summed;  // whether the counts hold those of the old row too
};

// uint16_t where the vocabulary allows it, else uint32_t: with fewer bytes more stays in the caches.
template <class Token>
class ContextBlock {
 public:
  ContextBlock(std::size_t words, std::size_t vocabulary, std::size_t capacity);

  // Whether a document of up to `size` distinct tokens fits; an empty block has room for any.
  bool has_room(std::size_t size, std::size_t hits) const noexcept;

  // Takes the distinct tokens and hit words of a document.
  template <class Id>
  void add(const Id* tokens, std::size_t size, const std::int32_t* words, std::size_t hits);

  // The row of a word, valid until the next row is asked for. After the first row no document can be added until the
  // block is cleared.
  //
  // Where the row is counted in an array anyway, the counts of an old row are put there first: the sum costs little
  // more than the row. A row without documents is given as it is, so are a row that is sorted and one that might pass
  // 2^32; it is then left to the caller to add the old row.
  ContextRow row(std::size_t word, const Segment* old = nullptr);
  bool finished() const noexcept { return finished_; }
  bool empty() const noexcept { return kept_offsets_.size() == 1; }
  void clear();

 private:
  std::size_t used() const noexcept;
  void finish();
  void index_words();
  void split_dense();
  void find_dense(std::size_t documents);
  template <class Found>
  void each_token(std::size_t document, Found&& found) const;
  std::size_t sort_row(const std::uint32_t* documents, std::size_t size);
  template <class Count>
  std::size_t scan_row(const std::uint32_t* documents, std::size_t size, const Segment* old,
                       std::vector<Count>& counts);
  template <class Count>
  void count_row(const std::uint32_t* documents, std::size_t size, Count* counts);
  void count_dense(const std::uint32_t* documents, std::size_t size);

  std::size_t words_, vocabulary_, capacity_;

  std::vector<std::int64_t> kept_offsets_{0};  // distinct tokens of each document
  std::vector<Token> kept_tokens_;
  std::vector<std::int64_t> hit_offsets_{0};
  std::vector<std::int32_t> hit_words_;

  // Made once the block is full: the documents of each word, and the tokens of many documents as rows of bits.
  // kept_tokens_ then holds only the other tokens.
  bool finished_ = false;
  // no row has more cells: min(vocabulary, distinct tokens over the word's documents)
  std::vector<std::int64_t> bounds_;
  std::vector<std::int64_t> word_offsets_;
  std::vector<std::uint32_t> word_documents_;
  std::vector<std::uint32_t> dense_tokens_;
  std::size_t dense_width_ = 0;            // 64-bit blocks of a row
  std::vector<std::uint64_t> dense_bits_;  // (documents, dense_width_)
  VerticalCounters dense_counters_;
  std::vector<std::uint32_t> dense_counts_;

  std::vector<std::uint32_t> counts_;        // (vocabulary): of one row
  std::vector<std::uint16_t> short_counts_;  // the same, of a row of fewer than 2^16 documents
  std::vector<std::uint32_t> gathered_;      // the tokens of one row
  std::vector<std::int32_t> row_tokens_;     // (vocabulary)
  std::vector<std::uint32_t> row_counts_;    // (vocabulary)
};

}  // namespace pivotkit
