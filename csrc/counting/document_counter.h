// Counts over documents, from the words that occur in each.
//
//   df[w]       documents that contain w          tf[w]  occurrences of w
//   pair_df[p]  documents that contain both words of pair p (pair_counter.h), or hold both within a window
//
// Counts are sums over documents, so counters of disjoint documents add in any order and grouping. All are int64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "counting/pair_counter.h"
#include "matcher/hits.h"

namespace pivotkit {

class DocumentCounter {
 public:
  // `pairs` (pair_count, 2) of word ids; the same pair may be listed again, and a word may be paired with itself.
  // `window` 0 counts pairs of a document, otherwise pairs within that many consecutive tokens of one.
  DocumentCounter(std::size_t words, const std::int32_t* pairs, std::size_t pair_count, std::int64_t window);

  // The hits of some documents: words[offsets[d] .. offsets[d + 1]) are distinct ids, counts[] their occurrences, and
  // `places` where those are, asked for with a window and ignored without. Hits are checked before anything is counted,
  // but for a word that comes twice in a document: the counter throws at it and is of no use afterwards.
  void add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts, std::size_t documents,
           const Occurrences* places);

  // Begins anew, with the same pairs, as cheaply as counts are set to 0.
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
  std::int64_t ever_ = 0;                 // documents, `clear` or not
  std::int64_t next_arrangement_ = 1024;  // documents until pairs are moved to their rarer words again
  std::vector<std::int64_t> df_, tf_;
  std::vector<std::int64_t> last_seen_;  // (words): the last document that contained the word, from 1
  PairCounter pairs_;
};

}  // namespace pivotkit
