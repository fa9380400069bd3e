#include "rows/row_accumulator.h"

#include <algorithm>

#include "common/bits.h"
#include "common/nonzero.h"

namespace pivotkit {
namespace {

constexpr std::size_t kWord = 64;

std::size_t words_for(std::size_t bits) { return bits / kWord + 1; }

}  // namespace

RowAccumulator::RowAccumulator(std::size_t vocabulary, std::size_t spare)
    : vocabulary_(vocabulary), values_(vocabulary + spare), bits_(words_for(vocabulary + spare)),
      summary_(words_for(bits_.size())), touched_(vocabulary + spare + 1), columns_(vocabulary + spare + 1),
      totals_(vocabulary + spare + 1) {}

std::size_t RowAccumulator::bytes(std::size_t vocabulary, std::size_t spare) {
  const std::size_t size = vocabulary + spare + 1;
  return size * (sizeof(std::uint64_t) + 2 * sizeof(std::uint32_t) + sizeof(std::int64_t)) + size / 7;
}

Row RowAccumulator::take_scanned(std::uint32_t id, std::size_t limit) {
  std::size_t size = 0;
  each_nonzero(values_.data(), limit, [&](std::size_t column) {
    columns_[size] = static_cast<std::uint32_t>(column);
    totals_[size++] = static_cast<std::int64_t>(values_[column]);
  });
  std::fill_n(values_.begin(), limit, std::uint64_t{0});
  return {id, columns_.data(), totals_.data(), size};
}

Row RowAccumulator::take_listed(std::uint32_t id, std::size_t listed) {
  for (std::size_t i = 0; i < listed; ++i) {
    const std::size_t word = touched_[i] / kWord;
    bits_[word] |= std::uint64_t{1} << touched_[i] % kWord;
    summary_[word / kWord] |= std::uint64_t{1} << word % kWord;
  }
  std::size_t size = 0;
  for (std::size_t group = 0; group < summary_.size(); ++group) {
    for (std::uint64_t words = summary_[group]; words != 0; words &= words - 1) {
      const std::size_t word = group * kWord + lowest_bit(words);
      for (std::uint64_t bits = bits_[word]; bits != 0; bits &= bits - 1) {
        const std::size_t column = word * kWord + lowest_bit(bits);
        columns_[size] = static_cast<std::uint32_t>(column);
        totals_[size++] = static_cast<std::int64_t>(values_[column]);
        values_[column] = 0;
      }
      bits_[word] = 0;
    }
    summary_[group] = 0;
  }
  while (size > 0 && columns_[size - 1] >= vocabulary_) --size;  // the spare ones
  return {id, columns_.data(), totals_.data(), size};
}

}  // namespace pivotkit
