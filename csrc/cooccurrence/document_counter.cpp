#include "cooccurrence/document_counter.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/byte_table.h"

namespace pivotkit {
namespace {

// A row with more than one entry in this many is read off by scanning the vocabulary, a sparser one by sorting.
constexpr std::size_t kScanShare = 16;

std::size_t size_of(const std::int64_t* offsets, std::size_t i) {
  return static_cast<std::size_t>(offsets[i + 1] - offsets[i]);
}

void check_ids(const char* name, const std::int32_t* ids, std::size_t count, std::size_t words) {
  for (std::size_t i = 0; i < count; ++i)
    if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= words)
      throw std::out_of_range(std::string("DocumentCounter: ") + name + " must be word ids in [0, " +
                              std::to_string(words) + "); got " + std::to_string(ids[i]));
}

// `words`, once all three are known to fit 32 bits: before the first array is made.
std::size_t checked_size(std::size_t words, std::size_t pairs, std::size_t vocabulary) {
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (words > kMost || pairs > kMost || vocabulary > kMost)
    throw std::invalid_argument("DocumentCounter: words, pairs and vocabulary must be below 2^31; got " +
                                std::to_string(words) + ", " + std::to_string(pairs) + ", " +
                                std::to_string(vocabulary));
  return words;
}

}  // namespace

DocumentCounter::DocumentCounter(std::size_t words, const std::int32_t* pairs, std::size_t pair_count,
                                 std::size_t vocabulary, std::size_t expected_tokens)
    : df_(checked_size(words, pair_count, vocabulary)), tf_(words), pair_df_(pair_count), background_(vocabulary), edge_offsets_(words + 1),
      edges_(pair_count), last_seen_(words), last_token_(vocabulary) {
  if (vocabulary > 0) kept_tokens_.reserve(expected_tokens);
  check_ids("pairs", pairs, pair_count * 2, words);
  std::vector<std::int64_t> degree(words);
  for (std::size_t i = 0; i < pair_count * 2; ++i) ++degree[static_cast<std::size_t>(pairs[i])];
  const auto home = [&](std::size_t p) {  // which end of the pair keeps the edge
    const std::int32_t a = pairs[2 * p];
    const std::int32_t b = pairs[2 * p + 1];
    return degree[static_cast<std::size_t>(b)] < degree[static_cast<std::size_t>(a)] ? std::pair(b, a) : std::pair(a, b);
  };
  for (std::size_t p = 0; p < pair_count; ++p) ++edge_offsets_[static_cast<std::size_t>(home(p).first) + 1];
  for (std::size_t w = 0; w < words; ++w) edge_offsets_[w + 1] += edge_offsets_[w];
  std::vector<std::int64_t> next(edge_offsets_.begin(), edge_offsets_.end() - 1);
  for (std::size_t p = 0; p < pair_count; ++p) {
    const auto [keeper, other] = home(p);
    edges_[static_cast<std::size_t>(next[static_cast<std::size_t>(keeper)]++)] = {other, static_cast<std::int32_t>(p)};
  }
}

void DocumentCounter::check_hits(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts,
                                 std::size_t documents) const {
  const auto total = static_cast<std::size_t>(offsets[documents]);
  check_ids("words", words, total, df_.size());
  for (std::size_t i = 0; i < total; ++i)
    if (counts[i] < 1)
      throw std::invalid_argument("DocumentCounter: counts must be positive; got " + std::to_string(counts[i]));
  for (std::size_t d = 0; d < documents; ++d)
    for (std::int64_t i = offsets[d] + 1; i < offsets[d + 1]; ++i)
      if (words[i] <= words[i - 1])
        throw std::invalid_argument("DocumentCounter: words of a document must ascend; got " +
                                    std::to_string(words[i - 1]) + ", " + std::to_string(words[i]));
}

void DocumentCounter::count_hits(const std::int32_t* words, const std::int32_t* counts, std::size_t size) {
  ++documents_;
  for (std::size_t i = 0; i < size; ++i) {
    const auto word = static_cast<std::size_t>(words[i]);
    ++df_[word];
    if (tf_[word] > std::numeric_limits<std::int64_t>::max() - counts[i])
      throw std::overflow_error("DocumentCounter: occurrences of a word must fit 63 bits; got more");
    tf_[word] += counts[i];
    last_seen_[word] = documents_;
  }
  for (std::size_t i = 0; i < size; ++i) {
    const auto word = static_cast<std::size_t>(words[i]);
    for (std::int64_t e = edge_offsets_[word]; e < edge_offsets_[word + 1]; ++e) {
      const Edge edge = edges_[static_cast<std::size_t>(e)];
      if (last_seen_[static_cast<std::size_t>(edge.other)] == documents_) ++pair_df_[static_cast<std::size_t>(edge.pair)];
    }
  }
}

void DocumentCounter::add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts,
                          std::size_t documents) {
  if (!background_.empty())
    throw std::invalid_argument("DocumentCounter: documents must come with tokens when there is a vocabulary; got none");
  check_hits(offsets, words, counts, documents);
  for (std::size_t d = 0; d < documents; ++d) count_hits(words + offsets[d], counts + offsets[d], size_of(offsets, d));
}

