// A score of each document of token ids, from a set of pivots P and a weight for each of them.
//
//   tokens  = ids of the document            pivots = ids of it that are in P
//   share    score = pivots / tokens         equivalent: P[ids].mean()
//   weighted score = sum of weights / tokens equivalent: weights[ids].double().sum() / len(ids), 0 outside P
//   distinct score = different pivots        equivalent: len(unique(ids[P[ids]]))
//
// The score of a document without ids is 0. Counts are exact. Weights are float32 and are added in float64: four sums
// s, of the ids at places 0, 1, 2 and 3 modulo 4 of the document, each in order, then (s0 + s1) + (s2 + s3). One sum
// would wait for itself. So a score does not depend on where blocks end. One look-up per id, in a table of 1 byte an id
// of the vocabulary (share), of 5 (weighted) or of 4 (distinct).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/token_documents.h"

namespace pivotkit {

// One entry per document.
struct DocumentScores {
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> pivots;
  std::vector<double> scores;
};

class DocumentScorer {
 public:
  // is_pivot[t]: whether t is in P. With `weights` (as many), the weighted score; with `distinct`, the distinct one.
  DocumentScorer(std::vector<std::uint8_t> is_pivot, std::vector<float> weights, bool distinct);

  // With `continued`, the first document goes on from the last one of the call before, and its entry is of all of it so
  // far. Throws std::out_of_range for an id outside the vocabulary, before anything is added.
  template <class Id>
  DocumentScores add(const TokenDocuments<Id>& documents, bool continued);  // Id is uint16_t or uint32_t

 private:
  static constexpr std::size_t kSums = 4;

  struct Totals {
    std::int64_t tokens = 0;
    std::int64_t pivots = 0;
    std::int64_t distinct = 0;
    double weights[kSums] = {};
  };

  template <class Id>
  void read(const Id* ids, std::size_t size);
  double score() const noexcept;
  void begin_document();

  std::size_t vocabulary_;
  std::vector<std::uint8_t> is_pivot_;  // of 0 and 1
  std::vector<float> weights_;          // empty unless the score is weighted
  std::vector<std::uint32_t>
      last_seen_;  // the document that had a pivot last; empty unless distinct pivots are counted
  std::uint32_t document_ = 0;
  Totals totals_;  // of the document that was read last
};

}  // namespace pivotkit
