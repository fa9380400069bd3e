#include "cooccurrence/run_merge.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>

namespace pivotkit {
namespace {

// Adds the cells of a segment; lists the columns that leave zero. Returns how many are listed.
template <class Column, class Total>
std::size_t add_cells(const Segment& segment, std::uint64_t* values, std::uint32_t* touched, std::size_t listed) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < segment.size; ++i) {
    Column column;
    Total total;
    std::memcpy(&column, segment.columns + i * sizeof(Column), sizeof(Column));
    std::memcpy(&total, segment.totals + i * sizeof(Total), sizeof(Total));
    touched[listed] = column;
    listed += values[column] == 0;
    values[column] += total;
    all |= values[column];  // each is below 2^63, so a sum that is not has its highest bit set
  }
  if (all >> 63 != 0) throw std::overflow_error("token_graph: every total must stay below 2^63; got a larger one");
  return listed;
}

template <class Column>
std::size_t add_cells(const Segment& segment, std::uint64_t* values, std::uint32_t* touched, std::size_t listed) {
  if (segment.total_bytes == 2) return add_cells<Column, std::uint16_t>(segment, values, touched, listed);
  if (segment.total_bytes == 4) return add_cells<Column, std::uint32_t>(segment, values, touched, listed);
  return add_cells<Column, std::uint64_t>(segment, values, touched, listed);
}

}  // namespace

void merge_runs(const std::vector<SortedRun>& runs, std::size_t frame, bool triangular, std::size_t vocabulary,
                RowAccumulator& accumulator, RowSink& sink) {
  constexpr std::uint64_t kDone = std::numeric_limits<std::uint64_t>::max();
  std::vector<std::unique_ptr<RunReader>> readers;
  std::vector<std::uint64_t> rows;  // the next row of each run
  const auto step = [&](std::size_t i) { rows[i] = readers[i]->next() ? readers[i]->segment().row : kDone; };
  for (const SortedRun& run : runs) {
    readers.push_back(std::make_unique<RunReader>(run, frame));
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
        listed = segment.column_bytes == 2
                     ? add_cells<std::uint16_t>(segment, accumulator.values(), accumulator.touched(), listed)
                     : add_cells<std::uint32_t>(segment, accumulator.values(), accumulator.touched(), listed);
      }
    }
    const auto id = static_cast<std::uint32_t>(row);
    const std::size_t limit = triangular ? std::size_t{id} + 1 : vocabulary;
    sink.put(RowAccumulator::scans(limit, cells) ? accumulator.take_scanned(id, limit)
                                                 : accumulator.take_listed(id, listed));
  }
}

}  // namespace pivotkit