void DocumentCounter::add(const std::int64_t* offsets, const std::int32_t* words, const std::int32_t* counts,
                          std::size_t documents, const std::int64_t* token_offsets, const std::uint32_t* tokens) {
  check_hits(offsets, words, counts, documents);
  const std::size_t vocabulary = background_.size();
  for (std::int64_t i = 0; i < token_offsets[documents]; ++i)
    if (tokens[i] >= vocabulary)
      throw std::out_of_range("DocumentCounter: tokens must be ids in [0, " + std::to_string(vocabulary) + "); got " +
                              std::to_string(tokens[i]));
  for (std::size_t d = 0; d < documents; ++d) {
    const std::size_t hits = size_of(offsets, d);
    count_hits(words + offsets[d], counts + offsets[d], hits);
    for (std::int64_t i = token_offsets[d]; i < token_offsets[d + 1]; ++i) {
      if (last_token_[tokens[i]] == documents_) continue;
      last_token_[tokens[i]] = documents_;
      ++background_[tokens[i]];
      if (hits > 0) kept_tokens_.push_back(tokens[i]);
    }
    if (hits == 0) continue;
    kept_offsets_.push_back(static_cast<std::int64_t>(kept_tokens_.size()));
    hit_words_.insert(hit_words_.end(), words + offsets[d], words + offsets[d + 1]);
    hit_offsets_.push_back(static_cast<std::int64_t>(hit_words_.size()));
  }
}

std::vector<std::int64_t> DocumentCounter::context_bounds() const {
  std::vector<std::int64_t> bounds(df_.size());
  for (std::size_t d = 0; d + 1 < hit_offsets_.size(); ++d)
    for (std::int64_t i = hit_offsets_[d]; i < hit_offsets_[d + 1]; ++i)
      bounds[static_cast<std::size_t>(hit_words_[static_cast<std::size_t>(i)])] += kept_offsets_[d + 1] - kept_offsets_[d];
  for (std::int64_t& bound : bounds) bound = std::min(bound, static_cast<std::int64_t>(background_.size()));
  return bounds;
}

ContextRows DocumentCounter::context(std::size_t begin, std::size_t end) const {
  if (begin > end || end > df_.size())
    throw std::invalid_argument("context: rows must be a range within " + std::to_string(df_.size()) + " words; got " +
                                std::to_string(begin) + ".." + std::to_string(end));
  // Transpose: the documents of each word of the range.
  std::vector<std::int64_t> starts(end - begin + 1);
  const auto in_range = [&](std::int32_t word) {
    return static_cast<std::size_t>(word) >= begin && static_cast<std::size_t>(word) < end;
  };
  for (const std::int32_t word : hit_words_)
    if (in_range(word)) ++starts[static_cast<std::size_t>(word) - begin + 1];
  for (std::size_t w = 0; w + 1 < starts.size(); ++w) starts[w + 1] += starts[w];
  std::vector<std::size_t> documents(static_cast<std::size_t>(starts.back()));
  std::vector<std::int64_t> next(starts.begin(), starts.end() - 1);
  for (std::size_t d = 0; d + 1 < hit_offsets_.size(); ++d)
    for (std::int64_t i = hit_offsets_[d]; i < hit_offsets_[d + 1]; ++i) {
      const std::int32_t word = hit_words_[static_cast<std::size_t>(i)];
      if (in_range(word)) documents[static_cast<std::size_t>(next[static_cast<std::size_t>(word) - begin]++)] = d;
    }

  ContextRows rows;
  std::vector<std::uint32_t> counts(background_.size());  // documents of one unit: checked below
  std::vector<std::uint32_t> touched;
  for (std::size_t w = begin; w < end; ++w) {
    const std::int64_t first = starts[w - begin];
    const std::int64_t last = starts[w - begin + 1];
    if (last - first > static_cast<std::int64_t>(std::numeric_limits<std::uint32_t>::max()))
      throw std::overflow_error("context: documents of a word in one unit must fit 32 bits; got more");
    touched.clear();
    for (std::int64_t i = first; i < last; ++i) {
      const std::size_t d = documents[static_cast<std::size_t>(i)];
      for (std::int64_t j = kept_offsets_[d]; j < kept_offsets_[d + 1]; ++j) {
        const std::uint32_t token = kept_tokens_[static_cast<std::size_t>(j)];
        if (counts[token]++ == 0) touched.push_back(token);
      }
    }
    if (touched.size() > counts.size() / kScanShare) {
      touched.clear();
      for (std::size_t t = 0; t < counts.size(); ++t)
        if (counts[t] != 0) touched.push_back(static_cast<std::uint32_t>(t));
    } else {
      std::sort(touched.begin(), touched.end());
    }
    for (const std::uint32_t token : touched) {
      rows.tokens.push_back(static_cast<std::int32_t>(token));
      rows.counts.push_back(counts[token]);
      counts[token] = 0;
    }
    rows.offsets.push_back(static_cast<std::int64_t>(rows.tokens.size()));
  }
  return rows;
}

}  // namespace pivotkit
