#include "cooccurrence/context_counter.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "common/bits.h"

namespace pivotkit {
namespace {

// A token in more than one of this many documents of the block is a column of bits: a column costs a row as much as
// incrementing a counter for one document in a hundred.
constexpr std::size_t kDenseShare = 64;
constexpr std::size_t kMostDense = 4096;  // and no more than make the bits as large as the ids
constexpr std::size_t kFewestRows = 8;    // of bits that are added up as such: reading the sums has its price

// A row of fewer tokens than one in this many ids of the vocabulary is sorted, not counted in an array over it.
constexpr std::size_t kScanShare = 64;

// What a hit and a document take beside the tokens, in cells of 4 bytes.
constexpr std::size_t kHitCells = 2;
constexpr std::size_t kDocumentCells = 4;

std::size_t size_of(const std::int64_t* offsets, std::size_t i) {
  return static_cast<std::size_t>(offsets[i + 1] - offsets[i]);
}

}  // namespace

ContextCounter::ContextCounter(std::size_t words, std::size_t vocabulary, std::size_t capacity)
    : words_(words), capacity_(capacity), distinct_(vocabulary), background_(vocabulary), counts_(vocabulary) {
  kept_tokens_.reserve(capacity);
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (words > kMost || vocabulary > kMost || vocabulary == 0)
    throw std::invalid_argument("ContextCounter: words and vocabulary must be in [1, 2^31); got " +
                                std::to_string(words) + ", " + std::to_string(vocabulary));
}

template <class Id>
std::size_t ContextCounter::add(const std::int64_t* offsets, const std::int32_t* words,
                                const TokenDocuments<Id>& documents, std::size_t from) {
  check_tokens("ContextCounter", documents, background_.size());
  for (std::int64_t i = 0; i < offsets[documents.size]; ++i)
    if (words[i] < 0 || static_cast<std::size_t>(words[i]) >= words_)
      throw std::out_of_range("ContextCounter: words must be word ids in [0, " + std::to_string(words_) + "); got " +
                              std::to_string(words[i]));
  if (finished_) throw std::logic_error("add: the block must be cleared once its rows were read");
  std::vector<Id> found;
  std::size_t d = from;
  for (; d < documents.size; ++d) {
    const std::size_t size = size_of(documents.offsets, d);
    const std::size_t most = std::min(size, background_.size());
    const bool keeps = size_of(offsets, d) > 0;
    if (keeps && kept_offsets_.size() > 1 && used() + most + kHitCells * size_of(offsets, d) + kDocumentCells > capacity_)
      break;
    if (found.size() < size) found.resize(size);
    const std::size_t count = distinct_.collect(documents.ids + documents.offsets[d], size, found.data());
    for (std::size_t i = 0; i < count; ++i) ++background_[found[i]];
    if (!keeps) continue;
    kept_tokens_.insert(kept_tokens_.end(), found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count));
    kept_offsets_.push_back(static_cast<std::int64_t>(kept_tokens_.size()));
    hit_words_.insert(hit_words_.end(), words + offsets[d], words + offsets[d + 1]);
    hit_offsets_.push_back(static_cast<std::int64_t>(hit_words_.size()));
  }
  return d - from;
}

std::size_t ContextCounter::used() const noexcept {
  return kept_tokens_.size() + kHitCells * hit_words_.size() + kDocumentCells * kept_offsets_.size();
}

void ContextCounter::clear() {
  kept_tokens_.clear();
  kept_offsets_.assign(1, 0);
  hit_words_.clear();
  hit_offsets_.assign(1, 0);
  finished_ = false;
}

void ContextCounter::finish() {
  if (finished_) return;
  bounds_.assign(words_, 0);
  for (std::size_t d = 0; d + 1 < hit_offsets_.size(); ++d)
    for (std::int64_t i = hit_offsets_[d]; i < hit_offsets_[d + 1]; ++i) {
      std::int64_t& bound = bounds_[static_cast<std::size_t>(hit_words_[static_cast<std::size_t>(i)])];
      bound = std::min(bound + kept_offsets_[d + 1] - kept_offsets_[d], static_cast<std::int64_t>(background_.size()));
    }
  word_offsets_.assign(words_ + 1, 0);
  for (const std::int32_t word : hit_words_) ++word_offsets_[static_cast<std::size_t>(word) + 1];
  std::partial_sum(word_offsets_.begin(), word_offsets_.end(), word_offsets_.begin());
  word_documents_.resize(hit_words_.size());
  std::vector<std::int64_t> next(word_offsets_.begin(), word_offsets_.end() - 1);
  for (std::size_t d = 0; d + 1 < hit_offsets_.size(); ++d)
    for (std::int64_t i = hit_offsets_[d]; i < hit_offsets_[d + 1]; ++i)
      word_documents_[static_cast<std::size_t>(next[static_cast<std::size_t>(hit_words_[static_cast<std::size_t>(i)])]++)] =
          static_cast<std::uint32_t>(d);
  split_dense();
  finished_ = true;
}

