// What a matcher finds: the watch words of many documents as compressed sparse rows.
#pragma once

#include <cstdint>
#include <vector>

namespace pivotkit {

struct Hits {
  std::vector<std::int64_t> offsets{0};  // (documents + 1)
  std::vector<std::int32_t> words;       // distinct within a document
  std::vector<std::int32_t> counts;
};

// Where the hits occur, on request. Hit h has the occurrences [offsets[h] .. offsets[h + 1]), in ascending order of
// starts, as half-open ranges of places within its document.
struct Occurrences {
  std::vector<std::int64_t> offsets{0};  // (hits + 1)
  std::vector<std::int32_t> starts, ends;
};

}  // namespace pivotkit
