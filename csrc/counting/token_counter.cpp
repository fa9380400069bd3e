#include "counting/token_counter.h"

namespace pivotkit {

template <class Id>
void TokenCounter::add(const TokenDocuments<Id>& documents) {
  check_tokens("TokenCounter", documents, distinct_.vocabulary());
  for (std::size_t d = 0; d < documents.size; ++d)
    distinct_.count(documents.ids + documents.offsets[d],
                    static_cast<std::size_t>(documents.offsets[d + 1] - documents.offsets[d]));
  documents_ += static_cast<std::int64_t>(documents.size);
  tokens_ += static_cast<std::int64_t>(documents.tokens());
}

template void TokenCounter::add(const TokenDocuments<std::uint16_t>&);
template void TokenCounter::add(const TokenDocuments<std::uint32_t>&);

}  // namespace pivotkit
