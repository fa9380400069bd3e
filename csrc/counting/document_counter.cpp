#include "counting/document_counter.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "common/require.h"

namespace pivotkit {
namespace {

std::size_t checked_size(std::size_t words, std::int64_t window) {
  if (words > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    refuse("DocumentCounter", "words", "be below 2^31", words);
  if (window < 0) refuse("DocumentCounter", "window", "not be negative", window);
  return words;
}

}  // namespace

DocumentCounter::DocumentCounter(std::size_t words, const std::int32_t* pairs, std::size_t pair_count,
                                 std::int64_t window)
    : window_(window), df_(checked_size(words, window)), tf_(words), last_seen_(words),
      pairs_(words, pairs, pair_count) {}

void DocumentCounter::check(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts,
                            std::size_t documents, const Occurrences* places) const {
  const auto total = static_cast<std::size_t>(offsets[documents]);
  for (std::size_t i = 0; i < total; ++i) {
    if (words[i] < 0 || static_cast<std::size_t>(words[i]) >= df_.size())
      refuse<std::out_of_range>("DocumentCounter", "words", text("be word ids in [0, ", df_.size(), ")"), words[i]);
    if (counts[i] < 1) refuse("DocumentCounter", "counts", "be positive", counts[i]);
  }
  if (window_ == 0) return;
  if (places == nullptr) refuse("DocumentCounter", "places", "come with a window", "none");
  for (std::size_t i = 0; i < total; ++i)
    if (places->offsets[i + 1] - places->offsets[i] != counts[i])
      refuse("DocumentCounter", "places", "be as many as counts", text("others at hit ", i));
}

void DocumentCounter::clear() {
  documents_ = 0;
  std::fill(df_.begin(), df_.end(), 0);
  std::fill(tf_.begin(), tf_.end(), 0);
  std::fill(last_seen_.begin(), last_seen_.end(), 0);
  pairs_.clear();
}

void DocumentCounter::add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts,
                          std::size_t documents, const Occurrences* places) {
  check(offsets, words, counts, documents, places);
  for (std::size_t d = 0; d < documents; ++d) {
    ++documents_;
    for (std::int64_t i = offsets[d]; i < offsets[d + 1]; ++i) {
      const auto word = static_cast<std::size_t>(words[i]);
      if (last_seen_[word] == documents_)
        refuse("DocumentCounter", "words of a document", "be distinct", text(words[i], " twice"));
      last_seen_[word] = documents_;
      ++df_[word];
      if (tf_[word] > std::numeric_limits<std::int64_t>::max() - counts[i])
        refuse<std::overflow_error>("DocumentCounter", "occurrences of a word", "fit 63 bits", "more");
      tf_[word] += counts[i];
    }
    const auto size = static_cast<std::size_t>(offsets[d + 1] - offsets[d]);
    if (window_ == 0)
      pairs_.add(words + offsets[d], size);
    else
      pairs_.add_windows(words + offsets[d], size, *places, static_cast<std::size_t>(offsets[d]), window_);
    if (++ever_ == next_arrangement_) {
      pairs_.arrange(df_);
      next_arrangement_ *= 8;
    }
  }
}

}  // namespace pivotkit
