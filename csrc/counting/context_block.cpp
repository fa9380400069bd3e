#include "counting/context_block.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "common/bits.h"
#include "common/nonzero.h"

namespace pivotkit {
namespace {

// A token in more than one of this many documents of the block becomes a column of bits. For each row such a column
// costs as much as one increment for one document in a hundred.
constexpr std::size_t kDenseShare = 64;
constexpr std::size_t kMostDense = 4096;  // and no more than would make the bits larger than the ids
// fewer rows of bits are not added as bits, because reading the sums has a price
constexpr std::size_t kFewestRows = 8;

// A row with fewer tokens than one per this many ids of the vocabulary is sorted, not counted in an array.
constexpr std::size_t kScanShare = 64;

// Cells of 4 bytes that a hit and a document take besides the tokens.
constexpr std::size_t kHitCells = 2;
constexpr std::size_t kDocumentCells = 4;

// The documents of a word lie anywhere in the block, and a core fetches ahead only what it can foresee.
constexpr std::size_t kAhead = 2;  // documents
constexpr std::size_t kLine = 64;

template <class T>
void fetch(const T* begin, const T* end) {
  const auto* last = reinterpret_cast<const char*>(end);
  for (const auto* line = reinterpret_cast<const char*>(begin); line < last; line += kLine) __builtin_prefetch(line);
}

}  // namespace

template <class Token>
ContextBlock<Token>::ContextBlock(std::size_t words, std::size_t vocabulary, std::size_t capacity)
    : words_(words), vocabulary_(vocabulary), capacity_(capacity), counts_(vocabulary), short_counts_(vocabulary),
      row_tokens_(vocabulary), row_counts_(vocabulary) {
  kept_tokens_.reserve(capacity);
}

template <class Token>
bool ContextBlock<Token>::has_room(std::size_t size, std::size_t hits) const noexcept {
  const std::size_t cells = std::min(size, vocabulary_) + kHitCells * hits + kDocumentCells;
  return kept_offsets_.size() == 1 || used() + cells <= capacity_;
}

template <class Token>
template <class Id>
void ContextBlock<Token>::add(const Id* tokens, std::size_t size, const std::int32_t* words, std::size_t hits) {
  kept_tokens_.insert(kept_tokens_.end(), tokens, tokens + size);
  kept_offsets_.push_back(static_cast<std::int64_t>(kept_tokens_.size()));
  hit_words_.insert(hit_words_.end(), words, words + hits);
  hit_offsets_.push_back(static_cast<std::int64_t>(hit_words_.size()));
}

template <class Token>
std::size_t ContextBlock<Token>::used() const noexcept {
  return kept_tokens_.size() + kHitCells * hit_words_.size() + kDocumentCells * kept_offsets_.size();
}

template <class Token>
void ContextBlock<Token>::clear() {
  kept_tokens_.clear();
  kept_offsets_.assign(1, 0);
  hit_words_.clear();
  hit_offsets_.assign(1, 0);
  finished_ = false;
}

template <class Token>
void ContextBlock<Token>::finish() {
  if (finished_) return;
  index_words();
  split_dense();
  finished_ = true;
}

template <class Token>
void ContextBlock<Token>::index_words() {
  bounds_.assign(words_, 0);
  word_offsets_.assign(words_ + 1, 0);
  for (std::size_t d = 0; d + 1 < hit_offsets_.size(); ++d)
    for (std::int64_t i = hit_offsets_[d]; i < hit_offsets_[d + 1]; ++i) {
      const auto word = static_cast<std::size_t>(hit_words_[static_cast<std::size_t>(i)]);
      bounds_[word] =
          std::min(bounds_[word] + kept_offsets_[d + 1] - kept_offsets_[d], static_cast<std::int64_t>(vocabulary_));
      ++word_offsets_[word + 1];
    }
  std::partial_sum(word_offsets_.begin(), word_offsets_.end(), word_offsets_.begin());
  word_documents_.resize(hit_words_.size());
  std::vector<std::int64_t> next(word_offsets_.begin(), word_offsets_.end() - 1);
  for (std::size_t d = 0; d + 1 < hit_offsets_.size(); ++d)
    for (std::int64_t i = hit_offsets_[d]; i < hit_offsets_[d + 1]; ++i) {
      std::int64_t& place = next[static_cast<std::size_t>(hit_words_[static_cast<std::size_t>(i)])];
      word_documents_[static_cast<std::size_t>(place++)] = static_cast<std::uint32_t>(d);
    }
}

template <class Token>
void ContextBlock<Token>::find_dense(std::size_t documents) {
  for (const Token token : kept_tokens_) ++counts_[token];
  dense_tokens_.clear();
  for (std::size_t t = 0; t < counts_.size(); ++t)
    if (counts_[t] > documents / kDenseShare) dense_tokens_.push_back(static_cast<std::uint32_t>(t));
  const std::size_t most = std::min(kMostDense, kept_tokens_.size() / std::max<std::size_t>(documents, 1) / 2 * 64);
  if (dense_tokens_.size() > most) {
    const auto last = dense_tokens_.begin() + static_cast<std::ptrdiff_t>(most);
    std::nth_element(dense_tokens_.begin(), last, dense_tokens_.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return counts_[a] > counts_[b]; });
    dense_tokens_.erase(last, dense_tokens_.end());
  }
  std::fill(counts_.begin(), counts_.end(), 0U);
}

