// Counts per stratum: a class of documents, such as those of one set of languages and about one length.
//
// A table of a row per stratum, whose columns are the tokens, then the watched words, then one for the documents:
//
//   table(s, t)         documents of stratum s that contain token t      equivalent: (S^T X)[s, t]
//   table(s, V + w)     documents of stratum s that contain word w                   (S^T H)[s, w]
//   table(s, V + W)     documents of stratum s                                       S.sum(0)[s]
//
// with the 0/1 matrices S (documents, strata), X (documents, tokens) and H (documents, words). Tables of disjoint
// documents add up. They are written as row files, so they are merged as context tables are (rows/row_merge.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/huge_array.h"
#include "common/token_documents.h"
#include "counting/distinct_tokens.h"
#include "rows/row_file.h"

namespace pivotkit {

class StratumCounter {
 public:
  // Takes 4 bytes per cell of the table and 12 per token. A vocabulary of 0 is for documents that come without tokens.
  StratumCounter(std::size_t strata, std::size_t vocabulary, std::size_t words);

  // Counts documents. words[offsets[d] .. offsets[d + 1]) are the distinct words of document d, strata[d] is its
  // stratum. All are checked before any is counted. Refuses the 2^32nd document since the last clear().
  void add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* strata, std::size_t documents);
  template <class Id>
  void add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* strata,
           const TokenDocuments<Id>& tokens);  // Id is uint16_t or uint32_t

  void write(RowFileWriter& file) const;  // a row per stratum
  void clear();                           // begins the table anew; the background goes on

  std::size_t strata() const noexcept { return strata_; }
  std::int64_t documents() const noexcept { return documents_; }  // since the last clear()
  // Per token the documents that contain it, over all documents ever added.
  const std::vector<std::int64_t>& background() { return distinct_.df(); }

 private:
  void check(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* strata,
             std::size_t documents) const;
  std::uint32_t* row(std::size_t stratum) noexcept { return cells_.data() + stratum * columns_; }

  std::size_t strata_, words_, columns_;
  DistinctTokens distinct_;
  HugeArray<std::uint32_t> cells_;
  std::int64_t documents_ = 0;
};

}  // namespace pivotkit
