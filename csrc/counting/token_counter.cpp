#include "counting/token_counter.h"

namespace pivotkit {

template <class Id>
void TokenCounter::add(const TokenDocuments<Id>& documents) {
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

template void TokenCounter::add(const TokenDocuments<std::uint16_t>&);
template void TokenCounter::add(const TokenDocuments<std::uint32_t>&);

}  // namespace pivotkit
