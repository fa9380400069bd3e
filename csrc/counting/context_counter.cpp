#include "counting/context_counter.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "common/require.h"

namespace pivotkit {
namespace {

std::size_t size_of(const std::int64_t* offsets, std::size_t i) {
  return static_cast<std::size_t>(offsets[i + 1] - offsets[i]);
}

std::size_t checked(std::size_t words, std::size_t vocabulary) {
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (words == 0 || words > kMost || vocabulary == 0 || vocabulary > kMost)
    refuse("ContextCounter", "words and vocabulary", "be in [1, 2^31)", text(words, ", ", vocabulary));
  return words;
}

ContextCounter::Block block_for(std::size_t words, std::size_t vocabulary, std::size_t capacity) {
  if (vocabulary <= std::size_t{1} << 16) return ContextBlock<std::uint16_t>(words, vocabulary, capacity);
  return ContextBlock<std::uint32_t>(words, vocabulary, capacity);
}

}  // namespace

ContextCounter::ContextCounter(std::size_t words, std::size_t vocabulary, std::size_t capacity)
    : words_(checked(words, vocabulary)), distinct_(vocabulary), block_(block_for(words, vocabulary, capacity)) {}

template <class Id>
std::size_t ContextCounter::add(const std::int64_t* offsets, const std::int32_t* words,
                                const TokenDocuments<Id>& documents, std::size_t from) {
  check_tokens("ContextCounter", documents, distinct_.vocabulary());
  for (std::int64_t i = 0; i < offsets[documents.size]; ++i)
    if (words[i] < 0 || static_cast<std::size_t>(words[i]) >= words_)
      refuse<std::out_of_range>("ContextCounter", "words", text("be word ids in [0, ", words_, ")"), words[i]);
  return std::visit(
      [&](auto& block) {
        if (block.finished())
          refuse<std::logic_error>("add", "the block", "be cleared once its rows were read", "more documents");
        std::vector<Id> found;
        std::size_t d = from;
        for (; d < documents.size; ++d) {
          const std::size_t size = size_of(documents.offsets, d), hits = size_of(offsets, d);
          const Id* ids = documents.ids + documents.offsets[d];
          if (hits == 0) {
            distinct_.count(ids, size);
            continue;
          }
          if (!block.has_room(size, hits)) break;
          if (found.size() < size) found.resize(size);
          block.add(found.data(), distinct_.collect(ids, size, found.data()), words + offsets[d], hits);
        }
        return d - from;
      },
      block_);
}

ContextRows ContextCounter::rows(std::size_t begin, std::size_t end) {
  if (begin > end || end > words_)
    refuse("rows", "rows", text("be a range within ", words_, " words"), text(begin, "..", end));
  ContextRows rows;
  std::visit(
      [&](auto& block) {
        for (std::size_t w = begin; w < end; ++w) {
          const ContextRow row = block.row(w);
          rows.tokens.insert(rows.tokens.end(), row.tokens, row.tokens + row.size);
          rows.counts.insert(rows.counts.end(), row.counts, row.counts + row.size);
          rows.offsets.push_back(static_cast<std::int64_t>(rows.tokens.size()));
        }
      },
      block_);
  return rows;
}

void ContextCounter::write(RowFileWriter& file) {
  each_row(
      0, [](std::uint32_t) { return nullptr; },
      [&](std::uint32_t word, const ContextRow& row) {
        file.put(word, row.tokens, row.counts, row.size);
        return true;
      });
}

bool ContextCounter::empty() const {
  return std::visit([](const auto& block) { return block.empty(); }, block_);
}

void ContextCounter::clear() {
  std::visit([](auto& block) { block.clear(); }, block_);
}

template std::size_t ContextCounter::add(const std::int64_t*, const std::int32_t*, const TokenDocuments<std::uint16_t>&,
                                         std::size_t);
template std::size_t ContextCounter::add(const std::int64_t*, const std::int32_t*, const TokenDocuments<std::uint32_t>&,
                                         std::size_t);

}  // namespace pivotkit
