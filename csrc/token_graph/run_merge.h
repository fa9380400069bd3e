// Merges sorted runs into one matrix. For each row it adds the cells of every run into a dense array. There is no heap:
// a cell costs one addition whatever the number of runs, and a row costs one look at each run.
#pragma once

#include <cstddef>
#include <vector>

#include "rows/row_accumulator.h"
#include "token_graph/sorted_run.h"

namespace pivotkit {

// All `runs` are open at once, and each takes `buffer` bytes. The accumulator must be all zero, and is all zero
// afterwards. `triangular` says that the columns of a row are at most its id. A sum of 2^63 or more throws
// std::overflow_error.
void merge_runs(const std::vector<SortedRun>& runs, std::size_t buffer, bool triangular, std::size_t vocabulary,
                RowAccumulator& accumulator, RowSink& sink);

}  // namespace pivotkit
