#include "counting/document_scorer.h"

#include <limits>
#include <stdexcept>
#include <utility>

#include "common/require.h"

namespace pivotkit {
namespace {

constexpr std::uint32_t kNoPivot = std::numeric_limits<std::uint32_t>::max();  // in last_seen: later than any document

}  // namespace

DocumentScorer::DocumentScorer(std::vector<std::uint8_t> is_pivot, std::vector<float> weights, bool distinct)
    : vocabulary_(is_pivot.size()), is_pivot_(std::move(is_pivot)), weights_(std::move(weights)) {
  if (!weights_.empty() && weights_.size() != vocabulary_)
    refuse("DocumentScorer", "weights", text("be ", vocabulary_, ", one a token"), weights_.size());
  if (!weights_.empty() && distinct) refuse("DocumentScorer", "weights", "be left out for distinct pivots", "some");
  for (std::uint8_t& pivot : is_pivot_) pivot = pivot != 0;
  if (!distinct) return;
  last_seen_.reserve(vocabulary_);
  for (const std::uint8_t pivot : is_pivot_) last_seen_.push_back(pivot ? 0 : kNoPivot);
}

template <class Id>
DocumentScores DocumentScorer::add(const TokenDocuments<Id>& documents, bool continued) {
  check_tokens("DocumentScorer", documents, vocabulary_);
  DocumentScores found;
  found.tokens.reserve(documents.size);
  found.pivots.reserve(documents.size);
  found.scores.reserve(documents.size);
  for (std::size_t d = 0; d < documents.size; ++d) {
    if (d > 0 || !continued) begin_document();
    read(documents.ids + documents.offsets[d],
         static_cast<std::size_t>(documents.offsets[d + 1] - documents.offsets[d]));
    found.tokens.push_back(totals_.tokens);
    found.pivots.push_back(totals_.pivots);
    found.scores.push_back(score());
  }
  return found;
}

template <class Id>
void DocumentScorer::read(const Id* ids, std::size_t size) {
  Totals totals = totals_;                                  // in registers
  const auto at = static_cast<std::size_t>(totals.tokens);  // the place of ids[0] in its document
  totals.tokens += static_cast<std::int64_t>(size);
  const std::uint8_t* is_pivot = is_pivot_.data();
  if (!last_seen_.empty()) {
    std::uint32_t* last_seen = last_seen_.data();
    const std::uint32_t document = document_;
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint32_t seen = last_seen[ids[i]];
      const bool is_new = seen < document;
      totals.pivots += seen != kNoPivot;
      totals.distinct += is_new;
      last_seen[ids[i]] = is_new ? document : seen;
    }
  } else if (!weights_.empty()) {
    const float* weights = weights_.data();
    const auto add = [&](std::size_t i, double& sum) {
      totals.pivots += is_pivot[ids[i]];
      sum += weights[ids[i]];
    };
    std::size_t i = 0;
    for (; i < size && (at + i) % kSums != 0; ++i) add(i, totals.weights[(at + i) % kSums]);
    for (; i + kSums <= size; i += kSums)
      for (std::size_t lane = 0; lane < kSums; ++lane) add(i + lane, totals.weights[lane]);
    for (; i < size; ++i) add(i, totals.weights[(at + i) % kSums]);
  } else {
    std::size_t i = 0;
    for (; i + 4 <= size; i += 4)  // four additions in a row would wait for one another
      totals.pivots += is_pivot[ids[i]] + is_pivot[ids[i + 1]] + is_pivot[ids[i + 2]] + is_pivot[ids[i + 3]];
    for (; i < size; ++i) totals.pivots += is_pivot[ids[i]];
  }
  totals_ = totals;
}

double DocumentScorer::score() const noexcept {
  if (totals_.tokens == 0) return 0;
  if (!last_seen_.empty()) return static_cast<double>(totals_.distinct);
  const double* weights = totals_.weights;
  const double weight = (weights[0] + weights[1]) + (weights[2] + weights[3]);
  const double sum = weights_.empty() ? static_cast<double>(totals_.pivots) : weight;
  return sum / static_cast<double>(totals_.tokens);
}

void DocumentScorer::begin_document() {
  totals_ = Totals();
  if (++document_ < kNoPivot) return;
  for (std::uint32_t& seen : last_seen_) seen = seen == kNoPivot ? kNoPivot : 0;
  document_ = 1;
}

template DocumentScores DocumentScorer::add(const TokenDocuments<std::uint16_t>&, bool);
template DocumentScores DocumentScorer::add(const TokenDocuments<std::uint32_t>&, bool);

}  // namespace pivotkit
