// Sorted runs into one: row by row, every run's cells of a row added into a dense array. No heap: a cell costs one
// addition whatever the number of runs, and a row one look at each run.
#pragma once

#include <cstddef>
#include <vector>

#include "rows/row_accumulator.h"
#include "token_graph/sorted_run.h"

namespace pivotkit {

// All `runs` are open together; each takes `buffer` bytes. The accumulator must be all zero and is left so. `triangular`
// says that a row's columns are at most its id. A sum of 2^63 or more throws std::overflow_error.
void merge_runs(const std::vector<SortedRun>& runs, std::size_t buffer, bool triangular, std::size_t vocabulary,
                RowAccumulator& accumulator, RowSink& sink);

}  // namespace pivotkit
