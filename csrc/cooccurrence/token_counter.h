// Documents that contain each token of a vocabulary: the background of context tables, and the df of a token corpus.
//
//   df[t] = documents that contain t        equivalent: sum over d of bincount(unique(d), minlength=V)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/token_documents.h"
#include "cooccurrence/distinct_tokens.h"

namespace pivotkit {

class TokenCounter {
 public:
  explicit TokenCounter(std::size_t vocabulary) : distinct_(vocabulary), df_(vocabulary) {}

  // Throws std::out_of_range for an id outside the vocabulary, before anything is counted.
  template <class Id>
  void add(const TokenDocuments<Id>& documents) {
    check_tokens("TokenCounter", documents, df_.size());
    std::vector<Id> found;
    for (std::size_t d = 0; d < documents.size; ++d) {
      const Id* ids = documents.ids + documents.offsets[d];
      const auto size = static_cast<std::size_t>(documents.offsets[d + 1] - documents.offsets[d]);
      if (found.size() < size) found.resize(size);
      const std::size_t count = distinct_.collect(ids, size, found.data());
      for (std::size_t i = 0; i < count; ++i) ++df_[found[i]];
    }
    documents_ += static_cast<std::int64_t>(documents.size);
    tokens_ += static_cast<std::int64_t>(documents.tokens());
  }

  const std::vector<std::int64_t>& df() const noexcept { return df_; }
  std::int64_t documents() const noexcept { return documents_; }
  std::int64_t tokens() const noexcept { return tokens_; }

 private:
  DistinctTokens distinct_;
  std::vector<std::int64_t> df_;
  std::int64_t documents_ = 0;
  std::int64_t tokens_ = 0;
};

}  // namespace pivotkit
