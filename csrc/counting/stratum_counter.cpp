#include "counting/stratum_counter.h"

#include <limits>
#include <stdexcept>

#include "common/require.h"

namespace pivotkit {
namespace {

constexpr auto kMostColumns = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
constexpr std::size_t kFoldShare = 4;  // a token gains by a fold what four ids of the vocabulary cost
constexpr std::int64_t kMostDocuments = std::numeric_limits<std::uint32_t>::max();

std::size_t checked_columns(std::size_t strata, std::size_t vocabulary, std::size_t words) {
  if (strata == 0 || strata > kMostColumns) refuse("StratumCounter", "strata", "be in [1, 2^31)", strata);
  if (vocabulary >= kMostColumns || words >= kMostColumns - vocabulary)
    refuse("StratumCounter", "vocabulary and words", "be below 2^31 together", text(vocabulary, ", ", words));
  return vocabulary + words + 1;
}

}  // namespace

StratumCounter::StratumCounter(std::size_t strata, std::size_t vocabulary, std::size_t words)
    : strata_(strata), words_(words), columns_(checked_columns(strata, vocabulary, words)), distinct_(vocabulary),
      cells_(strata * columns_) {}

void StratumCounter::check(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* strata,
                           std::size_t documents) const {
  for (std::size_t d = 0; d < documents; ++d)
    if (strata[d] < 0 || static_cast<std::size_t>(strata[d]) >= strata_)
      refuse<std::out_of_range>("StratumCounter", "strata", text("be in [0, ", strata_, ")"), strata[d]);
  for (std::int64_t i = 0; i < offsets[documents]; ++i)
    if (words[i] < 0 || static_cast<std::size_t>(words[i]) >= words_)
      refuse<std::out_of_range>("StratumCounter", "words", text("be word ids in [0, ", words_, ")"), words[i]);
  if (static_cast<std::int64_t>(documents) > kMostDocuments - documents_)
    refuse<std::overflow_error>("StratumCounter", "documents", "be below 2^32", "more");
}

void StratumCounter::add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* strata,
                         std::size_t documents) {
  check(offsets, words, strata, documents);
  const std::size_t vocabulary = distinct_.vocabulary();
  for (std::size_t d = 0; d < documents; ++d) {
    std::uint32_t* cells = row(static_cast<std::size_t>(strata[d])) + vocabulary;
    for (std::int64_t i = offsets[d]; i < offsets[d + 1]; ++i) ++cells[words[i]];
    ++cells[words_];
  }
  documents_ += static_cast<std::int64_t>(documents);
}

// Documents are taken stratum by stratum. Those of a stratum with many tokens are counted as the background is, and
// folded into its row: a pass over the vocabulary costs less than an addition per distinct token.
template <class Id>
void StratumCounter::add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* strata,
                         const TokenDocuments<Id>& tokens) {
  check_tokens("StratumCounter", tokens, distinct_.vocabulary());
  add(offsets, words, strata, tokens.size);
  const auto size_of = [&](std::size_t d) {
    return static_cast<std::size_t>(tokens.offsets[d + 1] - tokens.offsets[d]);
  };
  std::vector<std::size_t> ends(strata_ + 1), sizes(strata_), order(tokens.size);
  for (std::size_t d = 0; d < tokens.size; ++d) {
    ++ends[static_cast<std::size_t>(strata[d]) + 1];
    sizes[static_cast<std::size_t>(strata[d])] += size_of(d);
  }
  for (std::size_t s = 0; s < strata_; ++s) ends[s + 1] += ends[s];
  std::vector<std::size_t> places(ends.begin(), ends.end() - 1);
  for (std::size_t d = 0; d < tokens.size; ++d) order[places[static_cast<std::size_t>(strata[d])]++] = d;

  const auto is_folded = [&](std::size_t s) { return sizes[s] > distinct_.vocabulary() / kFoldShare; };
  if (distinct_.since_fold() > 0) distinct_.fold();
  for (std::size_t s = 0; s < strata_; ++s) {
    if (!is_folded(s)) continue;
    for (std::size_t i = ends[s]; i < ends[s + 1]; ++i) {
      if (distinct_.since_fold() == DistinctTokens::kMost) distinct_.fold_into(row(s));
      distinct_.count(tokens.ids + tokens.offsets[order[i]], size_of(order[i]));
    }
    distinct_.fold_into(row(s));
  }
  std::vector<Id> found;
  for (std::size_t s = 0; s < strata_; ++s) {
    if (is_folded(s)) continue;
    for (std::size_t i = ends[s]; i < ends[s + 1]; ++i) {
      const std::size_t d = order[i];
      if (found.size() < size_of(d)) found.resize(size_of(d));
      const std::size_t count = distinct_.collect(tokens.ids + tokens.offsets[d], size_of(d), found.data());
      std::uint32_t* cells = row(s);
      for (std::size_t j = 0; j < count; ++j) ++cells[found[j]];
    }
  }
}

void StratumCounter::write(RowFileWriter& file) const {
  std::vector<std::int32_t> columns;
  std::vector<std::uint32_t> totals;
  for (std::size_t s = 0; s < strata_; ++s) {
    const std::uint32_t* cells = cells_.data() + s * columns_;
    columns.clear();
    totals.clear();
    for (std::size_t c = 0; c < columns_; ++c) {
      if (cells[c] == 0) continue;
      columns.push_back(static_cast<std::int32_t>(c));
      totals.push_back(cells[c]);
    }
    if (!columns.empty()) file.put(static_cast<std::uint32_t>(s), columns.data(), totals.data(), columns.size());
  }
}

void StratumCounter::clear() {
  cells_ = HugeArray<std::uint32_t>(strata_ * columns_);
  documents_ = 0;
}

template void StratumCounter::add(const std::int64_t*, const std::int32_t*, const std::int32_t*,
                                  const TokenDocuments<std::uint16_t>&);
template void StratumCounter::add(const std::int64_t*, const std::int32_t*, const std::int32_t*,
                                  const TokenDocuments<std::uint32_t>&);

}  // namespace pivotkit
