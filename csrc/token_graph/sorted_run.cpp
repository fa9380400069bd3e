#include "token_graph/sorted_run.h"

#include <algorithm>
#include <utility>

namespace pivotkit {

RunWriter::RunWriter(std::string path, std::size_t buffer)
    : path_(std::move(path)), records_(path_, std::max(buffer, kLeastRunBuffer)),
      most_cells_((std::max(buffer, kLeastRunBuffer) - kLeastRecord) / Segment::kWidestCell) {}

void RunWriter::put(const Row& row) {
  for (std::size_t begin = 0; begin < row.size; begin += most_cells_)
    records_.put(row.id, row.columns + begin, row.totals + begin, std::min(most_cells_, row.size - begin));
}

SortedRun RunWriter::finish() {
  records_.close();
  return {path_, records_.size(), records_.digest()};
}

}  // namespace pivotkit