template <class Token>
void ContextBlock<Token>::split_dense() {
  const std::size_t documents = kept_offsets_.size() - 1;
  find_dense(documents);
  dense_width_ = (dense_tokens_.size() + 63) / 64;
  dense_bits_.assign(documents * dense_width_, 0);
  dense_counters_.resize(dense_width_);
  dense_counts_.resize(64 * dense_width_);
  // For a while counts_ holds the column of each token, from 1 on.
  for (std::size_t c = 0; c < dense_tokens_.size(); ++c) counts_[dense_tokens_[c]] = static_cast<std::uint32_t>(c + 1);
  std::size_t to = 0;
  for (std::size_t d = 0; d < documents; ++d) {
    std::uint64_t* bits = dense_bits_.data() + d * dense_width_;
    const auto begin = static_cast<std::size_t>(kept_offsets_[d]);
    const auto end = static_cast<std::size_t>(kept_offsets_[d + 1]);
    kept_offsets_[d] = static_cast<std::int64_t>(to);
    for (std::size_t i = begin; i < end; ++i) {
      const Token token = kept_tokens_[i];
      const std::uint32_t column = counts_[token];
      kept_tokens_[to] = token;
      if (column == 0)
        ++to;
      else
        bits[(column - 1) / 64] |= std::uint64_t{1} << (column - 1) % 64;
    }
  }
  kept_offsets_[documents] = static_cast<std::int64_t>(to);
  kept_tokens_.resize(to);
  for (const std::uint32_t token : dense_tokens_) counts_[token] = 0;
}

// Calls found(token) for each token of the document.
template <class Token>
template <class Found>
void ContextBlock<Token>::each_token(std::size_t document, Found&& found) const {
  for (std::int64_t i = kept_offsets_[document]; i < kept_offsets_[document + 1]; ++i)
    found(static_cast<std::uint32_t>(kept_tokens_[static_cast<std::size_t>(i)]));
  for (std::size_t b = 0; b < dense_width_; ++b)
    for (std::uint64_t bits = dense_bits_[document * dense_width_ + b]; bits != 0; bits &= bits - 1)
      found(dense_tokens_[64 * b + lowest_bit(bits)]);
}

template <class Token>
ContextRow ContextBlock<Token>::row(std::size_t word, const Segment* old) {
  finish();
  const std::uint32_t* documents = word_documents_.data() + word_offsets_[word];
  const auto size = static_cast<std::size_t>(word_offsets_[word + 1] - word_offsets_[word]);
  const bool sorts = static_cast<std::size_t>(bounds_[word]) < vocabulary_ / kScanShare;
  std::uint64_t most = size;
  if (sorts || size == 0) old = nullptr;
  if (old != nullptr) {
    most += largest_total(*old);  // both below 2^63
    if (most > std::numeric_limits<std::uint32_t>::max()) {
      old = nullptr;
      most = size;
    }
  }
  const std::size_t cells = sorts ? sort_row(documents, size)
                            : most <= std::numeric_limits<std::uint16_t>::max()
                                ? scan_row(documents, size, old, short_counts_)
                                : scan_row(documents, size, old, counts_);
  return {row_tokens_.data(), row_counts_.data(), cells, old != nullptr};
}

