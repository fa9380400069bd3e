#include "unembed/block_rows.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace pivotkit {

std::int64_t count_references(const UnembedRequest& request) {
  if (request.references == nullptr) return 0;
  std::vector<bool> named(static_cast<std::size_t>(request.hidden.rows));
  std::int64_t count = 0;
  for (std::int64_t row = 0; row < request.hidden.rows; ++row) {
    const std::int64_t reference = request.references[row];
    if (reference == row || named[reference]) continue;
    named[reference] = true;
    ++count;
  }
  return count;
}

bool BlockRows::before(std::int64_t a, std::int64_t b) const {
  return std::make_pair(reference_of(a), a) < std::make_pair(reference_of(b), b);
}

// Whether order_[first .. last] holds that row of the request.
bool BlockRows::among(std::int64_t source, std::int64_t first, std::int64_t last) const {
  return source >= begin_ && source - begin_ < static_cast<std::int64_t>(order_.size()) &&
         !before(source, order_[first]) && !before(order_[last], source);
}

// Whether the block being dealt compares others with that row: the references are its first rows, and ascend.
bool BlockRows::is_reference(std::int64_t source) const {
  return std::binary_search(sources_.begin(), sources_.begin() + references_, source);
}

bool BlockRows::order_window() {
  begin_ += static_cast<std::int64_t>(order_.size());
  at_ = 0;
  order_.resize(static_cast<std::size_t>(std::min(plan_.window, request_.hidden.rows - begin_)));
  std::iota(order_.begin(), order_.end(), begin_);
  std::sort(order_.begin(), order_.end(), [&](std::int64_t a, std::int64_t b) { return before(a, b); });
  return !order_.empty();
}

std::int64_t BlockRows::place(std::int64_t source, std::int64_t first, std::int64_t last) const {
  if (!among(source, first, last)) return kGuest;
  if (reference_of(source) == source) return kItself;
  return std::lower_bound(sources_.begin(), sources_.begin() + references_, reference_of(source)) - sources_.begin();
}

bool BlockRows::next() {
  sources_.clear();
  places_.clear();
  references_ = 0;
  if (plan_.references == 0) {
    sources_.resize(static_cast<std::size_t>(std::min(plan_.block, request_.hidden.rows - begin_)));
    std::iota(sources_.begin(), sources_.end(), begin_);
    begin_ += count();
    return count() != 0;
  }
  if (at_ == static_cast<std::int64_t>(order_.size()) && !order_window()) return false;
  const std::int64_t first = at_;
  std::int64_t guests = 0;
  for (; at_ < static_cast<std::int64_t>(order_.size()); ++at_) {
    const std::int64_t row = order_[at_], reference = reference_of(row);
    const bool fresh = reference != row && (references_ == 0 || sources_.back() != reference);
    const std::int64_t then = guests - is_reference(row) + (fresh && !among(reference, first, at_));
    if (at_ - first + 1 + then > plan_.block || references_ + fresh > plan_.references) break;
    guests = then;
    if (fresh) sources_.push_back(reference);
    references_ += fresh;
  }
  for (std::int64_t i = first; i < at_; ++i)
    if (!is_reference(order_[i])) sources_.push_back(order_[i]);
  for (const std::int64_t source : sources_) places_.push_back(place(source, first, at_ - 1));
  return true;
}

}  // namespace pivotkit
