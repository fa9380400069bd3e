#include "matcher/word_languages.h"

#include <stdexcept>

#include "common/require.h"

namespace pivotkit {
namespace {

constexpr std::uint64_t kEveryDocument = ~std::uint64_t{0};

void append(const Occurrences& from, std::size_t hit, Occurrences& to) {
  const auto begin = static_cast<std::ptrdiff_t>(from.offsets[hit]);
  const auto end = static_cast<std::ptrdiff_t>(from.offsets[hit + 1]);
  to.starts.insert(to.starts.end(), from.starts.begin() + begin, from.starts.begin() + end);
  to.ends.insert(to.ends.end(), from.ends.begin() + begin, from.ends.begin() + end);
  to.offsets.push_back(static_cast<std::int64_t>(to.starts.size()));
}

}  // namespace

Hits words_in_languages(const SpelledWords& spelled, const std::uint64_t* languages, const std::int64_t* offsets,
                        const std::int32_t* spellings, const std::int32_t* counts, std::size_t documents,
                        const Occurrences* places, Occurrences* word_places) {
  const auto total = static_cast<std::size_t>(offsets[documents]);
  for (std::size_t i = 0; i < total; ++i)
    if (spellings[i] < 0 || static_cast<std::size_t>(spellings[i]) >= spelled.spellings)
      refuse<std::out_of_range>("words_in_languages", "spellings", text("be in [0, ", spelled.spellings, ")"),
                                spellings[i]);
  Hits hits;
  hits.offsets.reserve(documents + 1);
  hits.words.reserve(total);
  hits.counts.reserve(total);
  for (std::size_t d = 0; d < documents; ++d) {
    for (auto i = static_cast<std::size_t>(offsets[d]); i < static_cast<std::size_t>(offsets[d + 1]); ++i) {
      const std::int64_t* range = spelled.offsets + spellings[i];
      for (auto at = static_cast<std::size_t>(range[0]); at < static_cast<std::size_t>(range[1]); ++at) {
        if ((spelled.languages[at] & languages[d]) == 0 && spelled.languages[at] != kEveryDocument) continue;
        hits.words.push_back(spelled.words[at]);
        hits.counts.push_back(counts[i]);
        if (places != nullptr) append(*places, i, *word_places);
      }
    }
    hits.offsets.push_back(static_cast<std::int64_t>(hits.words.size()));
  }
  return hits;
}

}  // namespace pivotkit
