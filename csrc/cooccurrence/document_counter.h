// Counts over documents, from the words that occur in each.
//
//   df[w]       documents that contain w                     tf[w]      occurrences of w
//   pair_df[p]  documents that contain both words of pair p  background[t]  documents that contain token t
//   context(w, t)  documents that contain word w and token t
//
// Pairs are edges of a graph over words, each kept at the endpoint of smaller degree; a document looks only at the
// edges of the words it contains, so the cost does not grow with the number of pairs, and a hub word that is paired
// with everything costs nothing (a word keeps at most O(sqrt(pairs)) edges, Chiba & Nishizeki, SIAM J. Comput. 14(1), 1985).
//
// The context table is a product of two sparse 0/1 matrices, words x documents and documents x tokens, made row by row
// (F. Gustavson, "Two fast algorithms for sparse matrices", ACM TOMS 4(3), 1978): the counts of one word at a time live
// in an array over the vocabulary that fits a core's cache, and a row is read off in the order of token ids. What is
// held meanwhile is 4 bytes per distinct token of each document with a hit, never the table.
//
// Counts are sums over documents, so counters of disjoint documents add in any order and grouping. All are int64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

// Rows of the context table in compressed sparse rows; token ids of a row ascend.
struct ContextRows {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> counts;
};

class DocumentCounter {
 public:
  // `pairs` (pair_count, 2) of word ids; the same pair may be listed again, and a word may be paired with itself.
  // `vocabulary` 0 means that no tokens will come; otherwise room for `expected_tokens` is set aside at once, so that
  // what the counter holds never passes what the caller reckoned with.
  DocumentCounter(std::size_t words, const std::int32_t* pairs, std::size_t pair_count, std::size_t vocabulary,
                  std::size_t expected_tokens);

  // The hits of some documents: words[offsets[d] .. offsets[d + 1]) are distinct ids.
  void add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts, std::size_t documents);

  // The same, with the tokens of each document: tokens[token_offsets[d] .. token_offsets[d + 1]).
  // A token outside the vocabulary throws std::out_of_range before anything is counted.
  void add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts, std::size_t documents,
           const std::int64_t* token_offsets, const std::uint32_t* tokens);

  // Rows begin..end of the context table.
  ContextRows context(std::size_t begin, std::size_t end) const;

  // At most this many entries are in each row: min(vocabulary, distinct tokens summed over the word's documents).
  std::vector<std::int64_t> context_bounds() const;

  std::int64_t documents() const noexcept { return documents_; }
  const std::vector<std::int64_t>& df() const noexcept { return df_; }
  const std::vector<std::int64_t>& tf() const noexcept { return tf_; }
  const std::vector<std::int64_t>& pair_df() const noexcept { return pair_df_; }
  const std::vector<std::int64_t>& background() const noexcept { return background_; }
  std::size_t words() const noexcept { return df_.size(); }

 private:
  void check_hits(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts,
                  std::size_t documents) const;
  void count_hits(const std::int32_t* words, const std::int32_t* counts, std::size_t size);

  struct Edge {
    std::int32_t other;
    std::int32_t pair;
  };

  std::int64_t documents_ = 0;
  std::vector<std::int64_t> df_, tf_, pair_df_, background_;

  std::vector<std::int64_t> edge_offsets_;  // (words + 1)
  std::vector<Edge> edges_;
  std::vector<std::int64_t> last_seen_;  // (words): the last document that contained the word, from 1

  // Distinct tokens of the documents with a hit, and for each word the list of those documents.
  std::vector<std::int64_t> last_token_;  // (vocabulary): the last document that contained the token, from 1
  std::vector<std::int64_t> kept_offsets_{0};
  std::vector<std::uint32_t> kept_tokens_;
  std::vector<std::int64_t> hit_offsets_{0};
  std::vector<std::int32_t> hit_words_;
};

}  // namespace pivotkit
