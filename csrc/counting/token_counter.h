// Documents that contain each token of a vocabulary: the background of context tables, and the df of a token corpus.
//
//   df[t] = documents that contain t        equivalent: sum over d of bincount(unique(d), minlength=V)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/token_documents.h"
#include "counting/distinct_tokens.h"

namespace pivotkit {

class TokenCounter {
 public:
  explicit TokenCounter(std::size_t vocabulary) : distinct_(vocabulary) {}

  // Throws std::out_of_range for an id outside the vocabulary, before anything is counted.
  template <class Id>
  void add(const TokenDocuments<Id>& documents);  // Id is uint16_t or uint32_t

  const std::vector<std::int64_t>& df() { return distinct_.df(); }
  std::int64_t documents() const noexcept { return documents_; }
  std::int64_t tokens() const noexcept { return tokens_; }

 private:
  DistinctTokens distinct_;
  std::int64_t documents_ = 0;
  std::int64_t tokens_ = 0;
};

}  // namespace pivotkit
