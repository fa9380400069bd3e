#include "counting/word_windows.h"

#include <algorithm>
#include <stdexcept>

#include "common/require.h"

namespace pivotkit {

template <class Id>
WordWindows<Id> word_windows(const TokenDocuments<Id>& documents, const std::int64_t* hit_offsets,
                             const Occurrences& places, std::int64_t window, std::size_t from, std::size_t most) {
  WordWindows<Id> found;
  const auto hits = static_cast<std::size_t>(hit_offsets[documents.size]);
  std::size_t d = 0;
  for (std::size_t i = from; i < hits && (i == from || found.ids.size() < most); ++i) {
    while (static_cast<std::size_t>(hit_offsets[d + 1]) <= i) ++d;
    const Id* ids = documents.ids + documents.offsets[d];
    const std::int64_t size = documents.offsets[d + 1] - documents.offsets[d];
    std::int64_t taken = 0;  // up to here
    for (auto at = static_cast<std::size_t>(places.offsets[i]); at < static_cast<std::size_t>(places.offsets[i + 1]);
         ++at) {
      const std::int64_t start = places.starts[at], end = places.ends[at];
      if (start < 0 || end < start || end > size)
        refuse<std::out_of_range>("word_windows", "places", text("be within a document of ", size, " tokens"),
                                  text(start, "..", end));
      if (end - start > window) continue;
      // Starts ascend, so windows may overlap those before, but not lie before them.
      const std::int64_t first = std::max({taken, end - window, std::int64_t{0}});
      const std::int64_t last = std::min(start + window, size);
      if (first < last) found.ids.insert(found.ids.end(), ids + first, ids + last);
      taken = std::max(taken, last);
    }
    found.offsets.push_back(static_cast<std::int64_t>(found.ids.size()));
  }
  return found;
}

template WordWindows<std::uint16_t> word_windows(const TokenDocuments<std::uint16_t>&, const std::int64_t*,
                                                 const Occurrences&, std::int64_t, std::size_t, std::size_t);
template WordWindows<std::uint32_t> word_windows(const TokenDocuments<std::uint32_t>&, const std::int64_t*,
                                                 const Occurrences&, std::int64_t, std::size_t, std::size_t);

}  // namespace pivotkit
