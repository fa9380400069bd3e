// Counts over documents, from the words that occur in each.
//
//   df[w]       documents that contain w          tf[w]  occurrences of w
//   pair_df[p]  documents that contain both words of pair p (pair_counter.h), or hold both within a window
//
// Counts are sums over documents, so counters of disjoint documents add up in any order. All counts are int64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "counting/pair_counter.h"
#include "matcher/hits.h"

namespace pivotkit {

class DocumentCounter {
 public:
  // `pairs` (pair_count, 2) holds word ids. A pair may be listed twice, and a word may be paired with itself. A
  // `window` of 0 counts pairs per document; otherwise a pair counts within that many consecutive tokens.
  DocumentCounter(std::size_t words, const std::int32_t* pairs, std::size_t pair_count, std::int64_t window);

  // Counts documents by their hits. words[offsets[d] .. offsets[d + 1]) are the distinct words of document d, and
  // counts[] their occurrences. `places` says where the occurrences are; a window needs it. All hits are checked before
  // any is counted, except for a word that comes twice in a document: the counter throws there and cannot be used
  // afterwards.
  void add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts, std::size_t documents,
           const Occurrences* places);

  // Begins anew with the same pairs. Costs as much as setting the counts to 0.
  void clear();

  std::int64_t documents() const noexcept { return documents_; }
  const std::vector<std::int64_t>& df() const noexcept { return df_; }
  const std::vector<std::int64_t>& tf() const noexcept { return tf_; }
  std::vector<std::int64_t> pair_df() { return pairs_.counts(); }
  std::int64_t window() const noexcept { return window_; }
  std::size_t bytes() const noexcept { return pairs_.bytes() + 24 * df_.capacity(); }

 private:
  void check(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts, std::size_t documents,
             const Occurrences* places) const;

  std::int64_t documents_ = 0;
  std::int64_t window_;
  std::int64_t ever_ = 0;                 // documents, also those before `clear`
  std::int64_t next_arrangement_ = 1024;  // at so many documents, pairs move to their rarer words again
  std::vector<std::int64_t> df_, tf_;
  std::vector<std::int64_t> last_seen_;  // (words): the last document that contained the word, from 1
  PairCounter pairs_;
};

}  // namespace pivotkit