void ContextCounter::split_dense() {
  const std::size_t documents = kept_offsets_.size() - 1;
  for (const std::uint32_t token : kept_tokens_) ++counts_[token];
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
  dense_width_ = (dense_tokens_.size() + 63) / 64;
  dense_bits_.assign(documents * dense_width_, 0);
  dense_counters_.resize(dense_width_);
  dense_counts_.resize(64 * dense_width_);
  // counts_ says for a while which column a token is, from 1.
  for (std::size_t c = 0; c < dense_tokens_.size(); ++c) counts_[dense_tokens_[c]] = static_cast<std::uint32_t>(c + 1);
  std::size_t to = 0;
  for (std::size_t d = 0; d < documents; ++d) {
    std::uint64_t* bits = dense_bits_.data() + d * dense_width_;
    const auto begin = static_cast<std::size_t>(kept_offsets_[d]);
    const auto end = static_cast<std::size_t>(kept_offsets_[d + 1]);
    kept_offsets_[d] = static_cast<std::int64_t>(to);
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint32_t token = kept_tokens_[i];
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
template <class Found>
void ContextCounter::each_token(std::size_t document, Found&& found) const {
  for (std::int64_t i = kept_offsets_[document]; i < kept_offsets_[document + 1]; ++i)
    found(kept_tokens_[static_cast<std::size_t>(i)]);
  for (std::size_t b = 0; b < dense_width_; ++b)
    for (std::uint64_t bits = dense_bits_[document * dense_width_ + b]; bits != 0; bits &= bits - 1)
      found(dense_tokens_[64 * b + lowest_bit(bits)]);
}

// Appends the row of a word with few tokens: they are gathered, sorted, and each run of one token is its count.
void ContextCounter::sort_row(const std::uint32_t* documents, std::size_t size, ContextRows& rows) {
  gathered_.clear();
  for (std::size_t i = 0; i < size; ++i)
    each_token(documents[i], [&](std::uint32_t token) { gathered_.push_back(token); });
  std::sort(gathered_.begin(), gathered_.end());
  for (std::size_t i = 0, end = 0; i < gathered_.size(); i = end) {
    while (end < gathered_.size() && gathered_[end] == gathered_[i]) ++end;
    rows.tokens.push_back(static_cast<std::int32_t>(gathered_[i]));
    rows.counts.push_back(static_cast<std::uint32_t>(end - i));
  }
}

// Appends the row of any other word, counted in an array over the vocabulary.
void ContextCounter::scan_row(const std::uint32_t* documents, std::size_t size, std::size_t most, ContextRows& rows) {
  count_row(documents, size);
  // Every token is written and the place moves on only past one that was counted: no branch to mispredict.
  std::size_t to = rows.tokens.size();
  rows.tokens.resize(to + most + 1);
  rows.counts.resize(to + most + 1);
  for (std::size_t t = 0; t < counts_.size(); ++t) {
    rows.tokens[to] = static_cast<std::int32_t>(t);
    rows.counts[to] = counts_[t];
    to += counts_[t] != 0;
  }
  rows.tokens.resize(to);
  rows.counts.resize(to);
  std::fill(counts_.begin(), counts_.end(), 0U);
}

// Adds up the documents' tokens in counts_.
void ContextCounter::count_row(const std::uint32_t* documents, std::size_t size) {
  if (size < kFewestRows) {
    for (std::size_t i = 0; i < size; ++i) each_token(documents[i], [&](std::uint32_t token) { ++counts_[token]; });
    return;
  }
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint32_t* last = kept_tokens_.data() + kept_offsets_[documents[i] + 1];
    for (const std::uint32_t* token = kept_tokens_.data() + kept_offsets_[documents[i]]; token != last; ++token)
      ++counts_[*token];
  }
  if (dense_width_ == 0) return;
  const auto row = [&](std::size_t i) { return dense_bits_.data() + documents[i] * dense_width_; };
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8)
    dense_counters_.add8({row(i), row(i + 1), row(i + 2), row(i + 3), row(i + 4), row(i + 5), row(i + 6), row(i + 7)});
  for (; i < size; ++i) dense_counters_.add1(row(i));
  dense_counters_.take(dense_counts_.data());
  for (std::size_t c = 0; c < dense_tokens_.size(); ++c) counts_[dense_tokens_[c]] = dense_counts_[c];
}

void ContextCounter::append_row(std::size_t word, ContextRows& rows) {
  const std::uint32_t* documents = word_documents_.data() + word_offsets_[word];
  const auto size = static_cast<std::size_t>(word_offsets_[word + 1] - word_offsets_[word]);
  const auto most = static_cast<std::size_t>(bounds_[word]);
  if (most < counts_.size() / kScanShare)
    sort_row(documents, size, rows);
  else
    scan_row(documents, size, most, rows);
  rows.offsets.push_back(static_cast<std::int64_t>(rows.tokens.size()));
}

ContextRows ContextCounter::rows(std::size_t begin, std::size_t end) {
  if (begin > end || end > words_)
    throw std::invalid_argument("rows: rows must be a range within " + std::to_string(words_) + " words; got " +
                                std::to_string(begin) + ".." + std::to_string(end));
  finish();
  ContextRows rows;
  for (std::size_t w = begin; w < end; ++w) append_row(w, rows);
  return rows;
}

void ContextCounter::write(RowFileWriter& file) {
  finish();
  ContextRows row;
  for (std::size_t w = 0; w < words_; ++w) {
    row.tokens.clear();
    row.counts.clear();
    append_row(w, row);
    file.put(static_cast<std::uint32_t>(w), row.tokens.data(), row.counts.data(), row.tokens.size());
  }
}

template std::size_t ContextCounter::add(const std::int64_t*, const std::int32_t*, const TokenDocuments<std::uint16_t>&, std::size_t);
template std::size_t ContextCounter::add(const std::int64_t*, const std::int32_t*, const TokenDocuments<std::uint32_t>&, std::size_t);

}  // namespace pivotkit
