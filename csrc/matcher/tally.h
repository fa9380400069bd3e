// The hits of one document: a count per word, a bitmap of the words counted, and a bitmap of the words of that bitmap.
// Reading the bitmaps in order gives the words in ascending order without a sort, and touches only what was counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "common/bits.h"
#include "common/require.h"
#include "matcher/hits.h"

namespace pivotkit {

class Tally {
 public:
  explicit Tally(std::size_t words) : counts_(words, 0), marks_(words / 64 + 1, 0), blocks_(words / 4096 + 1, 0) {}

  void add(std::uint32_t word) noexcept {
    ++counts_[word];
    marks_[word / 64] |= std::uint64_t{1} << word % 64;
    blocks_[word / 4096] |= std::uint64_t{1} << word / 64 % 64;
  }
  void add(std::uint32_t word, std::size_t /*begin*/, std::size_t /*end*/) noexcept { add(word); }

  void prefetch(std::uint32_t word) const noexcept {
#if defined(__GNUC__)
    __builtin_prefetch(counts_.data() + word, 1);
#endif
  }

  // Ends the document. A count cannot have wrapped, because the occurrences of a word begin at different bytes, of
  // which there are fewer than 2^32.
  void flush(Hits& hits) {
    for (std::size_t block = 0; block < blocks_.size(); ++block) {
      for (; blocks_[block] != 0; blocks_[block] &= blocks_[block] - 1) {
        const std::size_t place = block * 64 + lowest_bit(blocks_[block]);
        for (; marks_[place] != 0; marks_[place] &= marks_[place] - 1) {
          const std::size_t word = place * 64 + lowest_bit(marks_[place]);
          if (counts_[word] > static_cast<std::uint32_t>(std::numeric_limits<std::int32_t>::max()))
            refuse<std::overflow_error>("Matcher", "occurrences of a word in one document", "fit 31 bits", "more");
          hits.words.push_back(static_cast<std::int32_t>(word));
          hits.counts.push_back(static_cast<std::int32_t>(counts_[word]));
          counts_[word] = 0;
        }
      }
    }
    hits.offsets.push_back(static_cast<std::int64_t>(hits.words.size()));
  }

 private:
  std::vector<std::uint32_t> counts_;
  std::vector<std::uint64_t> marks_;   // a bit for each word
  std::vector<std::uint64_t> blocks_;  // a bit for each of marks_
};

}  // namespace pivotkit
