#include "token_graph/pair_block.h"

#include <algorithm>
#include <chrono>

namespace pivotkit {
namespace {

constexpr std::size_t kAhead = 16;  // positions whose text is asked for early

}  // namespace

template <class Cell>
PairBlock<Cell>::PairBlock(std::size_t vocabulary, const PairRule& rule, std::size_t cells)
    : vocabulary_(vocabulary), window_(rule.weights.size()), steps_((window_ + kStep - 1) / kStep),
      gap_(kStep * (steps_ <= kUnrolled ? steps_ : 1)), capacity_(cells),
      weights_(rule.weights.begin(), rule.weights.end()), symmetric_(rule.symmetric), text_(cells + 2 * kStep),
      positions_(cells), ends_(vocabulary + 2) {
  weights_.resize(steps_ * kStep);
  restart();
}

template <class Cell>
void PairBlock<Cell>::restart() {
  std::vector<Cell> kept;
  if (document_ != 0) {  // 0: no document is open
    const std::size_t count = std::min(window_, size_ - document_);
    kept.assign(text_.data() + size_ - count, text_.data() + size_);
  }
  std::fill_n(text_.data(), gap_, static_cast<Cell>(vocabulary_));
  std::copy(kept.begin(), kept.end(), text_.data() + gap_);
  size_ = first_ = gap_ + kept.size();
  if (document_ != 0) document_ = gap_;
}

template <class Cell>
template <class Id>
std::size_t PairBlock<Cell>::append(const Id* ids, std::size_t count) {
  count = std::min(count, capacity_ - std::min(capacity_, size_ + gap_));
  std::transform(ids, ids + count, text_.data() + size_, [](Id id) { return static_cast<Cell>(id); });
  size_ += count;
  return count;
}

template <class Cell>
void PairBlock<Cell>::end_document() {
  std::fill_n(text_.data() + size_, gap_, static_cast<Cell>(vocabulary_));
  size_ += gap_;
  document_ = 0;
}

template <class Cell>
void PairBlock<Cell>::free() noexcept {
  text_.free();
  positions_.free();
}

// positions_ holds the positions of token 0 in ascending order, then those of token 1, and so on.
template <class Cell>
void PairBlock<Cell>::index() {
  const auto begin = std::chrono::steady_clock::now();
  std::fill(ends_.begin(), ends_.end(), 0);
  for (std::size_t i = 0; i < size_; ++i) ++ends_[text_[i] + std::size_t{1}];
  ends_[vocabulary_ + 1] = 0;  // cells between documents
  for (std::size_t token = 1; token <= vocabulary_; ++token) ends_[token] += ends_[token - 1];
  for (std::size_t i = 0; i < size_; ++i)  // ends_[token] is where the next of its positions goes
    if (text_[i] != vocabulary_) positions_[ends_[text_[i]]++] = static_cast<std::uint32_t>(i);
  index_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

template <class Cell>
void PairBlock<Cell>::take_rows(RowAccumulator& accumulator, RowSink& sink) {
  if (document_ != 0 && size_ > document_)  // else the text ends in such cells already
    std::fill_n(text_.data() + size_, gap_, static_cast<Cell>(vocabulary_));
  index();
  symmetric_ ? rows_by_steps<true>(accumulator, sink) : rows_by_steps<false>(accumulator, sink);
  restart();
}

template <class Cell>
template <bool kSymmetric>
void PairBlock<Cell>::rows_by_steps(RowAccumulator& accumulator, RowSink& sink) {
  if (steps_ == 1) return rows<kSymmetric, 1>(accumulator, sink);
  if (steps_ == 2) return rows<kSymmetric, 2>(accumulator, sink);
  if (steps_ == 3) return rows<kSymmetric, 3>(accumulator, sink);
  static_assert(kUnrolled == 3);
  rows<kSymmetric, 0>(accumulator, sink);
}

template <class Cell>
template <bool kSymmetric, int kSteps>
void PairBlock<Cell>::rows(RowAccumulator& accumulator, RowSink& sink) {
  const std::size_t reach = (kSymmetric ? 2 : 1) * window_;
  std::size_t end = 0;
  for (std::size_t token = 0; token < vocabulary_; ++token) {
    std::size_t begin = end;
    end = ends_[token];
    if (begin == end) continue;
    const auto row = static_cast<std::uint32_t>(token);
    const std::size_t limit = kSymmetric ? token + 1 : vocabulary_;
    if (positions_[begin] < first_) {  // positions ascend: kept cells are the first of a row, and in few rows
      for (; begin < end && positions_[begin] < first_; ++begin)
        gather_kept<kSymmetric>(row, positions_[begin], accumulator);
      gather<kSymmetric, kSteps, false>(row, begin, end, accumulator);
      const Row found = accumulator.take_scanned(row, limit);
      if (found.size > 0) sink.put(found);
      continue;
    }
    const bool scans = RowAccumulator::scans(limit, (end - begin) * reach);
    const std::size_t listed = scans ? gather<kSymmetric, kSteps, false>(row, begin, end, accumulator)
                                     : gather<kSymmetric, kSteps, true>(row, begin, end, accumulator);
    const Row found = scans ? accumulator.take_scanned(row, limit) : accumulator.take_listed(row, listed);
    if (found.size > 0) sink.put(found);
  }
}

// Adds the windows round positions begin..end of the list, kStep cells at a time and without a branch. kSteps is the
// number of steps of a window; 0 means any number, and a look for the end of the document after each step. Cells that
// do not count go to spare columns, one column per step: a single one would be a chain of dependent additions. A pair
// of equal ids is seen from both ends and counted from the first.
template <class Cell>
template <bool kSymmetric, int kSteps, bool kListed>
std::size_t PairBlock<Cell>::gather(std::uint32_t row, std::size_t begin, std::size_t end,
                                    RowAccumulator& accumulator) {
  std::uint64_t* const values = accumulator.values();
  std::uint32_t* const touched = accumulator.touched();
  const std::uint64_t* const weights = weights_.data();
  const auto none = static_cast<std::uint32_t>(vocabulary_);
  const std::ptrdiff_t window = kSteps == 0 ? static_cast<std::ptrdiff_t>(weights_.size()) : kSteps * kStep;
  const std::size_t last = ends_[vocabulary_ - 1] - std::size_t{1};
  std::size_t listed = 0;
  const auto add = [&](std::uint32_t column, std::uint64_t weight) {
    if constexpr (kListed) {
      touched[listed] = column;
      listed += static_cast<std::size_t>(values[column] == 0) & static_cast<std::size_t>(weight != 0);
    }
    values[column] += weight;
  };
  for (std::size_t i = begin; i < end; ++i) {
    const Cell* const next = text_.data() + positions_[std::min(i + kAhead, last)];
    __builtin_prefetch(next - kStep);
    __builtin_prefetch(next + 2 * kStep);
    const Cell* const cell = text_.data() + positions_[i];
    for (std::ptrdiff_t near = 0; near < window; near += kStep) {
#pragma GCC unroll 5  // kStep
      for (std::ptrdiff_t step = 1; step <= kStep; ++step) {
        const std::uint32_t other = cell[near + step];
        const bool counts = !kSymmetric || other <= row;
        add(counts ? other : none + static_cast<std::uint32_t>(step), weights[near + step - 1]);
      }
      if (kSteps == 0 && cell[near + kStep] == none) break;
    }
    if constexpr (!kSymmetric) continue;
    for (std::ptrdiff_t near = 0; near < window; near += kStep) {
#pragma GCC unroll 5
      for (std::ptrdiff_t step = 1; step <= kStep; ++step) {
        const std::uint32_t other = cell[-near - step];
        add(other < row ? other : none + static_cast<std::uint32_t>(step), weights[near + step - 1]);
      }
      if (kSteps == 0 && cell[-near - kStep] == none) break;
    }
  }
  return listed;
}

// Adds the pairs of a kept cell with the cells behind the kept ones.
template <class Cell>
template <bool kSymmetric>
void PairBlock<Cell>::gather_kept(std::uint32_t row, std::size_t position, RowAccumulator& accumulator) {
  for (std::size_t distance = first_ - position; distance <= window_; ++distance) {
    const std::uint32_t other = text_[position + distance];
    if (other == vocabulary_) break;
    if (!kSymmetric || other <= row) accumulator.values()[other] += weights_[distance - 1];
  }
}

template class PairBlock<std::uint16_t>;
template class PairBlock<std::uint32_t>;
template std::size_t PairBlock<std::uint16_t>::append(const std::uint16_t*, std::size_t);
template std::size_t PairBlock<std::uint16_t>::append(const std::uint32_t*, std::size_t);
template std::size_t PairBlock<std::uint32_t>::append(const std::uint16_t*, std::size_t);
template std::size_t PairBlock<std::uint32_t>::append(const std::uint32_t*, std::size_t);

}  // namespace pivotkit