// The row of a word with few tokens: the tokens are gathered and sorted, and each run of one token is its count.
template <class Token>
std::size_t ContextBlock<Token>::sort_row(const std::uint32_t* documents, std::size_t size) {
  gathered_.clear();
  for (std::size_t i = 0; i < size; ++i)
    each_token(documents[i], [&](std::uint32_t token) { gathered_.push_back(token); });
  std::sort(gathered_.begin(), gathered_.end());
  std::size_t cells = 0;
  for (std::size_t i = 0, end = 0; i < gathered_.size(); i = end) {
    while (end < gathered_.size() && gathered_[end] == gathered_[i]) ++end;
    row_tokens_[cells] = static_cast<std::int32_t>(gathered_[i]);
    row_counts_[cells++] = static_cast<std::uint32_t>(end - i);
  }
  return cells;
}

// The row of any other word, counted in an array over the vocabulary.
template <class Token>
template <class Count>
std::size_t ContextBlock<Token>::scan_row(const std::uint32_t* documents, std::size_t size, const Segment* old,
                                          std::vector<Count>& counts) {
  if (old != nullptr) spread_cells(*old, counts.data());
  count_row(documents, size, counts.data());
  std::size_t cells = 0;
  each_nonzero(counts.data(), vocabulary_, [&](std::size_t token) {
    row_tokens_[cells] = static_cast<std::int32_t>(token);
    row_counts_[cells++] = counts[token];
  });
  std::fill(counts.begin(), counts.end(), Count{0});
  return cells;
}

// Adds up the documents' tokens in `counts`.
template <class Token>
template <class Count>
void ContextBlock<Token>::count_row(const std::uint32_t* documents, std::size_t size, Count* counts) {
  if (size < kFewestRows) {
    for (std::size_t i = 0; i < size; ++i) each_token(documents[i], [&](std::uint32_t token) { ++counts[token]; });
    return;
  }
  const auto begin = [&](std::size_t i) { return kept_tokens_.data() + kept_offsets_[documents[i]]; };
  const auto end = [&](std::size_t i) { return kept_tokens_.data() + kept_offsets_[documents[i] + std::size_t{1}]; };
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t ahead = std::min(i + kAhead, size - 1);
    fetch(begin(ahead), end(ahead));
    const Token* last = end(i);
    for (const Token* token = begin(i); token != last; ++token) ++counts[*token];
  }
  if (dense_width_ == 0) return;
  count_dense(documents, size);
  for (std::size_t c = 0; c < dense_tokens_.size(); ++c)
    counts[dense_tokens_[c]] = static_cast<Count>(counts[dense_tokens_[c]] + dense_counts_[c]);
}

template <class Token>
void ContextBlock<Token>::count_dense(const std::uint32_t* documents, std::size_t size) {
  const auto row = [&](std::size_t i) { return dense_bits_.data() + documents[i] * dense_width_; };
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    for (std::size_t ahead = i + 8; ahead < std::min(i + 16, size); ++ahead)
      fetch(row(ahead), row(ahead) + dense_width_);
    dense_counters_.add8({row(i), row(i + 1), row(i + 2), row(i + 3), row(i + 4), row(i + 5), row(i + 6), row(i + 7)});
  }
  for (; i < size; ++i) dense_counters_.add1(row(i));
  dense_counters_.take(dense_counts_.data());
}

template class ContextBlock<std::uint16_t>;
template class ContextBlock<std::uint32_t>;
template void ContextBlock<std::uint16_t>::add(const std::uint16_t*, std::size_t, const std::int32_t*, std::size_t);
template void ContextBlock<std::uint16_t>::add(const std::uint32_t*, std::size_t, const std::int32_t*, std::size_t);
template void ContextBlock<std::uint32_t>::add(const std::uint16_t*, std::size_t, const std::int32_t*, std::size_t);
template void ContextBlock<std::uint32_t>::add(const std::uint32_t*, std::size_t, const std::int32_t*, std::size_t);

}  // namespace pivotkit
