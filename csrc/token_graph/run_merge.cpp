#include "token_graph/run_merge.h"

#include <algorithm>
#include <limits>
#include <memory>

namespace pivotkit {

void merge_runs(const std::vector<SortedRun>& runs, std::size_t buffer, bool triangular, std::size_t vocabulary,
                RowAccumulator& accumulator, RowSink& sink) {
  constexpr std::uint64_t kDone = std::numeric_limits<std::uint64_t>::max();
  std::vector<std::unique_ptr<RecordReader>> readers;
  std::vector<std::uint64_t> rows;  // the next row of each run
  const auto step = [&](std::size_t i) { rows[i] = readers[i]->next() ? readers[i]->segment().row : kDone; };
  for (const SortedRun& run : runs) {
    readers.push_back(std::make_unique<RecordReader>(run.path, run.bytes, run.digest, buffer));
    rows.push_back(0);
    step(rows.size() - 1);
  }
  while (!rows.empty()) {
    const std::uint64_t row = *std::min_element(rows.begin(), rows.end());
    if (row == kDone) return;
    std::size_t cells = 0, listed = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (; rows[i] == row; step(i)) {
        const Segment& segment = readers[i]->segment();
        cells += segment.size;
        listed = add_cells(segment, accumulator.values(), accumulator.touched(), listed);
      }
    }
    const auto id = static_cast<std::uint32_t>(row);
    const std::size_t limit = triangular ? std::size_t{id} + 1 : vocabulary;
    sink.put(RowAccumulator::scans(limit, cells) ? accumulator.take_scanned(id, limit)
                                                 : accumulator.take_listed(id, listed));
  }
}

}  // namespace pivotkit
